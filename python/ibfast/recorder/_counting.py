"""What is counted of one layer in one pass, and what the counts say."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibfast._arrays import (
    Acts,
    Labels,
    as_array,
    as_distributions,
    as_finite,
    view_classes,
    view_weights,
    widen_bfloat16,
)
from ibfast._resampling import draw_seed, joint_of, shuffled_information, summaries
from ibfast.binning._kinds import Binning
from ibfast.counts import JointCounts
from ibfast.measures import LayerInformation, information
from ibfast.recorder._cells import Keys
from ibfast.recorder._samples import Reservoir

__all__ = ["LayerCounts", "Targets", "check_class_weights", "read_targets"]

_MOST_CLASSES = 2**31


@dataclasses.dataclass(frozen=True)
class Targets:
    """What belongs to the samples of a batch, checked."""

    n: int
    labels: Mapping[str, NDArray[Any]]
    weights: Mapping[str, NDArray[np.float64] | None]
    inputs: NDArray[Any] | None


def check_class_weights(class_weights: Any) -> dict[str | None, NDArray[np.float64]]:
    """Class weights by the name of their label set; None stands for every set.

    Raises
    ------
    TypeError, ValueError
        They are not positive numbers.
    """
    if class_weights is None:
        return {}
    several = class_weights if isinstance(class_weights, Mapping) else {None: class_weights}
    checked = {}
    for name, weights in several.items():
        checked[name] = as_finite("class_weights", weights, ndim=1, least=0.0)
        if not (checked[name] > 0).all():
            raise ValueError(f"class_weights: {weights!r}; expected positive numbers")
    return checked


def read_targets(
    labels: Any,
    inputs: Any,
    weights: Any,
    class_weights: Mapping[str | None, NDArray[np.float64]],
) -> Targets:
    """Check the labels, input ids and weights of a batch.

    Raises
    ------
    TypeError, ValueError
        There are none, or they are of different lengths or no labels.
    """
    sets = dict(labels) if isinstance(labels, Mapping) else {"y": labels}
    if not sets:
        raise ValueError("labels: an empty mapping; expected the labels of each batch")
    for name, one in sets.items():
        if one is None:
            raise ValueError(f"labels: None for {name!r}; expected the labels of each batch")
        if not isinstance(name, str) or not name or "/" in name:
            raise ValueError(f"labels: label set {name!r}; expected names without '/'")
    views = {name: as_array("labels", _on_host(one)) for name, one in sets.items()}
    itemsize = {name: view.dtype.itemsize for name, (view, _) in views.items()}  # as they came
    arrays = {name: widen_bfloat16(a) if wide else a for name, (a, wide) in views.items()}
    lengths = {len(a) if a.ndim else 0 for a in arrays.values()}
    if len(lengths) > 1 or 0 in lengths:
        raise ValueError(
            f"labels: shapes {[a.shape for a in arrays.values()]}; expected as many rows in each, "
            "and at least one"
        )
    n = lengths.pop()
    acts = Acts(np.zeros((n, 1)), False)
    p = None if weights is None else view_weights(_on_host(weights), acts)
    each = {}
    for name, array in arrays.items():
        own = class_weights.get(name, class_weights.get(None))
        if array.dtype.kind == "f" and array.ndim == 2:
            soft = as_distributions("labels", array, itemsize[name])
            arrays[name], each[name] = _reweigh_soft(soft, p, own)
        else:
            flat = Acts(np.zeros((array.size, 1)), False)
            arrays[name] = view_classes("labels", array.reshape(-1), flat).reshape(array.shape)
            each[name] = _reweigh_hard(arrays[name], p, own)
    ids = None if inputs is None else view_classes("inputs", _on_host(inputs), acts)
    if ids is not None and int(ids.max()) >= _MOST_CLASSES:
        raise ValueError(f"inputs: {ids.max()}; expected ids below 2**31")
    return Targets(n, arrays, each, ids)


def _on_host(value: Any) -> Any:
    return value.detach().cpu() if hasattr(value, "detach") else value


def _reweigh_hard(
    labels: NDArray[Any], p: NDArray[np.float64] | None, own: NDArray[np.float64] | None
) -> NDArray[np.float64] | None:
    if own is None:
        return p
    if not 0 <= int(labels.min()) <= int(labels.max()) < len(own):
        raise ValueError(
            f"class_weights: {len(own)} of them for classes from {labels.min()} to {labels.max()}"
        )
    weights: NDArray[np.float64] = own[labels]
    return weights if p is None else weights * p.reshape(-1, *[1] * (labels.ndim - 1))


def _reweigh_soft(
    soft: NDArray[np.float64], p: NDArray[np.float64] | None, own: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    if own is None:
        return soft, p
    if len(own) != soft.shape[1]:
        raise ValueError(f"class_weights: {len(own)} of them for labels of shape {soft.shape}")
    joint = soft * own
    weights = joint.sum(axis=1)
    return joint / weights[:, None], weights if p is None else weights * p


class LayerCounts:
    """The tables of one layer, one for each label set, and what else a pass finds of it."""

    def __init__(self, binning: Binning, *, per_unit: bool, sample: Reservoir | None) -> None:
        self._binning = binning
        self._per_unit = per_unit
        self.units: int | None = None
        self.tables: dict[str, JointCounts] = {}
        self.inputs: dict[str, JointCounts] = {}  # one table, of input ids as labels, or none
        self.outside = 0
        self.values = 0
        self.least, self.greatest = math.inf, -math.inf
        self.sample = sample

    def add(
        self, keys: Keys, positions: int, targets: Targets, sample: dict[str, Any] | None = None
    ) -> None:
        """Count a batch; after an error a part of it may have been counted."""
        samples = keys.samples(positions)
        if samples != targets.n:
            raise ValueError(
                f"acts: {samples} rows; expected {targets.n}, as there are labels: where the "
                "samples are not the first dimension, say pool=function; where they share one row, "
                "leave the layer out"
            )
        if self.units not in (None, keys.units):
            raise ValueError(
                f"acts: {keys.units} units; expected {self.units}, as in the first batch; pool="
                "'mean', 'max' or 'spatial' makes rows of one length"
            )
        if self.tables and (
            list(self.tables) != list(targets.labels)
            or bool(self.inputs) != (targets.inputs is not None)
        ):
            raise ValueError(
                f"labels, inputs: {list(targets.labels)}, "
                f"{'no ' if targets.inputs is None else ''}inputs; expected {list(self.tables)}, "
                f"{'' if self.inputs else 'no '}inputs, as in the first batch"
            )
        if self.sample is not None and any(w is not None for w in targets.weights.values()):
            raise ValueError(
                "weights: given; expected none with estimators, which cannot weigh rows"
            )
        for name, labels in targets.labels.items():
            self._count(self.tables, name, labels, name, keys, positions, targets)
        if targets.inputs is not None:
            first = next(iter(targets.labels))
            self._count(self.inputs, "inputs", targets.inputs, first, keys, positions, targets)
        self.units = keys.units
        self._add_values(keys.outside, keys.values, keys.least, keys.greatest)
        if sample is not None and self.sample is not None:
            chosen = sample.pop("chosen")
            columns = {f"labels {name}": labels for name, labels in targets.labels.items()}
            if targets.inputs is not None:
                columns["inputs"] = targets.inputs
            for name, column in columns.items():
                rows = _of_keys(column, column, positions, 1)[chosen]
                soft = rows.dtype.kind == "f"
                sample[name] = rows / rows.sum(axis=1, keepdims=True) if soft else rows
            self.sample.add(sample)

    def _count(
        self,
        tables: dict[str, JointCounts],
        name: str,
        labels: NDArray[Any],
        label_set: str,
        keys: Keys,
        positions: int,
        targets: Targets,
    ) -> None:
        """Count labels in the table of their name, with the weights of a label set."""
        if name not in tables:
            classes = labels.shape[1] if labels.dtype.kind == "f" else _MOST_CLASSES
            tables[name] = JointCounts(self._binning, classes, outside="cell")
        weights = targets.weights[label_set]
        if weights is not None:
            weights = _of_keys(weights, targets.labels[label_set], positions, keys.repeats)
        column = _of_keys(labels, labels, positions, keys.repeats)
        tables[name]._update_keys(
            keys.keys,
            Labels(None, column) if column.dtype.kind == "f" else column,  # soft: checked, as wide
            weights,
            units=keys.units,
            kind=keys.kind,
        )

    def _add_values(self, outside: int, values: int, least: float, greatest: float) -> None:
        self.outside += outside
        self.values += values
        self.least, self.greatest = min(self.least, least), max(self.greatest, greatest)

    def merge(self, other: LayerCounts) -> None:
        """Add what was counted elsewhere, as if it had been counted here."""
        for mine, theirs in ((self.tables, other.tables), (self.inputs, other.inputs)):
            if self.tables and other.tables and list(mine) != list(theirs):
                raise ValueError(
                    f"labels, inputs: {list(theirs)}; expected {list(mine)}, as in what they are "
                    "merged with"
                )
            for name, table in theirs.items():
                if name in mine:
                    mine[name].merge(table)
                else:
                    mine[name] = table
        self.units = self.units or other.units
        self._add_values(other.outside, other.values, other.least, other.greatest)
        if self.sample is not None and other.sample is not None and other.sample.columns:
            self.sample.add(other.sample.columns)

    def information(self, labels: str) -> LayerInformation:
        """Both coordinates in bits, with the labels of one set."""
        inputs = self.inputs.get("inputs")
        if not self._per_unit:
            return _information(self.tables[labels], inputs)
        tables = self.tables[labels]._split()
        own = [None] * len(tables) if inputs is None else inputs._split()
        return _mean([_information(*unit) for unit in zip(tables, own, strict=True)])

    def null(self, labels: str, shuffles: int, entropy: Sequence[int]) -> float | None:
        """Mean I(T;Y) in bits where labels are shuffled; None for weights, soft labels, units."""
        table = self.tables[labels]
        if self._per_unit or table.weighted or not shuffles or table.n < 2:
            return None
        joint = joint_of(table, None)
        found = summaries(joint, 0, 0, 0)
        seed = draw_seed(np.random.default_rng([*entropy]))
        values = shuffled_information(joint, found.h_t, found.h_y, shuffles, seed, 0)
        return float(values.mean())


def _of_keys(
    column: NDArray[Any], labels: NDArray[Any], positions: int, repeats: int
) -> NDArray[Any]:
    """A column of the samples, for each key: at each position, of each unit."""
    if labels.dtype.kind != "f" and column.ndim == 2:  # labels of the positions
        if column.shape[1] != positions:
            raise ValueError(
                f"labels: shape {column.shape}; expected (n,) or (n, {positions}), for a layer of "
                f"{positions} positions"
            )
        column, positions = column.reshape(-1), 1
    return np.repeat(column, positions * repeats, axis=0)


def _information(table: JointCounts, inputs: JointCounts | None) -> LayerInformation:
    layer = information(table, exhaustive=True)
    if inputs is None:
        return layer
    _, _, _, _, h_x, h_tx = inputs._summary()
    given_x = max(h_tx - h_x, 0.0)
    return dataclasses.replace(layer, h_t_given_x=given_x, i_xt=layer.h_t - given_x)


def _mean(layers: Sequence[LayerInformation]) -> LayerInformation:
    """Means over units of which each has cells of its own; `saturated` where most of them are."""
    means: dict[str, Any] = {
        name: float(np.mean([getattr(layer, name) for layer in layers]))
        for name in ("i_xt", "i_ty", "h_t", "h_t_given_x", "h_y", "n_cells", "n_singletons")
    }
    saturated = sum(layer.saturated for layer in layers) > len(layers) / 2
    return dataclasses.replace(layers[0], **means, saturated=saturated)
