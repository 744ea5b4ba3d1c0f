import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ibfast.models import ACTIVATIONS, MLP, seed_generator

TORCH = {name: getattr(torch.nn.functional, name) for name in ACTIVATIONS if name != "linear"}
TORCH["linear"] = lambda z: z


def plain_forward(model, member, x, activation):
    """One seed by torch's own functions, with autograd."""
    parameters = [
        (w[member].clone().requires_grad_(), b[member, :, 0].clone().requires_grad_())
        for w, b in zip(model.weights, model.biases, strict=True)
    ]
    layers = []
    for w, b in parameters:
        x = torch.nn.functional.linear(x, w, b)
        layers.append(x if w is parameters[-1][0] else activation(x))
        x = layers[-1]
    return layers, parameters


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_forward_and_gradient_against_autograd(name):
    torch.manual_seed(0)
    model = MLP((6, 5, 4, 3), activation=name, seeds=3, dtype=torch.float64)
    model.theta.add_(0.1 * torch.randn_like(model.theta))
    x = 2 * torch.randn(3, 40, 6, dtype=torch.float64)
    y = torch.randint(3, (40,))
    targets = torch.nn.functional.one_hot(y).double().T

    layers = [a.clone() for a in model.forward(x.mT)]
    model.gradient(x.mT, targets)
    for member in range(3):
        expected, parameters = plain_forward(model, member, x[member], TORCH[name])
        torch.nn.functional.cross_entropy(expected[-1], y).backward()
        expected[-1] = expected[-1].softmax(1)
        for ours, theirs in zip(layers, expected, strict=True):
            torch.testing.assert_close(ours[member].T, theirs.detach(), rtol=1e-12, atol=1e-14)
        grads = zip(model._grad_weights, model._grad_biases, parameters, strict=True)
        for grad_w, grad_b, (w, b) in grads:
            torch.testing.assert_close(grad_w[member], w.grad, rtol=1e-10, atol=1e-14)
            torch.testing.assert_close(grad_b[member, :, 0], b.grad, rtol=1e-10, atol=1e-14)


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=100))
def test_tanh_is_close_to_the_true_one(values):
    z = torch.tensor(values, dtype=torch.float32)
    a = torch.empty_like(z)
    ACTIVATIONS["tanh"].forward(z, a)
    true = np.tanh(z.double().numpy())
    assert np.abs(a.double().numpy() - true).max() < 2e-7
    assert a.abs().max() <= 1


def test_tanh_reaches_one_where_float32_does():
    z = torch.linspace(8, 10, 100_001)
    a = torch.empty_like(z)
    ACTIVATIONS["tanh"].forward(z, a)
    true = np.tanh(z.double().numpy()).astype(np.float32)
    assert np.array_equal(a.numpy() == 1, true == 1)


def test_shared_inputs_are_those_of_every_seed():
    model = MLP((4, 3, 2), seeds=2)
    x = torch.rand(4, 10)
    shared = [a.clone() for a in model.forward(x)]
    own = model.forward(torch.stack([x, x]))
    assert all(torch.equal(a, b) for a, b in zip(shared, own, strict=True))


def test_a_member_has_the_same_weights_in_any_batch():
    batch = MLP((5, 4, 2), seeds=9, seed=3)
    alone = MLP((5, 4, 2), seeds=[7], seed=3)
    for in_batch, single in zip(batch.weights, alone.weights, strict=True):
        assert torch.equal(in_batch[7], single[0])
        assert not torch.equal(in_batch[6], in_batch[7])
    assert not torch.equal(MLP((5, 4, 2), seed=4).weights[0], MLP((5, 4, 2), seed=3).weights[0])


def test_initial_weights_are_truncated_normal():
    model = MLP((400, 50, 2), seeds=5)
    assert not any(bias.any() for bias in model.biases)
    scaled = (model.weights[0] * 400**0.5).flatten()
    assert scaled.abs().max() <= 2
    assert scaled.mean().item() == pytest.approx(0, abs=0.02)
    # The variance of a standard normal number truncated at 2: 1 - 4 phi(2) / (2 Phi(2) - 1).
    assert scaled.var().item() == pytest.approx(0.7737, abs=0.01)


def test_parameters_are_views():
    model = MLP((3, 4, 2), seeds=2)
    parameters = model.parameters()
    assert list(parameters) == ["weight_1", "bias_1", "weight_2", "bias_2"]
    model.theta.fill_(7)
    assert all((p == 7).all() for p in parameters.values())
    assert sum(p.numel() for p in parameters.values()) == model.theta.numel()


def test_log_probabilities_are_finite_where_probabilities_underflow():
    model = MLP((1, 2))
    model.weights[0][:] = torch.tensor([[200.0], [-200.0]])
    probabilities = model.forward(torch.ones(1, 1))[-1]
    assert probabilities[0, 1, 0] == 0
    assert model.log_probabilities(1)[0, 1, 0] == -400


def test_generators_differ_in_each_number():
    draws = {
        tuple(torch.rand(4, generator=seed_generator(*key)).tolist()) for key in np.ndindex(3, 3, 3)
    }
    assert len(draws) == 27


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": (5,)}, r"widths must be two or more positive numbers; got \(5,\)"),
        ({"widths": (5, 0, 2)}, "widths must be two or more positive"),
        ({"activation": "step"}, "activation must be one of tanh, .*; got 'step'"),
        ({"seeds": 0}, "seeds must be one or more different numbers; got 0"),
        ({"seeds": [1, 1]}, "seeds must be one or more different"),
        ({"seed": -1}, r"seeds must not be negative; got \(-1, 0, 0\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MLP(**{"widths": (5, 2), **arguments})
