"""Many seeds of one small network as one batched network, unit-major and in reused memory.

Autograd would allocate every activation and gradient afresh, and blocks of megabytes go back to the
system at each step. The backward pass of a multilayer perceptron is a few lines, so it is written
out here and nothing is allocated after the first step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise ImportError('ibfast.models needs torch: pip install "ibfast[torch]"') from error

__all__ = ["ACTIVATIONS", "MLP", "Activation", "sampled_labels", "seed_generator"]


class Activation(NamedTuple):
    """An elementwise function and its derivative, both into given memory."""

    forward: Callable[[Tensor, Tensor], object]
    """``forward(z, a)`` writes the activation of `z` to `a`."""
    backward: Callable[[Tensor, Tensor, Tensor], object]
    """``backward(delta, z, a)`` multiplies `delta` by the derivative, in place."""
    in_place: bool = True
    """Whether `z` may be `a`: a tenth of the training time."""


_aten = torch.ops.aten


def _tanh(z: Tensor, a: Tensor) -> None:
    # 1 - 2 sigmoid(-2 z): a fifth of the time of torch.tanh, within 2e-7 of it, and equal to 1
    # where it is, which matters because 1 has a bin of its own.
    torch.mul(z, -2, out=a).sigmoid_()
    torch.add(a.new_ones(()), a, alpha=-2, out=a)


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


def seed_generator(seed: int, member: int, stream: int) -> torch.Generator:
    """Return the random numbers of one member of a batch of seeds, for one purpose.

    Parameters
    ----------
    seed : int
        Base seed of the experiment, not negative.
    member : int
        Number of the network, not its place in the batch: alone or among others it draws the same.
    stream : int
        What the numbers are for: 0 initial weights, 1 training split, 2 order of the data,
        3 labels.

    Returns
    -------
    torch.Generator
        Independent of that of any other seed, member or stream.

    Raises
    ------
    ValueError
        If a number is negative.
    """
    if min(seed, member, stream) < 0:
        raise ValueError(f"seeds must not be negative; got {(seed, member, stream)}")
    state = np.random.SeedSequence((seed, member, stream)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def sampled_labels(model: MLP, p: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw binary labels with p(y=1|x), each network its own.

    Parameters
    ----------
    model : MLP
        Whose seeds draw.
    p : ndarray, shape (n,)
        p(y=1|x).

    Returns
    -------
    ndarray of int64, shape (seeds, n)
    """
    draws = [
        torch.rand(len(p), generator=seed_generator(model.seed, m, 3), dtype=torch.float64)
        for m in model.members
    ]
    return (torch.stack(draws).numpy() < p).astype(np.int64)


