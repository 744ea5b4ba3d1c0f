"""The result of an experiment: an `xarray.Dataset` with dims (seed, epoch, layer)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ibfast import layer_information
from ibfast._arrays import errors_name
from ibfast.binning import to_dict

try:
    import xarray as xr
except ImportError as error:
    raise ImportError('ibfast.plane needs xarray: pip install "ibfast[store]"') from error

__all__ = [
    "BOUND_VARIABLES",
    "GRADIENT_VARIABLES",
    "LAYER_VARIABLES",
    "coordinates",
    "information_plane",
    "measure_arrays",
    "measure_layers",
    "summary",
]

# name: (long name, units)
LAYER_VARIABLES = {
    "i_xt": ("I(X;T)", "bits"),
    "i_ty": ("I(T;Y)", "bits"),
    "h_t": ("H(T)", "bits"),
    "n_cells": ("occupied cells", "1"),
    "n_singletons": ("cells that hold one row", "1"),
    "saturated": ("nearly all rows alone in their cells", "1"),
}
"""name: (long name, units) of what `measure_layers` returns."""
_INTERVALS = {
    "i_xt_low": ("lower bound of I(X;T)", "bits"),
    "i_ty_low": ("lower bound of I(T;Y)", "bits"),
}
BOUND_VARIABLES = {
    "gap": ("gap", "below the bound at this I(X;T)", "bits"),
    "gap_share": ("gap_share", "the same, as a share of the bound", "1"),
    "rate_gap": ("rate_gap", "I(X;T) beyond the least for this I(T;Y)", "bits"),
    "hard_gap": ("hard_gap", "below the hull of hard encoders at this I(X;T)", "bits"),
    "beta_star": ("beta", "beta of the nearest encoder of the IB equations", "1"),
    "divergence": ("divergence", "KL from the layer to that encoder", "bits"),
    "encoder_residual": ("encoder_residual", "total variation of p(t|x) from it", "1"),
    "marginal_residual": ("marginal_residual", "total variation of p(t) from its own", "1"),
    "decoder_residual": ("decoder_residual", "total variation of p(y|t) from its own", "1"),
    "identified": ("identified", "beta* means something", "1"),
}
"""name: (field of `ibfast.bottleneck.LayerOptimality`, long name, units)"""
GRADIENT_VARIABLES = {
    "gradient_mean": ("norm of the mean minibatch gradient over that of the weights", "nats"),
    "gradient_sd": ("standard deviation of minibatch gradients over the same", "nats"),
    "gradient_snr": ("norm of the mean over the standard deviation of gradients", "1"),
}
"""name: (long name, units) of what `ibfast.gradients.gradient_statistics` measures."""
_PER_SEED = {
    "train_accuracy": ("accuracy on the training rows", "1"),
    "test_accuracy": ("accuracy on the other rows, NaN where there are none", "1"),
    "loss": ("mean cross-entropy on the training rows", "bits"),
}


def measure_layers(
    activations: Iterable[ArrayLike],
    labels: ArrayLike,
    *,
    bins: Any = 30,
    outside: str = "raise",
    exhaustive: bool = False,
    threads: int = 0,
) -> dict[str, NDArray[Any]]:
    """Measure every layer of every seed at one moment.

    Parameters
    ----------
    activations : iterable of array_like, shapes (n, d) or (seeds, n, d)
        One array per layer; a torch tensor of any strides is not copied.
    labels : array_like, shape (n,) or (n, classes)
        Integer classes, or rows p(y|x).
    bins, outside, exhaustive, threads
        As in `ibfast.layer_information`.

    Returns
    -------
    dict of ndarray, shape (seeds, layers)
        ``i_xt``, ``i_ty``, ``h_t`` in bits, ``n_cells``, ``n_singletons``, ``saturated``.

    Raises
    ------
    TypeError, ValueError
        If the arguments are not valid for `ibfast.layer_information`; the text names the layer.

    Examples
    --------
    >>> hidden = np.array([[0.0], [0.0], [1.0], [1.0]])
    >>> measured = measure_layers([hidden, hidden], [0, 0, 1, 1], bins=2)
    >>> measured["i_ty"]
    array([[1., 1.]])
    """
    layers = []
    for number, a in enumerate(activations, 1):
        with errors_name(f"layer {number}"):
            layers.append(
                layer_information(
                    a, labels, bins=bins, outside=outside, exhaustive=exhaustive, threads=threads
                )
            )
    return {
        name: np.stack([np.atleast_1d(getattr(layer, name)) for layer in layers], axis=-1)
        for name in LAYER_VARIABLES
    }


def measure_arrays(
    layers: Mapping[str, ArrayLike],
    labels: ArrayLike,
    *,
    epochs: ArrayLike | None = None,
    bins: Any = 30,
    outside: str = "raise",
    exhaustive: bool = False,
    threads: int = 0,
) -> xr.Dataset:
    """Measure activations that some other tool has recorded.

    Parameters
    ----------
    layers : mapping of str to array_like
        Per layer ``(n, d)``, or ``(epochs, n, d)`` with as many epochs in each.
    labels : array_like, shape (n,) or (n, classes)
        Integer classes, or rows p(y|x).
    epochs : array_like of int, optional
        Their numbers, different and not negative; 0, 1, ... by default.
    bins, outside, exhaustive, threads
        As in `ibfast.layer_information`; bins without a range take each epoch's own.

    Returns
    -------
    xarray.Dataset
        As `information_plane` returns, with one seed.

    Raises
    ------
    TypeError, ValueError
        If there are no layers, a shape does not fit, or the epochs are not that many integers; or
        as `measure_layers`.

    Examples
    --------
    >>> hidden = np.array([[0.0], [0.0], [1.0], [1.0]])
    >>> plane = measure_arrays({"hidden": hidden}, [0, 0, 1, 1], bins=2)
    >>> plane.i_xt.values
    array([[[1.]]])
    """
    stacks = {name: _with_epochs(name, np.asarray(a)) for name, a in layers.items()}
    lengths = {name: len(stack) for name, stack in stacks.items()}
    if not stacks or len(set(lengths.values())) > 1:
        raise ValueError(f"layers must be one or more with as many epochs in each; got {lengths}")
    n_epochs = next(iter(lengths.values()))
    numbers = np.arange(n_epochs) if epochs is None else np.asarray(epochs)
    whole = np.issubdtype(numbers.dtype, np.integer)
    if (
        not whole
        or numbers.shape != (n_epochs,)
        or np.unique(numbers).size < n_epochs
        or numbers.min() < 0
    ):
        raise ValueError(
            f"epochs must be {n_epochs} different integers, none negative; "
            f"got {numbers.dtype} {numbers.tolist()}"
        )
    records = {}
    for place, number in enumerate(numbers.tolist()):
        with errors_name(f"epoch {number}"):
            records[number] = measure_layers(
                [stack[place] for stack in stacks.values()],
                labels,
                bins=bins,
                outside=outside,
                exhaustive=exhaustive,
                threads=threads,
            )
    return information_plane(
        records,
        layers=list(stacks),
        samples=next(iter(stacks.values())).shape[1],
        attrs={
            "units": "bits",
            "bins": _bins_as_attribute(bins),
            "outside": outside,
            "estimator": "binned, plug-in",
            "exhaustive": int(exhaustive),
        },
    )


def _bins_as_attribute(bins: Any) -> Any:
    """A number, a list of edges, or the JSON of a binning."""
    plain = np.asarray(bins)
    return json.dumps(to_dict(bins)) if plain.dtype == object else plain.tolist()


def _with_epochs(name: str, a: NDArray[Any]) -> NDArray[Any]:
    if a.ndim not in (2, 3) or 0 in a.shape:
        raise ValueError(
            f"layer {name!r} must have shape (n, d) or (epochs, n, d), none of them 0; "
            f"got {a.shape}"
        )
    return a if a.ndim == 3 else a[None]


def information_plane(
    records: Mapping[int, Mapping[str, ArrayLike]],
    *,
    layers: Sequence[str],
    samples: int,
    seeds: Sequence[int] = (0,),
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Put what was measured at each epoch together.

    Parameters
    ----------
    records : mapping of int to mapping of str to array_like
        Per epoch, what `measure_layers` returned; optionally ``train_accuracy``,
        ``test_accuracy`` and ``loss`` of shape (seeds,), and of shape (seeds, layers)
        ``i_xt_low``, ``i_ty_low`` (lower bounds), `BOUND_VARIABLES` and `GRADIENT_VARIABLES`.
    layers : sequence of str
        Their names; the layer coordinate counts from 1, the names are its attribute ``names``.
    samples : int
        Rows measured: I(X;T) cannot exceed its log2. An attribute of the result.
    seeds : sequence of int
        Their numbers.
    attrs : mapping, optional
        Bins, versions, configuration: what the measurement was.

    Returns
    -------
    xarray.Dataset
        Dims ``(seed, epoch, layer)``; every variable has ``long_name`` and ``units``.

    Raises
    ------
    ValueError
        If there are no records.
    """
    if not records:
        raise ValueError("records must hold at least one epoch; got none")
    bound = {name: (long_name, units) for name, (_, long_name, units) in BOUND_VARIABLES.items()}
    per_layer = {**LAYER_VARIABLES, **_INTERVALS, **bound, **GRADIENT_VARIABLES}
    described = {**per_layer, **_PER_SEED}
    epochs = sorted(records)
    variables = {}
    for name in records[epochs[0]]:
        dims = ("seed", "epoch", "layer") if name in per_layer else ("seed", "epoch")
        values = np.stack([np.asarray(records[epoch][name]) for epoch in epochs], axis=1)
        long_name, units = described[name]
        variables[name] = (dims, values, {"long_name": long_name, "units": units})
    return xr.Dataset(
        variables,
        coords=coordinates(seeds, epochs, layers),
        attrs={"samples": samples, **(attrs or {})},
    )


