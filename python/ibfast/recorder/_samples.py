"""A sample of the rows of a pass that does not depend on how they came in batches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Reservoir", "priorities"]


def priorities(first: int, rows: int, seed: int) -> NDArray[np.uint64]:
    """Random numbers of rows first, first + 1, ...: splitmix64 (Steele, Lea & Flood 2014)."""
    with np.errstate(over="ignore"):
        start = np.uint64((seed << 32) % 2**64)
        z = np.arange(first + 1, first + rows + 1, dtype=np.uint64) + start
        z *= np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed


class Reservoir:
    """The `size` rows of least priority, with what belongs to them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.columns: dict[str, NDArray[Any]] = {}

    def choose(self, priority: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Which of these rows may still be kept."""
        if len(priority) > self._size:
            best: NDArray[np.intp] = np.argpartition(priority, self._size)[: self._size]
        else:
            best = np.arange(len(priority))
        mine = self.columns.get("priority")
        if mine is not None and len(mine) == self._size:
            best = best[priority[best] < mine[-1]]
        return best

    def add(self, columns: dict[str, NDArray[Any]]) -> None:
        """Add rows: columns of equal length, among them ``priority``."""
        if self.columns:
            columns = {
                name: np.concatenate([self.columns[name], column])
                for name, column in columns.items()
            }
        order = np.argsort(columns["priority"], kind="stable")[: self._size]
        self.columns = {name: column[order] for name, column in columns.items()}


def as_numpy(values: Tensor) -> NDArray[Any]:
    """A copy in main memory, in float64 where it is float64, else in float32."""
    wide = values.detach().to("cpu")
    array: NDArray[Any] = (
        wide.double().numpy() if wide.dtype.itemsize == 8 else wide.float().numpy()
    )
    return array.copy() if array.base is not None else array
