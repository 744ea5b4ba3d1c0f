"""A callback for any training loop of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ibfast import distributed
from ibfast.integrations._measuring import check_folder, check_loaders, measure_on_all_ranks
from ibfast.recorder import Measurement, Recorder

if TYPE_CHECKING:
    import xarray as xr
    from torch import nn

__all__ = ["Logger", "PlaneCallback"]

Logger: TypeAlias = "Callable[[Measurement, xr.Dataset], object]"
"""A function of what was measured now, and of the plane with all that was measured so far."""


class PlaneCallback:
    """To be called with the number of epochs that are done: measures, logs and saves.

    Where torch.distributed is in use every rank calls it, each with its own part of the data; all
    have the same records then, and the first logs and saves.

    Parameters
    ----------
    model : torch.nn.Module or ibfast.Recorder
    loaders : iterable of batches, or mapping of str to these
        What is measured, by the names of splits, as for `Recorder.measure`; no iterators.
    loggers : iterable of callable (measurement, plane)
        `ibfast.integrations.tensorboard.TensorBoardLogger`,
        `ibfast.integrations.wandb.WandbLogger`, or functions of your own.
    folder : str or Path, optional
        The run is saved there after each measurement; a run that is there is replaced.
    **options
        Of `Recorder`: ``layers``, ``bins``, ``when``, ...

    Attributes
    ----------
    recorder : Recorder

    Raises
    ------
    TypeError
        A loader cannot be iterated over, or only once; a logger cannot be called; there are options
        and a recorder, which has its own.
    FileExistsError
        The folder is there and is no run.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 3), torch.nn.Tanh())
    >>> data = torch.randn(256, 8), torch.arange(256) % 2
    >>> on_epoch_end = PlaneCallback(model, {"test": data}, bins=4)
    >>> for epoch in range(3):  # 0: before training
    ...     measurement = on_epoch_end(epoch)
    >>> measurement.layers["test"]["1"]["n"]
    256.0
    >>> on_epoch_end.plane().sizes["epoch"]
    3
    """

    def __init__(
        self,
        model: nn.Module | Recorder,
        loaders: Any,
        *,
        loggers: Iterable[Logger] = (),
        folder: str | Path | None = None,
        **options: Any,
    ) -> None:
        if isinstance(model, Recorder) and options:
            raise TypeError(f"{', '.join(options)}: of a new recorder, but one is given")
        self.recorder = model if isinstance(model, Recorder) else Recorder(model, **options)
        self._loaders = check_loaders(loaders)
        self._loggers = list(loggers)
        for logger in self._loggers:
            if not callable(logger):
                raise TypeError(
                    f"loggers: {type(logger).__name__}; expected functions (measurement, plane), "
                    "such as ibfast.integrations.tensorboard.TensorBoardLogger"
                )
        self._folder = check_folder(folder)

    def __call__(self, epoch: int, *, last: bool = False) -> Measurement | None:
        """Measure, if the epoch is due.

        Parameters
        ----------
        epoch : int
            How many epochs of training are done; 0 before the first.
        last : bool
            Measure whether or not it is due, and draw the figures of the run folder. They can be
            drawn later too: ``ibfast plot``.

        Returns
        -------
        Measurement or None
            None where the epoch is not due.

        Raises
        ------
        TypeError, ValueError
            As `Recorder.measure`.
        """
        found = measure_on_all_ranks(self.recorder, self._loaders, epoch, force=last)
        if found is None or distributed.rank() > 0:
            return found
        if self._folder is not None:
            self.recorder.save(self._folder, overwrite=True, figures=last)
        if self._loggers:
            plane = self.recorder.plane()
            for logger in self._loggers:
                logger(found, plane)
        return found

    def plane(self) -> xr.Dataset:
        """All measurements, as `Recorder.plane`."""
        return self.recorder.plane()
