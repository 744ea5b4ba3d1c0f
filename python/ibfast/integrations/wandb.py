"""A logger that writes to a run of Weights & Biases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    import wandb
except ImportError as error:
    raise ImportError(
        'ibfast.integrations.wandb needs wandb: pip install "ibfast[wandb]"'
    ) from error

from ibfast.integrations._measuring import plane_images
from ibfast.recorder import Measurement

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["WandbLogger"]


class WandbLogger:
    """Logs every number of a measurement, and the plane as an image.

    All are drawn against a metric of their own, ``prefix/epoch``, for the run's step belongs to the
    training: it is neither set nor needed here. Each measurement is one call of ``run.log``, which
    moves an automatic step on by one; if you give steps of your own, log what belongs to one step
    before this logger is called, or W&B drops it.

    For Lightning this is not needed: its callback writes to its loggers.

    Parameters
    ----------
    run : wandb.Run, optional
        Default: the active one, ``wandb.run``. Offline runs too.
    prefix : str
        Names are ``prefix/split/layer/quantity`` and ``prefix/plane``.
    figures : bool
        Whether to draw the plane at each measurement, which takes some tenths of a second.

    Raises
    ------
    ValueError
        No run is active.

    Examples
    --------
    >>> import wandb
    >>> from ibfast.integrations.loop import PlaneCallback
    >>> run = wandb.init(project="planes")  # doctest: +SKIP
    >>> on_epoch_end = PlaneCallback(model, loader, loggers=[WandbLogger(run)])  # doctest: +SKIP
    """

    def __init__(self, run: Any = None, *, prefix: str = "ib", figures: bool = True) -> None:
        self._run: Any = wandb.run if run is None else run
        if self._run is None:
            raise ValueError("run: none is active; call wandb.init() first, or hand over its run")
        self._prefix = prefix
        self._figures = figures
        self._run.define_metric(f"{prefix}/epoch", hidden=True)
        self._run.define_metric(f"{prefix}/*", step_metric=f"{prefix}/epoch")

    def __call__(self, measurement: Measurement, plane: xr.Dataset) -> None:
        """Log a measurement, and the plane of all."""
        found: dict[str, Any] = {f"{self._prefix}/epoch": measurement.epoch}
        found |= measurement.scalars(self._prefix)
        for name, image in (plane_images(plane) if self._figures else {}).items():
            found[f"{self._prefix}/{name}"] = wandb.Image(image)
        self._run.log(found)
