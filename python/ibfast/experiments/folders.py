"""Several experiments into one folder, each once: what is complete is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from ibfast import store
from ibfast.experiments.presets import Experiment
from ibfast.experiments.runner import run_experiment

__all__ = ["left_to_run", "open_variant", "run_variants", "variant_folder"]


def variant_folder(folder: Path, name: str) -> Path:
    """Where a variant of that full name lies: ``folder/variant``, or ``folder/preset``."""
    return folder / name.rpartition("/")[2]


def open_variant(folder: Path, name: str) -> tuple[xr.Dataset, dict[str, Any]]:
    """Read what `run_variants` has written: the plane and run.json, as `ibfast.store.open_run`.

    Raises
    ------
    FileNotFoundError
        If there is no such run.
    """
    return store.open_run(variant_folder(folder, name))


def left_to_run(
    experiments: Sequence[Experiment], folder: Path, *, overwrite: bool = False
) -> list[Experiment]:
    """Those of the experiments that `run_variants` would run, which has the arguments.

    Raises
    ------
    ValueError
        If two experiments have the same folder.
    FileExistsError
        If a folder has something else.
    """
    paths = [variant_folder(folder, one.name) for one in experiments]
    if len(set(paths)) < len(paths):
        names = ", ".join(one.name for one in experiments)
        raise ValueError(f"experiments must have different folders; got {names}")
    left = []
    for one, path in zip(experiments, paths, strict=True):
        found = _what_is_there(path, one)
        if found == "other":
            store.check_free(path, overwrite=overwrite)
        if found != "whole" or overwrite:
            left.append(one)
    return left


def _what_is_there(path: Path, experiment: Experiment) -> Literal["part", "whole", "other"]:
    """A run of the experiment, interrupted or complete; or anything else, or nothing."""
    if not store.is_run(path):
        return "other"
    info = store.read_info(path)
    if _protocol(info.get("experiment", {})) != _protocol(experiment.as_dict()):
        return "other"
    return "whole" if info["complete"] else "part"


def _protocol(experiment: dict[str, Any]) -> dict[str, Any]:
    """What a run depends on, as JSON gives it: not how it is described.

    Options that came after it was run have their defaults.
    """
    described = {"title", "source", "tests", "minutes", "reference"}
    defaults = {f.name: f.default for f in fields(Experiment) if f.default is not MISSING}
    whole = {**defaults, **experiment}
    kept = {name: value for name, value in whole.items() if name not in described}
    protocol: dict[str, Any] = json.loads(json.dumps(kept))
    return protocol


def run_variants(
    experiments: Sequence[Experiment],
    folder: Path,
    *,
    overwrite: bool = False,
    threads: int = 0,
    on_start: Callable[[Experiment], object] | None = None,
    on_epoch: Callable[[int], object] | None = None,
) -> dict[str, Path]:
    """Run each experiment into a folder of its own, unless it has been run.

    Parameters
    ----------
    experiments : sequence of Experiment
        Of different last parts of their names, which name their folders.
    folder : Path
        Where these folders are.
    overwrite : bool
        Whether runs that are there may be replaced; complete runs of the same experiments are then
        run again. An interrupted run is replaced in any case.
    threads : int
        As in `run_experiment`.
    on_start : callable, optional
        Called with each experiment that is to be run, before it is.
    on_epoch : callable, optional
        Called with the number of epochs of it done.

    Returns
    -------
    dict of str to Path
        The run folders by the full names of the experiments.

    Raises
    ------
    ValueError
        If two experiments have the same folder; or as `run_experiment`.
    FileExistsError
        If a folder has something else; nothing is run then.
    KeyboardInterrupt
        If it is interrupted; the current run is stored as far as it went.
    """
    for one in left_to_run(experiments, folder, overwrite=overwrite):
        if on_start:
            on_start(one)
        run = run_experiment(
            one,
            variant_folder(folder, one.name),
            overwrite=True,
            threads=threads,
            on_epoch=on_epoch,
        )
        if not run.complete:
            raise KeyboardInterrupt
    return {one.name: variant_folder(folder, one.name) for one in experiments}
