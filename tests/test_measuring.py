import json
import math

import numpy as np
import pytest
import torch

import ibfast
from ibfast import store
from ibfast.binning import Edges, Levels, Uniform, Width, from_dict
from ibfast.datasets import spherical_rule
from ibfast.estimators import KDE, Adaptive, Noisy
from ibfast.experiments import load_preset, parse_bins, parse_estimator, run_experiment
from ibfast.experiments.measuring import estimate_layers, measure_binned
from ibfast.models import MLP
from ibfast.plane import measure_arrays, measure_layers


def toy(**options):
    small = {"seeds": 2, "epochs": 2, "checkpoints": 2, "widths": (12, 3, 2), "lr": 0.05}
    return load_preset("szt").changed(**{**small, **options})


def last_layers(run):
    """Activations of a run's networks at its last checkpoint, unit-major."""
    e = run.experiment
    model = MLP(e.widths, activation=e.activation, seeds=e.seeds)
    for name, p in model.parameters().items():
        p.copy_(torch.from_numpy(run.parameters[name][-1]))
    x, _ = spherical_rule()
    return [a.transpose(1, 2) for a in model.forward(torch.from_numpy(x).float().T)]


@pytest.mark.parametrize(
    ("text", "bins"),
    [
        ("30", 30),
        ("1", 1),
        ("width:0.07", Width(0.07)),
        ("levels:4:-1:1", Levels(4, (-1, 1))),
        ("levels:8:0:6", Levels(8, (0, 6))),
        ("tanh:2", Edges([-1, 1])),
        ("tanh:3", Edges([-1, 0, 1])),
    ],
)
def test_bins_from_text(text, bins):
    assert parse_bins(text) == bins


def test_edges_from_text():
    assert parse_bins("-1:1:3").tolist() == [-1, 0, 1]
    edges = np.asarray(parse_bins("tanh:30").edges)
    spaced = np.linspace(-50, 50, 30)
    assert set(edges) == set(np.tanh(spaced))
    assert (np.diff(edges) > 0).all()
    assert edges.size < 30  # the outer ones are the same number in float64


BAD_BINS = """
0 -3 2.5 1:0:5 0:1 0:1:1 0:inf:3 a:b:c 0:1:2:3 tanh tanh:1 tanh:x width:0 width:x levels:4:0
levels:0:0:1 levels:17:0:1 levels:4:1:0 levels:4:0:x
"""
BAD_ESTIMATORS = """
kde kde: kde:-1 kde:0 kde:x adaptive adaptive:1 adaptive:2.5 noisy noisy:0 binned:30 knn:3
"""


@pytest.mark.parametrize("text", ["", *BAD_BINS.split()])
def test_bad_bins(text):
    with pytest.raises(ValueError, match=f'bins must be a number such as 30, .*; got "{text}"'):
        parse_bins(text)


def test_estimators_from_text():
    assert parse_estimator("binned") is None
    assert parse_estimator("adaptive:30", threads=1) == Adaptive(30, exhaustive=True, threads=1)
    assert parse_estimator("adaptive:5", exhaustive=False) == Adaptive(5)
    assert parse_estimator("kde:0.001") == KDE(math.sqrt(0.001))
    noisy = parse_estimator("noisy:0.005")
    assert (type(noisy), noisy.noise) == (Noisy, 0.005)


@pytest.mark.parametrize("text", ["", *BAD_ESTIMATORS.split()])
def test_bad_estimators(text):
    with pytest.raises(ValueError, match=f'estimator must be binned, adaptive:.*; got "{text}"'):
        parse_estimator(text)


def test_measurements_that_do_not_go_together():
    with pytest.raises(ValueError, match='bins must be empty for the estimator kde:1; got "30"'):
        toy(estimator="kde:1", bins="30")
    with pytest.raises(ValueError, match=r'estimator must be binned where .*; got "kde:1"'):
        toy(estimator="kde:1", information=0.9)
    with pytest.raises(ValueError, match=r'bins must not be levels where .*"levels:4:-1:1"'):
        toy(information=0.9, bins="levels:4:-1:1", activation="tanh-q4")
    with pytest.raises(ValueError, match=r"task must be one of committee_rule, .*; got 'mnist'"):
        toy(task="mnist")


def test_an_estimator_drops_the_bins():
    assert toy(estimator="kde:1").bins == ""
    assert toy(estimator="binned").bins == "-1:1:50"
    assert toy(estimator="kde:1").reference is None