def coordinates(
    seeds: Sequence[int], epochs: Sequence[int], layers: Sequence[str]
) -> dict[str, Any]:
    """Coordinates (seed, epoch, layer): layers count from 1, their names are an attribute.

    Parameters
    ----------
    seeds, epochs : sequence of int
    layers : sequence of str

    Returns
    -------
    dict
        For `xarray.Dataset`.

    Examples
    --------
    >>> coordinates([0], [0, 10], ["tanh"])["epoch"][:2]
    ('epoch', [0, 10])
    """
    return {
        "seed": ("seed", list(seeds), {"long_name": "seed of the network"}),
        "epoch": ("epoch", list(epochs), {"long_name": "epochs of training", "units": "1"}),
        "layer": ("layer", range(1, len(layers) + 1), {"names": list(layers)}),
    }


def summary(plane: xr.Dataset) -> xr.Dataset:
    """Condense a plane to one line per layer.

    Parameters
    ----------
    plane : xarray.Dataset
        From `information_plane`.

    Returns
    -------
    xarray.Dataset
        Dim ``layer``: ``peak_epoch``, at which the mean over seeds of I(X;T) is largest (the first
        if several), ``peak`` (its value, bits), ``compression`` (peak minus final, bits),
        ``final_i_xt`` and ``final_i_ty`` (bits) with ``_sd`` over seeds (NaN for one seed), and
        ``saturated``, whether at that peak most seeds were.
    """
    mean = plane.i_xt.mean("seed")
    peak_epoch = mean.idxmax("epoch")
    saturated = plane.saturated.sel(epoch=peak_epoch).mean("seed") > 0.5
    final = plane.isel(epoch=-1, drop=True)
    return xr.Dataset(
        {
            "peak_epoch": peak_epoch.astype(int),
            "peak": mean.max("epoch"),
            "compression": mean.max("epoch") - final.i_xt.mean("seed"),
            "final_i_xt": final.i_xt.mean("seed"),
            "final_i_xt_sd": over_seeds_sd(final.i_xt),
            "final_i_ty": final.i_ty.mean("seed"),
            "final_i_ty_sd": over_seeds_sd(final.i_ty),
            "saturated": saturated.drop_vars("epoch"),
        }
    )


def over_seeds_sd(values: xr.DataArray) -> xr.DataArray:
    """Sample standard deviation over seeds; NaN for one seed."""
    if values.sizes["seed"] == 1:
        return xr.full_like(values.isel(seed=0, drop=True), np.nan)
    return values.std("seed", ddof=1)
