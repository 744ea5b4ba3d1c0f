"""What was measured, as numbers by name and as an `xarray.Dataset`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ibfast._arrays import check_rng
from ibfast.binning import Width
from ibfast.estimators import Estimator
from ibfast.recorder._cells import Cells
from ibfast.recorder._counting import LayerCounts

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Measurement", "Records", "dataset", "diagnose", "measure_counts"]

_FIELDS = ("i_xt", "h_t", "h_t_given_x", "n", "n_cells", "n_singletons", "saturated")


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What one call of `Recorder.measure` found.

    Attributes
    ----------
    epoch : int
    layers : mapping of str to mapping of str to mapping of str to float
        By split, layer and name of the quantity, as in the Dataset of `Recorder.plane`; I(T;Y) of
        several label sets is ``i_ty/name``.

    Examples
    --------
    >>> Measurement(3, {"test": {"fc1": {"i_xt": 2.0, "i_ty": 0.5}}}).scalars()
    {'ib/test/fc1/i_xt': 2.0, 'ib/test/fc1/i_ty': 0.5}
    """

    epoch: int
    layers: Mapping[str, Mapping[str, Mapping[str, float]]]

    @classmethod
    def of(
        cls, epoch: int, records: Mapping[str, Mapping[str, Mapping[str, float]]]
    ) -> Measurement:
        """From records, whose names have the label set even where there is one."""

        def short(values: Mapping[str, float]) -> dict[str, float]:
            several = len({name.partition("/")[2] for name in values}) > 2
            return {n if several else n.partition("/")[0]: value for n, value in values.items()}

        layers = {
            split: {layer: short(values) for layer, values in of_split.items()}
            for split, of_split in records.items()
        }
        return cls(epoch, layers)

    def scalars(self, prefix: str = "ib") -> dict[str, float]:
        """All numbers by one name each, for loggers: ``prefix/split/layer/quantity``."""
        return {
            f"{prefix}/{split}/{layer}/{name}": float(value)
            for split, layers in self.layers.items()
            for layer, values in layers.items()
            for name, value in values.items()
        }


def measure_counts(
    counts: LayerCounts,
    estimators: Mapping[str, Estimator],
    shuffles: int,
    entropy: Sequence[int],
) -> dict[str, float]:
    """The numbers of one layer; those that depend on labels have their set's name, ``i_ty/y``."""
    values: dict[str, float] = {}
    for labels in counts.tables:
        layer = counts.information(labels)
        if not values:
            values |= {name: float(getattr(layer, name)) for name in _FIELDS}
        values[f"i_ty/{labels}"] = float(layer.i_ty)
        values[f"h_y/{labels}"] = float(layer.h_y)
        null = counts.null(labels, shuffles, entropy)
        if null is not None:
            values[f"i_ty_null/{labels}"] = null
    values["units"] = float(counts.units or 0)
    values["least"], values["greatest"] = counts.least, counts.greatest
    values["outside_share"] = counts.outside / counts.values
    if counts.sample is not None:
        columns = counts.sample.columns
        for name, estimator in estimators.items():
            acts = columns["acts"]
            rng = check_rng([*entropy])
            values[f"i_xt_{name}"] = estimator.i_xt(acts, columns.get("inputs"), rng=rng).value
            for labels in counts.tables:
                rng = check_rng([*entropy])
                found = estimator.i_ty(acts, columns[f"labels {labels}"], rng=rng)
                values[f"i_ty_{name}/{labels}"] = found.value
    return values


# name: (long name, units), beside those of `ibfast.plane` and of estimators
_DESCRIBED = {
    "h_t_given_x": ("H(T|X)", "bits"),
    "h_y": ("H(Y)", "bits"),
    "i_ty_null": ("I(T;Y) where the labels are shuffled", "bits"),
    "n": ("rows", "1"),
    "units": ("units of the layer", "1"),
    "least": ("least activation", "1"),
    "greatest": ("greatest activation", "1"),
    "outside_share": ("share of activations outside the bins, in cells of their own", "1"),
}
_BIASED = 0.1  # share of I(T;Y) that shuffled labels may have unsaid
_GROWN = 4  # times the span for which a width was chosen
_WHOLE = ("n", "n_cells", "n_singletons", "units")

# By split, epoch, layer, name.
Records = Mapping[str, Mapping[int, Mapping[str, Mapping[str, float]]]]