class MLP:
    """Several seeds of a multilayer perceptron with a softmax output, as one batched network.

    Weights start as normal numbers of standard deviation ``1 / sqrt(fan_in)`` truncated at two of
    them, biases at 0, as in Shwartz-Ziv & Tishby's published code.

    Parameters
    ----------
    widths : sequence of int
        Units of each layer, from the inputs to the classes: ``(12, 10, 7, 5, 4, 3, 2)``.
    activation : str
        Of the hidden layers, a key of `ACTIVATIONS`.
    seeds : int or sequence of int
        How many networks (0, 1, ...), or their numbers. Network 7 is the same in any batch.
    seed : int
        Base seed of all of them.
    dtype : torch.dtype
        Of the weights and activations.

    Attributes
    ----------
    theta : Tensor, shape (parameters,)
        All weights and biases of all seeds; `weights` and `biases` are views of it.
        ``theta.grad`` holds what `gradient` wrote, so that torch's optimisers take ``[theta]``.
    weights, biases : list of Tensor
        Per layer, of shapes ``(seeds, out, in)`` and ``(seeds, out, 1)``.

    Raises
    ------
    ValueError
        If there are fewer than two widths, one is not positive, the activation is unknown, or a
        seed is missing, repeated or negative.

    Examples
    --------
    >>> model = MLP((12, 10, 7, 2), seeds=3)
    >>> [tuple(a.shape) for a in model.forward(torch.rand(12, 100))]
    [(3, 10, 100), (3, 7, 100), (3, 2, 100)]
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        activation: str = "tanh",
        seeds: int | Sequence[int] = 1,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.widths = tuple(widths)
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError(f"widths must be two or more positive numbers; got {self.widths}")
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {', '.join(ACTIVATIONS)}; got {activation!r}"
            )
        self.members = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
        if not self.members or len(set(self.members)) < len(self.members):
            raise ValueError(f"seeds must be one or more different numbers; got {seeds}")
        self.activation, self.seed = activation, seed

        shapes = [(o, i) for i, o in zip(self.widths, self.widths[1:], strict=False)]
        size = len(self.members) * sum(o * i + o for o, i in shapes)
        self.theta = torch.zeros(size, dtype=dtype)
        self.theta.grad = torch.zeros(size, dtype=dtype)
        self.weights, self.biases = self._views(self.theta, shapes)
        self._grad_weights, self._grad_biases = self._views(self.theta.grad, shapes)
        self._memory: dict[int, _Memory] = {}
        for place, member in enumerate(self.members):
            generator = seed_generator(seed, member, 0)
            for weight in self.weights:
                sd = weight.shape[2] ** -0.5
                torch.nn.init.trunc_normal_(
                    weight[place], std=sd, a=-2 * sd, b=2 * sd, generator=generator
                )

    def parameters(self) -> dict[str, Tensor]:
        """Return views of the parameters by name: ``weight_1``, ``bias_1``, ``weight_2``, ..."""
        named = zip(self.weights, self.biases, strict=True)
        return {
            f"{kind}_{layer}": p
            for layer, pair in enumerate(named, 1)
            for kind, p in zip(("weight", "bias"), pair, strict=True)
        }

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Compute the activations of every layer, the last being the softmax probabilities.

        Parameters
        ----------
        inputs : Tensor, shape (d, n) or (seeds, d, n)
            One column per sample, shared or each seed's own.

        Returns
        -------
        list of Tensor, shapes (seeds, units, n)
            In reused memory: the next call with as many samples overwrites them.
            ``layer.transpose(1, 2)`` is what the estimators take.
        """
        memory = self._memory_for(inputs.shape[-1])
        forward = ACTIVATIONS[self.activation].forward
        below = inputs.expand(len(self.members), *inputs.shape[-2:])
        for weight, bias, z, a in zip(self.weights, self.biases, memory.z, memory.a, strict=True):
            torch.baddbmm(bias, weight, below, out=z)
            if a is memory.a[-1]:
                torch.softmax(z, 1, out=a)
            else:
                forward(z, a)
            below = a
        return memory.a

    def log_probabilities(self, n: int) -> Tensor:
        """Return the log of the class probabilities of the last `forward` on `n` samples, in nats.

        Taken from the logits, hence finite where a probability is too small for its dtype.
        Shape ``(seeds, classes, n)``.
        """
        return torch.log_softmax(self._memory_for(n).z[-1], 1)

    def gradient(self, inputs: Tensor, targets: Tensor) -> None:
        """Write each seed's gradient of its mean cross-entropy (nats) to ``theta.grad``.

        Parameters
        ----------
        inputs : Tensor, shape (d, n) or (seeds, d, n)
            One column per sample.
        targets : Tensor, shape (classes, n) or (seeds, classes, n)
            p(y|x) of each sample; hard labels are columns of one 1.
        """
        n = inputs.shape[-1]
        memory = self._memory_for(n)
        inputs = inputs.expand(len(self.members), *inputs.shape[-2:])
        below = [inputs, *self.forward(inputs)]
        backward = ACTIVATIONS[self.activation].backward

        delta = torch.sub(below.pop(), targets, out=memory.delta[-1]).mul_(1 / n)
        for layer in reversed(range(len(self.weights))):
            torch.bmm(delta, below[layer].mT, out=self._grad_weights[layer])
            torch.sum(delta, 2, keepdim=True, out=self._grad_biases[layer])
            if layer:
                above, delta = delta, memory.delta[layer - 1]
                torch.bmm(self.weights[layer].mT, above, out=delta)
                backward(delta, memory.z[layer - 1], memory.a[layer - 1])

    def _views(
        self, flat: Tensor, shapes: list[tuple[int, int]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Cut a flat tensor into weights and biases, without a copy."""
        seeds = len(self.members)
        parts = torch.split(flat, [seeds * size for o, i in shapes for size in (o * i, o)])
        weights = [p.view(seeds, *shape) for p, shape in zip(parts[::2], shapes, strict=True)]
        biases = [p.view(seeds, o, 1) for p, (o, _) in zip(parts[1::2], shapes, strict=True)]
        return weights, biases

    def _memory_for(self, n: int) -> _Memory:
        if n not in self._memory:
            self._memory[n] = _Memory(
                (len(self.members), self.widths[1:], n),
                in_place=ACTIVATIONS[self.activation].in_place,
                dtype=self.theta.dtype,
            )
        return self._memory[n]


class _Memory:
    """Where one batch is computed: per layer, tensors of shape (seeds, units, n)."""

    def __init__(
        self, shape: tuple[int, Sequence[int], int], *, in_place: bool, dtype: torch.dtype
    ) -> None:
        seeds, widths, n = shape
        self.a = [torch.empty(seeds, d, n, dtype=dtype) for d in widths]
        self.z = [a if in_place else torch.empty_like(a) for a in self.a]
        self.z[-1] = torch.empty_like(self.a[-1])  # the logits are always kept
        # Only two neighbouring layers' deltas are alive at once.
        scratch = torch.empty(2, seeds * max(widths) * n, dtype=dtype)
        self.delta = [
            scratch[layer % 2, : seeds * d * n].view(seeds, d, n) for layer, d in enumerate(widths)
        ]
