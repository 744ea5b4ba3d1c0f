"""What callbacks of all kinds do: measure on every rank, and draw the plane as an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ibfast import distributed
from ibfast.recorder import Measurement, Recorder
from ibfast.recorder._batches import as_loader

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["check_folder", "check_loaders", "measure_on_all_ranks", "plane_images"]


def check_folder(folder: str | Path | None) -> Path | None:
    """The folder as a path.

    Raises
    ------
    FileExistsError
        It is there and is no run.
    """
    if folder is None:
        return None
    from ibfast import store

    store.check_free(Path(folder), overwrite=True)
    return Path(folder)


def check_loaders(loaders: Any) -> dict[str, Any]:
    """Loaders by the names of their splits; a single one is called ``data``.

    Raises
    ------
    TypeError
        One is an iterator, or cannot be iterated over.
    """
    by_split = dict(loaders) if isinstance(loaders, Mapping) else {"data": loaders}
    for split, loader in by_split.items():
        if isinstance(loader, Iterator):
            raise TypeError(
                f"loaders: {split!r} is an iterator; expected one that can be iterated over at "
                "every epoch, such as a DataLoader"
            )
    return {split: as_loader(loader) for split, loader in by_split.items()}


def measure_on_all_ranks(
    recorder: Recorder, loaders: Mapping[str, Any], epoch: int, *, force: bool
) -> Measurement | None:
    """Measure; where torch.distributed is in use, all that the ranks have in their loaders."""
    several = distributed.in_use() is not None
    if several and (force or recorder.is_due(epoch)):
        for loader in loaders.values():
            recorder.calibrate(loader)
    found = recorder.measure(loaders, epoch=epoch, force=force)
    return recorder.reduce() if several and found is not None else found


def plane_images(plane: xr.Dataset) -> dict[str, NDArray[np.uint8]]:
    """The figure of the plane as pixels (height, width, 3), ``plane``; one for each label set."""
    from ibfast import plots  # which names the extra where matplotlib is missing

    # isort: split
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if "labels" in plane.dims:
        parts = {f"plane/{name}": plane.sel(labels=name) for name in plane.labels.values.tolist()}
    else:
        parts = {"plane": plane}
    images = {}
    for name, part in parts.items():
        canvas: Any = FigureCanvasAgg(plots.plane_figure(part))
        canvas.draw()
        images[name] = np.array(canvas.buffer_rgba())[..., :3]
    return images
