"""The recorder: any torch model, in the user's own loop, to an information plane."""

from __future__ import annotations

import math
import platform
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ibfast import __version__, distributed
from ibfast._arrays import SaturationWarning, check_count, errors_name
from ibfast.estimators import Estimator
from ibfast.recorder._batches import (
    Batch,
    as_loader,
    checked_unpack,
    one_pass,
    run_model,
    unpack_pair,
)
from ibfast.recorder._counting import LayerCounts, check_class_weights, read_targets
from ibfast.recorder._layers import Layers, module_name
from ibfast.recorder._layout import Layout
from ibfast.recorder._passes import (
    CalibrationPass,
    CountingPass,
    as_it_is,
    device_of,
)
from ibfast.recorder._ranks import Part, merge_parts
from ibfast.recorder._result import Measurement, dataset, diagnose, measure_counts
from ibfast.recorder._schedule import schedule

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Recorder"]

_STATE_VERSION = 1


class Recorder:
    """Measures what the layers of a torch model know, while it trains.

    Hooks watch the layers while data run through the model; activations go batch by batch into
    counts of cells and are forgotten. The cells of a layer stay the same for the whole run: a range
    that moves while a network trains is an artefact of its own. Values beyond a range have cells of
    their own, and their share is reported.

    Parameters
    ----------
    model : torch.nn.Module
        Also one that is compiled, or wrapped for data-parallel training; the module inside is
        watched. It is not changed.
    layers : "auto", str, module, class, callable, or several of these
        Names as in ``model.named_modules()``, patterns such as ``"encoder.*.mlp"``, modules of the
        model, classes of modules, or functions (name, module) -> bool. "auto": for each leaf with
        weights the activation function registered after it, else the leaf itself, but none whose
        output is one row for all samples, as that of embedded positions. A module that runs more
        than once in a batch is as many layers: ``relu``, ``relu:2``, ...
    bins : int, array_like or binning, or mapping
        Of each unit. A number: equal bins over the range of the activation function where that is
        known (tanh, sigmoid, softmax, ...); else a `Width`, a power of two, that makes about as
        many between the least and greatest value at the first measurement, and more where values
        go beyond; integers are their own bins. Edges or a binning: these. By layer: a mapping of
        names or patterns, as for the next three.
    pool : {"flatten", "mean", "max", "spatial"} or callable, or mapping
        What to do with positions of images and sequences: each a unit; their mean or maximum, of
        each channel; each a sample, with its own label where labels are `(n, positions)`. Or a
        function from the module's output, as it is, to a tensor `(n, d)`. Of a tuple or mapping the
        first tensor is taken.
    channels : "auto" or int, or mapping
        Which dimension has the channels, for all but "flatten". "auto": 1 for convolutions, their
        norms and pools and for 4 or more dimensions, else the last.
    dims : "joint", "per_unit" or int, or mapping
        "joint": a cell is a row of codes. Many units need more rows than there are, and the
        result says so; then "per_unit", the mean over units of what each knows alone, or a number:
        a random projection to so many dimensions (signs, Achlioptas 2003, drawn from `seed`),
        whose bins are of a chosen width, also where the range of the activations is known.
    when : "log", int, "every", iterable of int, or callable
        At which epochs `measure` and `listen` do something. "log": up to 10 each, then about 20 in
        each power of ten. A number: these, up to it, and itself, the last.
    class_weights : array_like, shape (classes,), or mapping of label sets to them, optional
        Measure as if classes were so much more frequent.
    estimators : mapping of str to estimator, optional
        Of `ibfast.estimators`, by a name of yours; they are given a sample of the rows, and cannot
        weigh them.
    reservoir : int
        The size of that sample, which does not depend on how rows come in batches.
    shuffles : int
        How often I(T;Y) is taken once more, with shuffled labels, for its mean ``i_ty_null``: what
        of I(T;Y) is owed to few rows. Not with weights, soft labels or "per_unit".
    unpack : callable, optional
        From what the loader yields to a `Batch`; by default (x, labels), or a mapping with
        ``labels`` whose rest are arguments by name.
    exhaustive : bool
        The rows are all the inputs there are: no SaturationWarning.
    seed : int
        Of projections, samples and estimators, and the coordinate of the result.
    threads : int
        0: all that the process may use.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or value, a layer does not exist, the model is on the meta
        device.

    References
    ----------
    Shwartz-Ziv & Tishby (2017), arXiv:1703.00810. Saxe et al. (2018), "On the information
    bottleneck theory of deep learning", ICLR (fixed bins).

    Examples
    --------
    >>> import torch
    >>> import ibfast
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> x = torch.randn(512, 8)
    >>> recorder = ibfast.Recorder(model, bins=6)
    >>> for epoch in range(3):
    ...     _ = recorder.measure((x, (x[:, 0] > 0).long()), epoch=epoch)
    >>> plane = recorder.plane()
    >>> dict(plane.sizes), plane.layer.attrs["names"]
    ({'seed': 1, 'epoch': 3, 'layer': 2}, ['1', '2'])
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Layers = "auto",
        *,
        bins: Any = 30,
        pool: Any = "flatten",
        channels: Any = "auto",
        dims: Any = "joint",
        when: Any = "log",
        class_weights: Any = None,
        estimators: Mapping[str, Estimator] | None = None,
        reservoir: int = 2000,
        shuffles: int = 4,
        unpack: Callable[[Any], Batch] = unpack_pair,
        exhaustive: bool = False,
        seed: int = 0,
        threads: int = 0,
    ) -> None:
        self._estimators = _check_estimators(estimators or {})
        self._layout = Layout(
            model,
            layers,
            bins=bins,
            pool=pool,
            channels=channels,
            dims=dims,
            reservoir=check_count("reservoir", reservoir, 1, 2**31) if self._estimators else 0,
            seed=seed,
            threads=threads,
        )
        self._due = schedule(when)
        self._class_weights = check_class_weights(class_weights)
        if self._class_weights and self._estimators:
            raise ValueError(f"class_weights: {class_weights!r}; expected none with estimators")
        if not callable(unpack):
            raise TypeError(f"unpack: {unpack!r}; expected a function from a batch to a Batch")
        self._unpack = unpack
        self._exhaustive = exhaustive
        self._shuffles = check_count("shuffles", shuffles, 0, 2**31)
        self._warned: set[str] = set()  # layers
        self._never_ran: list[str] = []
        self._shared: list[str] = []
        self._order: list[str] = []
        self._records: dict[str, dict[int, dict[str, dict[str, float]]]] = {}
        self._latest: dict[str, dict[str, LayerCounts]] = {}  # by split, of one epoch, for reduce
        self._latest_epoch = -1

    @property
    def model(self) -> nn.Module:
        """The model that is watched, without what wraps it."""
        return self._layout.model

    @property
    def layers(self) -> list[str]:
        """Names of the modules that are watched."""
        return list(self._layout.modules)

    @property
    def epochs(self) -> list[int]:
        """The epochs that were measured, in order."""
        return sorted({epoch for epochs in self._records.values() for epoch in epochs})

    def is_due(self, epoch: int) -> bool:
        """Whether `measure` and `listen` do something at this epoch."""
        return self._due(_check_epoch(epoch))

    def measure(
        self, loader: Any, *, epoch: int, split: str = "data", force: bool = False
    ) -> Measurement | None:
        """Run the model on all batches of a loader, in evaluation mode, and measure its layers.

        Modes of modules, gradients and random numbers (of torch, NumPy, Python and the loader) are
        left as they were.

        Parameters
        ----------
        loader : iterable of batches, or mapping of str to these
            A DataLoader, a list, a single pair of tensors (x, labels). A mapping has several, by
            the names of their splits: ``{"train": ..., "test": ...}``. Where a width has to be
            chosen first the loader is run through once more; from an iterator, which cannot be,
            it is chosen from the first batch.
        epoch : int
            Its number; measuring it again replaces what was there.
        split : str
            What the data are called, where `loader` is no mapping.
        force : bool
            Also where the epoch is not due, as the last one.

        Returns
        -------
        Measurement or None
            None where the epoch is not due.

        Raises
        ------
        TypeError, ValueError
            A batch has no labels, or labels, rows or shapes that do not fit; activations are NaN;
            a layer that was named has never run. The text names layer and batch. Nothing of this
            measurement is recorded then.

        Warns
        -----
        SaturationWarning
            Once a layer, where at least nine rows in ten are alone in their cells.
        """
        epoch = _check_epoch(epoch)
        if not self._due(epoch) and not force:
            return None
        loaders = dict(loader) if isinstance(loader, Mapping) else {_check_split(split): loader}
        if not loaders:
            raise ValueError("loader: an empty mapping; expected at least one split")
        batches = {_check_split(name): as_loader(one) for name, one in loaders.items()}
        model = self._layout.model
        counts = {}
        with as_it_is(model):
            for one in batches.values():
                if not isinstance(one, Iterator):
                    self._calibrate(one)
            for name, one in batches.items():
                with CountingPass(self._layout, self._sample_seed()) as counting:
                    for batch in one_pass(one):
                        self._run(counting, batch)
                counts[name] = self._complete(counting)
        return self._record(epoch, counts, whole=distributed.in_use() is None)

    def calibrate(self, loader: Any, *, group: Any = None) -> None:
        """Choose the bins that are to be chosen from data, before the first measurement.

        `measure` does so itself. This is for `listen`, which else chooses from the first batch,
        and for training on several ranks, which must have the same bins: there, all ranks call it.

        Parameters
        ----------
        loader : as for `measure`
        group : torch.distributed.ProcessGroup, optional
            The ranks that agree on the bins, where torch.distributed is in use.

        Raises
        ------
        TypeError, ValueError
            As `measure`; `loader` is an iterator, which could be run through only once.
        """
        one = as_loader(loader)
        if isinstance(one, Iterator):
            raise TypeError("loader: an iterator; expected one that can be iterated over again")
        with as_it_is(self._layout.model):
            if distributed.in_use() is None:
                self._calibrate(one)
            else:
                self._calibrate(one, lambda value: distributed.gather(value, group))

    @contextmanager
    def listen(self, *, epoch: int, split: str = "data", force: bool = False) -> Iterator[Heard]:
        """Watch the user's own evaluation pass; the model runs as the user runs it.

        Parameters
        ----------
        epoch, split, force
            As for `measure`.

        Yields
        ------
        callable
            To be called with the labels of a batch after the model has run on it:
            ``heard(labels, inputs=None, weights=None)``. Does nothing where the epoch is not due.

        Raises
        ------
        TypeError, ValueError
            As `measure`; or the model runs on a batch before the labels of the last were given.

        Examples
        --------
        >>> import torch
        >>> import ibfast
        >>> model = torch.nn.Sequential(torch.nn.Linear(8, 3), torch.nn.Tanh())
        >>> recorder = ibfast.Recorder(model, bins=4)
        >>> with recorder.listen(epoch=0) as heard:
        ...     for x, y in [(torch.randn(100, 8), torch.arange(100) % 2)]:
        ...         _ = model(x)
        ...         heard(y)
        >>> recorder.plane().sizes["epoch"]
        1
        """
        epoch = _check_epoch(epoch)
        if not self._due(epoch) and not force:
            yield lambda labels, inputs=None, weights=None: None
            return
        _check_split(split)
        with CountingPass(self._layout, self._sample_seed()) as counting:

            def heard(labels: Any, inputs: Any = None, weights: Any = None) -> None:
                with errors_name(f"batch {counting.batches}"):
                    targets = read_targets(labels, inputs, weights, self._class_weights)
                counting.add(targets)

            yield heard
        counts = {split: self._complete(counting)}
        self._record(epoch, counts, whole=distributed.in_use() is None)

    def reduce(self, group: Any = None) -> Measurement:
        """Merge what was measured last with what all ranks of torch.distributed have measured.

        To be called on every rank after `measure` or `listen`, each of which has seen a part of
        the data; then all have the same records, equal to those of one process, bit for bit.

        Parameters
        ----------
        group : torch.distributed.ProcessGroup, optional
            Default: all ranks.

        Returns
        -------
        Measurement

        Raises
        ------
        RuntimeError
            torch.distributed is not in use.
        ValueError
            Nothing was measured since the last time; or ranks have other epochs, bins, labels or
            numbers of units. A rank may have no data at all.
        """
        bins = {name: cells.state() for name, cells in self._layout.cells.items()}
        parts = distributed.gather(Part(self._latest_epoch, bins, self._latest), group)
        counts = merge_parts(parts)
        for part in parts:  # also of layers that did not run here
            for name in {name for layers in part.counts.values() for name in layers}:
                if not (cells := self._layout.cells_of(name)).ready:
                    cells.restore(part.cells[name])
        measured = self._record(parts[0].epoch, counts, whole=True)
        self._latest, self._latest_epoch = {}, -1  # lest they be counted twice
        return measured

    def plane(self) -> xr.Dataset:
        """All measurements.

        Returns
        -------
        xarray.Dataset
            Dims ``(seed, epoch, layer)``, and ``split`` and ``labels`` where there are several;
            variables ``i_xt``, ``i_ty``, ``h_t``, ``h_t_given_x``, ``h_y`` in bits, ``n`` (rows),
            ``n_cells``, ``n_singletons``, ``saturated``, ``units``, ``least`` and ``greatest``
            activation, ``outside_share``, ``i_ty_null``, and ``i_xt_NAME``, ``i_ty_NAME`` of
            estimators. Layers are in the order in which they first ran; their names are the
            coordinate ``name``, and attributes of ``layer`` are ``names``, ``bins``, how these were
            chosen (``notes``), and ``diagnostics``: what a reader must know of their numbers.

        Raises
        ------
        ValueError
            Nothing was measured yet.
        """
        if not self._records:
            raise ValueError("plane: nothing was measured yet; call measure() or listen() first")
        cells = self._layout.cells
        pools = {name: self._layout.pooling_of(name)[0] for name in self._order}
        return dataset(
            self._records,
            self._order,
            seed=self._layout.seed,
            layer_attrs={
                "bins": [cells[name].describe() for name in self._order],
                "notes": [cells[name].note for name in self._order],
                "pool": [p if isinstance(p, str) else repr(p) for p in pools.values()],
                "dims": [str(cells[name].dims) for name in self._order],
                "diagnostics": [diagnose(name, cells[name], self._records) for name in self._order],
            },
            attrs={
                "units": "bits",
                "estimator": "binned, plug-in",
                "outside": "cell",
                "exhaustive": int(self._exhaustive),
                "estimators": [f"{name}: {e!r}" for name, e in self._estimators.items()],
                "never_ran": [n for n in self.layers if n not in (*self._order, *self._shared)],
                "same_for_all_samples": self._shared,
                "model": type(self._layout.model).__name__,
                "ibfast": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        )

    def save(self, folder: str | Path, *, overwrite: bool = False, figures: bool = True) -> Path:
        """Write a run folder: ``run.json``, ``plane.zarr`` and figures, whole or not at all.

        ``ibfast plot`` draws its figures again; `ibfast.store.open_run` and xarray open it.

        Parameters
        ----------
        folder : str or Path
        overwrite : bool
            Whether a run that is there may be replaced.
        figures : bool
            Draw them, which needs matplotlib.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        FileExistsError
            There is something that may not be replaced.
        ValueError
            Nothing was measured yet.
        """
        from ibfast import store

        folder = Path(folder)
        store.check_free(folder, overwrite=overwrite)
        plane = self.plane()
        with store.new_folder(folder) as partial:
            store.save_plane(partial, plane)
            if figures:
                from ibfast import plots

                plots.save_figures(plane, partial / "figures")
            store.save_info(partial, {"complete": True, "recorder": self.state_dict()})
        return folder

    def state_dict(self) -> dict[str, Any]:
        """Records and bins as plain data, for a checkpoint of the training."""
        return {
            "version": _STATE_VERSION,
            "order": list(self._order),
            "shared": list(self._shared),
            "cells": {name: c.state() for name, c in self._layout.cells.items() if c.ready},
            "options": {name: self._layout.options_of(name) for name in self._layout.cells},
            "records": [
                [split, epoch, layer, {key: _plain(value) for key, value in values.items()}]
                for split, epochs in self._records.items()
                for epoch, layers in epochs.items()
                for layer, values in layers.items()
            ],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned, with the same bins, whatever `bins` says here.

        Raises
        ------
        TypeError, ValueError
            It is no such state, or one of another version or of layers that are not watched; or
            `pool`, `channels`, `dims` or `seed` are others here, so that later numbers would be of
            another quantity.
        """
        if not isinstance(state, Mapping) or state.get("version") != _STATE_VERSION:
            raise ValueError(
                f"state: {type(state).__name__} that is no recorder's state of version "
                f"{_STATE_VERSION}"
            )
        modules = self._layout.modules
        strange = [n for n in state["cells"] if module_name(n, modules) not in modules]
        if strange:
            raise ValueError(f"state: layers {strange}; expected some of {self.layers}")
        for name, theirs in state.get("options", {}).items():
            ours = self._layout.options_of(name)
            if ours != theirs:
                raise ValueError(
                    f"state: of layer {name!r} with {theirs}; expected {ours}, as here"
                )
        for name, of_layer in state["cells"].items():
            self._layout.cells_of(name).restore(of_layer)
        self._order, self._shared = list(state["order"]), list(state.get("shared", ()))
        self._records = {}
        for split, epoch, layer, values in state["records"]:
            self._records.setdefault(split, {}).setdefault(epoch, {})[layer] = {
                key: float(value) for key, value in values.items()
            }

    def _run(self, counting: CountingPass, batch: Any) -> None:
        with errors_name(f"batch {counting.batches}"):
            unpacked = checked_unpack(self._unpack, batch)
            targets = read_targets(
                unpacked.labels, unpacked.inputs, unpacked.weights, self._class_weights
            )
        run_model(self._layout.model, unpacked.x, device_of(self._layout.model))
        counting.add(targets)

    def _calibrate(self, batches: Any, gather: Callable[[Any], list[Any]] = lambda v: [v]) -> None:
        """Choose the bins that are left to be chosen: of a projection in a second round.

        `gather` gives what was observed by all ranks.
        """
        layout = self._layout
        device = device_of(layout.model)
        for name in layout.modules:
            layout.cells_of(name)
        while any(gather(self._waits_for_bins())):
            with CalibrationPass(layout) as calibration:
                for batch in one_pass(batches):
                    with errors_name(f"batch {calibration.batches}"):
                        x = checked_unpack(self._unpack, batch).x
                    run_model(layout.model, x, device)
                    calibration.end_batch()
            extents = gather(calibration.extents)
            for name in dict.fromkeys(name for part in extents for name in part):
                layout.cells_of(name).settle(
                    [part[name] for part in extents if name in part], "at the first measurement"
                )
            if not any(extents):  # of layers that did not run
                return

    def _waits_for_bins(self) -> bool:
        cells = self._layout.cells.items()
        return any(not c.ready for name, c in cells if name not in self._never_ran)

    def _complete(self, counting: CountingPass) -> dict[str, LayerCounts]:
        """The counts of a pass that has ended, or an error where something is missing."""
        counting.check_complete()
        if not counting.batches:
            if distributed.in_use() is not None:  # other ranks may have what there is
                return {}
            raise ValueError("loader: no batch; expected at least one")
        for name in counting.shared:
            del counting.counts[name]
        self._shared = sorted({*self._shared, *counting.shared})
        self._never_ran = [name for name in self._layout.modules if name not in counting.ran]
        named = [name for name in self._never_ran if name in self._layout.named]
        if named and not self._records:
            raise ValueError(
                f"layers: {', '.join(map(repr, named))} never ran; a module whose weights are used "
                "without calling it cannot be watched"
            )
        return counting.counts

    def _record(
        self, epoch: int, counts: Mapping[str, dict[str, LayerCounts]], *, whole: bool
    ) -> Measurement:
        """Take counts into the records; saturation is said of a whole, not of a rank's part."""
        found: dict[str, dict[str, dict[str, float]]] = {}
        for split, layers in counts.items():
            for name, of_layer in layers.items():
                entropy = self._layout.seed, epoch, zlib.crc32(f"{split}/{name}".encode())
                with errors_name(f"layer {name!r}"):
                    found.setdefault(split, {})[name] = measure_counts(
                        of_layer, self._estimators, self._shuffles, entropy
                    )
        for split, values in found.items():
            self._records.setdefault(split, {})[epoch] = values
            self._order += [name for name in values if name not in self._order]
        if whole:
            self._warn(found)
        else:
            earlier = self._latest if self._latest_epoch == epoch else {}
            self._latest, self._latest_epoch = {**earlier, **counts}, epoch
        return Measurement.of(epoch, found)

    def _warn(self, found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
        pinned = {n for of in found.values() for n, values in of.items() if values["saturated"]}
        pinned -= self._warned
        if not pinned or self._exhaustive:
            return
        self._warned |= pinned
        warnings.warn(
            f"layers {', '.join(sorted(pinned))}: at least nine in ten rows are alone in their "
            "cells: the binned I(X;T) is about log2(n) bits and I(T;Y) about H(Y), whatever the "
            "network does; plane().layer.attrs['diagnostics'] says what to do",
            SaturationWarning,
            stacklevel=4,
        )

    def _sample_seed(self) -> int:
        return self._layout.seed * 1024 + distributed.rank()


Heard = Callable[..., None]


def _plain(value: float) -> float | str:
    """A number as JSON can have it: "inf" and "nan" are words there."""
    return value if math.isfinite(value) else str(value)


def _check_epoch(epoch: Any) -> int:
    return check_count("epoch", epoch, 0, 2**62)


def _check_split(split: Any) -> str:
    if isinstance(split, str) and split and "/" not in split:
        return split
    raise ValueError(f"split: {split!r}; expected a name without '/'")


def _check_estimators(estimators: Mapping[str, Estimator]) -> dict[str, Estimator]:
    for name, estimator in estimators.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"estimators: {name!r}; expected names such as 'kde'")
        if isinstance(estimator, type) or not isinstance(estimator, Estimator):
            raise TypeError(
                f"estimators: {name!r} is a {type(estimator).__name__}; expected one of "
                "ibfast.estimators"
            )
    return dict(estimators)
