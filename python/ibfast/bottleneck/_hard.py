"""What a hard encoder of a binary label can reach: exact optima and their concave hull."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibfast._arrays import as_finite, check_count, check_units
from ibfast.bottleneck._contiguous import Classes, minimise, minimise_each, of_inputs
from ibfast.bottleneck._source import Source, make_source

__all__ = ["HardEncoders", "HardFrontier", "hard_frontier", "optimal_hard_encoders"]

_SAME = 1e-14  # relevances in nats that are nearer differ by rounding
_LINE = 1e-15  # heights above a chord that are less are none


@dataclass(frozen=True, eq=False, kw_only=True)
class _Encoders:
    """Hard encoders, one after the other, and what they reach."""

    rate: NDArray[np.float64]
    relevance: NDArray[np.float64]
    units: str
    _starts: NDArray[np.bool_] = field(repr=False)
    _classes: Classes = field(repr=False)
    _source: Source = field(repr=False)

    @property
    def source(self) -> Source:
        """What they encode."""
        return self._source

    def encoder(self, i: int) -> NDArray[np.int64]:
        """Cell of each input `(n,)` in the encoder of `rate[i]`; -1 where p(x) = 0.

        Cells are numbered from 0 in the order of p(y=1|x).

        Raises
        ------
        TypeError, ValueError
            `i` is no index of `rate`.
        """
        i = check_count("i", i, -len(self._starts), len(self._starts) - 1)
        return of_inputs(self._source, self._classes.cells(self._starts[i]))


@dataclass(frozen=True, eq=False, kw_only=True)
class HardEncoders(_Encoders):
    """The most that 1, 2, ... cells can tell of a binary label.

    Attributes
    ----------
    rate : ndarray of float64, shape (n_cells,)
        H(T) = I(X;T), in `units`.
    relevance : ndarray of float64, shape (n_cells,)
        I(T;Y), in `units`: the greatest of any hard encoder with i + 1 cells or fewer.
    units : {"bits", "nats"}

    Examples
    --------
    >>> from ibfast.bottleneck import optimal_hard_encoders
    >>> found = optimal_hard_encoders([0.9, 0.1, 0.8, 0.2], n_cells=2)
    >>> found.rate
    array([0., 1.])
    >>> found.encoder(1)
    array([1, 0, 1, 0])
    """


@dataclass(frozen=True, eq=False, kw_only=True)
class HardFrontier(_Encoders):
    """The concave hull of what the hard encoders of a binary label reach in (H(T), I(T;Y)).

    Its vertices minimise H(T) - beta I(T;Y). A hard encoder below the hull may still be the best of
    its own rate: the points between vertices are reached by switching between two encoders.

    Attributes
    ----------
    rate, relevance : ndarray of float64, shape (vertices,)
        H(T) and I(T;Y), in `units`, both increasing from (0, 0) to the coarsest sufficient encoder.
    beta : ndarray of float64, shape (vertices,)
        Where each vertex takes over: vertex i is optimal for beta from beta[i] to beta[i + 1], the
        last one for all greater. beta[0] is 0; the others are from 1, and increase.
    n_cells : ndarray of int64, shape (vertices,)
    units : {"bits", "nats"}

    Examples
    --------
    >>> from ibfast.bottleneck import hard_frontier
    >>> found = hard_frontier([0.9, 0.1, 0.8, 0.2])
    >>> found.n_cells
    array([1, 2, 4])
    >>> found.beta.round(2)
    array([ 0.  ,  2.56, 69.55])
    """

    beta: NDArray[np.float64]
    n_cells: NDArray[np.int64]

    def relevance_at(self, rate: Any) -> NDArray[np.float64]:
        """Relevance of the hull at rates of any shape, in `units`: linear between its vertices.

        Beyond the last vertex it is that of the last vertex.

        Raises
        ------
        TypeError, ValueError
            A rate is no number, negative or not finite.
        """
        at = as_finite("rate", rate, least=0.0)
        return np.asarray(np.interp(at, self.rate, self.relevance))


def optimal_hard_encoders(
    p_y_given_x: Any, p_x: Any = None, *, n_cells: int, units: str = "bits"
) -> HardEncoders:
    """Find the hard encoders of a binary label with the greatest I(T;Y), by dynamic programming.

    Parameters
    ----------
    p_y_given_x, p_x
        As in `make_source`, at most two labels of positive probability.
    n_cells : int
        The most cells, from 1 to the number of different p(y|x). The optimum of every smaller
        number comes with it.
    units : {"bits", "nats"}
        Of the result.

    Returns
    -------
    HardEncoders

    Raises
    ------
    TypeError, ValueError
        As `make_source`; `n_cells` is no integer or more than there are classes; there are more
        than two labels.

    Notes
    -----
    Inputs of one class are in one cell. Of encoders with the same relevance one is returned, so
    its rate need not be the least. The time grows with m^2 log(n_cells) for m classes: a second or
    two for 4096 and any `n_cells`.

    References
    ----------
    Kurkoski & Yagi (2014), IEEE Trans. Inf. Theory 60:4544, section III; Iwata & Ozawa (2014),
    ISIT, for the order of the optima.

    Examples
    --------
    >>> from ibfast.bottleneck import optimal_hard_encoders
    >>> optimal_hard_encoders([0.0, 0.3, 0.7, 1.0], n_cells=4).relevance.round(4)
    array([0.    , 0.3902, 0.5   , 0.5594])
    """
    scale = check_units(units) / math.log(2.0)
    source = make_source(p_y_given_x, p_x)
    classes = Classes(source)
    try:
        n_cells = check_count("n_cells", n_cells, 1, classes.size)
    except ValueError as error:
        raise ValueError(f"{error}, the number of different p(y|x)") from None
    starts, _ = minimise_each(classes, n_cells)
    rate, lost = classes.values(starts)
    return HardEncoders(
        rate=rate * scale,
        relevance=(lost[0] - lost) * scale,
        units=units,
        _starts=starts,
        _classes=classes,
        _source=source,
    )


def hard_frontier(p_y_given_x: Any, p_x: Any = None, *, units: str = "bits") -> HardFrontier:
    """Trace what hard encoders of a binary label reach: the minimisers of H(T) - beta I(T;Y).

    Parameters
    ----------
    p_y_given_x, p_x
        As in `make_source`, at most two labels of positive probability.
    units : {"bits", "nats"}
        Of the result.

    Returns
    -------
    HardFrontier
        The vertices for all beta, of encoders with any number of cells.

    Raises
    ------
    TypeError, ValueError
        As `make_source`; there are more than two labels.

    Notes
    -----
    Consecutive cells are optimal for the Lagrangian, of which every cell's term is concave in
    (p(t), p(t, y=1)), but not under a bound on H(T): this is a hull. It is traced by dynamic
    programmes at the slope between two known vertices, which find either a vertex between them or
    that there is none.

    For 4096 inputs that are all unlike, with some 4000 vertices, this takes 10 to 20 s; for the 50
    classes of a symmetric rule, some 20 ms.

    A relevance is known to 1e-14 nats: vertices that stand out by less are left out, and the last
    vertex is the first that lacks no more.

    References
    ----------
    Strouse & Schwab (2017), Neural Comput. 29:1611, for the Lagrangian; Kurkoski & Yagi (2014),
    IEEE Trans. Inf. Theory 60:4544, for the order of the cells.

    Examples
    --------
    >>> from ibfast.bottleneck import hard_frontier
    >>> found = hard_frontier([0.0, 0.3, 0.7, 1.0])
    >>> found.rate.round(4), found.relevance.round(4)
    (array([0. , 1. , 1.5, 2. ]), array([0.    , 0.3902, 0.5   , 0.5594]))
    >>> float(found.relevance_at(0.5).round(4))
    0.1951
    """
    scale = check_units(units) / math.log(2.0)
    source = make_source(p_y_given_x, p_x)
    classes = Classes(source)
    starts = np.zeros((2, classes.size), dtype=bool)
    starts[:, 0] = starts[1] = True  # one cell, and a cell for each class
    rate, lost = classes.values(starts)
    edges = np.array([[0, 1]])
    while True:
        edges = edges[lost[edges[:, 0]] - lost[edges[:, 1]] > _SAME]
        if not len(edges):
            break
        left, right = edges.T
        beta = (rate[right] - rate[left]) / (lost[left] - lost[right])
        new = minimise(classes, beta)
        new_rate, new_lost = classes.values(new)
        # Between the two but for rounding, and strictly, so that the search ends.
        vertex = (lost[left] > new_lost) & (new_lost > lost[right])
        vertex &= lost[left] - new_lost - (new_rate - rate[left]) / beta > _SAME
        ids = len(rate) + np.arange(np.count_nonzero(vertex))
        edges = np.concatenate(
            [np.stack([left[vertex], ids], axis=1), np.stack([ids, right[vertex]], axis=1)]
        )
        starts = np.concatenate([starts, new[vertex]])
        rate = np.append(rate, new_rate[vertex])
        lost = np.append(lost, new_lost[vertex])

    at = _hull(rate, lost[0] - lost)
    starts, rate, relevance = starts[at], rate[at], lost[0] - lost[at]
    return HardFrontier(
        rate=rate * scale,
        relevance=relevance * scale,
        beta=np.append(0.0, np.diff(rate) / np.diff(relevance)),
        n_cells=np.count_nonzero(starts, axis=1),
        units=units,
        _starts=starts,
        _classes=classes,
        _source=source,
    )


def _hull(rate: NDArray[np.float64], relevance: NDArray[np.float64]) -> list[int]:
    """Positions of the vertices, without those on a line and those that add a rate alone."""
    end = rate[relevance >= relevance.max() - _SAME].min()
    kept: list[int] = []
    for i in np.lexsort((-relevance, rate)).tolist():
        if rate[i] > end:
            break
        if kept and relevance[i] <= relevance[kept[-1]]:
            continue
        while len(kept) > 1:
            a, b = kept[-2:]
            slope = (relevance[i] - relevance[a]) / (rate[i] - rate[a])
            if relevance[b] - relevance[a] - slope * (rate[b] - rate[a]) > _LINE:
                break
            kept.pop()  # found where several encoders were equally good
        kept.append(i)
    return kept
