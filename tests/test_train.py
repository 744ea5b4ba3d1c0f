import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ibfast._noise import DropoutMasks
from ibfast.datasets import spherical_rule
from ibfast.models import MLP, seed_generator
from ibfast.train import Trainer, log_checkpoints

WIDTHS = (12, 10, 7, 5, 4, 4, 3, 2)
OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}


def plain_network(model, place):
    """One seed as torch.nn.Linear layers, from its initial weights."""
    layers = []
    for weight, bias in zip(model.weights, model.biases, strict=True):
        linear = torch.nn.Linear(weight.shape[2], weight.shape[1])
        linear.weight.data = weight[place].clone()
        linear.bias.data = bias[place, :, 0].clone()
        layers += [linear, torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1])


def assert_same_weights(model, place, network):
    for weight, linear in zip(model.weights, network[::2], strict=True):
        torch.testing.assert_close(weight[place], linear.weight.data, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_full_batch_is_plain_torch(optimizer):
    x, y = spherical_rule()
    model = MLP(WIDTHS, seeds=3)
    network = plain_network(model, 1)
    trainer = Trainer(model, x, y, lr=2e-4, optimizer=optimizer)
    trainer.run(50)

    plain = OPTIMIZERS[optimizer](network.parameters(), lr=2e-4)
    inputs, labels = torch.from_numpy(x).float(), torch.from_numpy(y).long()
    for _ in range(50):
        plain.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs), labels).backward()
        plain.step()
    assert_same_weights(model, 1, network)
    loss = torch.nn.functional.cross_entropy(network(inputs), labels).item() / np.log(2)
    assert trainer.evaluate().loss[1].item() == pytest.approx(loss, rel=1e-5)


def test_minibatches_of_a_split_are_plain_torch():
    x, y = spherical_rule()
    model = MLP((12, 6, 2), seeds=[4, 9], seed=5)
    network = plain_network(model, 1)
    Trainer(model, x, y, lr=1e-3, batch_size=500, train_fraction=0.4).run(3)

    plain = torch.optim.Adam(network.parameters(), lr=1e-3)
    rows = torch.randperm(4096, generator=seed_generator(5, 9, 1))[:1638].sort().values
    order = seed_generator(5, 9, 2)
    for _ in range(3):
        for batch in rows[torch.randperm(1638, generator=order)].split(500):
            plain.zero_grad()
            out = network(torch.from_numpy(x)[batch].float())
            torch.nn.functional.cross_entropy(out, torch.from_numpy(y)[batch].long()).backward()
            plain.step()
    assert_same_weights(model, 1, network)


@pytest.mark.parametrize("options", [{}, {"batch_size": 512, "train_fraction": 0.8}])
def test_a_seed_in_a_batch_gives_what_it_gives_alone(options):
    x, y = spherical_rule()
    batch = Trainer(MLP(WIDTHS, seeds=8, seed=2), x, y, **options)
    alone = Trainer(MLP(WIDTHS, seeds=[6], seed=2), x, y, **options)
    assert torch.equal(batch.train_rows[6], alone.train_rows[0])
    epochs = 50 if not options else 5
    batch.run(epochs)
    alone.run(epochs)
    for ours, single in zip(batch.model.weights, alone.model.weights, strict=True):
        torch.testing.assert_close(ours[6], single[0], rtol=1e-4, atol=1e-5)


def test_each_seed_has_its_own_split_and_accuracy():
    x, y = spherical_rule()
    trainer = Trainer(MLP((12, 8, 2), seeds=4), x, y, train_fraction=0.3, lr=0.01)
    trainer.run(30)
    now = trainer.evaluate()
    assert trainer.train_rows.shape == (4, 1229)
    predicted = now.activations[-1].argmax(1).numpy()
    for place, rows in enumerate(trainer.train_rows.numpy()):
        assert len(set(rows)) == 1229
        others = np.setdiff1d(np.arange(4096), rows)
        right = predicted[place] == y
        assert now.train_accuracy[place].item() == pytest.approx(right[rows].mean(), abs=1e-6)
        assert now.test_accuracy[place].item() == pytest.approx(right[others].mean(), abs=1e-6)
    assert len({tuple(rows) for rows in trainer.train_rows.tolist()}) == 4


