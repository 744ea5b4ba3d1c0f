"""The callback in Lightning's own Trainer, against recorders by hand."""

import copy
import csv
import importlib
import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import xarray as xr
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import ibfast
import ibfast.store
from ibfast import _core

pytest.importorskip("lightning", reason="lightning is missing: extra 'lightning'")
import lightning
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.plugins.precision import Precision

from ibfast.integrations.lightning import InformationPlaneCallback, _Batches

pytestmark = [
    # Lightning's own call of torch, which torch has renamed.
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated"),
    # Advice to load with more processes.
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
]

N = 160


class Digits(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(6, 4), nn.Tanh(), nn.Dropout(0.3), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)
        )

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, number):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.3)


class Validated(Digits):
    def validation_step(self, batch, number, dataloader_idx=0):
        self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))


def dataset(n=N, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=generator)
    return TensorDataset(x, (x[:, 0] > 0).long())


def loader(n=N, **options):
    return DataLoader(dataset(n), batch_size=32, **options)


def trainer(*callbacks, epochs=3, **options):
    quiet = {
        "accelerator": "cpu",
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": False,
        "log_every_n_steps": 1,
        "logger": False,
        "max_epochs": epochs,
    }
    return lightning.Trainer(callbacks=list(callbacks), **quiet | options)


def module(kind=Validated, seed=0):
    torch.manual_seed(seed)
    return kind()


class Weights(Callback):
    """Copies of the weights before training and after each epoch."""

    def __init__(self):
        self.copies = []

    def on_train_start(self, trainer, pl_module):
        self.copies.append(copy.deepcopy(pl_module.state_dict()))

    def on_train_epoch_end(self, trainer, pl_module):
        self.copies.append(copy.deepcopy(pl_module.state_dict()))


def by_hand(weights, loaders, epochs, kind=Validated, **options):
    model = kind()
    recorder = ibfast.Recorder(model, when="every", **options)
    for epoch in epochs:
        model.load_state_dict(weights.copies[epoch])
        recorder.measure(loaders, epoch=epoch)
    return recorder.plane()


def test_planes_are_those_of_a_recorder_by_hand():
    callback, weights = InformationPlaneCallback(bins=5, when=[0, 2]), Weights()
    trainer(callback, weights, epochs=4).fit(module(), loader(shuffle=True), loader(100))
    # 4, the last, is measured though it is not due.
    xr.testing.assert_identical(
        callback.plane(), by_hand(weights, {"val": loader(100)}, [0, 2, 4], bins=5)
    )


def test_splits_of_the_users():
    loaders = {"train": loader(64), "test": dataset(100).tensors}
    callback, weights = InformationPlaneCallback(loaders, bins=5, when="every"), Weights()
    trainer(callback, weights).fit(module(), loader(shuffle=True), loader(50))
    assert callback.plane().split.values.tolist() == ["train", "test"]
    xr.testing.assert_identical(callback.plane(), by_hand(weights, loaders, range(4), bins=5))


def test_one_loader_of_the_users():
    callback = InformationPlaneCallback(loader(100), bins=5)
    trainer(callback, epochs=1).fit(module(Digits), loader())
    assert (callback.plane().n == 100).all()


