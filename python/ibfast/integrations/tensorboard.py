"""A logger that writes to TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError as error:
    raise ImportError(
        "ibfast.integrations.tensorboard needs torch and tensorboard: "
        'pip install "ibfast[tensorboard]"'
    ) from error

from ibfast.integrations._measuring import plane_images
from ibfast.recorder import Measurement

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["TensorBoardLogger"]


class TensorBoardLogger:
    """Writes every number of a measurement as a scalar, and the plane as an image.

    The step is the epoch. For Lightning this is not needed: its callback writes to its loggers.

    Parameters
    ----------
    writer : torch.utils.tensorboard.SummaryWriter, str or Path
        Or the folder for a new one.
    prefix : str
        Tags are ``prefix/split/layer/quantity`` and ``prefix/plane``.
    figures : bool
        Whether to draw the plane at each measurement, which takes some tenths of a second.

    Attributes
    ----------
    writer : torch.utils.tensorboard.SummaryWriter
        To be closed by whoever has made it: `close` closes it in either case.

    Raises
    ------
    TypeError
        `writer` is neither.

    Examples
    --------
    >>> from ibfast.integrations.loop import PlaneCallback
    >>> logger = TensorBoardLogger("runs/1")  # doctest: +SKIP
    >>> on_epoch_end = PlaneCallback(model, loader, loggers=[logger])  # doctest: +SKIP
    """

    def __init__(
        self, writer: SummaryWriter | str | Path, *, prefix: str = "ib", figures: bool = True
    ) -> None:
        if isinstance(writer, (str, Path)):
            writer = SummaryWriter(str(writer))
        elif not hasattr(writer, "add_scalar"):
            raise TypeError(
                f"writer: {type(writer).__name__}; expected a SummaryWriter or a folder for one"
            )
        self.writer = writer
        self._prefix = prefix
        self._figures = figures

    def __call__(self, measurement: Measurement, plane: xr.Dataset) -> None:
        """Write a measurement, and the plane of all."""
        epoch = measurement.epoch
        for name, value in measurement.scalars(self._prefix).items():
            self.writer.add_scalar(name, value, epoch)
        for name, image in (plane_images(plane) if self._figures else {}).items():
            self.writer.add_image(f"{self._prefix}/{name}", image, epoch, dataformats="HWC")
        self.writer.flush()

    def close(self) -> None:
        """Close the writer."""
        self.writer.close()