def test_no_test_rows_is_nan():
    now = Trainer(MLP((12, 2)), *spherical_rule()).evaluate()
    assert now.test_accuracy.isnan().all()
    assert now.loss.isfinite().all()


def test_hard_labels_are_soft_labels_of_one_and_zero():
    x, y = spherical_rule()
    hard, soft = MLP((12, 4, 2)), MLP((12, 4, 2))
    Trainer(hard, x, y).run(5)
    Trainer(soft, x, np.eye(2)[y]).run(5)
    assert torch.equal(hard.theta, soft.theta)


def test_callbacks_see_the_state_after_that_many_epochs():
    x, y = spherical_rule()
    seen, done = {}, []
    trainer = Trainer(MLP((12, 4, 2)), x, y)
    initial = trainer.model.theta.clone()
    trainer.run(
        4, [0, 2, 4], lambda epoch, t: seen.update({epoch: t.model.theta.clone()}), done.append
    )
    assert list(seen) == [0, 2, 4]
    assert done == [1, 2, 3, 4]
    assert torch.equal(seen[0], initial)
    other = Trainer(MLP((12, 4, 2)), x, y)
    other.run(2)
    assert torch.equal(seen[2], other.model.theta)
    assert torch.equal(seen[4], trainer.model.theta)


OPTIONS = [
    {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9},
    {"optimizer": "sgd", "lr": 0.1, "weight_decay": 0.01},
    {"optimizer": "adam", "lr": 1e-3, "weight_decay": 0.01},
    {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_momentum_and_weight_decay_are_torch_s(options):
    x, y = spherical_rule()
    model = MLP((12, 6, 4, 2), seeds=2)
    network = plain_network(model, 1)
    Trainer(model, x, y, **options).run(30)
    others = {k: v for k, v in options.items() if k != "optimizer"}
    plain = OPTIMIZERS[options["optimizer"]](network.parameters(), **others)
    inputs, labels = torch.from_numpy(x).float(), torch.from_numpy(y).long()
    for _ in range(30):
        plain.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs), labels).backward()
        plain.step()
    assert_same_weights(model, 1, network)


@pytest.mark.parametrize(
    "options", [{"dropout": 0.3}, {"optimizer": "sgd", "lr": 0.1, "temperature": 1e-3}]
)
@pytest.mark.parametrize("batch_size", [None, 700])
def test_random_options_are_each_seed_s_own(options, batch_size):
    x, y = spherical_rule()
    options = {**options, "batch_size": batch_size}
    batch = Trainer(MLP((12, 6, 4, 2), seeds=3, seed=2), x, y, **options)
    alone = Trainer(MLP((12, 6, 4, 2), seeds=[2], seed=2), x, y, **options)
    other = Trainer(
        MLP((12, 6, 4, 2), seeds=[2], seed=2),
        x,
        y,
        **{**options, **dict.fromkeys(("dropout", "temperature"), 0.0)},
    )
    for trainer in (batch, alone, other):
        trainer.run(4)
    for ours, single, without in zip(
        batch.model.weights, alone.model.weights, other.model.weights, strict=True
    ):
        torch.testing.assert_close(ours[2], single[0], rtol=1e-4, atol=1e-5)
        assert not torch.equal(single[0], without[0])


