"""How far a layer lies from the information-bottleneck bound, and from solving its equations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ibfast import _core
from ibfast._arrays import Units, as_distributions, as_values, check_threads, check_units
from ibfast.bottleneck._curve import IBCurve, ib_curve
from ibfast.bottleneck._hard import HardFrontier, hard_frontier
from ibfast.bottleneck._solver import log2
from ibfast.bottleneck._source import Source, entropy_bits, make_source
from ibfast.counts import JointCounts

__all__ = ["LayerOptimality", "layer_optimality"]

_Array = NDArray[np.float64]
_LEAST_BETA, _GREATEST_BETA = 1e-3, 1e6
_FLAT = 1e-3  # bits by which the divergence must rise at half and at twice beta*


@dataclass(frozen=True)
class LayerOptimality:
    """Where a layer lies, information in `units`.

    Attributes
    ----------
    rate, relevance : float
        I(X;T) and I(T;Y) of the layer.
    gap, gap_share : float
        What the curve reaches at this rate and the layer does not; as a share of what the curve
        reaches (NaN at rate 0). Below 0 only by rounding and the curve's resolution.
    rate_gap : float
        By how much the rate exceeds the least that reaches this relevance.
    hard_gap : float
        What the best hard encoders reach at H(T) = rate and the layer does not: the concave hull of
        all deterministic encoders. NaN for more than two labels, and where T is not a function of
        X. Negative where one hard encoder lies above a chord of the hull.
    beta : float
        beta* = argmin over beta of E_x KL[p(t|x) || p_beta(t|x)], where p_beta(t|x) is proportional
        to p(t) exp(-beta KL[p(y|x) || p(y|t)]) with the layer's own marginal and decoder.
    divergence : float
        That minimum.
    encoder_residual : float
        E_x of the total variation between p(t|x) and p_beta*(t|x), 0 to 1.
    marginal_residual : float
        Total variation between p(t) and sum_x p(x) p_beta*(t|x).
    decoder_residual : float
        E_t of the total variation between p(y|t) and the decoder of p_beta*, by Bayes' rule.
    identified : bool
        Whether beta* means something.
    reason : str
        Why not; "" if it does.
    units : {"bits", "nats"}
    """

    rate: float
    relevance: float
    gap: float
    gap_share: float
    rate_gap: float
    hard_gap: float
    beta: float
    divergence: float
    encoder_residual: float
    marginal_residual: float
    decoder_residual: float
    identified: bool
    reason: str
    units: Units


class Joint(NamedTuple):
    """p(t,x) above 0: entry i is the `p[i]` of input `x[i]` in cluster `t[i]`."""

    t: NDArray[np.int64]
    x: NDArray[np.int64]
    p: _Array


def layer_optimality(
    layer: Any,
    p_y_given_x: Any,
    curve: IBCurve | None = None,
    *,
    p_x: Any = None,
    frontier: HardFrontier | None = None,
    units: Units = "bits",
    threads: int = 0,
) -> LayerOptimality:
    """Measure how far a layer is from the information-bottleneck bound.

    Parameters
    ----------
    layer : array_like or JointCounts
        Integers (n,): the cell of each input, of a layer that is a function of it. Floating point
        (n, t): rows p(t|x). Or counts of cells whose classes are the inputs 0 to n-1, each counted
        at least once; p(t|x) is then its share of the counts of x.
    p_y_given_x : array_like, shape (n, k) or (n,), or Source
        Rows p(y|x), or p(y=1|x) of a binary label.
    curve : IBCurve, optional
        Of the same source, from `ib_curve`; computed if it is not given.
    p_x : array_like, shape (n,), optional
        Uniform by default.
    frontier : HardFrontier, optional
        Of the same source, from `hard_frontier`; computed if the label is binary.
    units : {"bits", "nats"}
    threads : int
        0: all that the process may use.

    Returns
    -------
    LayerOptimality

    Raises
    ------
    TypeError, ValueError
        A dtype or shape does not fit, an input was never counted, rows do not sum to 1, `curve` or
        `frontier` are of another source.

    Notes
    -----
    beta* is not identified where Y is a function of X (every encoder of the equations is then as
    good at any beta), where the divergence at half and at twice beta* exceeds its minimum by less
    than 0.001 bit, and where the minimum is at an end of the search from 0.001 to 10^6.

    The divergence is E_x KL[p(t|x) || p_beta(t|x)] and not its reverse, which is infinite for every
    layer that is a function of its input.

    Examples
    --------
    >>> p = [0.1, 0.2, 0.8, 0.9]
    >>> found = layer_optimality([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]], p)
    >>> round(found.rate, 4), round(found.relevance, 4), round(found.gap, 4)
    (0.4045, 0.1887, 0.0008)
    >>> round(found.beta, 2), round(found.divergence, 4)
    (2.31, 0.002)
    >>> layer_optimality([0, 0, 1, 1], p).reason
    'the divergence is flat in beta'

    References
    ----------
    Shwartz-Ziv, R. & Tishby, N. (2017). arXiv:1703.00810, section 3.5 and equations 5 to 7.
    """
    source, unit, threads = (
        make_source(p_y_given_x, p_x),
        check_units(units),
        check_threads(threads),
    )
    if curve is None:
        curve = ib_curve(source, threads=threads)
    else:
        _check_same("curve", curve.source, source)
    joint = as_joint(layer, source)
    p_t, p_ty, rate, deterministic = _marginals(joint, source)
    relevance = max(0.0, entropy_bits(p_t) + source.h_y - entropy_bits(p_ty))
    reached = min(relevance, source.i_xy)
    scale = 1 / check_units(curve.units)
    bound = float(curve.relevance_at(rate / scale)) * scale
    if frontier is None and len(source.p_y) == 2:
        frontier = hard_frontier(source)
    elif frontier is not None:
        _check_same("frontier", frontier.source, source)
    hard_gap = np.nan
    if frontier is not None and deterministic:
        hard = 1 / check_units(frontier.units)
        hard_gap = float(frontier.relevance_at(rate / hard)) * hard - relevance
    fit = _fit(joint, source, p_t, p_ty, rate, relevance, threads)
    return LayerOptimality(
        rate=rate * unit,
        relevance=relevance * unit,
        gap=(bound - relevance) * unit,
        gap_share=(bound - relevance) / bound if bound > 0 else np.nan,
        rate_gap=(rate - float(curve.rate_at(reached / scale)) * scale) * unit,
        hard_gap=hard_gap * unit,
        beta=fit.beta,
        divergence=fit.divergence * unit,
        encoder_residual=fit.encoder,
        marginal_residual=fit.marginal,
        decoder_residual=fit.decoder,
        identified=not fit.reason,
        reason=fit.reason,
        units=units,
    )


def _check_same(name: str, other: Source, source: Source) -> None:
    if not (
        np.array_equal(other.p_y_given_x, source.p_y_given_x)
        and np.array_equal(other.p_x, source.p_x)
    ):
        raise ValueError(
            f"{name}: of another source, {len(other.p_x)} unlike rows with I(X;Y) = "
            f"{other.i_xy:g} bits; expected that of p_y_given_x, {len(source.p_x)} rows with "
            f"{source.i_xy:g}"
        )


def as_joint(layer: Any, source: Source) -> Joint:
    """p(t,x) of what `layer_optimality` takes as a layer."""
    n = len(source.class_of)
    if isinstance(layer, JointCounts):
        counts = layer.joint_counts()
        counted = np.bincount(counts.label, counts.total, minlength=n)
        if len(counted) > n:
            raise ValueError(
                f"layer: counts of input {len(counted) - 1}; expected the inputs 0 to {n - 1} as "
                "classes"
            )
        missing = np.flatnonzero((counted == 0) & (source.inputs > 0))
        if missing.size:
            raise ValueError(
                f"layer: input {missing[0]} was never counted; expected the inputs 0 to {n - 1} "
                "as classes, each at least once"
            )
        x = counts.label
        return _positive(counts.cell, x, source.inputs[x] * counts.total / counted[x])
    given = as_values("layer", layer)
    if given.dtype.kind in "iub" and given.shape == (n,):
        cells = np.unique(given, return_inverse=True)[1].reshape(-1)
        return _positive(cells, np.arange(n), source.inputs)
    if given.dtype.kind != "f" or given.ndim != 2 or len(given) != n or not given.shape[1]:
        raise ValueError(
            f"layer: {given.dtype} of shape {given.shape}; expected integers ({n},), the cell of "
            f"each input, or floating point ({n}, t), rows p(t|x)"
        )
    possible = np.flatnonzero(source.inputs)
    checked = given.copy()
    checked[source.inputs == 0] = 1 / given.shape[1]  # whatever is there does not count
    rows = as_distributions("layer", checked, given.dtype.itemsize)[possible]
    at, t = np.nonzero(rows)
    p = rows[at, t] / rows.sum(axis=1)[at]
    return _positive(t, possible[at], source.inputs[possible[at]] * p)


def _positive(t: NDArray[Any], x: NDArray[Any], p: _Array) -> Joint:
    keep = p > 0
    return Joint(t[keep].astype(np.int64), x[keep].astype(np.int64), p[keep])


def _marginals(joint: Joint, source: Source) -> tuple[_Array, _Array, float, bool]:
    """p(t), p(t,y) with unused clusters in place, I(X;T) in bits, whether T is a function of X."""
    clusters = int(joint.t.max()) + 1
    p_t = _sums(joint.t, joint.p, clusters)
    rows = source.p_y_given_x[source.class_of[joint.x]]
    p_ty = np.stack([_sums(joint.t, joint.p * column, clusters) for column in rows.T], axis=1)
    deterministic = len(joint.x) == np.count_nonzero(source.inputs)
    rate = entropy_bits(p_t)
    if not deterministic:
        rate += entropy_bits(source.inputs) - entropy_bits(joint.p)
    return p_t, p_ty, max(0.0, rate), deterministic


def _sums(place: NDArray[np.int64], values: _Array, n: int) -> _Array:
    return np.bincount(place, values, n).astype(np.float64, copy=False)


class _Fit(NamedTuple):
    beta: float
    divergence: float
    encoder: float
    marginal: float
    decoder: float
    reason: str


def _fit(
    joint: Joint,
    source: Source,
    p_t: _Array,
    p_ty: _Array,
    rate: float,
    relevance: float,
    threads: int,
) -> _Fit:
    """Find beta* and the residuals of the equations there.

    E_x KL[p(t|x) || p_beta(t|x)] = I(X;T) + beta (H(Y) - I(T;Y)) + F, F being that of the layer's
    own clusters. Cells with the same decoder have the same share of a common cluster in every
    p_beta, so they are taken together.
    """
    used = p_t > 0
    decoder = np.zeros_like(p_ty)
    decoder[used] = p_ty[used] / p_t[used, None]
    key = decoder[:, 1] if decoder.shape[1] == 2 else decoder
    _, first, group = np.unique(key, axis=0, return_index=True, return_inverse=True)
    group = group.reshape(-1)
    together = _sums(group, p_t, len(first))
    kept = together > 0  # all but a group of the unused
    q, r = together[kept], decoder[first][kept]
    place = np.cumsum(kept) - 1
    slope = source.h_y - relevance
    log_q, log_r = log2(q), log2(r)
    beta, *f, at_end = _core.bottleneck_nearest(
        source.p_y_given_x, source.p_x, log_q, log_r, slope, _LEAST_BETA, _GREATEST_BETA, threads
    )
    divergence, half, double = (
        rate + b * slope + value for b, value in zip((beta, beta / 2, 2 * beta), f, strict=True)
    )
    encoder, _, joint_ty, _ = _core.bottleneck_encode(
        source.p_y_given_x, source.p_x, log_q, log_r, beta, threads
    )
    # p_beta of each entry's own cluster, and how far the entry's p(t|x) exceeds it.
    at = place[group[joint.t]]
    own = encoder[source.class_of[joint.x], at] * p_t[joint.t] / q[at] * source.inputs[joint.x]
    marginal = joint_ty.sum(axis=0)
    bayes = np.divide(joint_ty, marginal, out=np.zeros_like(joint_ty), where=marginal > 0)
    reason = ""
    if source.deterministic:
        reason = "the label is a function of the input"
    elif max(half, double) - divergence < _FLAT:
        reason = "the divergence is flat in beta"
    elif at_end:
        reason = f"the minimum is at the end of the search, beta = {beta:g}"
    elif min(half, double) - divergence < _FLAT:
        reason = "the divergence is flat on one side of beta"
    return _Fit(
        beta=beta,
        divergence=max(0.0, divergence),
        encoder=float(np.maximum(0.0, joint.p - own).sum()),
        marginal=0.5 * float(np.abs(marginal - q).sum()),
        decoder=0.5 * float(q @ np.abs(bayes.T - r).sum(axis=1)),
        reason=reason,
    )
