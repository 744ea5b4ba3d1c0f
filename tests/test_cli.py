import errno
import re
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import ibfast
from ibfast import cli, store

TOY = ["run", "--seeds", "2", "--epochs", "12", "--checkpoints", "5"]


def call(*arguments, code=0):
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result


def error_of(*arguments, code=2):
    """The one line of an error."""
    lines = call(*arguments, code=code).stderr.strip().splitlines()
    return lines[-1]


@pytest.fixture
def acts(tmp_path):
    rng = np.random.default_rng(0)
    layers = {"hidden": rng.uniform(0, 2, (3, 60, 2)), "out": rng.uniform(0, 1, (3, 60, 1))}
    np.savez(tmp_path / "acts.npz", **layers, labels=rng.integers(0, 2, 60), epochs=[0, 4, 9])
    return tmp_path / "acts.npz"


def test_help_names_every_command_and_option():
    text = call("--help").stdout
    assert all(command in text for command in ("run", "plot", "measure", "info"))
    text = call("run", "--help").stdout
    options = (
        "seeds epochs lr batch-size widths activation train-fraction bins checkpoints seed "
        "threads out overwrite quiet optimizer momentum weight-decay dropout temperature init "
        "targets label-noise gradients"
    )
    assert all(f"--{option}" in text for option in options.split())
    assert "[12-10-7-5-4-4-3-2]" in text


def test_run_prints_tables_and_writes_a_folder(tmp_path):
    text = call(*TOY, "--out", tmp_path / "run").stdout
    assert "peak at epoch" in text
    assert "saturated" in text
    assert "layers 1 to 3 are pinned near 12 bits (saturated)" in text
    assert "against the authors' 20 networks: z" in text
    assert "largest |z|" in text
    assert "training" in text
    assert "measuring" in text
    assert store.open_run(tmp_path / "run")[1]["complete"]


def test_run_takes_every_option(tmp_path):
    options = (
        "--seeds 1 --epochs 3 --lr 0.01 --batch-size 999 --widths 12-4-2 --activation relu "
        "--train-fraction 0.5 --bins 7 --checkpoints 2 --seed 3 --threads 1 --quiet"
    )
    result = call("run", *options.split(), "--out", tmp_path / "run")
    assert result.output == ""
    plane, info = store.open_run(tmp_path / "run")
    assert plane.epoch.values.tolist() == [0, 3]
    assert plane.layer.attrs["names"] == ["relu 4", "softmax 2"]
    asked = {"lr": 0.01, "batch_size": 999, "train_fraction": 0.5, "bins": "7", "seed": 3}
    assert asked.items() <= info["experiment"].items()


def test_run_takes_every_option_of_training(tmp_path):
    options = (
        "--seeds 1 --epochs 3 --widths 12-4-2 --optimizer sgd --momentum 0.5 --weight-decay 0.01 "
        "--dropout 0.1 --init fan_out --targets sampled --label-noise 0.1 --checkpoints 0,2 "
        "--batch-size 2000 --gradients --quiet"
    )
    call("run", *options.split(), "--out", tmp_path / "run")
    plane, info = store.open_run(tmp_path / "run")
    assert plane.epoch.values.tolist() == [0, 2]
    asked = {"optimizer": "sgd", "momentum": 0.5, "weight_decay": 0.01, "dropout": 0.1}
    asked |= {"init": "fan_out", "targets": "sampled", "label_noise": 0.1, "checkpoints": [0, 2]}
    asked |= {"gradients": True}
    assert asked.items() <= info["experiment"].items()
    options = "--seeds 1 --epochs 3 --widths 12-2 --optimizer sgd --temperature 1e-3 --quiet"
    call("run", *options.split(), "--checkpoints", "2,", "--out", tmp_path / "other")
    plane, info = store.open_run(tmp_path / "other")
    assert plane.epoch.values.tolist() == [2]
    assert info["experiment"]["temperature"] == 1e-3


def test_run_goes_to_runs_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call("run", "--seeds", 1, "--epochs", 1, "--widths", "12,2", "--quiet")
    assert store.is_run(tmp_path / "runs" / "szt")


