"""The information bottleneck at one beta: climb, look for better clusters, certify.

With decoders r = q(y|t) spread as a measure mu over all distributions of Y, what is maximised,
F(mu) = sum_x p(x) log2 of the integral of 2^(beta sum_y p(y|x) log2 r_y), is concave in mu. So a
local maximum is global where no decoder r gains: D(r) = sum_x p(x) 2^(beta sum_y p(y|x) log2 r_y) /
(the same under mu) is at most 1 for all r; and by Jensen's inequality no encoder of whatever size
has an F greater by more than log2 max D. (For mixtures: Lindsay 1983, The Annals of Statistics 11,
theorem 4.1; here with Slonim & Weiss's 2002 mixture.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ibfast import _core
from ibfast.bottleneck._source import Source

__all__ = ["LOG_ZERO", "SURE", "Clusters", "Solution", "Solver", "log2"]

_Array = NDArray[np.float64]
_Encoded = tuple[_Array, _Array, _Array, float]

LOG_ZERO = -1e300  # as in the kernel: 0 times it is 0
SURE = 1e-9  # bits of the Lagrangian
_NEAR = 1e-6  # a gap that may come from the tolerance
_FINEST = 1e-13  # tolerance
_LEAST = 1e-14  # bits of F that are worth another cluster
_GAIN = 1e-12  # of a cluster that is worth adding, beside 1
_ROUGH = 1e-4  # residual and gain while clusters are still to come
_GREATEST = 1000.0  # exponent of 2, as in the kernel
_TINY = 1e-100  # probabilities that count as 0
_MOST_STEPS = 10_000  # of one beta, about
_POLISHED = 1 << 16  # decoders times inputs that climb to the top
_STARTS = 256  # decoders from which the greatest gain is looked for


@dataclass(frozen=True, eq=False)
class Clusters:
    """log2 q(t), shape (n,), and log2 q(y|t), shape (n, k), with `LOG_ZERO` for that of 0."""

    log_q: _Array
    log_r: _Array

    def __len__(self) -> int:
        return len(self.log_q)


@dataclass(frozen=True, eq=False)
class Solution:
    """An optimal encoder: its clusters and what they reach, in bits."""

    beta: float
    clusters: Clusters
    rate: float
    relevance: float
    objective: float
    """I(X;T) - beta I(T;Y)."""
    residual: float
    """Greatest change of q(t|x) in an iteration of the self-consistent equations."""
    gap: float
    """By how much at most the objective of any encoder lies below this one."""
    iterations: int


class Solver:
    """Finds the best encoder of a source for one beta after the other.

    Parameters
    ----------
    source : Source
    most : int
        How many clusters there may be.
    tolerance : float
        Of the residual.
    threads : int
    """

    def __init__(self, source: Source, most: int, tolerance: float, threads: int) -> None:
        self.source, self.most = source, most
        self._tolerance, self._threads = tolerance, threads
        # As zeros in the kernel: decoders would be too small for it.
        self._rows = np.where(source.p_y_given_x < _TINY, 0.0, source.p_y_given_x)
        self._p_x = np.where(source.p_x < _TINY, 0.0, source.p_x)
        self._p_y = self._p_x @ self._rows
        points = self._rows
        if len(points) > _STARTS:
            points = points[np.linspace(0, len(points) - 1, _STARTS).round().astype(int)]
        # A little of p(y) keeps every start in reach of the rest. Decoders of two labels lie on a
        # line, and no top of D between those starts; with more, starts half way in find others.
        self._starts = 0.999 * points + 0.001 * self._p_y
        shares = [1.0] if points.shape[1] == 2 else [1.0, 0.8]
        self._many_starts = np.concatenate(
            [share * self._starts + (1 - share) * self._p_y for share in shares]
        )

    def trivial(self) -> Clusters:
        """One cluster for all inputs."""
        return Clusters(np.zeros(1), log2(self._p_y)[None])

    def solve(self, beta: float, start: Clusters) -> Solution:
        """Climb from `start`, and on from better clusters while there are some."""
        if beta <= 1:  # I(T;Y) is at most I(X;T)
            return Solution(beta, self.trivial(), 0.0, 0.0, 0.0, 0.0, 0.0, 0)
        clusters, iterations, fine = start, 0, self._tolerance
        best = Solution(beta, start, np.inf, 0.0, np.inf, np.inf, np.inf, 0)  # worse than any
        rough = True  # until all clusters that matter are there
        for round_ in range(60):
            rough = rough and round_ < 30
            tolerance, least = (_ROUGH, _ROUGH) if rough else (fine, _GAIN)
            log_q, log_r, _, residual, steps = _core.bottleneck_climb(
                self._rows,
                self._p_x,
                clusters.log_q,
                clusters.log_r,
                beta,
                tolerance,
                2000 if fine == self._tolerance else 100,
                self._threads,
            )
            clusters = Clusters(log_q, log_r)
            iterations += steps
            encoded = self.encode(beta, clusters)
            more, gain = self._better(beta, clusters, encoded, least)
            if not rough:
                now = self._solution(beta, clusters, encoded, residual, gain)
                least_better = _LEAST * (1 + beta)
                higher = now.objective < best.objective - least_better
                as_high = now.objective < best.objective + least_better
                if higher or (as_high and now.gap < best.gap):
                    best = now
                if more is None or not higher:
                    if not (SURE <= best.gap < _NEAR and fine > _FINEST):
                        break
                    # At the top, but too far from it for the certificate.
                    fine, more, clusters = fine / 10, None, best.clusters
            if best.residual < np.inf and iterations > _MOST_STEPS:
                break
            rough = rough and more is not None
            clusters = more or clusters
        return replace(best, iterations=iterations)

    def encode(self, beta: float, c: Clusters) -> _Encoded:
        """q(t|x) of the classes (m, n), log2 of the sums in F (m,), q(y,t) (k, n), and F."""
        return _core.bottleneck_encode(self._rows, self._p_x, c.log_q, c.log_r, beta, self._threads)

    def _solution(
        self, beta: float, c: Clusters, encoded: _Encoded, residual: float, gain: float
    ) -> Solution:
        """What the encoder reaches, from itself: its clusters are known to the residual alone."""
        q, _, joint, _ = encoded
        p_t, p_y = joint.sum(axis=0), joint.sum(axis=1)
        rate = float(self._p_x @ _plogp(q).sum(axis=1) - _plogp(p_t).sum())
        relevance = float(_plogp(joint).sum() - _plogp(p_t).sum() - _plogp(p_y).sum())
        rate, relevance = max(0.0, rate), max(0.0, relevance)
        return Solution(
            beta=beta,
            clusters=c,
            rate=rate,
            relevance=relevance,
            objective=rate - beta * relevance,
            residual=residual,
            gap=max(0.0, float(np.log2(gain))),
            iterations=0,
        )

    def _better(
        self, beta: float, c: Clusters, encoded: _Encoded, least: float
    ) -> tuple[Clusters | None, float]:
        """Clusters with a greater F, if there are any, and the greatest gain D that was found.

        Gains that exceed 1 by no more than `least` do not count.
        """
        q, log_sum, joint, _ = encoded
        decoders, gains = self._greatest_gains(beta, log_sum, rough=least == _ROUGH)
        gain = float(gains.max(initial=1.0))
        if len(c) >= self.most:
            return None, gain
        good = gains > 1 + least
        new = _unlike(decoders[good], gains[good])[: self.most - len(c)]
        options = [
            option
            for option in (
                self._added(beta, c, new, log_sum),
                self._split(beta, c, q, joint, log_sum, least),
            )
            if option is not None
        ]
        return max(options, key=lambda o: o[1], default=(None, 0.0))[0], gain

    def _gains(self, beta: float, decoders: _Array, log_sum: _Array) -> _Array:
        """Sum over x of p(x,y) 2^(...) of each decoder; shape (k, n), whose sums over y are D."""
        return _core.bottleneck_gains(
            self._rows, self._p_x, log2(decoders), log_sum, beta, self._threads
        )

    def _greatest_gains(
        self, beta: float, log_sum: _Array, *, rough: bool
    ) -> tuple[_Array, _Array]:
        """Decoders of locally greatest gain, or `rough`-ly so, and these gains.

        r = sum_x w(x) p(y|x) / sum_x w(x), w(x) being the terms of D(r), never lowers D. Near a
        transition such steps all but stand still, at the rate of the greatest eigenvalue of beta
        times the covariance of p(y|x) under w in the metric of r: then the kernel climbs on by
        Newton's method, from those that have not run together.
        """
        most = max(32, _POLISHED // len(log_sum))
        few = rough or len(self._many_starts) <= most
        decoders = self._starts if rough or not few else self._many_starts
        for _ in range(4 if few else 12):
            joint = self._gains(beta, decoders, log_sum)
            gains = joint.sum(axis=0)
            decoders = np.where(
                gains[:, None] > 0, (joint / np.where(gains > 0, gains, 1.0)).T, decoders
            )
            if not few and len(decoders) > 64:  # the best alone go on
                best = np.argsort(-gains)[:64]
                decoders, gains = decoders[best], gains[best]
        if rough:
            return decoders, gains
        decoders = decoders[np.argsort(-gains)]
        first = np.unique((200 * decoders).round(), axis=0, return_index=True)[1]
        apart = decoders[np.sort(first)[:most]]
        return _core.bottleneck_climb_gains(
            self._rows, self._p_x, apart, log_sum, beta, self._threads
        )

    def _covariance(self, w: _Array, mean: _Array) -> _Array:
        """Of p(y|x) under each column of weights (m, n); shape (n, k, k)."""
        block = max(1, (1 << 20) // self._rows.size)  # not all products at once
        second = [
            (w.T[i : i + block, None] * self._rows.T) @ self._rows
            for i in range(0, len(mean), block)
        ]
        return np.concatenate(second) - mean[:, :, None] * mean[:, None, :]

    def _added(
        self, beta: float, c: Clusters, new: _Array, log_sum: _Array
    ) -> tuple[Clusters, float] | None:
        """With a share of new decoders, the best of a ladder of shares; by how much F grows."""
        if not len(new):
            return None
        share = np.exp2(-np.concatenate([np.arange(1.0, 20.0, 0.5), np.arange(20.0, 52.0)]))[
            :, None
        ]
        log_r = log2(new)
        exponent = beta * self._rows @ log_r.T - log_sum[:, None]
        ratio = np.exp2(np.minimum(exponent, _GREATEST)).mean(axis=1)
        f = np.log2(1 - share + share * ratio) @ self._p_x
        best = int(f.argmax())
        if f[best] <= _LEAST:
            return None
        log_q = np.full(len(new), np.log2(share[best, 0] / len(new)))
        clusters = Clusters(
            np.concatenate([c.log_q + np.log2(1 - share[best, 0]), log_q]),
            np.concatenate([c.log_r, log_r]),
        )
        return clusters, float(f[best])

    def _split(
        self, beta: float, c: Clusters, q: _Array, joint: _Array, log_sum: _Array, least: float
    ) -> tuple[Clusters, float] | None:
        """Where D is least, not greatest, at a cluster's decoder: the cluster in two.

        The curvature of D at r_t is beta times the covariance of p(y|x) within the cluster in the
        metric of r_t, less 1.
        """
        r = (joint / joint.sum(axis=0)).T
        scale = np.where(r > 0, 1 / np.sqrt(np.where(r > 0, r, 1.0)), 0.0)
        inside = self._p_x[:, None] * q / joint.sum(axis=0)
        curvature = beta * self._covariance(inside, r) * scale[:, :, None] * scale[:, None, :]
        values, vectors = np.linalg.eigh(curvature)
        f_best, best = _LEAST, None
        for t in np.flatnonzero(values[:, -1] > 1 + 1e3 * least):
            direction = vectors[t, :, -1] / np.where(scale[t] > 0, scale[t], np.inf)
            room = np.min(r[t][direction != 0] / np.abs(direction[direction != 0]))
            length = 0.9 * room * np.exp2(-np.arange(0.0, 24.0))
            pair = np.stack(
                [r[t] + length[:, None] * direction, r[t] - length[:, None] * direction]
            )
            log_pair = log2(pair)
            exponent = beta * np.einsum("xy,sly->slx", self._rows, log_pair) + c.log_q[t] - log_sum
            terms = np.exp2(np.minimum(exponent, _GREATEST))
            f = np.log2(np.maximum(1 - q[:, t] + terms.mean(axis=0), 1e-300)) @ self._p_x
            i = int(f.argmax())
            if f[i] > f_best:
                f_best = f[i]
                best = Clusters(
                    np.concatenate([np.delete(c.log_q, t), [c.log_q[t] - 1] * 2]),
                    np.concatenate([np.delete(c.log_r, t, axis=0), log_pair[:, i]]),
                )
        return None if best is None else (best, f_best)


def log2(p: _Array) -> _Array:
    """log2, with `LOG_ZERO` for that of 0."""
    return np.log2(p, out=np.full(p.shape, LOG_ZERO), where=p > 0)


def _plogp(p: _Array) -> _Array:
    return p * log2(p)


def _unlike(decoders: _Array, gains: _Array) -> _Array:
    """Those by descending gain; of like ones the first alone."""
    decoders = decoders[np.argsort(-gains)]
    kept: list[int] = []
    left = np.ones(len(decoders), dtype=bool)
    while left.any():
        kept.append(int(left.argmax()))
        left &= np.abs(decoders - decoders[kept[-1]]).max(axis=1) > 0.02
    return decoders[kept]
