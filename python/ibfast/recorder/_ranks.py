"""What several ranks of torch.distributed have measured, as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ibfast._arrays import errors_name
from ibfast.recorder._counting import LayerCounts

__all__ = ["Part", "merge_parts"]


class Part(NamedTuple):
    """What a rank has measured last: counts by split and layer, and the state of the cells."""

    epoch: int
    cells: dict[str, dict[str, Any]]
    counts: dict[str, dict[str, LayerCounts]]


def merge_parts(parts: Sequence[Part]) -> dict[str, dict[str, LayerCounts]]:
    """The counts of all ranks, by split and layer.

    Raises
    ------
    ValueError
        Ranks have other epochs, or none; or other bins, labels or numbers of units.
    """
    epochs = [part.epoch for part in parts]
    if len(set(epochs)) > 1 or epochs[0] < 0:
        raise ValueError(
            f"reduce: epochs {epochs} were measured last on the ranks; expected one epoch"
        )
    merged: dict[str, dict[str, LayerCounts]] = {}
    for rank, part in enumerate(parts):
        for split, layers in part.counts.items():
            for name, counts in layers.items():
                _check_same_cells(name, parts, rank)
                known = merged.setdefault(split, {})
                with errors_name(f"layer {name!r}, rank {rank}"):
                    if name in known:
                        known[name].merge(counts)
                    else:
                        known[name] = counts
    return merged


def _check_same_cells(layer: str, parts: Sequence[Part], rank: int) -> None:
    counted = (p for p in parts if any(layer in layers for layers in p.counts.values()))
    own, first = parts[rank].cells[layer], next(counted).cells[layer]
    if any(own[key] != first[key] for key in ("binning", "exponent", "dims", "seed")):
        raise ValueError(
            f"layer {layer!r}: bins {own['binning']} on rank {rank}; expected {first['binning']}, "
            "as on the first: give bins, or call calibrate() on all ranks before the first "
            "measurement"
        )
