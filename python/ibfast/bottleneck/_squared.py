"""The squared information bottleneck, which explores curves with straight parts as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ibfast._arrays import Units
from ibfast.bottleneck._curve import IBCurve, check_betas, ib_curve
from ibfast.bottleneck._source import make_source

__all__ = ["SquaredIB", "squared_ib"]

_WIDTH, _LEAST_WIDTH = 1e-7, 1e-12  # relative, of the usual betas about the optimum
_ALIKE = 1e-6  # rates that are of one encoder


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
    _pairs: tuple[tuple[IBCurve, IBCurve], ...]

    def encoder(self, i: int) -> NDArray[np.float64]:
        """q(t|x) of point `i`, shape (n, t): its two encoders side by side, each for its share."""
        low, high = self._pairs[i]
        parts = [(self.share[i], high), (1 - self.share[i], low)]
        return np.concatenate([s * curve.encoder(0) for s, curve in parts if s > 0], axis=1)


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
    source = make_source(p_y_given_x, p_x)
    wanted = check_betas(betas)
    points, pairs = [], []
    for beta in wanted.tolist():

        def solve(usual: float) -> IBCurve:
            return ib_curve(source, betas=[usual], units=units, threads=threads)

        # 1 / b falls with the usual beta b, and I(X;T) does not: they meet once.
        low, high = solve(1.0), solve(2.0)
        while 1 / high.beta[0] > 2 * beta * high.rate[0] and high.beta[0] < 1e12:
            low, high = high, solve(2 * high.beta[0])
        # Within a straight part the rate of the solver is as good as any: its ends are kept apart.
        while high.beta[0] > low.beta[0] * (1 + _WIDTH) or (
            high.rate[0] - low.rate[0] < _ALIKE and high.beta[0] > low.beta[0] * (1 + _LEAST_WIDTH)
        ):
            middle = solve((low.beta[0] * high.beta[0]) ** 0.5)
            if 1 / middle.beta[0] <= 2 * beta * middle.rate[0]:
                high = middle
            else:
                low = middle
        # The best of the chord between the two, which have the curve between them.
        rise, run = high.relevance[0] - low.relevance[0], high.rate[0] - low.rate[0]
        share = 1.0
        if run > _ALIKE:
            share = float(np.clip((rise / run / (2 * beta) - low.rate[0]) / run, 0, 1))
        points.append((low.rate[0] + share * run, low.relevance[0] + share * rise, share))
        pairs.append((low, high))
    rate, relevance, share_ = np.array(points).T
    return SquaredIB(wanted, rate, relevance, share_, units, tuple(pairs))