@pytest.mark.parametrize(
    ("validation", "kind", "splits"),
    [
        (None, Digits, {"train": N}),
        (loader(40), Validated, {"val": 40}),
        (loader(40), Digits, {"train": N}),  # Lightning does not use them
        ([loader(40)], Validated, {"val": 40}),
        ([loader(40), loader(50)], Validated, {"val_0": 40, "val_1": 50}),
        ({"a": loader(40), "b": loader(50)}, Validated, {"a": 40, "b": 50}),
    ],
)
# Lightning's advice to define what is missing.
@pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader` but have no")
def test_the_trainers_loaders(validation, kind, splits):
    callback = InformationPlaneCallback(bins=5)
    trainer(callback, epochs=1).fit(module(kind), loader(), validation)
    records = callback.recorder.state_dict()["records"]
    assert {(split, values["n"]) for split, _, _, values in records} == set(splits.items())


@pytest.mark.parametrize("validation", ["at every epoch", "at every other epoch", "none"])
@pytest.mark.parametrize("data", ["shuffled", "by a generator", "by workers that stay"])
def test_training_is_the_same_to_the_last_bit(validation, data):
    def train(*callbacks):
        torch.manual_seed(0)
        options = {
            "shuffled": {},
            "by a generator": {"generator": torch.Generator().manual_seed(3)},
            "by workers that stay": {"num_workers": 1, "persistent_workers": True},
        }[data]
        model = module(Digits if validation == "none" else Validated)
        training = loader(shuffle=True, **options)
        every = 2 if validation == "at every other epoch" else 1
        fit = trainer(*callbacks, check_val_every_n_epoch=every, num_sanity_val_steps=0)
        fit.fit(model, training, None if validation == "none" else loader(40))
        return [*model.state_dict().values(), torch.get_rng_state()]

    with_callback = train(InformationPlaneCallback(bins=5, when="every"))
    assert all(map(torch.equal, train(), with_callback))


class NoDropout(Validated):
    def __init__(self):
        super().__init__()
        self.net[2] = nn.Identity()


def fit_and_save(folder, when, model, callback, epochs, **resume):
    """The checkpoint of the last epoch, which is measured at the end of it."""
    checkpoint = ModelCheckpoint(
        folder, save_top_k=-1, filename="{epoch}", save_on_train_epoch_end=when == "epoch end"
    )
    fit = trainer(callback, checkpoint, epochs=epochs, enable_checkpointing=True)
    fit.fit(model, loader(), loader(40), **resume)
    return folder / f"epoch={epochs - 1}.ckpt"


def on_test_data(**options):
    return InformationPlaneCallback({"test": loader(100)}, **options)


@pytest.mark.parametrize("when", ["epoch end", "validation"])
@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize("whose", ["new recorder", "the user's recorder"])
# What is resumed goes on in its folder.
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_resumed_training_goes_on_with_the_same_bins_and_records(
    tmp_path, when, weights_only, whose
):
    straight, before = (on_test_data(bins=4, when="every") for _ in range(2))
    fit_and_save(tmp_path / "straight", when, module(NoDropout), straight, 4)
    path = fit_and_save(tmp_path / "resumed", when, module(NoDropout), before, 2)
    model = module(NoDropout, seed=9)
    options = {"bins": 4, "when": "every"}
    if whose == "the user's recorder":
        options = {"recorder": ibfast.Recorder(model, **options)}
    after = on_test_data(**options)
    fit_and_save(path.parent, when, model, after, 4, ckpt_path=path, weights_only=weights_only)
    xr.testing.assert_identical(after.plane(), straight.plane())
    assert after.plane().epoch.values.tolist() == [0, 1, 2, 3, 4]


def test_a_checkpoint_that_is_loaded_before_training_is_kept():
    state = {"version": 1, "order": [], "cells": {}, "records": []}
    callback = InformationPlaneCallback()
    callback.load_state_dict(state)
    assert callback.state_dict() == state


def test_two_callbacks_have_states_of_their_own(tmp_path):
    first = InformationPlaneCallback(bins=3)
    second = InformationPlaneCallback(bins=5, prefix="fine")
    fit = trainer(first, second, epochs=1)
    fit.fit(module(), loader(), loader(40))
    fit.save_checkpoint(tmp_path / "end.ckpt")
    states = torch.load(tmp_path / "end.ckpt", weights_only=True)["callbacks"]
    assert states[first.state_key] == first.recorder.state_dict()
    assert states[second.state_key] == second.recorder.state_dict()


def test_training_that_goes_on_keeps_the_recorder():
    model, callback = module(), InformationPlaneCallback(bins=5)
    trainer(callback, epochs=1).fit(model, loader(), loader(40))
    recorder = callback.recorder
    trainer(callback, epochs=2).fit(model, loader(), loader(40))
    assert callback.recorder is recorder
    with pytest.raises(ValueError, match="module: another Validated than before; expected a call"):
        trainer(callback, epochs=1).fit(module(), loader(), loader(40))


def test_the_last_epoch_of_each_training_is_measured():
    options = {"layers": nn.Tanh, "bins": 5}
    model, callback, weights = module(), InformationPlaneCallback(when=[], **options), Weights()
    for _ in range(2):
        trainer(callback, weights, epochs=1).fit(model, loader(), loader(100))
    weights.copies = weights.copies[-2:]
    expected = by_hand(weights, {"val": loader(100)}, [1], **options)
    xr.testing.assert_identical(callback.plane(), expected)


@pytest.mark.parametrize("stop", ["in the middle", "early"])
def test_the_last_epoch_is_measured(stop):
    class Stop(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            trainer.should_stop = stop == "early" and trainer.current_epoch == 1

    callback = InformationPlaneCallback(bins=5, when=[])
    options = {"max_steps": 8} if stop == "in the middle" else {}  # of 5 in an epoch
    trainer(callback, Stop(), **options).fit(module(), loader(), loader(40))
    assert callback.plane().epoch.values.tolist() == [2]


def test_a_fast_development_run_measures_few_batches_and_saves_nothing(tmp_path):
    folder = tmp_path / "run"
    for loaders in (None, loader(100)):
        callback = InformationPlaneCallback(loaders, bins=5, exhaustive=True, folder=folder)
        trainer(callback, fast_dev_run=2).fit(module(), loader(), loader(100))
        assert callback.plane().epoch.values.tolist() == [0, 1]
        assert (callback.plane().n == 64).all()
    assert not folder.exists()


def test_only_as_many_batches_as_the_trainer_takes():
    callback = InformationPlaneCallback(bins=5, exhaustive=True)
    trainer(callback, epochs=1, limit_val_batches=2).fit(module(), loader(), loader(100))
    assert (callback.plane().n == 64).all()
    callback = InformationPlaneCallback(bins=5, exhaustive=True)
    trainer(callback, epochs=1, limit_train_batches=3).fit(module(Digits), loader())
    assert (callback.plane().n == 96).all()


def test_nothing_is_measured_but_in_training():
    callback = InformationPlaneCallback(bins=5)
    trainer(callback).validate(module(), loader(40), verbose=False)
    with pytest.raises(RuntimeError, match="recorder: it is made when training starts"):
        callback.plane()


def test_a_run_folder(tmp_path):
    folder = tmp_path / "run"
    callback = InformationPlaneCallback(bins=5, folder=folder)
    trainer(callback, epochs=2).fit(module(), loader(), loader(100))
    xr.testing.assert_equal(ibfast.store.open_run(folder)[0], callback.plane())
    assert (folder / "figures" / "information_plane.png").is_file()


def test_parts_of_the_module():
    class Autoencoder(Validated):
        def training_step(self, batch, number):
            return nn.functional.mse_loss(self.net[0](batch[0]), batch[0][:, :4])

    by_name = InformationPlaneCallback(module="net", bins=3)
    by_function = InformationPlaneCallback(module=lambda m: m.net, bins=3, prefix="function")
    model = module(Autoencoder)
    own = InformationPlaneCallback(recorder=ibfast.Recorder(model.net, bins=3), prefix="own")
    trainer(by_name, by_function, own, epochs=1).fit(model, loader(), loader(100))
    assert by_name.plane().layer.attrs["names"] == ["1", "4", "5"]
    for other in (by_function, own):
        xr.testing.assert_identical(other.plane(), by_name.plane())
    with pytest.raises(ValueError, match=r"module: 'nett': .*has no attribute `nett`"):
        trainer(InformationPlaneCallback(module="nett")).fit(module(), loader(), loader(40))


def test_what_cannot_be_used_is_refused_before_training(tmp_path):
    recorder = ibfast.Recorder(module())
    with pytest.raises(TypeError, match=r"^module, bins: of a new recorder, but one is given"):
        InformationPlaneCallback(recorder=recorder, module="net", bins=3)
    with pytest.raises(TypeError, match="loaders: 'test' is an iterator"):
        InformationPlaneCallback({"test": iter(loader())})
    with pytest.raises(FileExistsError, match="exists and is not a run folder"):
        InformationPlaneCallback(folder=tmp_path)


def test_no_hook_is_left_after_an_error():
    class Broken(torch.utils.data.Dataset):
        def __len__(self):
            return 64

        def __getitem__(self, number):
            if number == 50:
                raise RuntimeError("a file is gone")
            return torch.randn(6), number % 2

    model = module()
    callback = InformationPlaneCallback(DataLoader(Broken(), 8), bins=5)
    with pytest.raises(RuntimeError, match="a file is gone"):
        trainer(callback).fit(model, loader(), loader(40))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(m.training for m in model.modules())


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16-mixed", torch.bfloat16), ("64-true", torch.float64)]
)
def test_the_trainers_precision_and_the_modules_hooks(precision, dtype):
    seen = []

    class Augmenting(Validated):
        def on_after_batch_transfer(self, batch, dataloader_idx):
            x, y = batch
            seen.append((self.trainer.training, dataloader_idx))
            return (x + 1 if self.trainer.training else x), y

        def forward(self, x):
            out = super().forward(x)
            assert out.dtype == dtype
            return out

    weights = Weights()
    callback = InformationPlaneCallback(bins=5, when=[1])
    trainer(callback, weights, epochs=1, precision=precision).fit(
        module(Augmenting), loader(), [loader(40), loader(50)]
    )
    assert set(seen) == {(True, 0), (False, 0), (False, 1)}
    assert seen.count((True, 0)) == 5  # all batches of the epoch
    model = Validated().to(dtype if precision == "64-true" else torch.float32)
    model.load_state_dict(weights.copies[1])
    recorder = ibfast.Recorder(model, bins=5)
    loaders = {f"val_{place}": dataset(n).tensors for place, n in enumerate((40, 50))}
    if precision == "64-true":
        loaders = {split: (x.double(), y) for split, (x, y) in loaders.items()}
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        recorder.measure(loaders, epoch=1)
    xr.testing.assert_equal(callback.plane(), recorder.plane())


def test_every_logger_gets_the_numbers(tmp_path, monkeypatch):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is missing: extra 'tensorboard'",
    )
    pytest.importorskip("wandb", reason="wandb is missing: extra 'wandb'")
    monkeypatch.setenv("WANDB_SILENT", "true")
    wandb_logger = WandbLogger(project="planes", save_dir=tmp_path, offline=True)
    callback = InformationPlaneCallback(bins=5)
    loggers = [TensorBoardLogger(tmp_path, "tb"), CSVLogger(tmp_path, "csv"), wandb_logger]
    trainer(callback, epochs=2, logger=loggers).fit(module(), loader(), loader(100))
    plane = callback.plane()
    last = plane.i_ty.isel(epoch=-1, layer=0).item()

    events = accumulator.EventAccumulator(str(tmp_path / "tb" / "version_0"))
    events.Reload()
    values = events.Scalars("ib/val/net.1/i_ty")
    assert [event.step for event in values] == [0, 5, 10]  # 5 batches in an epoch
    assert [event.value for event in values] == pytest.approx(plane.i_ty[0, :, 0].values)
    assert [event.value for event in events.Scalars("ib/epoch")] == [0, 1, 2]
    assert [image.step for image in events.Images("ib/plane")][-1] == 10

    with (tmp_path / "csv" / "version_0" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["ib/epoch"]]
    assert [row["step"] for row in rows] == ["0", "5", "10"]
    assert float(rows[-1]["ib/val/net.1/i_ty"]) == last

    summary = wandb_logger.experiment.summary
    assert summary["ib/val/net.1/i_ty"] == last
    assert summary["ib/epoch"] == 2
    assert len(summary["ib/plane"]["filenames"]) == 1
    wandb_logger.experiment.finish()


def test_no_figure_where_none_is_wanted(tmp_path):
    callback = InformationPlaneCallback(bins=5, figures=False)
    fit = trainer(callback, epochs=1, logger=TensorBoardLogger(tmp_path))
    fit.logger.experiment.add_image = None
    fit.fit(module(), loader(), loader(100))
    assert callback.plane().sizes["epoch"] == 2


def test_ranks_share_the_data(tmp_path):
    code = """
        import atexit
        import sys
        from test_integrations_lightning import *

        @atexit.register
        def end():  # of each rank: threads of gloo that still run would abort it
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()

        if __name__ == "__main__":
            folder = sys.argv[1]
            own = InformationPlaneCallback(
                {"test": loader()}, bins=4, when="every", folder=folder + "/own"
            )
            trainers = InformationPlaneCallback(
                bins=4, when="every", folder=folder + "/trainers", prefix="val"
            )
            model = module()
            fit = trainer(own, trainers, strategy="ddp_spawn", devices=2, epochs=1)
            fit.fit(model, loader(), loader(100))
            torch.save(model.state_dict(), folder + "/weights.pt")
    """
    script = tmp_path / "ranks.py"
    script.write_text(textwrap.dedent(code))
    run_script(script, tmp_path)
    model = Validated()
    model.load_state_dict(torch.load(tmp_path / "weights.pt"))
    for name, split, data in (("own", "test", loader()), ("trainers", "val", loader(100))):
        plane, info = ibfast.store.open_run(tmp_path / name)
        assert plane.epoch.values.tolist() == [0, 1]
        recorder = ibfast.Recorder(model)
        recorder.load_state_dict({**info["recorder"], "records": []})  # for the bins
        recorder.measure(data, epoch=1, split=split)
        xr.testing.assert_equal(plane.sel(epoch=[1]), recorder.plane())


def run_script(script, *args):
    paths = [Path(_core.__file__).parents[1], Path(__file__).parent]
    path = os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, script, *args],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_batches_are_shared_unless_a_sampler_has_shared_them():
    def batches(rank, loader, limit=math.inf):
        class Strategy:
            precision_plugin = Precision()

            @staticmethod
            def batch_to_device(batch, dataloader_idx):
                return batch

        ranks = SimpleNamespace(world_size=2, global_rank=rank, strategy=Strategy())
        return list(_Batches(ranks, "test", loader, limit, shared=True))

    data = loader()
    shared = torch.cat([x for rank in (0, 1) for x, _ in batches(rank, data)])
    assert torch.equal(shared.sort(0).values, dataset().tensors[0].sort(0).values)
    assert [len(batches(rank, data)) for rank in (0, 1)] == [3, 2]
    assert [len(batches(rank, data, 1)) for rank in (0, 1)] == [1, 1]
    sampler = DistributedSampler(dataset(), 2, 1)
    assert len(batches(1, loader(sampler=sampler))) == 3  # of 80 rows
    with pytest.raises(ValueError, match="loaders: 'test' shuffles, so 2 ranks cannot share its"):
        batches(0, loader(shuffle=True))


def test_pytorch_lightning_is_as_good(monkeypatch):
    pytorch_lightning = pytest.importorskip(
        "pytorch_lightning", reason="pytorch_lightning is missing, which lightning installs"
    )
    monkeypatch.delitem(sys.modules, "ibfast.integrations.lightning")
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    theirs = importlib.import_module("ibfast.integrations.lightning")
    assert issubclass(theirs.InformationPlaneCallback, pytorch_lightning.Callback)
    monkeypatch.setitem(sys.modules, "pytorch_lightning", None)
    monkeypatch.delitem(sys.modules, "ibfast.integrations.lightning")
    with pytest.raises(ImportError, match=r'pip install "ibfast\[lightning\]"'):
        importlib.import_module("ibfast.integrations.lightning")


def test_a_trainer_of_pytorch_lightning_takes_the_callback(tmp_path):
    pytorch_lightning = pytest.importorskip(
        "pytorch_lightning", reason="pytorch_lightning is missing, which lightning installs"
    )
    from pytorch_lightning.loggers import TensorBoardLogger

    class Other(pytorch_lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 2))

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, number):
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.3)

    callback = InformationPlaneCallback(bins=5, when="every")
    fit = pytorch_lightning.Trainer(
        accelerator="cpu",
        callbacks=[callback],
        enable_checkpointing=False,
        enable_progress_bar=False,
        log_every_n_steps=1,
        logger=TensorBoardLogger(tmp_path),
        max_epochs=2,
    )
    fit.fit(Other(), loader())
    assert callback.plane().epoch.values.tolist() == [0, 1, 2]


def test_the_example(tmp_path):
    example = Path(__file__).parents[1] / "examples" / "lightning_digits.py"
    printed = run_script(example, "--epochs", "2", "--out", str(tmp_path / "run"))
    lines = printed[printed.index("after 2 epochs") :].splitlines()
    plane = ibfast.store.open_run(tmp_path / "run")[0].isel(seed=0, epoch=-1)
    values = [line.split() for line in lines[2:8]]
    assert [row[:2] for row in values] == [
        [name, split] for name in plane.layer.attrs["names"] for split in ("train", "test")
    ]
    i_xt = plane.i_xt.transpose("layer", "split").values.ravel()
    assert [float(row[2]) for row in values] == pytest.approx(i_xt, abs=5e-4)
    assert {path.suffix for path in (tmp_path / "run" / "figures").iterdir()} == {".png", ".svg"}
