"""Hidden activations as pairs of functions that write into given memory, also quantised ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise ImportError('ibfast.activations needs torch: pip install "ibfast[torch]"') from error

__all__ = ["ACTIVATIONS", "QUANTISED_RANGES", "Activation", "make_activation"]


class Activation(NamedTuple):
    """An elementwise function and its derivative, both into given memory."""

    forward: Callable[[Tensor, Tensor], object]
    """``forward(z, a)`` writes the activation of `z` to `a`; it may change `z` for `backward`."""
    backward: Callable[[Tensor, Tensor, Tensor], object]
    """``backward(delta, z, a)`` multiplies `delta` by the derivative, in place."""
    in_place: bool = True
    """Whether `z` may be `a`: a tenth of the training time."""


_aten = torch.ops.aten
_ONE = torch.ones(())


def _tanh(z: Tensor, a: Tensor) -> None:
    # 1 - 2 sigmoid(-2 z): a fifth of the time of torch.tanh, within 2e-7 of it, and equal to 1
    # where it is, which matters because 1 has a bin of its own.
    torch.mul(z, -2, out=a).sigmoid_()
    torch.add(_ONE, a, alpha=-2, out=a)


def _softsign(z: Tensor, a: Tensor) -> None:
    torch.abs(z, out=a).add_(1)
    torch.div(z, a, out=a)


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(_tanh, lambda d, z, a: _aten.tanh_backward(d, a, grad_input=d)),
    "sigmoid": Activation(
        lambda z, a: torch.sigmoid(z, out=a),
        lambda d, z, a: _aten.sigmoid_backward(d, a, grad_input=d),
    ),
    "relu": Activation(
        lambda z, a: torch.clamp(z, min=0, out=a),
        lambda d, z, a: _aten.threshold_backward(d, a, 0, grad_input=d),
    ),
    "leaky_relu": Activation(
        lambda z, a: _aten.leaky_relu(z, 0.01, out=a),
        lambda d, z, a: _aten.leaky_relu_backward(d, a, 0.01, True, grad_input=d),
    ),
    "elu": Activation(
        lambda z, a: _aten.elu(z, out=a),
        lambda d, z, a: _aten.elu_backward(d, 1, 1, 1, True, a, grad_input=d),
    ),
    "gelu": Activation(
        lambda z, a: _aten.gelu(z, out=a),
        lambda d, z, a: _aten.gelu_backward(d, z, grad_input=d),
        in_place=False,
    ),
    "softplus": Activation(
        lambda z, a: _aten.softplus(z, out=a),
        lambda d, z, a: _aten.softplus_backward(d, z, 1, 20, grad_input=d),
        in_place=False,
    ),
    "softsign": Activation(
        _softsign, lambda d, z, a: d.mul_(a.abs().neg_().add_(1).square_()), in_place=False
    ),
    "linear": Activation(lambda z, a: a.copy_(z), lambda d, z, a: None),
}
"""Hidden activations by name."""

# Both keep in z what is to be rounded: its function's derivative is taken there.
_UNQUANTISED: dict[str, Activation] = {
    "tanh": Activation(
        lambda z, a: _tanh(z, z), lambda d, z, a: _aten.tanh_backward(d, z, grad_input=d)
    ),
    # The gradient of torch.nn.ReLU6: none where the value was clipped, or stands at an end.
    "relu": Activation(
        lambda z, a: z.clamp_(0, 6),
        lambda d, z, a: _aten.hardtanh_backward(d, z, 0, 6, grad_input=d),
    ),
}
QUANTISED_RANGES: dict[str, tuple[int, int]] = {"tanh": (-1, 1), "relu": (0, 6)}
"""Lowest and highest level of a quantised activation, by the name of its function."""


def make_activation(name: str) -> Activation:
    """Return a hidden activation by its name.

    Parameters
    ----------
    name : str
        A key of `ACTIVATIONS`; or ``"tanh-q8"``, ``"relu-q4"``: rounded to the nearest of ``2**8``
        or ``2**4`` evenly spaced levels of [-1, 1] or [0, 6] (1 to 16 bits), ReLU being clipped at
        6. These are the levels of `ibfast.binning.Levels`, in float32 and float64. The backward
        pass is that of the function before rounding ("straight through").

    Returns
    -------
    Activation

    Raises
    ------
    ValueError
        If there is none of that name.

    References
    ----------
    Bengio, Léonard & Courville (2013), "Estimating or propagating gradients through stochastic
    neurons for conditional computation", arXiv:1308.3432. Lorenzen, Igel & Nielsen (2022),
    "Information bottleneck: exact analysis of (quantized) neural networks".

    Examples
    --------
    >>> z, a = torch.tensor([-9.0, 0.1, 2.2]), torch.empty(3)
    >>> make_activation("relu-q2").forward(z, a)
    >>> a
    tensor([0., 0., 2.])
    """
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]
    quantised = re.fullmatch(r"(tanh|relu)-q([1-9]|1[0-6])", name)
    if quantised is None:
        raise ValueError(
            f"activation must be one of {', '.join(ACTIVATIONS)}, or tanh-q1 to tanh-q16, "
            f"relu-q1 to relu-q16; got {name!r}"
        )
    base, bits = quantised.groups()
    exact, (low, high), steps = _UNQUANTISED[base], QUANTISED_RANGES[base], 2 ** int(bits) - 1

    def forward(z: Tensor, a: Tensor) -> None:
        exact.forward(z, a)
        torch.sub(z, low, out=a).mul_(steps / (high - low)).round_()
        # All whole numbers up to the one division: a level is the float nearest to its value.
        a.mul_(high - low).add_(low * steps).div_(steps)

    return Activation(forward, exact.backward, in_place=False)
