import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ibfast.activations import ACTIVATIONS, QUANTISED_RANGES, make_activation
from ibfast.binning import Levels, discretise
from ibfast.models import MLP, seed_generator

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
        grads = zip(model.grad_weights, model.grad_biases, parameters, strict=True)
        for grad_w, grad_b, (w, b) in grads:
            torch.testing.assert_close(grad_w[member], w.grad, rtol=1e-10, atol=1e-14)
            torch.testing.assert_close(grad_b[member, :, 0], b.grad, rtol=1e-10, atol=1e-14)


class StraightThrough(torch.autograd.Function):
    """Nearest of 2**bits levels; the gradient passes."""

    @staticmethod
    def forward(ctx, value, bits, low, high):
        levels = torch.linspace(low, high, 2**bits, dtype=torch.float64)
        nearest = (value.double()[..., None] - levels).abs().argmin(-1)
        return levels[nearest].to(value.dtype)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None, None, None


@pytest.mark.parametrize("bits", [1, 3, 8])
@pytest.mark.parametrize("base", QUANTISED_RANGES)
def test_quantised_gradient_is_that_of_the_unquantised_function(base, bits):
    torch.manual_seed(1)
    model = MLP((6, 5, 4, 3), activation=f"{base}-q{bits}", seeds=2, dtype=torch.float64)
    model.theta.add_(0.1 * torch.randn_like(model.theta))
    x = 8 * torch.randn(2, 40, 6, dtype=torch.float64)
    y = torch.randint(3, (40,))
    exact = {"tanh": torch.tanh, "relu": torch.nn.functional.relu6}[base]

    def activation(z):
        return StraightThrough.apply(exact(z), bits, *QUANTISED_RANGES[base])

    layers = [a.clone() for a in model.forward(x.mT)]
    model.gradient(x.mT, torch.nn.functional.one_hot(y).double().T)
    for member in range(2):
        expected, parameters = plain_forward(model, member, x[member], activation)
        torch.nn.functional.cross_entropy(expected[-1], y).backward()
        for ours, theirs in zip(layers[:-1], expected[:-1], strict=True):
            torch.testing.assert_close(ours[member].T, theirs.detach(), rtol=1e-12, atol=1e-14)
        grads = zip(model.grad_weights, model.grad_biases, parameters, strict=True)
        for grad_w, grad_b, (w, b) in grads:
            torch.testing.assert_close(grad_w[member], w.grad, rtol=1e-10, atol=1e-14)
            torch.testing.assert_close(grad_b[member, :, 0], b.grad, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bits", [1, 2, 5, 8, 16])
@pytest.mark.parametrize("base", QUANTISED_RANGES)
def test_quantised_levels_are_those_of_the_binning(base, bits, dtype):
    low, high = QUANTISED_RANGES[base]
    z = torch.linspace(-9, 9, 200_001, dtype=dtype)
    a = torch.empty_like(z)
    make_activation(f"{base}-q{bits}").forward(z.clone(), a)
    steps = 2**bits - 1
    exact = z.double().tanh() if base == "tanh" else z.double().clamp(0, 6)
    index = discretise(a[:, None], Levels(bits, (low, high)))[:, 0]
    # Values that lie within the rounding of tanh of the middle of two levels may go to either.
    place = (exact.numpy() - low) * steps / (high - low)
    error = 1e-3 + 2e-7 * steps
    assert np.abs(index - place).max() <= 0.5 + error
    assert set(index.tolist()) >= {0, steps}
    level = ((low * steps + (high - low) * index) / steps).astype(a.numpy().dtype)
    assert np.array_equal(a.numpy(), level)


def test_quantised_networks_are_measured_exactly():
    model = MLP((12, 6, 4, 2), activation="tanh-q8", seeds=2)
    layers = model.forward(4 * torch.randn(12, 500))
    for layer in layers[:-1]:
        discretise(layer.transpose(1, 2), Levels(8, (-1, 1)))
    unquantised = MLP((12, 6, 4, 2), activation="tanh", seeds=2)
    with pytest.raises(ValueError, match="expected one of the 256 levels"):
        discretise(unquantised.forward(torch.randn(12, 50))[0].transpose(1, 2), Levels(8, (-1, 1)))


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


def test_initial_weights_by_fan_out():
    fan_in, fan_out = MLP((400, 50, 2), seeds=2), MLP((400, 50, 2), init="fan_out", seeds=2)
    assert not any(bias.any() for bias in fan_out.biases)
    # The same numbers, scaled.
    torch.testing.assert_close(fan_out.weights[0] * 50**0.5, fan_in.weights[0] * 400**0.5)
    assert torch.equal(
        fan_out.weights[0][1], MLP((400, 50, 2), init="fan_out", seeds=[1]).weights[0][0]
    )


def test_initial_weights_as_torch():
    model = MLP((30, 20, 2), init="torch", seeds=[0, 3], seed=2)
    for place, member in enumerate((0, 3)):
        with torch.random.fork_rng():
            torch.manual_seed(seed_generator(2, member, 0).initial_seed())
            network = torch.nn.Linear(30, 20), torch.nn.Linear(20, 2)
        for linear, weight, bias in zip(network, model.weights, model.biases, strict=True):
            torch.testing.assert_close(weight[place], linear.weight.data)
            torch.testing.assert_close(bias[place, :, 0], linear.bias.data)


def test_masks_are_applied_to_what_hidden_layers_pass_on():
    model = MLP((6, 5, 4, 3), seeds=2, dtype=torch.float64)
    x, y = torch.randn(2, 40, 6, dtype=torch.float64), torch.randint(3, (40,))
    masks = [2.0 * torch.randint(2, (2, d, 40)) for d in (5, 4)]
    masks = [mask.double() for mask in masks]
    model.gradient(x.mT, torch.nn.functional.one_hot(y).double().T, masks)
    for member in range(2):
        _, parameters = plain_forward(model, member, x[member], torch.tanh)
        expected = x[member]
        rest = iter([mask[member].T for mask in masks])
        for w, b in parameters[:-1]:
            expected = torch.nn.functional.linear(expected, w, b).tanh() * next(rest)
        out = torch.nn.functional.linear(expected, *parameters[-1])
        torch.nn.functional.cross_entropy(out, y).backward()
        for grad_w, (w, _) in zip(model.grad_weights, parameters, strict=True):
            torch.testing.assert_close(grad_w[member], w.grad, rtol=1e-10, atol=1e-14)


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
        ({"activation": "tanh-q17"}, "or tanh-q1 to tanh-q16, .*; got 'tanh-q17'"),
        ({"activation": "relu-q0"}, "got 'relu-q0'"),
        ({"activation": "gelu-q8"}, "got 'gelu-q8'"),
        ({"init": "xavier"}, "init must be one of fan_in, fan_out, torch; got 'xavier'"),
        ({"seeds": 0}, "seeds must be one or more different numbers; got 0"),
        ({"seeds": [1, 1]}, "seeds must be one or more different"),
        ({"seed": -1}, r"seeds must not be negative; got \(-1, 0, 0\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MLP(**{"widths": (5, 2), **arguments})
