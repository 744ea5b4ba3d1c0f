"""How layers are measured: bins and estimators from text, and what an experiment makes of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ibfast.binning import Edges, Levels, Uniform, Width
from ibfast.estimators import KDE, Adaptive, Estimator, Noisy
from ibfast.plane import measure_layers

__all__ = ["Bins", "estimate_layers", "measure_binned", "parse_bins", "parse_estimator"]

Bins: TypeAlias = int | NDArray[np.float64] | Edges | Levels | Width

_NOISY_SAMPLES = 2  # around each row: 4096 rows leave a standard error of some millibits


def parse_bins(text: str) -> Bins:
    """Read bins from text.

    Parameters
    ----------
    text : str
        ``"30"``: equal bins over each layer's own range. ``"low:high:n"``:
        ``numpy.linspace(low, high, n)`` as `numpy.digitize` takes them. ``"tanh:n"``: edges at
        ``tanh(linspace(-50, 50, n))``, those that float64 cannot tell apart being one (Saxe et al.,
        2018). ``"width:w"``: bins of one width without end. ``"levels:bits:low:high"``: the levels
        of a quantised activation as they are.

    Returns
    -------
    int, ndarray of float64, or a binning
        What `ibfast.layer_information` takes as `bins`.

    Raises
    ------
    ValueError
        If the text is none of these.

    References
    ----------
    Saxe et al. (2018), "On the information bottleneck theory of deep learning", ICLR.

    Examples
    --------
    >>> parse_bins("-1:1:5")
    array([-1. , -0.5,  0. ,  0.5,  1. ])
    >>> parse_bins("levels:4:-1:1")
    Levels(bits=4, range=(-1.0, 1.0))
    """
    kind, *numbers = text.split(":")
    try:
        match kind, len(numbers):
            case "tanh", 1:
                if int(numbers[0]) > 1:
                    return Edges(np.unique(np.tanh(np.linspace(-50, 50, int(numbers[0])))))
            case "width", 1:
                return Width(float(numbers[0]))
            case "levels", 3:
                bits, low, high = numbers
                return Levels(int(bits), (float(low), float(high)))
            case _, 0:
                if int(text) > 0:
                    return int(text)
            case _, 2:
                first, last, n = float(kind), float(numbers[0]), int(numbers[1])
                if n > 1 and -math.inf < first < last < math.inf:
                    return np.linspace(first, last, n)
    except ValueError:
        pass
    raise ValueError(
        "bins must be a number such as 30, edges such as -1:1:50 or tanh:30, a width such as "
        f'width:0.07, or levels such as levels:4:-1:1; got "{text}"'
    )


def parse_estimator(text: str, *, exhaustive: bool = True, threads: int = 0) -> Estimator | None:
    """Read an estimator from text.

    Parameters
    ----------
    text : str
        ``"binned"``: the plug-in estimator on an experiment's bins. ``"adaptive:n"``: n bins with
        equally many unique activations, per layer and epoch (Chelombiev et al., 2019).
        ``"kde:variance"``: Kolchinsky & Tracey's bounds with noise of that variance (Saxe et al.,
        2018). ``"noisy:sd"``: activations with normal noise (Goldfeld et al., 2019).
    exhaustive, threads
        As the estimators take them.

    Returns
    -------
    Estimator or None
        None for ``"binned"``.

    Raises
    ------
    ValueError
        If the text is none of these.

    Examples
    --------
    >>> parse_estimator("adaptive:30").bins
    30
    """
    kind, _, number = text.partition(":")
    try:
        match kind:
            case "binned" if text == kind:
                return None
            case "adaptive":
                return Adaptive(int(number), exhaustive=exhaustive, threads=threads)
            case "kde":
                return KDE(math.sqrt(float(number)), threads=threads)
            case "noisy":
                return Noisy(float(number), samples=_NOISY_SAMPLES, threads=threads)
    except ValueError:
        pass
    raise ValueError(
        "estimator must be binned, adaptive:30 (bins), kde:0.001 (variance of the noise) or "
        f'noisy:0.005 (its standard deviation); got "{text}"'
    )


def measure_binned(
    layers: Sequence[Any], labels: NDArray[Any], bins: Bins, *, exhaustive: bool, threads: int = 0
) -> dict[str, NDArray[Any]]:
    """Measure every layer of every seed by its bins; the last layer is the softmax.

    Where the bins are levels, which probabilities are not, the softmax has as many equal bins
    between 0 and 1.

    Parameters
    ----------
    layers : sequence of array_like, shapes (seeds, n, d)
    labels, bins, exhaustive, threads
        As in `ibfast.plane.measure_layers`.

    Returns
    -------
    dict of ndarray, shape (seeds, layers)
        As `ibfast.plane.measure_layers`.
    """
    options: dict[str, Any] = {"exhaustive": exhaustive, "threads": threads}
    if not isinstance(bins, Levels):
        return measure_layers(layers, labels, bins=bins, **options)
    softmax = measure_layers(layers[-1:], labels, bins=Uniform(2**bins.bits, (0.0, 1.0)), **options)
    if len(layers) == 1:
        return softmax
    hidden = measure_layers(layers[:-1], labels, bins=bins, **options)
    return {name: np.hstack([hidden[name], softmax[name]]) for name in hidden}


def estimate_layers(
    layers: Sequence[Any],
    labels: NDArray[Any],
    estimator: Estimator,
    *,
    seeds: Sequence[int],
    entropy: Sequence[int] = (),
) -> dict[str, NDArray[Any]]:
    """Measure every layer of every seed with an estimator.

    Parameters
    ----------
    layers : sequence of array_like, shapes (seeds, n, d)
    labels : ndarray of int, shape (n,)
    estimator : Estimator
    seeds : sequence of int
        Their numbers.
    entropy : sequence of int
        Random numbers of one estimate are ``numpy.random.default_rng([*entropy, seed, layer])``,
        layers counting from 1.

    Returns
    -------
    dict of ndarray, shape (seeds, layers)
        ``i_xt``, ``i_ty`` in bits and ``saturated``, as the estimator says; ``i_xt_low``,
        ``i_ty_low``, where it has bounds.
    """
    found = []
    for number, layer in enumerate(layers, 1):
        for seed, acts in zip(seeds, layer, strict=True):
            key = [*entropy, seed, number]
            i_xt = estimator.i_xt(acts, rng=np.random.default_rng(key))
            i_ty = estimator.i_ty(acts, labels, rng=np.random.default_rng(key))
            one = {"i_xt": i_xt.value, "i_ty": i_ty.value, "saturated": i_xt.saturated}
            if i_xt.interval_kind == "bounds" and i_xt.interval and i_ty.interval:
                one |= {"i_xt_low": i_xt.interval[0], "i_ty_low": i_ty.interval[0]}
            found.append(one)
    shape = len(layers), len(seeds)
    return {name: np.array([one[name] for one in found]).reshape(shape).T for name in found[0]}
