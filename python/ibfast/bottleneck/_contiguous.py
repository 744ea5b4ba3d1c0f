"""Partitions of the inputs of a binary label into runs of p(y=1|x), by dynamic programming.

The cost of a cell, any sum of its terms of H(T) and H(Y|T) with weights from 0, is concave in
(p(t), p(t, y=1)). So some optimal partition has cells that hold consecutive values of p(y=1|x)
(Burshtein, Della Pietra, Kanevsky & Nadas 1992; Kurkoski & Yagi 2014), whether their number is
bounded or free. All is in nats here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibfast.bottleneck._source import Source

_CHUNK = 256  # partitions that are sought together: bounds the memory to some MB
_FEW = 16  # partitions that are not worth a chunk of their own
_ALIKE = 8.0  # the greatest beta of a chunk, in units of its least
_TINY = float(np.finfo(np.float64).tiny)
_EVERY, _HEAD = 4, 16  # how often candidates are dropped, and how many at the most

Floats = NDArray[np.float64]


class Classes:
    """The classes of a source with a binary label, in the order of p(y=1|x).

    Attributes
    ----------
    size : int
        How many classes, m.
    order : ndarray of int64, shape (m,)
        Positions in the source.

    Raises
    ------
    ValueError
        More than two labels occur.
    """

    def __init__(self, source: Source) -> None:
        labels = np.flatnonzero(source.p_y)
        if len(labels) > 2:
            raise ValueError(
                f"p_y_given_x: {len(labels)} labels occur; expected a binary label: "
                "deterministic_ib takes any number"
            )
        # One label alone is its own complement of probability 0.
        ones, zeros = source.p_y_given_x[:, labels[-1]], source.p_y_given_x[:, labels[0]]
        if len(labels) == 1:
            zeros = np.zeros_like(ones)
        # By both columns, for near 0 and 1 only one of them tells rows apart.
        self.order = np.lexsort((ones, -zeros))
        self.size = len(self.order)
        self._zeros, self._ones = np.zeros((2, self.size + 1))
        np.cumsum((source.p_x * zeros)[self.order], out=self._zeros[1:])
        np.cumsum((source.p_x * ones)[self.order], out=self._ones[1:])

    def costs(self, first: Any, last: Any) -> tuple[Floats, Floats]:
        """Terms of H(T) and H(Y|T) of the cells that hold the classes from `first` to `last` - 1.

        Both are an index of any kind; they are broadcast.
        """
        zeros = self._zeros[last] - self._zeros[first]
        ones = self._ones[last] - self._ones[first]
        whole = plogp(zeros + ones)
        return -whole, np.maximum(whole - plogp(zeros) - plogp(ones), 0.0)

    def merging_gain(self, first: Any, last: int) -> Floats:
        """The most that H(T) can fall when the cell [first, last) takes in what lies after it."""
        upto = self._zeros[last] + self._ones[last]
        cell = upto - self._zeros[first] - self._ones[first]
        rest = self._zeros[-1] + self._ones[-1] - upto
        return plogp(cell + rest) - plogp(cell) - plogp(rest)

    def values(self, starts: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """H(T) and H(Y|T) of partitions (b, m), True where a class is the first of its cell."""
        rate, lost = np.empty(len(starts)), np.empty(len(starts))
        for i, row in enumerate(starts):
            first = np.flatnonzero(row)
            terms = self.costs(first, np.append(first[1:], self.size))
            rate[i] = terms[0].sum() if len(first) > 1 else 0.0
            lost[i] = terms[1].sum()
        return rate, lost

    def cells(self, starts: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The cell of each class of the source (m,) in one partition (m,)."""
        cells = np.empty(self.size, dtype=np.int64)
        cells[self.order] = np.cumsum(starts) - 1
        return cells


