"""Numbers that claims are judged by: each a function of a plane, one value a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ibfast.gradients import transition

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "beta_falls",
    "compression",
    "correlation_interval",
    "deep",
    "drop",
    "epochs_to_share",
    "final",
    "fitted_at_peak",
    "fitting",
    "least_divergence",
    "log_peak",
    "log_transition",
    "mean_curve_compression",
    "output_compression",
    "peak_epoch",
    "share_after_peak",
    "share_with_transition",
    "t_interval",
    "transition_from_peak",
    "worst_gap_share",
]

_Array = NDArray[np.float64]
_DEEP = 4  # the last layers: of the paper's seven those that are not pinned near 12 bits
_RESAMPLES = 1999


def deep(plane: xr.Dataset, *, output: bool = True) -> xr.Dataset:
    """The last four layers, or the hidden ones of them."""
    last = plane.sizes["layer"]
    return plane.isel(layer=slice(max(0, last - _DEEP), last if output else last - 1))


def peak_epoch(plane: xr.Dataset) -> _Array:
    """Epoch at which I(X;T) is greatest (the first if several), mean over the deep layers."""
    return _values(deep(plane).i_xt.idxmax("epoch").mean("layer"))


def share_after_peak(plane: xr.Dataset) -> _Array:
    """Share of the epochs that come after it."""
    return 1 - peak_epoch(plane) / float(plane.epoch[-1])


def compression(plane: xr.Dataset, *, output: bool = True) -> _Array:
    """Greatest I(X;T) minus the final one, bits, mean over the deep layers."""
    i_xt = deep(plane, output=output).i_xt
    return _values((i_xt.max("epoch") - i_xt.isel(epoch=-1)).mean("layer"))


def output_compression(plane: xr.Dataset) -> _Array:
    """The same of the output layer."""
    i_xt = plane.i_xt.isel(layer=-1)
    return _values(i_xt.max("epoch") - i_xt.isel(epoch=-1))


def mean_curve_compression(plane: xr.Dataset) -> tuple[float, float, float]:
    """Of the mean curve of I(X;T) over networks, hidden deep layers; 95 % by bootstrap."""
    curves = deep(plane, output=False).i_xt.mean("layer").transpose("seed", "epoch").values
    rng = np.random.default_rng(0)
    picks = rng.integers(len(curves), size=(_RESAMPLES, len(curves)))
    means = np.concatenate([curves.mean(axis=0)[None], curves[picks].mean(axis=1)])
    drops = means.max(axis=1) - means[:, -1]
    low, high = np.quantile(drops[1:], [0.025, 0.975])
    return float(drops[0]), float(low), float(high)


def fitted_at_peak(plane: xr.Dataset) -> _Array:
    """I(T;Y) at the peak of I(X;T) as a share of the final one, mean over the deep layers."""
    part = deep(plane)
    there = part.i_ty.sel(epoch=part.i_xt.idxmax("epoch"))
    return _values((there / part.i_ty.isel(epoch=-1)).mean("layer"))


def drop(plane: xr.Dataset) -> _Array:
    """Greatest I(T;Y) minus the final one, bits, mean over the deep layers."""
    i_ty = deep(plane).i_ty
    return _values((i_ty.max("epoch") - i_ty.isel(epoch=-1)).mean("layer"))


def final(plane: xr.Dataset, name: str) -> _Array:
    """Final value of a variable; of one by layers the mean over the deep ones."""
    last = deep(plane)[name].isel(epoch=-1)
    return _values(last.mean("layer") if "layer" in last.dims else last)


def fitting(plane: xr.Dataset) -> _Array:
    """How much I(T;Y) grew in the layer where it grew least, bits."""
    part = deep(plane).i_ty
    return _values((part.isel(epoch=-1) - part.isel(epoch=0)).min("layer"))


def epochs_to_share(plane: xr.Dataset, share: float = 0.95) -> _Array:
    """First epoch at which I(T;Y) of the output has that share of its final value."""
    i_ty = plane.i_ty.isel(layer=-1)
    reached = i_ty >= share * i_ty.isel(epoch=-1)
    return _values(plane.epoch[reached.argmax("epoch")].astype(float))


def share_with_transition(plane: xr.Dataset) -> _Array:
    """Share of the deep layers in which the SNR of gradients falls, of those where it is known."""
    fell = np.where(_snr_known(plane), ~np.isnan(_transitions(plane)), np.nan)
    return _mean_of_known(fell)


def transition_from_peak(plane: xr.Dataset) -> _Array:
    """Factors of 10 between the fall of the SNR and the peak of I(X;T), mean over deep layers."""
    return _mean_of_known(np.abs(np.log10(_transitions(plane)) - _log10_peaks(plane)))


def log_transition(plane: xr.Dataset) -> _Array:
    """log10 of the epoch at which the SNR falls, mean over the deep layers in which it does."""
    return _mean_of_known(np.log10(_transitions(plane)))


def log_peak(plane: xr.Dataset) -> _Array:
    """log10 of the epoch of the peak of I(X;T), mean over the same layers."""
    return _mean_of_known(np.where(np.isnan(_transitions(plane)), np.nan, _log10_peaks(plane)))


def _transitions(plane: xr.Dataset) -> _Array:
    """Epochs at which the SNR falls, (layers, seeds); NaN where it does not or is not known."""
    layers = deep(plane).gradient_snr.transpose("layer", "seed", "epoch").values
    found = np.full(layers.shape[:2], np.nan)
    for row, layer, known in zip(found, layers, _snr_known(plane), strict=True):
        if known.any():
            row[known] = transition(layer[known], plane.epoch, rng=0).seed_epochs
    return found


def _snr_known(plane: xr.Dataset) -> NDArray[np.bool_]:
    """Where the SNR is positive and finite at all epochs but 0, (layers, seeds)."""
    snr = deep(plane).gradient_snr.sel(epoch=plane.epoch > 0).transpose("layer", "seed", "epoch")
    known: NDArray[np.bool_] = (np.isfinite(snr.values) & (snr.values > 0)).all(axis=2)
    return known


def _log10_peaks(plane: xr.Dataset) -> _Array:
    peaks = deep(plane).i_xt.idxmax("epoch").transpose("layer", "seed").values
    return np.asarray(np.log10(np.maximum(peaks, 1)))


def _mean_of_known(values: _Array) -> _Array:
    """Mean over the first axis of what is not NaN; NaN where there is nothing else."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.asarray(np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan))