@pytest.mark.parametrize("text", ["kde:0.01", "adaptive:10", "noisy:0.1"])
def test_the_plane_has_the_values_of_the_estimator(text, tmp_path):
    run = run_experiment(toy(estimator=text), tmp_path / "run", threads=1)
    plane, info = store.open_run(tmp_path / "run")
    estimator = parse_estimator(text)
    _, y = spherical_rule()
    for place, layer in enumerate(last_layers(run)):
        for seed in range(2):
            rng = [np.random.default_rng([0, 2, seed, place + 1]) for _ in range(2)]
            i_xt = estimator.i_xt(layer[seed], rng=rng[0])
            i_ty = estimator.i_ty(layer[seed], y, rng=rng[1])
            cell = plane.isel(epoch=-1, layer=place, seed=seed)
            assert (cell.i_xt, cell.i_ty) == (i_xt.value, i_ty.value)
            assert cell.saturated == i_xt.saturated
            if text.startswith("kde"):
                low = cell.i_xt_low, cell.i_ty_low
                assert low == (i_xt.interval[0], i_ty.interval[0])
                assert cell.i_xt_low <= cell.i_xt
    assert plane.attrs["estimator"] == info["experiment"]["estimator"] == text
    assert "bins" not in plane.attrs
    assert ("i_xt_low" in plane) == text.startswith("kde")
    assert "n_cells" not in plane


def test_random_numbers_are_of_the_seed_and_layer():
    acts = np.random.default_rng(0).uniform(size=(1, 50, 2))
    estimator = Noisy(0.5, samples=2)
    y = np.arange(50) % 2
    measured = estimate_layers([acts, acts], y, estimator, seeds=[3], entropy=(7,))
    alone = estimate_layers([acts], y, estimator, seeds=[3], entropy=(7,))
    assert measured["i_xt"].shape == (1, 2)
    assert measured["i_xt"][0, 0] == alone["i_xt"][0, 0] != measured["i_xt"][0, 1]


@pytest.mark.parametrize(
    ("bins", "activation"),
    [("width:0.07", "relu"), ("tanh:30", "tanh"), ("levels:4:-1:1", "tanh-q4")],
)
def test_the_plane_names_its_bins(bins, activation, tmp_path):
    run = run_experiment(toy(bins=bins, activation=activation), tmp_path / "run", threads=1)
    plane, _ = store.open_run(tmp_path / "run")
    assert plane.attrs["bins"] == bins
    assert plane.attrs["estimator"] == "binned, plug-in"
    hidden = last_layers(run)[0]
    one = ibfast.layer_information(
        hidden, spherical_rule()[1], bins=parse_bins(bins), exhaustive=True
    )
    assert np.array_equal(one.i_xt, plane.i_xt.isel(epoch=-1, layer=0))


def test_the_softmax_of_quantised_networks_has_bins():
    p = np.random.default_rng(0).uniform(size=(2, 60, 2))
    hidden = np.rint(3 * p) / 3
    y = np.arange(60) % 2
    levels, options = Levels(2, (0, 1)), {"exhaustive": True}
    both = measure_binned([hidden, p], y, levels, **options)
    softmax = measure_layers([p], y, bins=Uniform(4, (0, 1)), **options)
    first = measure_layers([hidden], y, bins=levels, **options)
    assert np.array_equal(both["i_xt"], np.hstack([first["i_xt"], softmax["i_xt"]]))
    alone = measure_binned([p], y, levels, **options)
    assert np.array_equal(alone["n_cells"], softmax["n_cells"])
    with pytest.raises(ValueError, match=r"layer 1: acts: .* expected one of the 4 levels"):
        measure_binned([p, p], y, levels, **options)


def test_arrays_measured_with_a_binning_say_so(tmp_path):
    levels = Levels(1, (0, 1))
    plane = measure_arrays({"h": np.array([[0.0], [1.0]] * 8)}, [0, 1] * 8, bins=levels)
    assert from_dict(json.loads(plane.attrs["bins"])) == levels
    store.save_plane(tmp_path, plane)


def test_a_sample_of_real_data_is_not_exhaustive():
    digits = load_preset("digits").changed(seeds=1, epochs=1, checkpoints=2, batch_size=400)
    with pytest.warns(ibfast.SaturationWarning):
        run = run_experiment(digits, threads=1)
    assert run.plane.attrs["exhaustive"] == 0
    assert run.plane.attrs["samples"] == 1797
    assert run.plane.saturated.isel(layer=0).all()
    assert run_experiment(toy(), threads=1).plane.attrs["exhaustive"] == 1
