"""Randomness of training, drawn by each seed from a stream of its own: dropout, Langevin noise."""

from __future__ import annotations

from ibfast.models import MLP, seed_generator

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise ImportError('ibfast.train needs torch: pip install "ibfast[torch]"') from error

__all__ = ["DropoutMasks", "WeightNoise"]


class DropoutMasks:
    """Inverted dropout: what hidden activations are multiplied by, drawn by each seed."""

    def __init__(self, model: MLP, dropout: float) -> None:
        self.generators = [seed_generator(model.seed, m, 4) for m in model.members]
        self._keep, self._dtype = 1 - dropout, model.theta.dtype
        self._units = list(model.widths[1:-1])
        self._memory: dict[int, Tensor] = {}

    def draw(self, n: int) -> list[Tensor]:
        """Return masks of n samples per hidden layer, (seeds, units, n), in reused memory."""
        if n not in self._memory:
            shape = len(self.generators), sum(self._units), n
            self._memory[n] = torch.empty(shape, dtype=self._dtype)
        masks = self._memory[n]
        for mask, generator in zip(masks, self.generators, strict=True):
            mask.bernoulli_(self._keep, generator=generator)
        return list(torch.split(masks.div_(self._keep), self._units, dim=1))


class WeightNoise:
    """Normal noise on every parameter, drawn by each seed."""

    def __init__(self, model: MLP, sd: float) -> None:
        self._generators = [seed_generator(model.seed, m, 5) for m in model.members]
        self._sd, self._parameters = sd, list(model.parameters().values())
        self._sizes = [p[0].numel() for p in self._parameters]
        size = len(self._generators), sum(self._sizes)
        self._noise = torch.empty(size, dtype=model.theta.dtype)

    def add(self) -> None:
        """Draw and add it."""
        for row, generator in zip(self._noise, self._generators, strict=True):
            row.normal_(generator=generator)
        parts = torch.split(self._noise, self._sizes, dim=1)
        for parameter, part in zip(self._parameters, parts, strict=True):
            parameter.add_(part.view(parameter.shape), alpha=self._sd)