def test_run_asks_for_overwrite(tmp_path):
    small = ("run", "--seeds", 1, "--epochs", 1, "--widths", "12-2", "--out", tmp_path / "run")
    call(*small)
    assert "run exists: choose another folder, or overwrite it" in error_of(*small)
    call(*small, "--overwrite")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "ibfast: preset must be one of szt"),
        (["--widths", "12-x-2"], "ibfast: widths must be like 12-10-7-2; got '12-x-2'"),
        (["--widths", "11-2"], r"ibfast: inputs must have shape \(n, 11\)"),
        (["--bins", "0"], "ibfast: bins must be a number such as 30"),
        (["--checkpoints", "0;1"], "ibfast: checkpoints must be like 110, or 0,10,100; got '0;1'"),
        (["--checkpoints", "0,10000"], "ibfast: checkpoints must be one or more epochs from 0 to"),
        (["--momentum", "0.9"], "ibfast: momentum must be 0 unless optimizer is 'sgd'"),
        (["--lr", "-1"], "ibfast: lr must be positive"),
        (["--seeds", "0"], "ibfast: seeds must be at least 1"),
        (["--activation", "step"], "ibfast: activation must be one of tanh"),
        (["--activation", "relu", "--epochs", "1"], "ibfast: "),
        (["--epochs", "x"], "epochs"),
        (["--no-such-option"], "no-such-option"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(tmp_path, arguments, message):
    line = error_of("run", *arguments, "--out", tmp_path / "run")
    assert re.search(message, line)
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_one_line_and_exit_code_1(tmp_path, monkeypatch):
    def disk_full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "save_info", disk_full)
    line = error_of(*TOY, "--out", tmp_path / "run", code=1)
    assert line.startswith("ibfast: cannot write")
    assert line.endswith("No space left on device; nothing was left there")
    assert not list(tmp_path.iterdir())


def test_ctrl_c_keeps_a_partial_run(tmp_path, monkeypatch):
    def interrupt(self, task, completed):
        if completed == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(cli.Progress, "update", interrupt)
    text = call(*TOY, "--out", tmp_path / "run", code=130).stdout
    assert "interrupted: measured up to epoch" in text
    assert store.open_run(tmp_path / "run")[1]["complete"] is False


def test_plot_draws_again(tmp_path):
    call(*TOY, "--out", tmp_path / "run", "--quiet")
    figure = tmp_path / "run" / "figures" / "information_plane.png"
    before = figure.read_bytes()
    figure.unlink()
    assert "information_plane.png" in call("plot", tmp_path / "run").stdout
    assert figure.read_bytes() == before
    assert "is not a run folder" in error_of("plot", tmp_path)


def test_measure_prints_and_saves_the_plane(acts):
    text = call("measure", acts, "--bins", "5").stdout
    assert "1: hidden" in text
    assert "peak at epoch" in text
    plane, info = store.open_run(acts.with_name("acts-plane"))
    assert plane.epoch.values.tolist() == [0, 4, 9]
    with np.load(acts) as arrays:
        one = ibfast.layer_information(arrays["hidden"][1], arrays["labels"], bins=5)
    assert plane.i_ty.sel(epoch=4, layer=1).item() == one.i_ty
    assert info["bins"] == "5"


