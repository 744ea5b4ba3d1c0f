"""The deterministic information bottleneck: hard encoders of any label at one beta."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibfast._arrays import as_finite, check_count, check_rng, check_units
from ibfast.bottleneck._contiguous import (
    Classes,
    minimise,
    minimise_each,
    of_inputs,
    plogp,
)
from ibfast.bottleneck._source import Source, make_source

__all__ = ["DeterministicIB", "deterministic_ib"]

_GAIN = 1e-12  # changes of the objective in nats that are less are rounding
_MERGED = 256  # cells that pairwise merging may start from: each step looks at all pairs

Floats = NDArray[np.float64]
Cells = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DeterministicIB:
    """A hard encoder that minimises H(T) - beta I(T;Y).

    Attributes
    ----------
    rate, relevance : float
        H(T) = I(X;T) and I(T;Y), in `units`.
    objective : float
        rate - beta * relevance, in `units`.
    beta : float
    encoder : ndarray of int64, shape (n,)
        Cell of each input, numbered from 0 as they first occur; -1 where p(x) = 0.
    exact : bool
        Whether no hard encoder is better; else it is the best that was found.
    units : {"bits", "nats"}

    Examples
    --------
    >>> from ibfast.bottleneck import deterministic_ib
    >>> deterministic_ib([0.0, 0.1, 1.0, 1.0], beta=4.0).encoder
    array([0, 0, 1, 1])
    """

    rate: float
    relevance: float
    objective: float
    beta: float
    encoder: Cells
    exact: bool
    units: str


def deterministic_ib(
    p_y_given_x: Any,
    p_x: Any = None,
    *,
    beta: float,
    n_cells: int | None = None,
    n_restarts: int = 10,
    rng: Any = None,
    units: str = "bits",
) -> DeterministicIB:
    """Minimise H(T) - beta I(T;Y) over hard encoders.

    Parameters
    ----------
    p_y_given_x, p_x
        As in `make_source`.
    beta : float
        Above 0.
    n_cells : int, optional
        The most cells; by default any number.
    n_restarts : int
        Random starts, from 0; without effect where the label is binary.
    rng : None, int or numpy.random.Generator
        As for `numpy.random.default_rng`.
    units : {"bits", "nats"}
        Of the result.

    Returns
    -------
    DeterministicIB
        For a binary label exact, by dynamic programming. Else a local minimum: the best of the
        trivial encoders (one cell, a cell for each p(y|x)), pairwise merging, and the iterations
        from random starts, each improved by moving single classes and merging cells.

    Raises
    ------
    TypeError, ValueError
        As `make_source`; an option is of the wrong type or out of range.

    References
    ----------
    Strouse & Schwab (2017), Neural Comput. 29:1611, equations 11 to 13 for the iterations; Slonim &
    Tishby (1999), NIPS 12, for the merging.

    Examples
    --------
    >>> import numpy as np
    >>> from ibfast.bottleneck import deterministic_ib
    >>> p_y_given_x = np.repeat(np.eye(3), 2, axis=0) * 0.7 + 0.1
    >>> found = deterministic_ib(p_y_given_x, beta=5.0, rng=0)
    >>> found.encoder, found.exact
    (array([0, 0, 1, 1, 2, 2]), False)
    """
    scale = check_units(units) / math.log(2.0)
    source = make_source(p_y_given_x, p_x)
    beta = float(as_finite("beta", beta, ndim=0))
    if beta <= 0:
        raise ValueError(f"beta: {beta}; expected a number above 0")
    most = check_count("n_cells", len(source.p_x) if n_cells is None else n_cells, 1, 2**31)
    n_restarts = check_count("n_restarts", n_restarts, 0, 2**31)
    generator = check_rng(rng)
    most = min(most, len(source.p_x))
    exact = np.count_nonzero(source.p_y) <= 2
    if exact:
        cells = _exact(source, beta, most)
    else:
        cells = _search(source, beta, most, n_restarts, generator)
    of_input = cells[source.class_of[source.class_of >= 0]]
    used, first = np.unique(of_input, return_index=True)
    cells = np.argsort(np.argsort(first))[np.searchsorted(used, cells)]
    rate, relevance = _values(source, cells)
    return DeterministicIB(
        rate=rate * scale,
        relevance=relevance * scale,
        objective=(rate - beta * relevance) * scale,
        beta=beta,
        encoder=of_inputs(source, cells),
        exact=bool(exact),
        units=units,
    )


def _exact(source: Source, beta: float, most: int) -> Cells:
    classes = Classes(source)
    starts = minimise(classes, np.array([beta]))[0]
    if np.count_nonzero(starts) > most:
        bounded, costs = minimise_each(classes, most, beta)
        starts = bounded[costs.argmin()]
    return classes.cells(starts)


def _values(source: Source, cells: Cells) -> tuple[float, float]:
    """H(T) and I(T;Y) in nats."""
    joint = _joint(source, cells, int(cells.max()) + 1)
    p_t = joint.sum(axis=1)
    shared = plogp(joint).sum() - plogp(p_t).sum() - plogp(source.p_y).sum()
    return max(0.0, float(-plogp(p_t).sum())), max(0.0, float(shared))


def _joint(source: Source, cells: Cells, size: int) -> Floats:
    joint = np.zeros((size, source.p_y_given_x.shape[1]))
    np.add.at(joint, cells, source.p_y_given_x * source.p_x[:, None])
    return joint


def _cost(joint: Floats, beta: float) -> Floats:
    """Terms of H(T) + beta H(Y|T) of cells p(t, y), along the last axis."""
    whole = plogp(joint.sum(axis=-1))
    return np.asarray((beta - 1) * whole - beta * plogp(joint).sum(axis=-1))


def _search(
    source: Source, beta: float, most: int, n_restarts: int, rng: np.random.Generator
) -> Cells:
    n = len(source.p_x)
    starts = [np.zeros(n, dtype=np.int64)]
    if most == n:
        starts.append(np.arange(n))
    single = np.arange(n)
    if n > _MERGED:
        single = _iterate(source, rng.integers(_MERGED, size=n), beta)
    starts.append(_merge(source, single, beta, most))
    for i in range(n_restarts):
        # Half of them with as many cells as may be: cells merge more easily than they split.
        size = min(most, _MERGED)
        size = size if i % 2 else int(rng.integers(1, size + 1))
        starts.append(_iterate(source, rng.integers(size, size=n), beta))
    few = [cells for cells in starts if cells.max() < _MERGED]
    found = starts + [_improve(source, cells, beta, most) for cells in few]
    costs = [float(_cost(_joint(source, cells, n), beta).sum()) for cells in found]
    return found[int(np.argmin(costs))]


def _iterate(source: Source, cells: Cells, beta: float) -> Cells:
    """Assign each class to argmax_t log q(t) - beta KL(p(y|x) || q(y|t)) until nothing changes.

    No iteration raises the objective, but rounding might cycle between equal ones, hence the bound.
    """
    for _ in range(10 * len(cells)):
        used, cells = _compact(cells)  # some may have emptied
        joint = _joint(source, cells, used)
        q_t = joint.sum(axis=1)
        # p(y|x) log p(y|x) of KL is the same for all t. Where q(y|t) = 0 < p(y|x) the least
        # positive number stands in for 0: such a cell loses to the present one.
        log_q = np.log(np.maximum(joint / q_t[:, None], np.finfo(np.float64).tiny))
        after = (np.log(q_t) + beta * source.p_y_given_x @ log_q.T).argmax(axis=1)
        if np.array_equal(after, cells):
            break
        cells = after
    return cells


def _merge(source: Source, cells: Cells, beta: float, most: int) -> Cells:
    """Merge the pair of cells that costs least, while that spares anything or there are too many.

    Then on to one cell, to return the best of all on the way.
    """
    used, cells = _compact(cells)
    joint = _joint(source, cells, used)
    cost = _cost(joint, beta)
    total, best, found = float(cost.sum()), math.inf, cells
    alive = np.ones(len(joint), dtype=bool)
    rise = np.full((len(joint), len(joint)), np.inf)  # of the pairs i < j
    for i in range(len(joint) - 1):
        rise[i, i + 1 :] = _cost(joint[i] + joint[i + 1 :], beta) - cost[i] - cost[i + 1 :]
    while True:
        if np.count_nonzero(alive) <= most and total < best:
            best, found = total, cells
        if np.count_nonzero(alive) == 1:
            return found
        i, j = divmod(int(rise.argmin()), len(joint))
        total += float(rise[i, j])
        cells = np.where(cells == j, i, cells)
        joint[i] += joint[j]
        alive[j] = False
        cost[i] = _cost(joint[i], beta)
        rise[j] = rise[:, j] = np.inf
        pair = np.where(alive, _cost(joint[i] + joint, beta) - cost[i] - cost, np.inf)
        rise[i, i + 1 :], rise[:i, i] = pair[i + 1 :], pair[:i]


def _improve(source: Source, cells: Cells, beta: float, most: int) -> Cells:
    """Move single classes and merge pairs of cells while either lowers the objective."""
    cells = cells.copy()
    rows = source.p_y_given_x * source.p_x[:, None]
    moved = True
    while moved:
        moved = False
        used, cells = _compact(cells)
        joint = _joint(source, cells, min(used + 1, most))  # with an empty cell to move to
        cost = _cost(joint, beta)
        for x, row in enumerate(rows):
            here = cells[x]
            without = np.maximum(joint[here] - row, 0.0)
            rise = _cost(joint + row, beta) - cost
            rise += _cost(without, beta) - cost[here]
            rise[here] = 0.0
            to = int(rise.argmin())
            if rise[to] < -_GAIN:
                cells[x], moved = to, True
                joint[here] = without
                joint[to] += row
                cost[[here, to]] = _cost(joint[[here, to]], beta)
        used, cells = _compact(cells)
        if moved or used == 1:
            continue
        joint = _joint(source, cells, used)
        cost = _cost(joint, beta)
        rise = _cost(joint[:, None] + joint, beta) - cost[:, None] - cost
        np.fill_diagonal(rise, np.inf)
        i, j = divmod(int(rise.argmin()), used)
        if rise[i, j] < -_GAIN:
            cells[cells == j], moved = i, True
    return cells


def _compact(cells: Cells) -> tuple[int, Cells]:
    """How many cells there are, and the cells numbered from 0 without gaps."""
    used, compact = np.unique(cells, return_inverse=True)
    return len(used), compact.reshape(-1)
