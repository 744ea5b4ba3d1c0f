import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

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
