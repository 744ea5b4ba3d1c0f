"""Run an experiment: train all seeds, measure every layer at the checkpoints, store the result."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ibfast import __version__, _core, datasets, panel, plots, store
from ibfast.experiments.authors import authors_results, compare_with_authors
from ibfast.experiments.bound import Bound
from ibfast.experiments.measuring import (
    Bins,
    estimate_layers,
    measure_binned,
    parse_bins,
    parse_estimator,
)
from ibfast.experiments.presets import Experiment
from ibfast.gradients import gradient_statistics, layer_transitions
from ibfast.labels import draw_labels
from ibfast.models import MLP
from ibfast.plane import information_plane, summary
from ibfast.train import Trainer

__all__ = ["Run", "run_experiment"]


@dataclass(frozen=True)
class Run:
    """What an experiment gave."""

    experiment: Experiment
    plane: xr.Dataset
    complete: bool
    """False if it was interrupted; the plane then ends at the last checkpoint before."""
    seconds_training: float
    seconds_measuring: float
    parameters: dict[str, NDArray[Any]]
    """``epoch``, and weights and biases of every layer by (epoch, seed)."""
    panels: tuple[xr.Dataset, ...] = ()
    """Of each layer of the first network at the end, as `ibfast.panel` makes them, if asked for."""

    @property
    def comparison(self) -> xr.Dataset | None:
        """With the published results, if the experiment has any, two seeds and their epochs."""
        if self.experiment.reference is None or self.experiment.seeds < 2:
            return None
        if not np.isin(authors_results().epoch, self.plane.epoch).any():
            return None
        return compare_with_authors(self.plane)


def run_experiment(
    experiment: Experiment,
    out: Path | None = None,
    *,
    overwrite: bool = False,
    threads: int = 0,
    on_epoch: Callable[[int], object] | None = None,
) -> Run:
    """Train, measure and store; Ctrl-C ends it early with what was measured so far.

    Parameters
    ----------
    experiment : Experiment
        What to run.
    out : Path, optional
        The run folder; without it nothing is stored.
    overwrite : bool
        Whether another run may be replaced.
    threads : int
        For training and measuring; 0 means all. Training depends on it through float32 rounding.
    on_epoch : callable, optional
        Called with the number of epochs done after each of them.

    Returns
    -------
    Run
        The same as in the folder.

    Raises
    ------
    ValueError
        If an option of the experiment is out of range, or training diverged to NaN.
    OSError
        If the folder exists, cannot be written or the disk is full; nothing is left there.
    KeyboardInterrupt
        If it is interrupted before the first checkpoint.

    Examples
    --------
    >>> from ibfast.experiments import load_preset, run_experiment
    >>> run = run_experiment(load_preset("szt").changed(seeds=2, epochs=10))
    >>> dict(run.plane.sizes)
    {'seed': 2, 'epoch': 11, 'layer': 7}
    """
    if threads < 0:
        raise ValueError(f"threads must not be negative; got {threads}")
    if out is None:
        return _train_and_measure(experiment, threads, on_epoch)
    store.check_free(out, overwrite=overwrite)
    with store.new_folder(out) as folder:
        run = _train_and_measure(experiment, threads, on_epoch)
        _write(run, folder)
    return run


def _train_and_measure(
    experiment: Experiment, threads: int, on_epoch: Callable[[int], object] | None
) -> Run:
    task = getattr(datasets, experiment.task)
    inputs, rule = task() if experiment.information is None else task(experiment.information)
    model = MLP(
        experiment.widths,
        activation=experiment.activation,
        init=experiment.init,
        seeds=experiment.seeds,
        seed=experiment.seed,
    )
    labels, bound = rule, None
    if experiment.information is not None:
        labels = np.stack([1 - rule, rule], axis=1)
        bound = Bound(rule, threads)
    trainer = Trainer(
        model,
        inputs,
        _targets(experiment, model, labels),
        optimizer=experiment.optimizer,
        lr=experiment.lr,
        batch_size=experiment.batch_size,
        train_fraction=experiment.train_fraction,
        momentum=experiment.momentum,
        weight_decay=experiment.weight_decay,
        dropout=experiment.dropout,
        temperature=experiment.temperature,
    )
    exhaustive = experiment.task != "digits"
    estimator = parse_estimator(experiment.estimator, exhaustive=exhaustive, threads=threads)
    bins: Bins = parse_bins(experiment.bins) if estimator is None else 0
    records: dict[int, dict[str, ArrayLike]] = {}
    parameters: dict[int, dict[str, NDArray[Any]]] = {}
    measuring = 0.0

    def measure(epoch: int, trainer: Trainer) -> None:
        nonlocal measuring
        start = perf_counter()
        now = trainer.evaluate()
        layers = [a.transpose(1, 2) for a in now.activations]
        if estimator is None:
            measured = measure_binned(layers, labels, bins, exhaustive=exhaustive, threads=threads)
        else:
            measured = estimate_layers(
                layers, labels, estimator, seeds=model.members, entropy=(model.seed, epoch)
            )
        if bound is not None:
            measured |= bound.measure([a.numpy() for a in layers], bins)
        if experiment.gradients:
            measured |= gradient_statistics(trainer)
        parameters[epoch] = {k: p.numpy().copy() for k, p in model.parameters().items()}
        records[epoch] = {
            **measured,
            "train_accuracy": now.train_accuracy.numpy(),
            "test_accuracy": now.test_accuracy.numpy(),
            "loss": now.loss.numpy(),
        }
        measuring += perf_counter() - start

    complete = True
    start = perf_counter()
    with _torch_threads(threads):
        try:
            trainer.run(experiment.epochs, experiment.epochs_to_measure(), measure, on_epoch)
        except KeyboardInterrupt:
            if not records:
                raise
            complete = False
    training = perf_counter() - start - measuring

    plane = information_plane(
        records,
        layers=experiment.layers,
        seeds=model.members,
        samples=len(labels),
        attrs={
            "title": experiment.title,
            "units": "bits",
            **_measurement(experiment, bins),
            "exhaustive": int(exhaustive),
            "configuration": json.dumps(experiment.as_dict()),
            "versions": json.dumps(versions()),
        },
    )
    if bound is not None:
        plane = plane.merge(bound.lines())
    panels: tuple[xr.Dataset, ...] = ()
    if experiment.panel and complete:
        layers = trainer.evaluate().activations
        panels = tuple(
            panel(a[0].numpy().T, labels, exhaustive=exhaustive, rng=experiment.seed)
            for a in layers
        )
    names = parameters[int(plane.epoch[0])]
    return Run(
        experiment,
        plane,
        complete,
        seconds_training=training,
        seconds_measuring=measuring,
        parameters={
            "epoch": plane.epoch.values,
            **{name: np.stack([parameters[int(e)][name] for e in plane.epoch]) for name in names},
        },
        panels=panels,
    )


def _measurement(experiment: Experiment, bins: Bins) -> dict[str, Any]:
    """The estimator and its bins as attributes of a plane."""
    if experiment.estimator != "binned":
        return {"estimator": experiment.estimator}
    if isinstance(bins, np.ndarray):
        return {"estimator": "binned, plug-in", "bins": bins.tolist()}
    return {
        "estimator": "binned, plug-in",
        "bins": bins if isinstance(bins, int) else experiment.bins,
    }


def _targets(experiment: Experiment, model: MLP, labels: NDArray[Any]) -> NDArray[Any]:
    """Return what the networks train on."""
    if experiment.targets == "soft" and not experiment.label_noise:
        return labels
    kind = "exact" if experiment.targets == "soft" else experiment.targets
    return draw_labels(model, labels, kind, label_noise=experiment.label_noise)


def _write(run: Run, folder: Path) -> None:
    """Fill a run folder; run.json comes last."""
    store.save_plane(folder, run.plane)
    (folder / "checkpoints").mkdir()
    np.savez(folder / "checkpoints" / "parameters.npz", allow_pickle=False, **run.parameters)
    plots.save_figures(run.plane, folder / "figures")
    (folder / "figures").mkdir(exist_ok=True)
    for layer, one in enumerate(run.panels, 1):
        plots.panel_figure(one).savefig(folder / "figures" / f"panel_{layer}.png", dpi=120)
        one.to_dataframe().to_csv(folder / f"panel_{layer}.csv")
    info = {
        "complete": run.complete,
        "experiment": run.experiment.as_dict(),
        "last_epoch": int(run.plane.epoch[-1]),
        "seconds_training": round(run.seconds_training, 3),
        "seconds_measuring": round(run.seconds_measuring, 3),
        "versions": versions(),
        "machine": {"platform": platform.platform(), **_core.info()},
        "summary": _as_lists(summary(run.plane)),
    }
    if run.comparison is not None:
        info["comparison"] = _as_lists(run.comparison)
    if run.experiment.gradients:
        info["transitions"] = [
            one and {name: getattr(one, name) for name in ("epoch", "interval", "found", "factor")}
            for one in layer_transitions(run.plane)
        ]
    store.save_info(folder, info)


def _as_lists(table: xr.Dataset) -> dict[str, Any]:
    """Variables and coordinates as JSON takes them: NaN is null."""
    lists = {}
    for name, values in table.variables.items():
        objects = values.to_numpy().astype(object)
        objects[values.isnull().to_numpy()] = None
        lists[str(name)] = objects.tolist()
    return lists


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    packages = ("numpy", "torch", "xarray", "zarr")
    return {
        "ibfast": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
