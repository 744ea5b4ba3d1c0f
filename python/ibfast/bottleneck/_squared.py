"""The squared information bottleneck, which explores curves with straight parts as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ibfast._arrays import Units, check_units
from ibfast.bottleneck._curve import IBCurve, check_betas, ib_curve
from ibfast.bottleneck._source import make_source

__all__ = ["SquaredIB", "squared_ib"]


@dataclass(frozen=True, eq=False)
class SquaredIB:
    """Optimal encoders of the squared Lagrangian, by ascending beta.

    Attributes
    ----------
    beta, rate, relevance : ndarray, shape (b,)
        In `units` (beta: in 1/units).
    share : ndarray, shape (b,)
        Of the time in which the encoder is the upper of its two; 1 where it is one alone.
    units : {"bits", "nats"}
    """

    beta: NDArray[np.float64]
    rate: NDArray[np.float64]
    relevance: NDArray[np.float64]
    share: NDArray[np.float64]
    units: Units
    _pairs: tuple[tuple[IBCurve, int, int], ...]

    def encoder(self, i: int) -> NDArray[np.float64]:
        """q(t|x) of point `i`, shape (n, t): its two encoders side by side, each for its share."""
        curve, low, high = self._pairs[i]
        parts = [(self.share[i], high), (1 - self.share[i], low)]
        return np.concatenate([s * curve.encoder(at) for s, at in parts if s > 0], axis=1)


def squared_ib(
    p_y_given_x: Any,
    p_x: Any = None,
    betas: ArrayLike = (0.5,),
    *,
    units: Units = "bits",
    threads: int = 0,
) -> SquaredIB:
    """Greatest I(T;Y) - beta I(X;T)^2, for each beta.

    Its optimum is where the slope of the curve is 2 beta I(X;T), one point for each beta whatever
    the curve, while that of the usual Lagrangian jumps over every straight part: over the whole
    curve min(I(X;T), H(Y)) where Y is a function of X. A point of a straight part is reached by its
    ends, each for a share of the time.

    Parameters
    ----------
    p_y_given_x, p_x, units, threads
        As in `ib_curve`.
    betas : array_like, shape (b,)
        Positive, in 1/units; the result has them in ascending order, each once.

    Returns
    -------
    SquaredIB

    Raises
    ------
    TypeError, ValueError
        As `ib_curve`.

    Examples
    --------
    >>> squared_ib([[1.0, 0.0], [0.0, 1.0]], betas=[0.5, 1.0, 2.0]).relevance
    array([1.  , 0.5 , 0.25])

    References
    ----------
    Kolchinsky, A., Tracey, B. D. & Van Kuyk, S. (2019). Caveats for information bottleneck in
    deterministic scenarios. ICLR, equation 6 and theorem 2.
    """
    source, unit = make_source(p_y_given_x, p_x), check_units(units)
    wanted = check_betas(betas)
    points, pairs = [], []
    for beta in wanted.tolist():
        # 1 / b falls with the usual beta b, and I(X;T) does not: they meet once.
        low, high = 1.0, 2.0
        while True:
            end = ib_curve(source, betas=[high], units=units, threads=threads)
            if 1 / high <= 2 * beta * end.rate[0] or high > 1e12:
                break
            low, high = high, 2 * high
        while high > low * (1 + 1e-13):
            middle = (low * high) ** 0.5
            rate = ib_curve(source, betas=[middle], units=units, threads=threads).rate[0]
            if 1 / middle <= 2 * beta * rate:
                high = middle
            else:
                low = middle
        curve = ib_curve(source, betas=[low, high], units=units, threads=threads)
        (r0, r1), (i0, i1) = curve.rate, curve.relevance
        best = min(1 / (2 * beta * high), source.h_x * unit)
        share = float(np.clip((best - r0) / (r1 - r0), 0, 1)) if r1 > r0 + 1e-9 else 1.0
        points.append((share * r1 + (1 - share) * r0, share * i1 + (1 - share) * i0, share))
        pairs.append((curve, 0, len(curve) - 1))
    rate, relevance, share_ = np.array(points).T
    return SquaredIB(wanted, rate, relevance, share_, units, tuple(pairs))