def worst_gap_share(plane: xr.Dataset) -> _Array:
    """What the layer farthest below the bound lacks of it, at the end."""
    return _values(plane.gap_share.isel(epoch=-1).max("layer"))


def least_divergence(plane: xr.Dataset) -> _Array:
    """KL, bits, of the layer nearest to an encoder of the bottleneck's equations, at the end."""
    return _values(plane.divergence.isel(epoch=-1).min("layer"))


def beta_falls(plane: xr.Dataset) -> _Array:
    """1 where beta* falls from each layer in which it is identified to the next, else 0.

    NaN where it is identified in fewer than two layers.
    """
    last = plane.isel(epoch=-1)
    pairs = zip(last.beta_star.values, last.identified.values, strict=True)
    return np.array(
        [
            float((np.diff(beta[known]) < 0).all()) if known.sum() > 1 else np.nan
            for beta, known in pairs
        ]
    )


def t_interval(values: _Array) -> tuple[float, float, float]:
    """Mean and 95 % interval of Student's t; values that are NaN are left out."""
    from ibfast.corrections._counts import special

    known = values[~np.isnan(values)]
    if not known.size:
        return np.nan, np.nan, np.nan
    mean = float(known.mean())
    if known.size == 1:
        return mean, -np.inf, np.inf
    half = special().stdtrit(known.size - 1, 0.975) * known.std(ddof=1) / np.sqrt(known.size)
    return mean, mean - half, mean + half


def correlation_interval(a: _Array, b: _Array) -> tuple[float, float, float]:
    """Pearson's correlation of what several runs of the same seeds have, and its 95 % interval.

    By bootstrap over seeds: networks of one seed start alike and are no independent samples.

    Parameters
    ----------
    a, b : ndarray, shape (runs, seeds)
        NaN where a value is not known.

    Returns
    -------
    tuple of float
        The correlation, and the 2.5 and 97.5 % quantiles of those of resampled seeds; NaN where it
        is not defined.
    """

    def correlation(seeds: NDArray[np.int64]) -> float:
        x, y = a[:, seeds].ravel(), b[:, seeds].ravel()
        known = ~(np.isnan(x) | np.isnan(y))
        x, y = x[known], y[known]
        if x.size < 4 or x.std() == 0 or y.std() == 0:
            return np.nan
        return float(np.corrcoef(x, y)[0, 1])

    n = a.shape[1]
    whole = correlation(np.arange(n))
    picks = np.random.default_rng(0).integers(n, size=(_RESAMPLES, n))
    resampled = np.array([correlation(pick) for pick in picks])
    resampled = resampled[~np.isnan(resampled)]
    if np.isnan(whole) or not resampled.size:
        return np.nan, np.nan, np.nan
    low, high = np.quantile(resampled, [0.025, 0.975])
    return whole, float(low), float(high)


def _values(array: xr.DataArray) -> _Array:
    return np.asarray(array.values, dtype=np.float64)
