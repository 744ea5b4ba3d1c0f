"""What an offline run of W&B has written to its file."""

import importlib
import json
import struct
import sys
from collections import defaultdict

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from torch import nn

pytest.importorskip("wandb", reason="wandb is missing: extra 'wandb'")
import wandb
from wandb.proto.wandb_internal_pb2 import Record

from ibfast.integrations.loop import PlaneCallback
from ibfast.integrations.wandb import WandbLogger

BLOCK = 2**15  # of the log format, LevelDB's


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with wandb.init(project="planes", dir=tmp_path) as run:
        yield run


def records(path):
    """The records of a .wandb file: fragments in blocks, behind a header of seven bytes."""
    data, at, record = path.read_bytes(), 7, b""
    while at + 7 < len(data):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last fragment
            yield Record.FromString(record)
            record = b""


def read(run, tmp_path):
    """Rows of the history, as dicts, and definitions of metrics."""
    (path,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    rows, metrics = [], {}
    for record in records(path):
        if record.WhichOneof("record_type") == "history":
            row = defaultdict(dict)
            for item in record.history.item:
                name, *field = item.nested_key or [item.key]
                if field:
                    row[name][field[0]] = json.loads(item.value_json)
                else:
                    row[name] = json.loads(item.value_json)
            rows.append(row)
        elif record.WhichOneof("record_type") == "metric":
            metrics[record.metric.name or record.metric.glob_name] = record.metric
    return rows, metrics


def train(on_epoch_end, model, log):
    for epoch in range(3):
        nn.init.normal_(model[0].weight)
        log(epoch)
        on_epoch_end(epoch)


def model_and_data():
    torch.manual_seed(0)
    x = torch.randn(200, 6)
    return nn.Sequential(nn.Linear(6, 3), nn.Tanh()), {"test": (x, (x[:, 0] > 0).long())}


@pytest.mark.parametrize("steps", ["automatic", "of the user's own"])
def test_rows_are_the_plane_and_nothing_of_the_users_is_lost(run, tmp_path, steps):
    model, data = model_and_data()
    on_epoch_end = PlaneCallback(model, data, bins=5, loggers=[WandbLogger()])
    if steps == "automatic":
        train(on_epoch_end, model, lambda epoch: run.log({"loss": epoch}))
    else:
        train(on_epoch_end, model, lambda epoch: run.log({"loss": epoch}, step=epoch))
    run.finish()
    rows, metrics = read(run, tmp_path)
    assert metrics["ib/*"].step_metric == "ib/epoch"
    assert [row["loss"] for row in rows if "loss" in row] == [0, 1, 2]
    ours = [row for row in rows if "ib/epoch" in row]
    assert [row["ib/epoch"] for row in ours] == [0, 1, 2]
    plane = on_epoch_end.plane()
    for name in plane:
        written = [row[f"ib/test/1/{name}"] for row in ours]
        assert written == pytest.approx(plane[name].values.ravel().astype(float), rel=1e-14)
    for row in ours:
        (path,) = tmp_path.glob(f"wandb/offline-run-*/files/{row['ib/plane']['path']}")
        pixels = imread(path)
        assert pixels.shape[:2] == (row["ib/plane"]["height"], row["ib/plane"]["width"])
        assert np.std(pixels) > 0.05


def test_a_run_that_is_handed_over_other_names_and_no_figures(run, tmp_path):
    model, data = model_and_data()
    logger = WandbLogger(run, prefix="planes", figures=False)
    PlaneCallback(model, data, bins=5, loggers=[logger])(0)
    run.finish()
    (row,), metrics = read(run, tmp_path)
    others = {name for name in row if not name.startswith(("planes/test/1/", "_"))}
    assert others == {"planes/epoch"}
    assert set(metrics) == {"planes/epoch", "planes/*"}


def test_no_run():
    with pytest.raises(ValueError, match=r"run: none is active; call wandb.init\(\) first"):
        WandbLogger()


def test_without_wandb(monkeypatch):
    monkeypatch.delitem(sys.modules, "ibfast.integrations.wandb")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ImportError, match=r'pip install "ibfast\[wandb\]"'):
        importlib.import_module("ibfast.integrations.wandb")
