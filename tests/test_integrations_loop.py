"""The callback for any loop, with loggers and a run folder."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import ibfast
import ibfast.distributed
import ibfast.store
from ibfast.integrations._measuring import plane_images
from ibfast.integrations.loop import PlaneCallback


def model_and_data():
    torch.manual_seed(0)
    x = torch.randn(200, 6)
    return nn.Sequential(nn.Linear(6, 3), nn.Tanh()), (x, (x[:, 0] > 0).long())


def test_due_epochs_are_measured_and_the_last():
    model, data = model_and_data()
    loaders = {"train": [data], "test": data}
    on_epoch_end = PlaneCallback(model, loaders, bins=5, when=[0, 2])
    by_hand = ibfast.Recorder(model, bins=5, when=[0, 2, 3])
    for epoch in range(4):
        nn.init.normal_(model[0].weight)
        found = on_epoch_end(epoch, last=epoch == 3)
        assert found == by_hand.measure(loaders, epoch=epoch)
        assert (found is None) == (epoch == 1)
    xr.testing.assert_identical(on_epoch_end.plane(), by_hand.plane())


def test_a_recorder_of_the_users_goes_on():
    model, data = model_and_data()
    recorder = ibfast.Recorder(model, bins=5)
    recorder.measure(data, epoch=0)
    on_epoch_end = PlaneCallback(recorder, data)
    on_epoch_end(1)
    assert on_epoch_end.recorder is recorder
    assert recorder.plane().epoch.values.tolist() == [0, 1]


def test_loggers_get_what_was_measured_and_the_plane_so_far():
    model, data = model_and_data()
    seen = []
    on_epoch_end = PlaneCallback(model, data, bins=5, loggers=[lambda *both: seen.append(both)])
    found = [on_epoch_end(epoch) for epoch in range(3)]
    assert [measurement for measurement, _ in seen] == found
    assert [plane.sizes["epoch"] for _, plane in seen] == [1, 2, 3]


def test_the_first_rank_alone_logs_and_saves(tmp_path, monkeypatch):
    model, data = model_and_data()
    seen = []
    on_epoch_end = PlaneCallback(
        model, data, bins=5, loggers=[lambda *both: seen.append(both)], folder=tmp_path / "run"
    )
    monkeypatch.setattr(ibfast.distributed, "rank", lambda: 1)
    assert on_epoch_end(0).epoch == 0
    assert seen == []
    assert not (tmp_path / "run").exists()


def test_the_run_folder_has_figures_at_the_end(tmp_path):
    folder = tmp_path / "run"
    model, data = model_and_data()
    on_epoch_end = PlaneCallback(model, data, bins=5, folder=folder)
    for epoch in range(2):
        on_epoch_end(epoch)
        plane, _ = ibfast.store.open_run(folder)
        xr.testing.assert_equal(plane, on_epoch_end.plane())
        assert not (folder / "figures").exists()
    on_epoch_end(2, last=True)
    assert ibfast.store.open_run(folder)[0].sizes["epoch"] == 3
    assert (folder / "figures" / "information_plane.png").is_file()


def test_what_cannot_be_used_is_refused_before_training(tmp_path):
    model, data = model_and_data()
    with pytest.raises(TypeError, match="loaders: 'data' is an iterator; expected one that can"):
        PlaneCallback(model, iter([data]))
    with pytest.raises(TypeError, match="loader: int; expected batches to iterate over"):
        PlaneCallback(model, {"test": 3})
    with pytest.raises(TypeError, match="loggers: str; expected functions"):
        PlaneCallback(model, data, loggers=["runs/1"])
    with pytest.raises(TypeError, match="bins, when: of a new recorder, but one is given"):
        PlaneCallback(ibfast.Recorder(model), data, bins=3, when="every")
    with pytest.raises(FileExistsError, match="exists and is not a run folder"):
        PlaneCallback(model, data, folder=tmp_path)


def test_images_of_the_plane():
    model, (x, y) = model_and_data()
    recorder = ibfast.Recorder(model, bins=5)
    recorder.measure((x, y), epoch=0)
    (image,) = plane_images(recorder.plane()).values()
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    assert min(image.shape[:2]) > 300
    assert image.min() < 50 < 250 < image.max()
    several = ibfast.Recorder(model, bins=5)
    several.measure([ibfast.recorder.Batch(x, {"sign": y, "parity": y % 2})], epoch=0)
    assert list(plane_images(several.plane())) == ["plane/sign", "plane/parity"]
