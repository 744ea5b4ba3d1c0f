"""A callback for Lightning's Trainer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    from torch import nn
    from torch.utils.data import DistributedSampler, RandomSampler

    try:
        from lightning.pytorch import Callback
    except ImportError:
        from pytorch_lightning import Callback  # type: ignore[assignment]
except ImportError as error:
    raise ImportError(
        'ibfast.integrations.lightning needs torch and lightning: pip install "ibfast[lightning]"'
    ) from error

from ibfast.integrations._measuring import (
    check_folder,
    check_loaders,
    measure_on_all_ranks,
    plane_images,
)
from ibfast.recorder import Measurement, Recorder
from ibfast.recorder._batches import one_pass

if TYPE_CHECKING:
    import xarray as xr
    from lightning.pytorch import LightningModule, Trainer

__all__ = ["InformationPlaneCallback"]


class InformationPlaneCallback(Callback):
    """Measures the layers of a LightningModule before training and after each epoch that is due.

    Epoch 0 is before the first update, epoch e after e epochs; the last is always measured. What
    runs is `forward`, in evaluation mode, with the trainer's precision and on batches that have
    passed the module's transfer hooks; no step of the module is called, and the weights that
    training leads to are the same to the last bit with and without this callback.

    Numbers go to every logger of the trainer as ``prefix/split/layer/quantity``, with
    ``prefix/epoch`` and at the trainer's global step; the plane as an image to those of TensorBoard
    and W&B. Checkpoints hold records and bins, so that a training that is resumed goes on with
    them. In distributed training (DDP) the ranks' counts are merged, and all have the same records;
    of ranks that were spawned there is afterwards what they have logged and saved. With
    ``fast_dev_run`` as few batches are measured as are trained on, and nothing is saved.

    Parameters
    ----------
    loaders : iterable of batches, or mapping of str to these, optional
        What is measured, by the names of splits. Of several ranks each takes its share of the
        batches, so loaders must not shuffle there, unless they have a DistributedSampler. Default:
        the trainer's validation loaders, or the training ones where there are none: as many batches
        as the trainer takes of them, with the rows that its DistributedSampler repeats.
    recorder : ibfast.Recorder, optional
        One that exists, of the module or of a part of it.
    module : str or callable, optional
        The part that is measured, and called with the batch: its name in the LightningModule, or a
        function from that to it. Default: the LightningModule.
    folder : str or Path, optional
        The run is saved there after each measurement, with figures at the end; a run that is there
        is replaced.
    figures : bool
        Whether to draw the plane for the loggers at each measurement, which takes some tenths of a
        second.
    prefix : str
        Of the logged names; callbacks of one trainer must have different ones.
    **options
        Of `Recorder`: ``layers``, ``bins``, ``when``, ``unpack``, ...

    Raises
    ------
    TypeError
        A loader cannot be iterated over, or only once; there are options, or a module, and a
        recorder, which has its own.
    FileExistsError
        The folder is there and is no run.

    Examples
    --------
    >>> callback = InformationPlaneCallback(bins=8, when="every", folder="run")
    >>> trainer = lightning.Trainer(max_epochs=20, callbacks=[callback])  # doctest: +SKIP
    >>> trainer.fit(module, train_loader, test_loader)  # doctest: +SKIP
    >>> callback.plane().i_xt  # doctest: +SKIP
    """

    def __init__(
        self,
        loaders: Any = None,
        *,
        recorder: Recorder | None = None,
        module: str | Callable[[Any], nn.Module] | None = None,
        folder: str | Path | None = None,
        figures: bool = True,
        prefix: str = "ib",
        **options: Any,
    ) -> None:
        given = options if module is None else {"module": module, **options}
        if recorder is not None and given:
            raise TypeError(f"{', '.join(given)}: of a new recorder, but one is given")
        self._loaders = None if loaders is None else check_loaders(loaders)
        self._recorder = recorder
        self._choose = module
        self._folder = check_folder(folder)
        self._figures = figures
        self._prefix = prefix
        self._options = options
        self._module: nn.Module | None = None  # of the recorder, where it is made here
        self._measured = -1
        self._state: dict[str, Any] = {}  # of a checkpoint, until there is a recorder

    @property
    def recorder(self) -> Recorder:
        """The recorder, which is made when training starts.

        Raises
        ------
        RuntimeError
            It has not started.
        """
        if self._recorder is None:
            raise RuntimeError("recorder: it is made when training starts; call trainer.fit first")
        return self._recorder

    def plane(self) -> xr.Dataset:
        """All measurements, as `Recorder.plane`."""
        return self.recorder.plane()

    @property
    def state_key(self) -> str:
        """Under what checkpoints keep the state."""
        return self._generate_state_key(prefix=self._prefix)

    def state_dict(self) -> dict[str, Any]:
        """Records and bins, for a checkpoint."""
        return self._state if self._recorder is None else self._recorder.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._state = state_dict
        if self._recorder is not None:
            self._recorder.load_state_dict(state_dict)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the recorder.

        Raises
        ------
        TypeError, ValueError
            As `Recorder`; the module has no such part; or the callback has watched another module.
        """
        if self._recorder is not None and self._module is None:
            return
        module = self._part_of(pl_module)
        if self._recorder is not None and module is not self._module:
            raise ValueError(
                f"module: another {type(module).__name__} than before; expected a callback of its "
                "own for each model"
            )
        if self._recorder is None:
            self._recorder, self._module = Recorder(module, **self._options), module
            if self._state:
                self._recorder.load_state_dict(self._state)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure before the first update."""
        self._measured = -1
        if trainer.global_step == 0:
            self._measure(trainer, 0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure, if the epoch is due."""
        self._measure(trainer, trainer.current_epoch + 1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the last epoch, if it has not been, and draw the figures of the run folder."""
        if self._measured != trainer.current_epoch:
            self._measure(trainer, trainer.current_epoch, force=True)
        self._save(trainer, figures=True)

    def _part_of(self, pl_module: nn.Module) -> nn.Module:
        if self._choose is None:
            return pl_module
        if callable(self._choose):
            return self._choose(pl_module)
        try:
            return pl_module.get_submodule(self._choose)
        except AttributeError as error:
            raise ValueError(f"module: {self._choose!r}: {error}") from error

    def _measure(self, trainer: Trainer, epoch: int, *, force: bool = False) -> None:
        with _validating(trainer):
            found = measure_on_all_ranks(self.recorder, self._batches(trainer), epoch, force=force)
        if found is None:
            return
        self._measured = epoch
        if trainer.is_global_zero:
            self._log(trainer, found)
        self._save(trainer, figures=False)

    def _batches(self, trainer: Trainer) -> dict[str, _Batches]:
        """The batches of each split, to be run through as often as needed."""
        if self._loaders is not None:
            limit = _fast_dev_run(trainer) or math.inf
            return {
                split: _Batches(trainer, split, loader, limit, shared=trainer.world_size > 1)
                for split, loader in self._loaders.items()
            }
        validation = trainer.fit_loop.epoch_loop.val_loop
        validation.setup_data()  # which Lightning does when it first validates
        if trainer.enable_validation:
            loaders, limits = _by_split("val", trainer.val_dataloaders), trainer.num_val_batches
        else:
            loaders = _by_split("train", trainer.train_dataloader)
            limits = [trainer.num_training_batches] * len(loaders)
        return {
            split: _Batches(trainer, split, loader, limit, number=number)
            for number, ((split, loader), limit) in enumerate(
                zip(loaders.items(), limits, strict=True)
            )
        }

    def _log(self, trainer: Trainer, found: Measurement) -> None:
        scalars = {**found.scalars(self._prefix), f"{self._prefix}/epoch": float(found.epoch)}
        for logger in trainer.loggers:
            logger.log_metrics(scalars, step=trainer.global_step)
        writers = [_image_writer(logger) for logger in trainer.loggers] if self._figures else []
        images = plane_images(self.plane()) if any(writers) else {}
        for name, image in images.items():
            for write in filter(None, writers):
                write(f"{self._prefix}/{name}", image, trainer.global_step)

    def _save(self, trainer: Trainer, *, figures: bool) -> None:
        if self._folder is not None and trainer.is_global_zero and not _fast_dev_run(trainer):
            self.recorder.save(self._folder, overwrite=True, figures=figures)


class _Batches:
    """The batches of a loader as the trainer hands them to the model; or this rank's share."""

    def __init__(
        self,
        trainer: Trainer,
        split: str,
        loader: Any,
        limit: float,
        *,
        shared: bool = False,
        number: int = 0,
    ) -> None:
        sampler = getattr(loader, "sampler", None)
        shared = shared and not isinstance(sampler, DistributedSampler)
        if shared and isinstance(sampler, RandomSampler):
            raise ValueError(
                f"loaders: {split!r} shuffles, so {trainer.world_size} ranks cannot share its "
                "batches; expected one that does not, or one with a DistributedSampler"
            )
        self._trainer = trainer
        self._loader = loader
        self._number = number
        first, step = (trainer.global_rank, trainer.world_size) if shared else (0, 1)
        stop = None if math.isinf(limit) else int(limit) * step
        self._slice = first, stop, step

    def __iter__(self) -> Iterator[Any]:
        strategy = self._trainer.strategy
        for batch in islice(one_pass(self._loader), *self._slice):
            converted = strategy.precision_plugin.convert_input(batch)
            yield strategy.batch_to_device(converted, dataloader_idx=self._number)


def _image_writer(logger: Any) -> Callable[[str, Any, int], object] | None:
    """What writes an image (key, image, step), if the logger can.

    By what it can do, not by its class: lightning and pytorch_lightning have each their own.
    """
    add_image = getattr(getattr(logger, "experiment", None), "add_image", None)
    if add_image is not None:
        return partial(add_image, dataformats="HWC")
    log_image = getattr(logger, "log_image", None)
    if log_image is not None:
        return lambda key, image, step: log_image(key, [image], step=step)
    return None


def _fast_dev_run(trainer: Trainer) -> int:
    """How many batches are run, where that is all; else 0."""
    return int(trainer.fast_dev_run)  # type: ignore[attr-defined]


@contextmanager
def _validating(trainer: Trainer) -> Iterator[None]:
    """The trainer's precision; and hooks that ask it see a trainer that validates."""
    stage = trainer.state.stage
    trainer.validating = True
    try:
        with trainer.precision_plugin.forward_context():
            yield
    finally:
        trainer.state.stage = stage


def _by_split(split: str, loaders: Any) -> dict[str, Any]:
    """Loaders as Lightning takes them: one, several, or several by name."""
    if isinstance(loaders, Mapping):
        return {str(name): loader for name, loader in loaders.items()}
    if not isinstance(loaders, (list, tuple)):
        return {split: loaders}
    if len(loaders) == 1:
        return {split: loaders[0]}
    return {f"{split}_{number}": loader for number, loader in enumerate(loaders)}
