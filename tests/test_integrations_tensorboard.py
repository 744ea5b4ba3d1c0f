"""Event files, read back as TensorBoard reads them."""

import importlib
import io
import sys

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from torch import nn

pytest.importorskip("tensorboard", reason="tensorboard is missing: extra 'tensorboard'")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ibfast.integrations.loop import PlaneCallback
from ibfast.integrations.tensorboard import SummaryWriter, TensorBoardLogger


def record(loggers):
    torch.manual_seed(0)
    x = torch.randn(200, 6)
    model = nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 2))
    data = x, (x[:, 0] > 0).long()
    on_epoch_end = PlaneCallback(model, {"train": data, "test": data}, bins=5, loggers=loggers)
    for epoch in (0, 1, 5):
        nn.init.normal_(model[0].weight)
        on_epoch_end(epoch)
    return on_epoch_end.plane()


def events_of(folder):
    events = EventAccumulator(str(folder), {"scalars": 0, "images": 0})
    events.Reload()
    return events


def test_scalars_are_the_plane_and_the_image_is_drawn(tmp_path):
    logger = TensorBoardLogger(tmp_path)
    plane = record([logger])
    logger.close()
    events = events_of(tmp_path)
    tags = {f"ib/{s}/{n}/{q}" for s in ("train", "test") for n in ("1", "2") for q in plane}
    assert set(events.Tags()["scalars"]) == tags
    for tag in tags:
        _, split, layer, quantity = tag.split("/")
        expected = plane[quantity].sel(split=split)[0, :, int(layer) - 1].values
        written = events.Scalars(tag)
        assert [event.step for event in written] == [0, 1, 5]
        assert np.array_equal([event.value for event in written], expected.astype(np.float32))
    images = events.Images("ib/plane")
    assert [image.step for image in images] == [0, 1, 5]
    for image in images:
        pixels = imread(io.BytesIO(image.encoded_image_string), format="png")
        assert pixels.shape == (image.height, image.width, 3)
        assert image.width > image.height > 400
        assert pixels.std() > 0.05


def test_a_writer_of_the_users_other_names_and_no_figures(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        record([TensorBoardLogger(writer, prefix="planes", figures=False)])
        writer.add_scalar("loss", 1.0, 6)
    tags = events_of(tmp_path).Tags()
    assert {tag.partition("/")[0] for tag in tags["scalars"]} == {"planes", "loss"}
    assert tags["images"] == []


def test_what_is_no_writer():
    with pytest.raises(TypeError, match="writer: int; expected a SummaryWriter or a folder"):
        TensorBoardLogger(3)


def test_without_tensorboard(monkeypatch):
    monkeypatch.delitem(sys.modules, "ibfast.integrations.tensorboard")
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r'pip install "ibfast\[tensorboard\]"'):
        importlib.import_module("ibfast.integrations.tensorboard")