def of_inputs(source: Source, cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """The cell of each input (n,) from that of each class (m,); -1 where p(x) = 0."""
    return np.where(source.class_of < 0, -1, cells[source.class_of])


def plogp(p: Any) -> Floats:
    """Return p ln p, 0 at 0 and below it, where rounding of sums may lead."""
    p = np.maximum(p, _TINY)
    terms: Floats = p * np.log(p)
    return terms


def minimise(classes: Classes, betas: Floats) -> NDArray[np.bool_]:
    """Partitions (b, m) that minimise H(T) + beta H(Y|T) for each beta (b,), exactly.

    The best cost of the first j classes is the least, over the first class i of their last cell, of
    the best of the first i and the cost of the cell [i, j).
    """
    starts = np.empty((len(betas), classes.size), dtype=bool)
    order = np.argsort(betas)
    begin = 0
    while begin < len(order):
        # The candidates of one chunk are those of its least beta, so that they should be alike.
        alike = np.searchsorted(betas[order], _ALIKE * betas[order[begin]])
        chunk = order[begin : min(max(int(alike), begin + _FEW), begin + _CHUNK)]
        starts[chunk] = _minimise(classes, betas[chunk])
        begin += len(chunk)
    return starts


def _minimise(classes: Classes, betas: Floats) -> NDArray[np.bool_]:
    m, rows = classes.size, np.arange(len(betas))
    best = np.zeros((len(betas), m + 1))
    last = np.zeros((len(betas), m + 1), dtype=np.int32)
    low = 0
    for j in range(1, m + 1):
        rate, lost = classes.costs(slice(low, j), j)
        total = betas[:, None] * lost
        total += rate
        total += best[:, low:j]
        at = total.argmin(axis=1)
        last[:, j] = low + at
        best[:, j] = total[rows, at]
        if j % _EVERY:
            continue
        # A cell [i, k) costs at least what [i, j) and [j, k) do, less what merging them spares in
        # H(T). Where that cannot make up for what [i, j) costs too much, i is of no use any more.
        head = slice(low, min(low + _HEAD, j))
        spared = classes.merging_gain(head, j)
        useful = (total[:, : len(spared)] - spared < best[:, j, None]).any(axis=0)
        low += int(np.append(useful, True).argmax())
    starts = np.zeros((len(betas), m), dtype=bool)
    begin = np.full(len(betas), m)
    while begin.any():
        begin = last[rows, begin]
        starts[rows, begin] = True
    return starts


def minimise_each(
    classes: Classes, n_cells: int, beta: float | None = None
) -> tuple[NDArray[np.bool_], Floats]:
    """Partitions (n_cells, m) into 1, 2, ... cells that minimise H(Y|T), and their costs.

    With a `beta` they minimise H(T) + beta H(Y|T).

    Without the term H(T) the first class of the last cell rises with the number of classes and of
    cells (Iwata & Ozawa 2014), which spares most of the work.
    """
    m = classes.size
    last = np.zeros((n_cells, m + 1), dtype=np.min_scalar_type(m))
    costs = np.empty(n_cells)
    before = np.full(m + 1, np.inf)
    before[0] = 0.0
    done = 0
    while done < n_cells:
        size = min(done + 1, _CHUNK, n_cells - done)
        rows = np.arange(size)
        best = np.full((size + 1, m + 1), np.inf)
        best[0] = before
        low = done
        for j in range(done + 1, m + 1):
            rate, lost = classes.costs(slice(low, j), j)
            total = best[:-1, low:j] + (lost if beta is None else rate + beta * lost)
            at = total.argmin(axis=1)
            last[done : done + size, j] = low + at
            best[1:, j] = total[rows, at]
            if beta is None:
                low += int(at[: j - done].min())  # of those that j classes are enough for
        costs[done : done + size] = best[1:, m]
        before = best[-1]
        done += size
    starts = np.zeros((n_cells, m), dtype=bool)
    begin = np.full(n_cells, m)
    for step in range(n_cells):
        begin[step:] = last[np.arange(n_cells - step), begin[step:]]
        starts[np.arange(step, n_cells), begin[step:]] = True
    return starts, costs