def test_measure_one_epoch_says_what_is_saturated(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", h=rng.random((40, 5)), target=rng.integers(0, 2, 40))
    out = tmp_path / "plane"
    text = call("measure", tmp_path / "a.npz", "--labels", "target", "--out", out).stdout
    assert "Information per layer, bits" in text
    assert "peak" not in text.split("pinned")[0]
    assert "layer 1 is pinned near 5.322 bits (saturated)" in text
    assert "use coarser bins or more rows" in text
    again = ("measure", tmp_path / "a.npz", "--labels", "target", "--out", out)
    assert "exists" in error_of(*again)
    assert call(*again, "--overwrite", "--exhaustive", "--quiet").output == ""


def test_measure_refuses_what_it_cannot_read(tmp_path, acts):
    np.savez(tmp_path / "none.npz", h=np.zeros((3, 1)))
    assert "no labels under labels or y; its arrays are h" in error_of(
        "measure", tmp_path / "none.npz"
    )
    np.save(tmp_path / "a.npy", np.zeros(3))
    assert error_of("measure", tmp_path / "a.npy").endswith("a.npy is not an .npz file")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 and then nothing")
    assert error_of("measure", tmp_path / "bad.npz").endswith("bad.npz is not an .npz file")
    missing = tmp_path / "missing.npz"
    assert error_of("measure", missing) == f"ibfast: {missing}: No such file or directory"
    assert error_of("measure", tmp_path, code=1) == f"ibfast: {tmp_path}: Is a directory"
    np.savez(tmp_path / "empty.npz")
    assert error_of("measure", tmp_path / "empty.npz").endswith("its arrays are none")
    np.savez(tmp_path / "objects.npz", y=np.array([{}]))
    assert "objects.npz cannot be read: Object arrays" in error_of(
        "measure", tmp_path / "objects.npz"
    )
    assert "no labels under t" in error_of("measure", acts, "--labels", "t")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_measure_refuses_damaged_files(tmp_path, save):
    save(tmp_path / "a.npz", h=np.random.default_rng(0).random((400, 5)), y=np.arange(400) % 2)
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data[:600] + bytes(1000) + data[1600:])
    line = error_of("measure", tmp_path / "a.npz")
    assert line.startswith(f"ibfast: {tmp_path / 'a.npz'} cannot be read: ")


def test_measure_takes_values_outside_the_edges(tmp_path):
    file = tmp_path / "a.npz"
    np.savez(file, h=[[-3.0], [0.2], [0.8], [3.0]] * 4, y=np.arange(16) % 4)
    line = error_of("measure", file, "--bins", "0:1:3")
    assert "epoch 0: layer 1: acts: 8 of 16 values lie outside [0, 1]" in line
    call("measure", file, "--bins", "0:1:3", "--outside", "cell")
    plane, info = store.open_run(tmp_path / "a-plane")
    assert plane.i_ty.item() == 2.0
    assert info["outside"] == plane.attrs["outside"] == "cell"
    assert "outside: 'x'; expected" in error_of("measure", file, "--outside", "x", "--overwrite")


def test_info():
    text = call("info").stdout
    assert f"ibfast {ibfast.__version__}" in text
    assert all(word in text for word in ("SIMD level", "threads", "OpenMP", "numpy", "torch"))


@pytest.mark.parametrize(
    ("missing", "module", "message"),
    [
        ("typer", "ibfast.cli", r'the command line needs: pip install "ibfast\[run\]"'),
        ("torch", "ibfast.models", r'needs torch: pip install "ibfast\[torch\]"'),
        ("torch", "ibfast.labels", r'needs torch: pip install "ibfast\[torch\]"'),
        ("torch", "ibfast.activations", r'needs torch: pip install "ibfast\[torch\]"'),
        ("torch", "ibfast._device_keys", r'needs torch: pip install "ibfast\[torch\]"'),
        ("torch", "ibfast.recorder", r'Recorder needs torch: pip install "ibfast\[torch\]"'),
        ("matplotlib", "ibfast.gradient_plots", r'needs matplotlib: pip install "ibfast\[plot\]"'),
        ("torch", "ibfast.train", r'needs torch: pip install "ibfast\[torch\]"'),
        ("xarray", "ibfast.plane", r'needs xarray: pip install "ibfast\[store\]"'),
        ("zarr", "ibfast.store", r'needs xarray and zarr: pip install "ibfast\[store\]"'),
        ("matplotlib", "ibfast.plots", r'needs matplotlib: pip install "ibfast\[plot\]"'),
        ("torch", "ibfast.experiments", r'needs more packages: pip install "ibfast\[run\]"'),
    ],
)
def test_a_missing_package_names_the_extra(missing, module, message):
    code = f"import sys; sys.modules[{missing!r}] = None; import {module}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode
    assert re.search(message, result.stderr.splitlines()[-1])


def test_the_module_runs_as_a_program():
    code = [sys.executable, "-m", "ibfast.cli", "info"]
    assert "ibfast" in subprocess.run(code, capture_output=True, text=True, check=True).stdout
