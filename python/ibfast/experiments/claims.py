"""The claims of the paper and of its critics, how each is tested, and the thresholds.

The thresholds were written down before the runs that they judge, but for the claim "bound", whose
runs had been looked at before (`docs/bottleneck.md`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ibfast.experiments import statistics as st

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["CLAIMS", "Claim", "Criterion"]

Planes = Mapping[str, "xr.Dataset"]
"""By the full name of the variant."""


@dataclass(frozen=True)
class Criterion:
    """One number with a threshold."""

    statistic: str
    """What it is, in words."""
    units: str
    relation: Literal[">", "<"]
    """On which side of the threshold it must lie for the claim."""
    threshold: float
    measure: Callable[[Planes], Any]
    """An array of one value a network, or (value, low, high) with its own 95 % interval."""


@dataclass(frozen=True)
class Claim:
    """A claim and its criteria: it is supported if all are met, not supported if none is."""

    name: str
    statement: str
    source: str
    variants: tuple[str, ...]
    """The runs that it needs."""
    criteria: tuple[Criterion, ...]
    change: str
    """What would change the verdict."""


def _of(name: str, statistic: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    return lambda planes: statistic(planes[name], *arguments, **options)


def _minus(a: str, b: str, statistic: Callable[..., Any], *arguments: Any) -> Any:
    """Of networks with the same seed, which start alike."""
    return lambda planes: statistic(planes[a], *arguments) - statistic(planes[b], *arguments)


def _mean(names: tuple[str, ...], statistic: Callable[..., Any], *arguments: Any) -> Any:
    """Mean over the runs of each seed: networks of one seed start alike."""
    return lambda planes: np.nanmean([statistic(planes[n], *arguments) for n in names], axis=0)


def _correlation(names: tuple[str, ...], a: Callable[..., Any], b: Callable[..., Any]) -> Any:
    return lambda planes: st.correlation_interval(
        np.array([a(planes[n]) for n in names]), np.array([b(planes[n]) for n in names])
    )


def _test_accuracy(plane: xr.Dataset) -> Any:
    return st.final(plane, "test_accuracy")


def _hidden_compression(plane: xr.Dataset) -> Any:
    return st.compression(plane, output=False)


def _doublings(shallow: str, deep: str) -> Any:
    """How many times faster the deep network learns, as a power of 2."""
    return lambda planes: np.log2(
        np.maximum(st.epochs_to_share(planes[shallow]), 1)
        / np.maximum(st.epochs_to_share(planes[deep]), 1)
    )


def _edges_share(planes: Planes) -> Any:
    """Share of the compression that goes with the other edges."""
    uniform, other = (
        st.compression(planes[f"saxe-edges/{name}"], output=False) for name in ("uniform", "tanh")
    )
    return 1 - other / np.where(uniform > 0, uniform, np.nan)


_SZT = "Shwartz-Ziv & Tishby 2017"
_NOISY = ("noise/sgd-32", "noise/sgd-256", "noise/gd", "noise/langevin")
_QUANTISED = tuple(f"lorenzen-quantised/{name}" for name in ("tanh-q4", "tanh-q8"))
_QUANTISED_RELU = tuple(f"lorenzen-quantised/{name}" for name in ("relu-q4", "relu-q8"))
_BOUND = tuple(f"bound/{information}" for information in ("0.99", "0.9", "0.7"))

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "phases",
        "Networks first fit the labels, then spend most of the training compressing the input.",
        f"{_SZT}, finding 1",
        ("szt",),
        (
            Criterion(
                "share of the epochs after the peak of I(X;T), layers 4 to 7",
                "1",
                ">",
                0.9,
                _of("szt", st.share_after_peak),
            ),
            Criterion(
                "compression after the peak, layers 4 to 7",
                "bits",
                ">",
                0.5,
                _of("szt", st.compression),
            ),
            Criterion(
                "I(T;Y) at the peak as a share of the final one, layers 4 to 7",
                "1",
                ">",
                0.9,
                _of("szt", st.fitted_at_peak),
            ),
        ),
        "Labels that are fitted before the peak: I(T;Y) still grows while I(X;T) falls.",
    ),
    Claim(
        "drift-diffusion",
        "Gradients pass from drift to diffusion, and that is where compression begins.",
        f"{_SZT}, finding 2; Saxe et al. 2018 for ReLU and linear networks",
        ("phases/tanh", "phases/relu", "phases/linear"),
        (
            Criterion(
                "share of layers 4 to 7 of tanh networks in which the SNR of gradients falls",
                "1",
                ">",
                0.9,
                _of("phases/tanh", st.share_with_transition),
            ),
            Criterion(
                "distance of that fall from the peak of I(X;T), tanh",
                "factors of 10",
                "<",
                0.3,
                _of("phases/tanh", st.transition_from_peak),
            ),
            Criterion(
                "correlation of both epochs (logarithms) over tanh networks",
                "1",
                ">",
                0.5,
                _correlation(("phases/tanh",), st.log_transition, st.log_peak),
            ),
            Criterion(
                "share of the deep layers of ReLU and linear networks in which the SNR falls",
                "1",
                "<",
                0.5,
                _mean(("phases/relu", "phases/linear"), st.share_with_transition),
            ),
        ),
        "A fall at the peak of I(X;T), network by network, and none where nothing compresses.",
    ),
    Claim(
        "bound",
        "Layers lie near the information-bottleneck bound and satisfy its equations, with a beta* "
        "that falls with depth.",
        f"{_SZT}, finding 3",
        _BOUND,
        (
            *(
                Criterion(
                    f"farthest layer below the bound, as a share of it, I(X;Y) = {name[6:]}",
                    "1",
                    "<",
                    0.05,
                    _of(name, st.worst_gap_share),
                )
                for name in _BOUND
            ),
            *(
                Criterion(
                    f"KL of the nearest layer from the equations' encoder, I(X;Y) = {name[6:]}",
                    "bits",
                    "<",
                    0.1,
                    _of(name, st.least_divergence),
                )
                for name in _BOUND
            ),
            Criterion(
                "share of networks whose beta* falls from layer to layer",
                "1",
                ">",
                0.5,
                _mean(_BOUND, st.beta_falls),
            ),
        ),
        "Layers whose cells are used as the equations say: noise in the layer, or fewer cells.",
    ),
    Claim(
        "noise",
        "The noise of stochastic gradients compresses, and compression makes networks generalise.",
        f"{_SZT}, finding 4; against it Saxe et al. 2018",
        (*_NOISY, "noise/random"),
        (
            Criterion(
                "compression of layers 4 to 7, minibatches of 256 minus full batches (which have a "
                "quarter of the learning rate times updates)",
                "bits",
                ">",
                0.25,
                _minus("noise/sgd-256", "noise/gd", st.compression),
            ),
            Criterion(
                "the same, full batches with Langevin noise minus without",
                "bits",
                ">",
                0.25,
                _minus("noise/langevin", "noise/gd", st.compression),
            ),
            Criterion(
                "correlation of compression and test accuracy over all networks on true labels",
                "1",
                ">",
                0.5,
                _correlation(_NOISY, st.compression, _test_accuracy),
            ),
            Criterion(
                "compression on random labels, layers 4 to 7",
                "bits",
                "<",
                0.5,
                _of("noise/random", st.compression),
            ),
        ),
        "Compression only where there is noise, and generalisation only with compression; full "
        "batches trained for as long.",
    ),
    Claim(
        "depth",
        "More hidden layers learn in far fewer epochs.",
        f"{_SZT}, finding 5",
        ("depth/hidden-1", "depth/hidden-6"),
        (
            Criterion(
                "epochs to 95 % of the final I(T;Y) of the output, one hidden layer over six",
                "doublings",
                ">",
                1.0,
                _doublings("depth/hidden-1", "depth/hidden-6"),
            ),
            Criterion(
                "epochs of networks with six hidden layers to that share",
                "epochs",
                "<",
                400.0,
                _of("depth/hidden-6", st.epochs_to_share),
            ),
        ),
        "Another optimiser or learning rate for each depth: epochs are compared at one of them.",
    ),
    Claim(
        "samples",
        "With few samples compression loses I(T;Y); with more, layers end with more of both.",
        f"{_SZT}, finding 6",
        ("samples/05", "samples/85"),
        (
            Criterion(
                "I(T;Y) lost after its peak with 5 % of the patterns, layers 4 to 7",
                "bits",
                ">",
                0.05,
                _of("samples/05", st.drop),
            ),
            Criterion(
                "the same with 85 %",
                "bits",
                "<",
                0.05,
                _of("samples/85", st.drop),
            ),
            Criterion(
                "final I(T;Y), 85 % minus 5 %",
                "bits",
                ">",
                0.1,
                _minus("samples/85", "samples/05", st.final, "i_ty"),
            ),
            Criterion(
                "final I(X;T), 85 % minus 5 %",
                "bits",
                ">",
                0.0,
                _minus("samples/85", "samples/05", st.final, "i_xt"),
            ),
        ),
        "Training until each size has converged.",
    ),
    Claim(
        "relu",
        "Networks of ReLUs do not compress where those of tanh do.",
        "Saxe et al. 2018",
        ("saxe-relu/tanh", "saxe-relu/relu"),
        (
            Criterion(
                "compression of the hidden layers 4 to 6, tanh",
                "bits",
                ">",
                0.5,
                _of("saxe-relu/tanh", _hidden_compression),
            ),
            Criterion(
                "the same, ReLU",
                "bits",
                "<",
                0.25,
                _of("saxe-relu/relu", _hidden_compression),
            ),
        ),
        "Other bins, or dead units: a ReLU that is 0 for all inputs has lost them.",
    ),
    Claim(
        "edges",
        "The compression of tanh networks is mostly of the bins: edges that follow tanh remove it.",
        "Saxe et al. 2018",
        ("saxe-edges/uniform", "saxe-edges/tanh"),
        (
            Criterion(
                "share of the compression of the hidden layers that goes",
                "1",
                ">",
                0.5,
                _edges_share,
            ),
        ),
        "Saturation that is in the activations themselves, which no edges undo in float32.",
    ),
    Claim(
        "quantised",
        "Exact information of quantised networks: all layers fit, the output compresses, hidden "
        "layers by their activation.",
        "Lorenzen et al. 2022",
        (*_QUANTISED, *_QUANTISED_RELU),
        (
            Criterion(
                "growth of I(T;Y) in that of layers 4 to 7 where it grows least",
                "bits",
                ">",
                0.1,
                _mean((*_QUANTISED, *_QUANTISED_RELU), st.fitting),
            ),
            Criterion(
                "compression of the output layer",
                "bits",
                ">",
                0.5,
                _mean((*_QUANTISED, *_QUANTISED_RELU), st.output_compression),
            ),
            Criterion(
                "compression of the hidden layers 4 to 6, tanh minus ReLU",
                "bits",
                ">",
                0.25,
                lambda planes: (
                    _mean(_QUANTISED, _hidden_compression)(planes)
                    - _mean(_QUANTISED_RELU, _hidden_compression)(planes)
                ),
            ),
        ),
        "Another number of bits, or the softmax quantised as well.",
    ),
    Claim(
        "adaptive",
        "With adaptive bins single ReLU networks vary and their mean shows no compression; weight "
        "decay adds some; only the last layer's goes with generalisation.",
        "Chelombiev et al. 2019",
        ("chelombiev-adaptive/relu", "chelombiev-adaptive/weight-decay"),
        (
            Criterion(
                "compression of the mean curve of the hidden layers, ReLU",
                "bits",
                "<",
                0.25,
                _of("chelombiev-adaptive/relu", st.mean_curve_compression),
            ),
            Criterion(
                "compression of the hidden layers, with weight decay minus without",
                "bits",
                ">",
                0.0,
                _minus(
                    "chelombiev-adaptive/weight-decay",
                    "chelombiev-adaptive/relu",
                    _hidden_compression,
                ),
            ),
            Criterion(
                "correlation of the last layer's compression with test accuracy",
                "1",
                ">",
                0.3,
                _correlation(
                    ("chelombiev-adaptive/relu", "chelombiev-adaptive/weight-decay"),
                    st.output_compression,
                    _test_accuracy,
                ),
            ),
            Criterion(
                "correlation of the hidden layers' compression with test accuracy",
                "1",
                "<",
                0.3,
                _correlation(
                    ("chelombiev-adaptive/relu", "chelombiev-adaptive/weight-decay"),
                    _hidden_compression,
                    _test_accuracy,
                ),
            ),
        ),
        "More networks: correlations over 40 are known to about 0.3.",
    ),
)
