"""Where the bottleneck first opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibfast.bottleneck._source import make_source

__all__ = ["CriticalBetas", "critical_betas"]

_STARTS = 256
_TINY = 1e-100  # probabilities that count as 0


@dataclass(frozen=True)
class CriticalBetas:
    """Where the encoder that tells nothing ceases to be the best; infinity where it never does.

    Attributes
    ----------
    onset : float
        Above it some encoder has a lower I(X;T) - beta I(T;Y) than the trivial one: 1 over the KL
        contraction coefficient of p(y|x) and p(x). The slope of the curve at its origin is 1/onset.
    instability : float
        Above it the trivial encoder is no local minimum either: 1 over the squared second singular
        value of p(x,y) / sqrt(p(x) p(y)), the maximal correlation. Never below `onset`; between the
        two, iterations that start near the trivial encoder stay there.
    """

    onset: float
    instability: float


def critical_betas(p_y_given_x: Any, p_x: Any = None) -> CriticalBetas:
    """Find the betas at which the trivial encoder ceases to be optimal, globally and locally.

    Parameters
    ----------
    p_y_given_x : array_like, shape (n, k) or (n,), or Source
        Rows p(y|x), or p(y=1|x) of a binary label.
    p_x : array_like, shape (n,), optional
        Uniform by default.

    Returns
    -------
    CriticalBetas

    Raises
    ------
    TypeError, ValueError
        As `make_source`.

    Examples
    --------
    >>> found = critical_betas([[0.9, 0.1], [0.1, 0.9]], [0.95, 0.05])
    >>> round(found.onset, 2), round(found.instability, 2)
    (2.03, 3.96)

    References
    ----------
    Wu, T. & Fischer, I. (2020). Phase transitions for the information bottleneck in
    representation learning. ICLR, section 5 (maximal correlation). Anantharam, V., Gohari, A.,
    Kamath, S. & Nair, C. (2013). On maximal correlation, hypercontractivity, and the data
    processing inequality. arXiv:1304.6133, theorem 4 (the ratio of divergences).
    """
    source = make_source(p_y_given_x, p_x)
    rows, p, p_y = source.p_y_given_x, source.p_x, source.p_y
    labels, inputs = p_y > _TINY, p > _TINY
    rows, p, p_y = rows[inputs][:, labels], p[inputs], p_y[labels]
    scaled = np.sqrt(p)[:, None] * rows / np.sqrt(p_y)
    if len(p) == 1 or len(p_y) == 1:
        return CriticalBetas(np.inf, np.inf)
    left, singular, _ = np.linalg.svd(scaled, full_matrices=False)
    instability = 1 / min(1.0, float(singular[1])) ** 2 if singular[1] > 1e-12 else np.inf
    return CriticalBetas(max(1.0, min(instability, _onset(rows, p, p_y, left[:, 1]))), instability)


def _onset(
    rows: NDArray[np.float64], p: NDArray[np.float64], p_y: NDArray[np.float64], mode: Any
) -> float:
    """The least D(q_X || p_X) / D(q_Y || p_Y) of all q_X, from many starts.

    At beta the ratio of q, the tilted p(x) exp(beta sum_y p(y|x) log(q_Y / p_Y)) has a ratio that
    is no greater, since it maximises beta D(q_Y || p_Y) - D(q_X || p_X) for a fixed log(q_Y / p_Y).
    """
    m = len(p)
    points = np.eye(m) if m <= _STARTS else np.eye(m)[np.linspace(0, m - 1, _STARTS).astype(int)]
    tilt = 0.5 * np.sqrt(p) * mode / np.abs(mode / np.sqrt(p)).max()
    q = np.concatenate([0.99 * points + 0.01 * p, [p + tilt, p - tilt]])
    least, before = np.inf, np.full(len(q), np.inf)
    for _ in range(1000):
        q_y = q @ rows
        log_ratio = np.log(np.maximum(q_y / p_y, _TINY))
        with np.errstate(divide="ignore", invalid="ignore"):
            above = np.where(q > 0, q * np.log(q / p), 0.0).sum(axis=1)
            below = (q_y * log_ratio).sum(axis=1)
            # Near p itself both are rounding: what is there is the other, local, beta.
            ratio = np.where(below > 1e-9, above / below, np.inf)
        least = min(least, float(ratio.min()))
        going = ratio < before * (1 - 1e-12)
        if not going.any():
            break
        before, log_ratio = ratio[going], log_ratio[going]
        exponent = before[:, None] * (log_ratio @ rows.T)
        q = p * np.exp(exponent - exponent.max(axis=1, keepdims=True))
        q /= q.sum(axis=1, keepdims=True)
    return least
