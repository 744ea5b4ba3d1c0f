"""Many seeds of one small network as one batched network, unit-major and in reused memory.

Autograd would allocate every activation and gradient afresh, and blocks of megabytes go back to the
system at each step. The backward pass of a multilayer perceptron is a few lines, so it is written
out here and nothing is allocated after the first step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ibfast.activations import make_activation

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise ImportError('ibfast.models needs torch: pip install "ibfast[torch]"') from error

__all__ = ["INITS", "MLP", "seed_generator"]

INITS = ("fan_in", "fan_out", "torch")
"""Distributions of the initial weights, as `MLP` explains them."""


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
        3 labels, 4 dropout, 5 noise on the weights.

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


class MLP:
    """Several seeds of a multilayer perceptron with a softmax output, as one batched network.

    Parameters
    ----------
    widths : sequence of int
        Units of each layer, from the inputs to the classes: ``(12, 10, 7, 5, 4, 3, 2)``.
    activation : str
        Of the hidden layers, as `ibfast.activations.make_activation` takes it.
    init : {"fan_in", "fan_out", "torch"}
        How weights start. ``"fan_in"``: normal numbers of standard deviation ``1 / sqrt(fan_in)``
        truncated at two of them, as in Shwartz-Ziv & Tishby's published code; ``"fan_out"``: with
        ``1 / sqrt(fan_out)``, as in Saxe et al. (2018); biases at 0. ``"torch"``: weights and
        biases uniform between ``-+1 / sqrt(fan_in)``, the default of `torch.nn.Linear`.
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
    grad_weights, grad_biases : list of Tensor
        The same views of ``theta.grad``.

    Raises
    ------
    ValueError
        If there are fewer than two widths, one is not positive, the activation or `init` is
        unknown, or a seed is missing, repeated or negative.

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
        init: str = "fan_in",
        seeds: int | Sequence[int] = 1,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.widths = tuple(widths)
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError(f"widths must be two or more positive numbers; got {self.widths}")
        self._activation = make_activation(activation)
        if init not in INITS:
            raise ValueError(f"init must be one of {', '.join(INITS)}; got {init!r}")
        self.members = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
        if not self.members or len(set(self.members)) < len(self.members):
            raise ValueError(f"seeds must be one or more different numbers; got {seeds}")
        self.activation, self.seed = activation, seed

        self._shapes = [(o, i) for i, o in zip(self.widths, self.widths[1:], strict=False)]
        size = len(self.members) * sum(o * i + o for o, i in self._shapes)
        self.theta = torch.zeros(size, dtype=dtype)
        self.theta.grad = torch.zeros(size, dtype=dtype)
        self.weights, self.biases = self.split(self.theta)
        self.grad_weights, self.grad_biases = self.split(self.theta.grad)
        self._memory: dict[int, _Memory] = {}
        for place, member in enumerate(self.members):
            generator = seed_generator(seed, member, 0)
            for weight, bias in zip(self.weights, self.biases, strict=True):
                _initialise(weight[place], bias[place], init, generator)

    def split(self, flat: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return views of a tensor shaped as `theta`, as `weights` and `biases` are of that."""
        seeds = len(self.members)
        parts = torch.split(flat, [seeds * size for o, i in self._shapes for size in (o * i, o)])
        weights = [p.view(seeds, *s) for p, s in zip(parts[::2], self._shapes, strict=True)]
        biases = [p.view(seeds, o, 1) for p, (o, _) in zip(parts[1::2], self._shapes, strict=True)]
        return weights, biases

    def parameters(self) -> dict[str, Tensor]:
        """Return views of the parameters by name: ``weight_1``, ``bias_1``, ``weight_2``, ..."""
        named = zip(self.weights, self.biases, strict=True)
        return {
            f"{kind}_{layer}": p
            for layer, pair in enumerate(named, 1)
            for kind, p in zip(("weight", "bias"), pair, strict=True)
        }

    def forward(self, inputs: Tensor, masks: Sequence[Tensor] = ()) -> list[Tensor]:
        """Compute the activations of every layer, the last being the softmax probabilities.

        Parameters
        ----------
        inputs : Tensor, shape (d, n) or (seeds, d, n)
            One column per sample, shared or each seed's own.
        masks : sequence of Tensor, shapes (seeds, units, n)
            What each hidden layer's activations are multiplied by on their way up, as in dropout.

        Returns
        -------
        list of Tensor, shapes (seeds, units, n)
            In reused memory: the next call with as many samples overwrites them.
            ``layer.transpose(1, 2)`` is what the estimators take.
        """
        memory = self._memory_for(inputs.shape[-1])
        passed = memory.passed(masked=bool(masks))
        below = inputs.expand(len(self.members), *inputs.shape[-2:])
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            z, a = memory.z[layer], memory.a[layer]
            torch.baddbmm(bias, weight, below, out=z)
            if layer == len(self.weights) - 1:
                torch.softmax(z, 1, out=a)
                break
            self._activation.forward(z, a)
            below = torch.mul(a, masks[layer], out=passed[layer]) if masks else a
        return memory.a

    def log_probabilities(self, n: int) -> Tensor:
        """Return the log of the class probabilities of the last `forward` on `n` samples, in nats.

        Taken from the logits, hence finite where a probability is too small for its dtype.
        Shape ``(seeds, classes, n)``.
        """
        return torch.log_softmax(self._memory_for(n).z[-1], 1)

    def gradient(self, inputs: Tensor, targets: Tensor, masks: Sequence[Tensor] = ()) -> None:
        """Write each seed's gradient of its mean cross-entropy (nats) to ``theta.grad``.

        Parameters
        ----------
        inputs : Tensor, shape (d, n) or (seeds, d, n)
            One column per sample.
        targets : Tensor, shape (classes, n) or (seeds, classes, n)
            p(y|x) of each sample; hard labels are columns of one 1.
        masks : sequence of Tensor
            As in `forward`.
        """
        n = inputs.shape[-1]
        memory = self._memory_for(n)
        probabilities = self.forward(inputs, masks)[-1]
        below = [
            inputs.expand(len(self.members), *inputs.shape[-2:]),
            *memory.passed(masked=bool(masks)),
        ]

        delta = torch.sub(probabilities, targets, out=memory.delta[-1]).mul_(1 / n)
        for layer in reversed(range(len(self.weights))):
            torch.bmm(delta, below[layer].mT, out=self.grad_weights[layer])
            torch.sum(delta, 2, keepdim=True, out=self.grad_biases[layer])
            if layer:
                above, delta = delta, memory.delta[layer - 1]
                torch.bmm(self.weights[layer].mT, above, out=delta)
                if masks:
                    delta.mul_(masks[layer - 1])
                self._activation.backward(delta, memory.z[layer - 1], memory.a[layer - 1])

    def _memory_for(self, n: int) -> _Memory:
        if n not in self._memory:
            self._memory[n] = _Memory(
                (len(self.members), self.widths[1:], n),
                in_place=self._activation.in_place,
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
        self._masked: list[Tensor] = []

    def passed(self, *, masked: bool) -> list[Tensor]:
        """What the hidden layers pass on: their activations, or, with masks, what is left of them.

        Those have memory of their own, for the derivative is of the whole activations.
        """
        if not masked:
            return self.a[:-1]
        if not self._masked:
            self._masked = [torch.empty_like(a) for a in self.a[:-1]]
        return self._masked


def _initialise(weight: Tensor, bias: Tensor, init: str, generator: torch.Generator) -> None:
    """Draw the weights (out, in) and biases (out, 1) of one layer of one seed."""
    fan_out, fan_in = weight.shape
    if init == "torch":
        for parameter in (weight, bias):
            parameter.uniform_(-(fan_in**-0.5), fan_in**-0.5, generator=generator)
    else:
        sd = (fan_in if init == "fan_in" else fan_out) ** -0.5
        torch.nn.init.trunc_normal_(weight, std=sd, a=-2 * sd, b=2 * sd, generator=generator)
