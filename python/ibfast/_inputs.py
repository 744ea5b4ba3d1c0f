"""What the command line reads: widths, checkpoints, and activations from .npz files."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def parse_widths(text: str | None) -> tuple[int, ...] | None:
    """Read the units of each layer."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.replace(",", "-").split("-"))
    except ValueError:
        raise ValueError(f"widths must be like 12-10-7-2; got {text!r}") from None


def parse_checkpoints(text: str | None) -> int | tuple[int, ...] | None:
    """Read a number of checkpoints, or the epochs themselves where there is a comma."""
    if text is None:
        return None
    try:
        if "," not in text:
            return int(text)
        return tuple(int(part) for part in text.removesuffix(",").split(","))
    except ValueError:
        raise ValueError(f"checkpoints must be like 110, or 0,10,100; got {text!r}") from None


def load_activations(
    file: Path, labels: str | None
) -> tuple[dict[str, NDArray[Any]], NDArray[Any], NDArray[Any] | None]:
    """Read layers, labels and the numbers of the epochs, if any, from an .npz file."""
    with file.open("rb") as stream:
        if not zipfile.is_zipfile(stream):
            raise ValueError(f"{file} is not an .npz file")
        stream.seek(0)
        with np.load(stream) as arrays:
            try:
                layers = dict(arrays)
            except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                raise ValueError(f"{file} cannot be read: {error}") from error
    keys = ("labels", "y") if labels is None else (labels,)
    found = [key for key in keys if key in layers]
    if not found:
        raise ValueError(
            f"{file} has no labels under {' or '.join(keys)}; "
            f"its arrays are {', '.join(layers) or 'none'}"
        )
    classes = layers.pop(found[0])
    return layers, classes, layers.pop("epochs", None)
