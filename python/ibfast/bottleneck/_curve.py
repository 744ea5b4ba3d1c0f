"""The information-bottleneck curve, with a certificate for each of its points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ibfast._arrays import Units, as_values, check_count, check_threads, check_units
from ibfast.bottleneck._critical import CriticalBetas, critical_betas
from ibfast.bottleneck._solver import LOG_ZERO, SURE, Clusters, Solution, Solver
from ibfast.bottleneck._source import Source, make_source

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["IBCurve", "ib_curve"]

_Array = NDArray[np.float64]
_CONVERGED = 1e-9  # change of q(t|x)
_MOST_POINTS = 1000


@dataclass(frozen=True, eq=False)
class IBCurve:
    """Optimal encoders by ascending beta, and the curve through them.

    Attributes
    ----------
    source : Source
        p(x) and p(y|x), inputs with equal p(y|x) merged.
    units : {"bits", "nats"}
        Of everything here.
    beta, rate, relevance, objective : ndarray, shape (b,)
        I(X;T), I(T;Y) and the minimal I(X;T) - beta I(T;Y).
    n_clusters : ndarray of int64, shape (b,)
        Clusters t with q(t) > 0 and unlike q(y|t).
    residual : ndarray, shape (b,)
        Greatest change of any q(t|x) in one iteration of the self-consistent equations.
    gap : ndarray, shape (b,)
        The objective of no encoder, of whatever size, is lower by more than this: 0 for a proven
        optimum.
    sure : ndarray of bool, shape (b,)
        Where `gap` is below 1e-9 bit, and `residual` at most `tolerance` or 1e-9. Elsewhere the
        clusters allowed were too few, or the problem is as good as flat: just above beta = 1 with
        labels that are nearly a function of the input, inputs with p(x) below 1e-12.
    iterations : ndarray of int64, shape (b,)
    """

    source: Source
    units: Units
    beta: _Array
    rate: _Array
    relevance: _Array
    objective: _Array
    n_clusters: NDArray[np.int64]
    residual: _Array
    gap: _Array
    sure: NDArray[np.bool_]
    iterations: NDArray[np.int64]
    _clusters: tuple[Clusters, ...]
    _solver: Solver

    def __len__(self) -> int:
        return len(self.beta)

    @cached_property
    def critical(self) -> CriticalBetas:
        """Where the trivial encoder ceases to be optimal."""
        return critical_betas(self.source)

    @cached_property
    def dataset(self) -> xr.Dataset:
        """All points as an `xarray.Dataset` with dim ``beta``."""
        try:
            import xarray as xr
        except ImportError as error:
            raise ImportError(
                'IBCurve.dataset needs xarray: pip install "ibfast[store]"'
            ) from error
        described = {
            "rate": ("I(X;T)", self.units),
            "relevance": ("I(T;Y)", self.units),
            "objective": ("I(X;T) - beta I(T;Y)", self.units),
            "n_clusters": ("clusters", "1"),
            "residual": ("greatest change of q(t|x) in an iteration", "1"),
            "gap": ("by how much at most another encoder is better", self.units),
            "sure": ("gap below 1e-9 bit, and converged", "1"),
            "iterations": ("iterations", "1"),
        }
        return xr.Dataset(
            {
                name: ("beta", getattr(self, name), {"long_name": long_name, "units": units})
                for name, (long_name, units) in described.items()
            },
            coords={"beta": ("beta", self.beta, {"long_name": "trade-off", "units": "1"})},
            attrs={
                "units": self.units,
                "h_x": self.source.h_x * self._unit,
                "h_y": self.source.h_y * self._unit,
                "i_xy": self.source.i_xy * self._unit,
                "classes": len(self.source.p_x),
                "deterministic": int(self.source.deterministic),
                "onset": self.critical.onset,
                "instability": self.critical.instability,
            },
        )

    def marginal(self, i: int) -> _Array:
        """q(t) of point `i`, shape (t,)."""
        return np.exp2(self._clusters[self._index(i)].log_q)

    def decoder(self, i: int) -> _Array:
        """q(y|t) of point `i`, shape (t, k)."""
        return np.exp2(self._clusters[self._index(i)].log_r)

    def _index(self, i: int) -> int:
        return check_count("i", i, -len(self), len(self) - 1)

    def encoder(self, i: int) -> _Array:
        """q(t|x) of point `i` for each input, shape (n, t); NaN for inputs of probability 0."""
        i = self._index(i)
        q = self._solver.encode(float(self.beta[i]), self._clusters[i])[0]
        rows = np.full((len(self.source.class_of), q.shape[1]), np.nan)
        possible = self.source.class_of >= 0
        rows[possible] = q[self.source.class_of[possible]]
        return rows

    def relevance_at(self, rate: ArrayLike) -> Any:
        """Greatest I(T;Y) known to be reached with I(X;T) at most `rate`.

        The concave hull of the points, the origin and the full solution: what lies between two of
        them is reached by taking each for a share of the time.

        Parameters
        ----------
        rate : array_like
            Not negative.

        Raises
        ------
        ValueError
            It is negative or NaN.
        """
        return np.interp(_not_negative("rate", rate), *self.hull)

    def relevance_bound(self, rate: ArrayLike) -> Any:
        """What I(T;Y) cannot exceed with I(X;T) at most `rate`, from the certificates.

        Parameters and errors are those of `relevance_at`, which is the matching lower bound.
        """
        r = np.asarray(_not_negative("rate", rate))
        lines = (r[..., None] - self.objective + self.gap) / self.beta
        most = np.minimum(r, self.source.i_xy * self._unit)
        return np.minimum(lines.min(axis=-1, initial=np.inf), most)[()]

    def rate_at(self, relevance: ArrayLike) -> Any:
        """Least I(X;T) known to reach this I(T;Y).

        Raises
        ------
        ValueError
            It is negative, NaN or above I(X;Y).
        """
        wanted = _not_negative("relevance", relevance)
        rate, reached = self.hull
        if np.any(wanted > reached[-1] * (1 + 1e-12)):
            raise ValueError(
                f"relevance: {np.max(wanted)}; expected at most I(X;Y) = {reached[-1]} {self.units}"
            )
        return np.interp(wanted, reached, rate)

    def splits(self, rtol: float = 1e-4) -> _Array:
        """Betas at which the number of clusters changes, each to a relative `rtol`.

        Between neighbouring points with unlike numbers one change is looked for by bisection.

        Raises
        ------
        ValueError
            `rtol` is not between 0 and 1.
        """
        if not 0 < rtol < 1:
            raise ValueError(f"rtol: {rtol}; expected a number between 0 and 1")
        found = []
        for i in np.flatnonzero(np.diff(self.n_clusters)):
            low, high, clusters = self.beta[i], self.beta[i + 1], self._clusters[i]
            while high > low * (1 + rtol):
                middle = float(np.sqrt(low * high))
                there = self._solver.solve(middle, clusters).clusters
                if len(there) == self.n_clusters[i]:
                    low, clusters = middle, there
                else:
                    high = middle
            found.append(np.sqrt(low * high))
        return np.array(found)

    @property
    def _unit(self) -> float:
        return check_units(self.units)

    @cached_property
    def hull(self) -> tuple[_Array, _Array]:
        """Vertices of the concave hull, from the origin to the full solution: rates, relevances."""
        full = (self.source.h_x * self._unit, self.source.i_xy * self._unit)
        points = [(0.0, 0.0), *zip(self.rate.tolist(), self.relevance.tolist(), strict=True), full]
        hull: list[tuple[float, float]] = []
        for r, i in sorted(set(points)):
            if hull and i <= hull[-1][1]:
                continue
            while len(hull) > 1 and (i - hull[-1][1]) * (hull[-1][0] - hull[-2][0]) >= (
                hull[-1][1] - hull[-2][1]
            ) * (r - hull[-1][0]):
                hull.pop()
            hull.append((r, i))
        rate, relevance = np.array(hull).T
        return rate, relevance


def ib_curve(
    p_y_given_x: Any,
    p_x: Any = None,
    betas: ArrayLike | None = None,
    *,
    n_clusters: int | None = None,
    resolution: float = 1e-3,
    tolerance: float = 1e-10,
    units: Units = "bits",
    threads: int = 0,
) -> IBCurve:
    """Solve the information-bottleneck problem: least I(X;T) - beta I(T;Y), for each beta.

    Every point is a global optimum to within its `gap`, which is computed and not assumed: for
    fixed beta the problem is concave in the distribution of decoders q(y|t), so that an encoder is
    optimal if and only if no further cluster would gain (see `docs/bottleneck.md`). Clusters are
    added, split, merged and dropped until that is so; between, the self-consistent equations are
    iterated and sped up by Newton's method.

    Parameters
    ----------
    p_y_given_x : array_like, shape (n, k) or (n,), or Source
        Rows p(y|x), each with sum 1, or p(y=1|x) of a binary label. Inputs with equal rows are
        merged, which changes nothing.
    p_x : array_like, shape (n,), optional
        Uniform by default.
    betas : array_like, shape (b,), optional
        Positive; the result has them in ascending order, each once. By default they are chosen
        so that the curve is known to `resolution`.
    n_clusters : int, optional
        The most clusters to use: by default as many as there are unlike rows, at most 256.
    resolution : float
        Without `betas`: the distance between the bounds of I(T;Y), as a share of I(X;Y).
    tolerance : float
        Of the residual, the greatest change of any q(t|x) in an iteration.
    units : {"bits", "nats"}
    threads : int
        0: all that the process may use. The result does not depend on it.

    Returns
    -------
    IBCurve

    Raises
    ------
    TypeError, ValueError
        A dtype or shape is wrong, rows do not sum to 1, a beta is not positive, an option is out of
        range, 1000 betas do not reach the resolution.

    Notes
    -----
    Where Y is a function of X the curve is min(I(X;T), H(Y)): every beta above 1 has the one corner
    for its optimum, and no beta the points between (`squared_ib` does).

    Examples
    --------
    >>> curve = ib_curve([[0.89, 0.11], [0.11, 0.89]], betas=[1.5, 2.0])
    >>> curve.rate.round(7), curve.relevance.round(7), curve.sure
    (array([0.       , 0.6011649]), array([0.       , 0.3385081]), array([ True,  True]))

    References
    ----------
    Tishby, N., Pereira, F. & Bialek, W. (1999). The information bottleneck method.
    arXiv:physics/0004057, equations 28 to 31.
    """
    unit = check_units(units)
    source = make_source(p_y_given_x, p_x)
    classes = len(source.p_x)
    most = min(classes, 256)
    if n_clusters is not None:
        most = min(classes, check_count("n_clusters", n_clusters, 1, 2**31))
    for name, value in (("resolution", resolution), ("tolerance", tolerance)):
        if not 0 < value < 1:
            raise ValueError(f"{name}: {value}; expected a number between 0 and 1")
    solver = Solver(source, most, tolerance, check_threads(threads))
    solve = _deterministic(solver) if source.deterministic and most == classes else solver.solve
    if betas is None:
        solutions = _sandwich(solver, solve, resolution)
    else:
        solutions = _in_turn(solver, solve, check_betas(betas))

    def column(name: str, scale: float = 1.0) -> _Array:
        return np.array([getattr(s, name) for s in solutions], dtype=np.float64) * scale

    gap, residual = column("gap"), column("residual")
    return IBCurve(
        source=source,
        units=units,
        beta=column("beta"),
        rate=column("rate", unit),
        relevance=column("relevance", unit),
        objective=column("objective", unit),
        n_clusters=np.array([len(s.clusters) for s in solutions]),
        residual=residual,
        gap=gap * unit,
        sure=(gap < SURE) & (residual <= max(tolerance, _CONVERGED)),
        iterations=column("iterations").astype(np.int64),
        _clusters=tuple(s.clusters for s in solutions),
        _solver=solver,
    )


_Solve = Callable[[float, Clusters], Solution]


def _in_turn(solver: Solver, solve: _Solve, betas: _Array) -> list[Solution]:
    """Upwards, each from the one before; then those that are not sure, from elsewhere too."""
    solutions: list[Solution] = []
    clusters = solver.trivial()
    for beta in betas.tolist():
        solutions.append(solve(beta, clusters))
        clusters = solutions[-1].clusters
    for i in range(len(solutions) - 1, -1, -1):
        starts = [s.clusters for s in solutions[i + 1 : i + 2]]
        if solutions[i].residual > _CONVERGED:
            starts.append(solver.trivial())
        for start in starts:
            best = solutions[i]
            if best.gap < SURE and best.residual <= _CONVERGED:
                break
            other = solve(best.beta, start)
            rounding = 1e-14 * (1 + best.beta)
            if other.objective < best.objective - rounding or (
                other.objective <= best.objective + rounding and other.residual < best.residual
            ):
                solutions[i] = other
    return solutions


def _sandwich(solver: Solver, solve: _Solve, resolution: float) -> list[Solution]:
    """Betas where the tangents of neighbours leave most room above their chord, until it is small.

    The ends are the trivial encoder, with slope 1, and the full one, with slope 0.
    """
    source = solver.source
    solutions = [solve(1.0, solver.trivial())]
    room = resolution * source.i_xy
    ends: list[tuple[float, float, float, Clusters]] = [
        (1.0, solutions[0].rate, solutions[0].relevance, solutions[0].clusters),
        (0.0, source.h_x, source.i_xy, solver.trivial()),
    ]
    open_ = [tuple(ends)]
    while open_:
        left, right = open_.pop()
        (s1, r1, i1, clusters), (s2, r2, i2, _) = left, right
        if r2 - r1 <= 1e-12 or s1 - s2 <= 1e-12:
            continue
        at = ((i2 - s2 * r2) - (i1 - s1 * r1)) / (s1 - s2)
        chord = (i2 - i1) / (r2 - r1)
        if i1 + s1 * (at - r1) - (i1 + chord * (at - r1)) <= room or chord <= 0:
            continue
        if len(solutions) == _MOST_POINTS:
            raise ValueError(
                f"resolution: {resolution}; {_MOST_POINTS} betas do not reach it: expected a "
                "coarser one, or betas"
            )
        found = solve(1 / chord, clusters)
        solutions.append(found)
        middle = (chord, found.rate, found.relevance, found.clusters)
        open_ += [(middle, right), (left, middle)]
    return sorted(solutions, key=lambda s: s.beta)


def _deterministic(solver: Solver) -> _Solve:
    """Exact where Y is a function of X: nothing up to beta = 1, Y itself above."""
    source = solver.source

    def solve(beta: float, start: Clusters) -> Solution:
        full = beta > 1
        h = source.h_y if full else 0.0
        clusters = solver.trivial()
        if full:
            clusters = Clusters(
                np.log2(source.p_x), np.where(source.p_y_given_x == 1, 0.0, LOG_ZERO)
            )
        return Solution(beta, clusters, h, h, h - beta * h, 0.0, 0.0, 0)

    return solve


def check_betas(betas: ArrayLike) -> _Array:
    values = as_values("betas", betas)
    if values.ndim > 1 or not values.size:
        raise ValueError(f"betas: shape {values.shape}; expected (b,), at least one")
    values = np.unique(values.astype(np.float64))
    if not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"betas: from {values[0]} to {values[-1]}; expected finite and positive")
    return values


def _not_negative(name: str, value: ArrayLike) -> _Array:
    values = as_values(name, value).astype(np.float64)
    if not (values >= 0).all():
        raise ValueError(f"{name}: {values.min()}; expected numbers that are not negative")
    return values
