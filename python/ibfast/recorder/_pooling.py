"""From what a module returns to rows of units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

__all__ = ["POOLS", "Pool", "Rows", "check_pool", "pool_output"]

POOLS = ("flatten", "mean", "max", "spatial")
Pool: TypeAlias = str | Callable[[Any], Tensor]

_CHANNELS_FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
)


class Rows(NamedTuple):
    """Activations `(n * positions, d)`; the positions of a sample are neighbours."""

    values: Tensor
    positions: int
    pooled: str = ""  # "mean" or "max", where there were positions to pool over


def check_pool(pool: Any) -> Pool:
    """Return `pool` if it is a name in `POOLS` or callable; else raise TypeError or ValueError."""
    if isinstance(pool, str):
        if pool in POOLS:
            return pool
        raise ValueError(f"pool: {pool!r}; expected one of {', '.join(POOLS)}, or a function")
    if not callable(pool):
        raise TypeError(
            f"pool: {pool!r} of type {type(pool).__name__}; expected one of {', '.join(POOLS)}, "
            "or a function of the module's output"
        )
    return pool  # type: ignore[no-any-return]


def pool_output(output: Any, module: nn.Module, pool: Pool, channels: int | str) -> Rows:
    """Make rows of a module's output.

    Raises
    ------
    TypeError, ValueError
        There is no tensor in the output, or none of values, or no way to pool it.
    """
    if callable(pool):
        values = pool(output)
        if not isinstance(values, Tensor) or values.ndim != 2:
            got = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else repr(values)
            raise ValueError(f"pool: the function returned {got}; expected a tensor (n, d)")
        return Rows(_checked(values), 1)
    values = _checked(_first_tensor(output))
    if getattr(module, "batch_first", True) is False and values.ndim == 3:
        values = values.transpose(0, 1)
    if values.ndim < 2:
        values = values[:, None]
    if values.ndim == 2:
        return Rows(values, 1)
    if pool == "flatten":
        return Rows(values.flatten(1), 1)
    channel = channels
    if isinstance(channel, str):
        first = isinstance(module, _CHANNELS_FIRST) or values.ndim > 3
        channel = 1 if first else -1
    if not (-values.ndim < channel < values.ndim and channel != 0):
        raise ValueError(
            f"channels: {channel}; there is no such dimension in {tuple(values.shape)}"
        )
    values = values.movedim(channel, -1).flatten(1, -2)  # (n, positions, d)
    if pool == "spatial":
        return Rows(values.flatten(0, 1), values.shape[1])
    return Rows(values.amax(1) if pool == "max" else _mean(values), 1, pool)


def _mean(values: Tensor) -> Tensor:
    """Mean over dimension 1, summed in pairs: the same for a sample in any batch."""
    total = values if values.dtype in (torch.float32, torch.float64) else values.float()
    n = total.shape[1]
    while total.shape[1] > 1:
        half = total.shape[1] // 2
        pairs = total[:, :half] + total[:, half : 2 * half]
        total = torch.cat([pairs, total[:, 2 * half :]], dim=1)
    return total[:, 0] / n


def _first_tensor(output: Any) -> Tensor:
    if isinstance(output, Tensor):
        return output
    parts = output.values() if isinstance(output, Mapping) else output
    if isinstance(parts, (tuple, list)) or isinstance(output, Mapping):
        for part in parts:
            if isinstance(part, Tensor):
                return part
            if isinstance(part, (tuple, list, Mapping)):
                return _first_tensor(part)
    raise TypeError(
        f"no tensor in an output of type {type(output).__name__}; say pool=function of the output"
    )


def _checked(values: Tensor) -> Tensor:
    if values.device.type == "meta":
        raise ValueError("its output is on the meta device, where tensors have no values")
    if values.ndim == 0:
        raise ValueError("its output is a single number; expected one row a sample")
    if values.layout != torch.strided:
        raise TypeError(f"its output is {values.layout}; expected a dense tensor")
    if values.is_complex():
        raise TypeError(f"its output is {values.dtype}; expected real numbers")
    if values.numel() == 0:
        raise ValueError(f"its output has shape {tuple(values.shape)}, which is empty")
    return values.detach().resolve_neg()  # of which NumPy has none
