import numpy as np
import pytest
import torch

from ibfast.labels import as_targets, draw_labels
from ibfast.models import MLP, seed_generator

Y = np.repeat([0, 1, 2], 4000)


def model(seeds=(0, 3), classes=3):
    return MLP((12, classes), seeds=list(seeds), seed=5)


def test_exact_labels_are_everyone_s():
    assert np.array_equal(draw_labels(model(), Y), [Y, Y])
    assert draw_labels(model(), Y.astype(np.uint8)).dtype == np.int64


def test_sampled_labels_of_two_classes_are_drawn_from_p():
    p = np.repeat([0.0, 0.2, 0.9, 1.0], 2500)
    labels = draw_labels(model(classes=2), np.stack([1 - p, p], axis=1), "sampled")
    shares = labels.reshape(2, 4, 2500).mean(axis=2)
    assert np.abs(shares - [0, 0.2, 0.9, 1]).max() < 0.04
    uniform = torch.rand(10_000, generator=seed_generator(5, 3, 3), dtype=torch.float64).numpy()
    assert np.array_equal(labels[1], uniform < p)


def test_sampled_labels_of_three_classes_are_drawn_from_p():
    p = [0.5, 0.2, 0.3]
    labels = draw_labels(model(), np.tile(p, (20_000, 1)), "sampled")
    for own in labels:
        assert np.abs(np.bincount(own) / 20_000 - p).max() < 0.015
    assert np.array_equal(draw_labels(model(), np.eye(3)[Y], "sampled"), [Y, Y])


def test_noise_replaces_labels_by_others_alike():
    labels = draw_labels(model(), Y, label_noise=0.3)
    for own in labels:
        counts = np.histogram2d(Y, own, bins=3)[0] / 4000
        assert np.abs(counts - (0.7 * np.eye(3) + 0.15 * (1 - np.eye(3)))).max() < 0.03
    assert not np.array_equal(labels[0], labels[1])
    assert not (draw_labels(model(), Y, label_noise=1) == Y).any()
    # More noise replaces more labels, and those of less noise still.
    more = draw_labels(model(), Y, label_noise=0.4)
    assert (more != labels).mean() < 0.11


def test_noise_on_sampled_labels():
    p = np.tile([0.5, 0.5, 0.0], (3000, 1))
    plain, noisy = (draw_labels(model(), p, "sampled", label_noise=noise) for noise in (0, 0.1))
    assert (plain != noisy).mean() == pytest.approx(0.1, abs=0.02)


def test_random_labels_are_uniform_whatever_the_input():
    for own in draw_labels(model(), Y, "random"):
        assert np.abs(np.histogram2d(Y, own, bins=3)[0] / 4000 - 1 / 3).max() < 0.03


@pytest.mark.parametrize(
    "options", [{"kind": "random"}, {"label_noise": 0.2}, {"kind": "sampled", "label_noise": 0.5}]
)
def test_a_seed_draws_the_same_in_any_batch(options):
    together, alone = draw_labels(model(), Y, **options), draw_labels(model([3]), Y, **options)
    assert np.array_equal(together[1], alone[0])


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (Y, {"kind": "soft"}, "kind must be one of exact, sampled, random; got 'soft'"),
        (Y, {"label_noise": 1.5}, "label_noise must be a probability from 0 to 1; got 1.5"),
        (Y, {"label_noise": float("nan")}, "label_noise must be a probability"),
        (Y, {"kind": "random", "label_noise": 0.1}, "label_noise must be 0 for random labels"),
        (np.eye(3), {}, r"labels must be integer classes \(n,\) for the kind 'exact'"),
        (Y + 1, {}, "labels must be integer classes below 3; got int64 from 1 to 3"),
        (np.ones((4, 3)), {"kind": "sampled"}, r"must be rows p\(y\|x\) that sum to 1"),
        (np.eye(2), {"kind": "sampled"}, r"labels must have shape \(n,\) or \(n, 3\), .*\(2, 2\)"),
        ([], {}, r"n at least 1; got \(0,\)"),
        (0, {}, r"labels must have shape .*; got \(\)"),
    ],
)
def test_bad_arguments(labels, options, message):
    with pytest.raises(ValueError, match=message):
        draw_labels(model(), labels, **options)
    with pytest.raises(ValueError, match=r"label_noise must be 0 .* of 1 classes"):
        draw_labels(model(classes=1), np.zeros(3, int), label_noise=0.1)


def test_targets_of_each_kind():
    two = model()
    assert as_targets(Y, len(Y), two).shape == (12_000, 3)
    assert torch.equal(
        as_targets([[0, 2], [1, 1]], 2, two).argmax(-1), torch.tensor([[0, 2], [1, 1]])
    )
    assert torch.equal(as_targets([[0.5, 0.5, 0]], 1, two), torch.tensor([[0.5, 0.5, 0]]))
