import errno
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from ibfast import store
from ibfast.plane import measure_arrays


@pytest.fixture
def plane():
    rng = np.random.default_rng(0)
    return measure_arrays({"a": rng.random((3, 50, 2))}, rng.integers(0, 2, 50), bins=5)


def write(path, plane, info=None):
    with store.new_folder(path) as folder:
        store.save_plane(folder, plane)
        store.save_info(folder, info or {"complete": True})


def disk_full(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_round_trip(tmp_path, plane):
    write(tmp_path / "deep" / "run", plane, {"complete": True, "n": 3})
    read, info = store.open_run(tmp_path / "deep" / "run")
    xr.testing.assert_identical(read, plane)
    assert info == {"complete": True, "n": 3}
    assert store.is_run(tmp_path / "deep" / "run")


def test_xarray_alone_reads_it(tmp_path, plane):
    write(tmp_path / "run", plane)
    with xr.open_zarr(tmp_path / "run" / "plane.zarr") as read:
        xr.testing.assert_identical(read.load(), plane)
    metadata = json.loads((tmp_path / "run" / "plane.zarr" / "zarr.json").read_text())
    assert metadata["zarr_format"] == 3


def test_nothing_appears_before_it_is_whole(tmp_path, plane):
    with store.new_folder(tmp_path / "run") as folder:
        store.save_plane(folder, plane)
        assert not (tmp_path / "run").exists()
        assert folder.parent == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_leaves_nothing(tmp_path, plane, monkeypatch, error):
    def fail(*_args):
        raise error

    monkeypatch.setattr(store, "save_info", fail)
    with pytest.raises(error):
        write(tmp_path / "run", plane)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing(tmp_path, plane, monkeypatch):
    monkeypatch.setattr(Path, "write_text", disk_full)
    message = "cannot write .*run: No space left on device; nothing was left there"
    with pytest.raises(OSError, match=message) as caught:
        write(tmp_path / "run", plane)
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_inside_zarr_leaves_nothing(tmp_path, plane, monkeypatch):
    monkeypatch.setattr("zarr.storage.LocalStore.set", disk_full)
    with pytest.raises(OSError, match="No space left on device; nothing was left there"):
        write(tmp_path / "run", plane)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written(tmp_path, plane):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write .*file/run: Not a directory"):
        write(tmp_path / "file" / "run", plane)


def test_replacing_a_run(tmp_path, plane):
    write(tmp_path / "run", plane, {"complete": False})
    (tmp_path / "run" / "old").write_text("")
    store.check_free(tmp_path / "run", overwrite=True)
    write(tmp_path / "run", plane, {"complete": True})
    assert store.open_run(tmp_path / "run")[1] == {"complete": True}
    assert not (tmp_path / "run" / "old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_old_run_survives_a_failed_replacement(tmp_path, plane, monkeypatch):
    write(tmp_path / "run", plane, {"complete": False})
    rename = Path.rename

    def only_away(path, target):
        if target == tmp_path / "run" and "run" not in seen:
            seen.append("run")
            disk_full()
        return rename(path, target)

    seen = []
    monkeypatch.setattr(Path, "rename", only_away)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "run", plane, {"complete": True})
    assert store.open_run(tmp_path / "run")[1] == {"complete": False}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_existing_folder_is_not_replaced_unasked(tmp_path, plane):
    write(tmp_path / "run", plane)
    with pytest.raises(FileExistsError, match="run exists: choose another folder, or overwrite"):
        store.check_free(tmp_path / "run", overwrite=False)


def test_what_is_not_a_run_is_never_replaced(tmp_path):
    with pytest.raises(FileExistsError, match="is not a run folder: it is not overwritten"):
        store.check_free(tmp_path, overwrite=True)


def test_a_new_folder_is_free(tmp_path):
    store.check_free(tmp_path / "run", overwrite=False)


def test_opening_what_is_not_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is not a run folder: it has no run\.json"):
        store.open_run(tmp_path)