def dataset(
    records: Records,
    layers: Sequence[str],
    *,
    seed: int,
    layer_attrs: Mapping[str, Sequence[str]],
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Put records together; dims ``split`` and ``labels`` come last, where there are several.

    What was not measured is NaN; then counts are floating point.
    """
    import xarray as xr

    from ibfast.plane import LAYER_VARIABLES, coordinates

    splits = list(records)
    epochs = sorted({epoch for of_split in records.values() for epoch in of_split})
    entries = [
        (split, epoch, layer, *name.partition("/")[::2], value)
        for split, of_split in records.items()
        for epoch, of_epoch in of_split.items()
        for layer, values in of_epoch.items()
        for name, value in values.items()
    ]
    label_sets = list(dict.fromkeys(labels for *_, labels, _ in entries if labels))
    by_set = {name for *_, name, labels, _ in entries if labels}
    at_epoch, at_layer = ({v: i for i, v in enumerate(values)} for values in (epochs, layers))
    shape = 1, len(epochs), len(layers), len(splits), len(label_sets)
    arrays = {name: np.full(shape, np.nan) for name in dict.fromkeys(e[3] for e in entries)}
    for split, epoch, layer, name, labels, value in entries:
        of_labels = label_sets.index(labels) if labels else 0
        place = 0, at_epoch[epoch], at_layer[layer], splits.index(split), of_labels
        arrays[name][place] = value
    known = {**LAYER_VARIABLES, **_DESCRIBED}
    variables = {}
    for name, array in arrays.items():
        dims = ["seed", "epoch", "layer", "split", "labels"]
        if name not in by_set or len(label_sets) == 1:
            array, dims = array[..., 0], dims[:4]
        if len(splits) == 1:
            array, dims = array[:, :, :, 0], [dim for dim in dims if dim != "split"]
        if name in known:
            long_name, units = known[name]
        else:  # i_xt_ or i_ty_ and the name of an estimator
            long_name, units = f"{known[name[:4]][0]}, {name[5:]}", "bits"
        variables[name] = (dims, _narrow(name, array), {"long_name": long_name, "units": units})
    coords = coordinates([seed], epochs, layers)
    coords["layer"][2].update({name: list(values) for name, values in layer_attrs.items()})
    # Strings of any length, for which Zarr has a format.
    coords["name"] = ("layer", np.array(layers, dtype=object), {"long_name": "name of the module"})
    if len(splits) > 1:
        names = np.array(splits, dtype=object)
        coords["split"] = ("split", names, {"long_name": "which data were measured"})
    if len(label_sets) > 1:
        names = np.array(label_sets, dtype=object)
        coords["labels"] = ("labels", names, {"long_name": "which labels Y are"})
    samples = int(np.nanmax(arrays["n"]))
    return xr.Dataset(variables, coords, {"samples": samples, **attrs})


def _narrow(name: str, array: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
    if np.isnan(array).any():
        return array
    if name == "saturated":
        return array.astype(bool)
    whole = name in _WHOLE and (array == np.rint(array)).all()
    return array.astype(np.int64) if whole else array


def diagnose(name: str, cells: Cells, records: Records) -> str:
    """What a reader must know of a layer's numbers, in words; "" where there is nothing."""
    places = [
        (f"{split!r} at epoch {epoch}", values[name])
        for split, of_split in records.items()
        for epoch, values in of_split.items()
        if name in values
    ]
    found = [values for _, values in places]
    said = []
    pinned = [(place, values) for place, values in places if values["saturated"]]
    if pinned:
        projected = isinstance(cells.dims, int)
        axes = f"{cells.dims} dimensions" if projected else f"{found[0]['units']:.0f} units"
        place, worst = max(pinned, key=lambda one: one[1]["n_singletons"] / one[1]["n"])
        advice = "" if cells.pooled else "pool over positions, "
        said.append(
            f"saturated in {len(pinned)} of {len(found)} measurements: in {place} "
            f"{worst['n_singletons'] / worst['n']:.0%} of {worst['n']:.0f} rows are alone in their "
            f"cells, for {axes} have more cells than there are rows to fill; "
            "then I(X;T) and I(T;Y) are about as large as they can be, log2 n and H(Y), whatever "
            f"the network does: {advice}take dims='per_unit' or a projection (dims=2), fewer bins, "
            "more rows or another estimator"
        )
    nulls = [
        (null, values[key.replace("_null", "")], place, key.partition("/")[2])
        for place, values in places
        for key, null in values.items()
        if key.startswith("i_ty_null")
    ]
    null, value, place, labels = max(nulls, default=(0.0, 0.0, "", ""))
    if null > _BIASED * value and null > 0.01 and not pinned:
        said.append(
            f"of I(T;Y) = {value:.3f} bits {null:.3f} are there with shuffled labels too (the "
            f"most, in {place}, labels {labels!r}), as there are few rows for so many cells"
        )
    span = max(values["greatest"] - values["least"] for values in found)
    chosen = cells.span if cells.span and not isinstance(cells.dims, int) else span
    if span < chosen / _GROWN:
        said.append(
            f"activations span no more than {span:.3g}, but bins were chosen for {chosen:.3g}, "
            f"{cells.describe()}: few of them are used"
        )
    if span > _GROWN * chosen and isinstance(cells.binning, Width):
        wider = Width(cells.binning.width * 2.0 ** round(math.log2(span / chosen)))
        said.append(
            f"activations span up to {span:.3g}, {span / chosen:.0f} times as much as when the "
            f"bins were chosen, {cells.describe()}, and so do as many more of these: for as few as "
            f"then, say bins={wider!r} in another run"
        )
    outside = max(values["outside_share"] for values in found)
    if outside:
        said.append(f"up to {outside:.2%} of the activations lie outside {cells.describe()}")
    if isinstance(cells.dims, int):
        said.append(
            f"random projection to {cells.dims} dimensions: less than the layer holds, for it is a "
            "function of it"
        )
    if cells.dims == "per_unit":
        said.append(
            "mean over the units of what each holds alone; nothing of what they hold jointly"
        )
    if cells.pooled:
        said.append(
            f"{cells.pooled} over positions: less than the layer holds, for it is a function of it"
        )
    return "; ".join(said)