def test_dropout_by_hand():
    x, y = spherical_rule()
    model = MLP((12, 6, 4, 2), seeds=[5], seed=1)
    network = plain_network(model, 0)
    trainer = Trainer(model, x, y, optimizer="sgd", lr=0.5, dropout=0.25, batch_size=2048)
    trainer.run(2)
    drop, order = seed_generator(1, 5, 4), seed_generator(1, 5, 2)
    inputs, labels = torch.from_numpy(x).float(), torch.from_numpy(y).long()
    plain = torch.optim.SGD(network.parameters(), lr=0.5)
    for _ in range(2):
        for rows in torch.randperm(4096, generator=order).split(2048):
            masks = torch.empty(10, 2048).bernoulli_(0.75, generator=drop) / 0.75
            hidden = network[:2](inputs[rows]) * masks[:6].T
            hidden = network[2:4](hidden) * masks[6:].T
            plain.zero_grad()
            torch.nn.functional.cross_entropy(network[4](hidden), labels[rows]).backward()
            plain.step()
    assert_same_weights(model, 0, network)
    loss = torch.nn.functional.cross_entropy(network(inputs), labels).item() / np.log(2)
    assert trainer.evaluate().loss.item() == pytest.approx(loss, rel=1e-5)


def test_dropped_units_are_as_many_as_asked_for():
    model = MLP((12, 60, 50, 2), seeds=2)
    masks = DropoutMasks(model, 0.2).draw(1000)
    for mask in masks:
        assert set(mask.unique().tolist()) == {0.0, 1.25}
        assert (mask == 0).float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert not torch.equal(masks[0][0], masks[0][1])


def test_langevin_noise_has_the_variance_of_its_temperature():
    x, y = spherical_rule()
    updated, noisy = MLP((12, 60, 2), seeds=3), MLP((12, 60, 2), seeds=3)
    lr, temperature = 0.1, 1e-3
    Trainer(updated, x, y, optimizer="sgd", lr=lr).run(1)
    Trainer(noisy, x, y, optimizer="sgd", lr=lr, temperature=temperature).run(1)
    noise = noisy.theta - updated.theta
    assert noise.mean().item() == pytest.approx(0, abs=1e-3)
    assert noise.var().item() == pytest.approx(2 * lr * temperature, rel=0.08)
    first, second, _ = noisy.weights[0] - updated.weights[0]
    assert abs(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1]) < 0.15


def test_langevin_dynamics_samples_at_its_temperature():
    # Two biases on an input of 0, both classes as likely: the loss is log(2 cosh(gap / 2)) of
    # their gap, near gap^2 / 8. Each bias has noise of its own, so the gap has twice as much and
    # twice the mobility: its variance is 4 temperature.
    model = MLP((1, 2), seeds=400, dtype=torch.float64)
    model.theta.zero_()
    options = {"optimizer": "sgd", "lr": 0.4, "temperature": 0.02}
    Trainer(model, [[0.0]], [[0.5, 0.5]], **options).run(40)
    gap = model.biases[0][:, 0] - model.biases[0][:, 1]
    assert gap.var().item() == pytest.approx(4 * 0.02, rel=0.3)


@given(st.integers(0, 20_000), st.integers(2, 200), st.data())
def test_checkpoints_are_what_is_asked_for(epochs, count, data):
    include = data.draw(st.sets(st.integers(0, epochs), max_size=5))
    marks = log_checkpoints(epochs, count, include)
    assert marks == sorted(set(marks))
    assert marks[0] == 0
    assert marks[-1] == epochs
    assert include <= set(marks)
    assert len(marks) >= min(count, epochs + 1)


def test_checkpoints_are_even_in_their_logarithm():
    gaps = np.diff(np.log(log_checkpoints(100_000, 100)[50:]))
    assert gaps.max() / gaps.min() < 1.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1,), "epochs must not be negative; got -1"),
        ((10, 1), "count of checkpoints must be at least 2; got 1"),
        ((10, 5, [11]), r"checkpoints must lie between 0 and 10; got \[11\]"),
    ],
)
def test_bad_checkpoints(arguments, message):
    with pytest.raises(ValueError, match=message):
        log_checkpoints(*arguments)


