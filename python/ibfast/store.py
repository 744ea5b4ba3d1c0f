"""Run folders: run.json, plane.zarr, checkpoints and figures, whole or not at all.

A folder is written under a temporary name beside its place and takes its name when it is complete.
"""

from __future__ import annotations

import contextlib
import errno
import json
import secrets
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

try:
    import xarray as xr
    import zarr  # noqa: F401  (xarray needs it, and says less clearly that it is missing)
except ImportError as error:
    raise ImportError('ibfast.store needs xarray and zarr: pip install "ibfast[store]"') from error

__all__ = ["check_free", "is_run", "new_folder", "open_run", "read_info", "save_info", "save_plane"]

_INFO = "run.json"
_PLANE = "plane.zarr"


def is_run(path: Path) -> bool:
    """Whether the folder is a run."""
    return (path / _INFO).is_file()


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raise unless a run may be written to the folder.

    Parameters
    ----------
    path : Path
        Where the run is to be.
    overwrite : bool
        Whether another run there may be replaced. Anything else is never replaced.

    Raises
    ------
    FileExistsError
        If there is something that may not be replaced.
    """
    if not path.exists():
        return
    if not overwrite:
        raise FileExistsError(f"{path} exists: choose another folder, or overwrite it")
    if not is_run(path):
        raise FileExistsError(f"{path} exists and is not a run folder: it is not overwritten")


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a folder that appears at `path` only when the block ends without an error.

    Parameters
    ----------
    path : Path
        The folder; one that exists is replaced (`check_free` comes first).

    Yields
    ------
    Path
        An empty folder beside it. It is removed if the block raises.

    Raises
    ------
    OSError
        If the place cannot be written, also from inside the block, as on a full disk. Nothing is
        left behind then, and what was at `path` is untouched.
    """
    path = path.absolute()
    partial = _hidden_name(path)
    try:
        partial.mkdir(parents=True)
        yield partial
        _take_place(partial, path)
    except OSError as error:
        raise OSError(
            error.errno or errno.EIO,
            f"cannot write {path}: {error.strerror or error}; nothing was left there",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def save_plane(folder: Path, plane: xr.Dataset) -> None:
    """Write the plane to ``plane.zarr`` (Zarr v3) in the folder."""
    with warnings.catch_warnings():
        # Consolidated metadata are an addition to Zarr v3; xarray asks for them on opening.
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        plane.to_zarr(folder / _PLANE, mode="w", zarr_format=3, consolidated=True)


def save_info(folder: Path, info: Mapping[str, Any]) -> None:
    """Write ``run.json``, what makes the folder a run."""
    text = json.dumps(info, indent=2, allow_nan=False) + "\n"
    (folder / _INFO).write_text(text, encoding="utf-8")


def read_info(path: Path) -> dict[str, Any]:
    """Return what ``run.json`` of a run folder says.

    Raises
    ------
    FileNotFoundError
        If the folder is not a run.
    """
    if not is_run(path):
        raise FileNotFoundError(f"{path} is not a run folder: it has no {_INFO}")
    info: dict[str, Any] = json.loads((path / _INFO).read_text(encoding="utf-8"))
    return info


def open_run(path: Path) -> tuple[xr.Dataset, dict[str, Any]]:
    """Read a run folder.

    Parameters
    ----------
    path : Path
        The folder.

    Returns
    -------
    plane : xarray.Dataset
        In memory. ``xarray.open_zarr(path / "plane.zarr")`` reads it as well.
    info : dict
        What ``run.json`` says.

    Raises
    ------
    FileNotFoundError
        If the folder is not a run.
    """
    info = read_info(path)
    with xr.open_dataset(path / _PLANE, engine="zarr", chunks=None) as plane:
        return plane.load(), info


def _take_place(partial: Path, path: Path) -> None:
    """Rename a complete folder; what was there goes only once the new one is in place."""
    if not path.exists():
        partial.rename(path)
        return
    old = _hidden_name(path)
    path.rename(old)
    try:
        partial.rename(path)
    except BaseException:
        old.rename(path)
        raise
    shutil.rmtree(old)


def _hidden_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")