@pytest.mark.parametrize("options", [{}, {"batch_size": 500, "train_fraction": 0.4}])
def test_labels_of_each_seed_s_own(options):
    x, y = spherical_rule()
    labels = np.stack([y, 1 - y, np.roll(y, 7)]).astype(int)
    together = MLP((12, 6, 2), seeds=3)
    trainer = Trainer(together, x, labels, lr=1e-2, **options)
    trainer.run(5)
    found = trainer.evaluate()
    for seed in range(3):
        alone = MLP((12, 6, 2), seeds=[seed])
        one = Trainer(alone, x, labels[seed], lr=1e-2, **options)
        one.run(5)
        torch.testing.assert_close(together.weights[0][seed], alone.weights[0][0])
        own = one.evaluate()
        torch.testing.assert_close(found.loss[seed], own.loss[0])
        assert found.train_accuracy[seed] == own.train_accuracy[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizer": "lion"}, "optimizer must be one of adam, sgd; got 'lion'"),
        ({"lr": 0}, "lr must be positive and finite; got 0"),
        ({"lr": float("nan")}, "lr must be positive and finite; got nan"),
        ({"lr": float("inf")}, "lr must be positive and finite; got inf"),
        ({"momentum": 1.0, "optimizer": "sgd"}, "momentum must be at least 0 and below 1; got 1.0"),
        ({"momentum": 0.9}, "momentum must be 0 unless optimizer is 'sgd'; got 0.9, 'adam'"),
        ({"weight_decay": -1.0}, "weight_decay must be finite and not negative; got -1.0"),
        ({"weight_decay": float("nan")}, "weight_decay must be finite and not negative; got nan"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1; got 1.0"),
        ({"dropout": -0.1}, "dropout must be at least 0 and below 1"),
        ({"dropout": 0.5}, "dropout must be 0 for a model without hidden layers; got 0.5"),
        ({"temperature": 1.0}, "temperature must be 0 unless optimizer is 'sgd' .* with 'adam'"),
        (
            {"temperature": 1.0, "optimizer": "sgd", "momentum": 0.5},
            "temperature must be 0 unless .* momentum 0.5",
        ),
        (
            {"temperature": float("inf"), "optimizer": "sgd"},
            "temperature must be finite and not negative; got inf",
        ),
        ({"batch_size": 0}, "batch_size must be at least 1; got 0"),
        ({"train_fraction": 0}, "train_fraction must leave 1 to 6 training rows; got 0"),
        ({"train_fraction": 1.1}, "train_fraction must leave 1 to 6 training rows"),
        ({"train_fraction": 0.01}, "train_fraction must leave 1 to 6 training rows"),
        ({"train_fraction": float("nan")}, "train_fraction must leave 1 to 6"),
        ({"inputs": np.zeros(6)}, r"inputs must have shape \(n, 3\), n at least 1; got \(6,\)"),
        ({"inputs": np.zeros((6, 2))}, r"inputs must have shape \(n, 3\)"),
        ({"inputs": np.zeros((0, 3))}, r"inputs must have shape \(n, 3\)"),
        ({"labels": np.zeros(5, int)}, r"labels must have shape \(6,\) or \(6, 2\), or .*\(5,\)"),
        ({"labels": np.full(6, 2)}, "labels must be integer classes below 2; got int64 from 2 to"),
        ({"labels": np.full(6, -1)}, "labels must be integer classes below 2; got int64 from -1"),
        ({"labels": np.full(6, 0.5)}, "labels must be integer classes below 2; got float64"),
        ({"labels": np.zeros((1, 6))}, r"be integers of shape \(1, 6\); got float64 of shape"),
        ({"labels": np.full((1, 6), 2)}, "labels must be integer classes below 2; got int64"),
        ({"labels": np.ones((6, 2))}, "must be rows p.* that sum to 1"),
        ({"labels": np.tile([2.0, -1.0], (6, 1))}, "must be rows p.* that sum to 1"),
    ],
)
def test_bad_arguments(arguments, message):
    valid = {"inputs": np.zeros((6, 3)), "labels": np.zeros(6, int)}
    with pytest.raises(ValueError, match=message):
        Trainer(MLP((3, 2)), **{**valid, **arguments})
