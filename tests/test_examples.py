"""The scripts in examples/, at a small size, and that they show what they say."""

import runpy
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

import ibfast
from ibfast.store import open_run

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def run(capsys):
    """Run `main` of a script as it is called from a shell, and return what it prints."""
    threads = torch.get_num_threads()

    def run_script(name, *argv):
        with torch.random.fork_rng():
            runpy.run_path(str(EXAMPLES / name))["main"]([str(arg) for arg in argv])
        return capsys.readouterr().out

    yield run_script
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def mnist_folder(tmp_path_factory):
    """scikit-learn's digits, as large as those of MNIST, in files of its format."""
    folder = tmp_path_factory.mktemp("mnist")
    x, y = ibfast.datasets.digits()
    images = np.pad(np.kron(x.reshape(-1, 8, 8), np.full((3, 3), 255)), ((0, 0), (2, 2), (2, 2)))
    for stem, rows in (("train", slice(0, 400)), ("t10k", slice(400, 600))):
        for kind, array in (("images-idx3", images), ("labels-idx1", y)):
            part = array[rows].astype(np.uint8)
            head = struct.pack(f">4B{part.ndim}I", 0, 0, 8, part.ndim, *part.shape)
            (folder / f"{stem}-{kind}-ubyte").write_bytes(head + part.tobytes())
    return folder


def final_of(folder):
    """The last epoch of a run with layers by their names, whose numbers and figures are there."""
    plane, info = open_run(folder)
    assert info["complete"]
    assert plane.split.values.tolist() == ["train", "test"]
    for name in ("i_xt", "i_ty", "h_t", "h_y"):
        assert np.isfinite(plane[name]).all(), name
    figures = [path.name for path in (folder / "figures").glob("*.png")]
    assert any(name.startswith("information_plane") for name in figures)
    assert any(name.startswith("information_against_epoch") for name in figures)
    assert all(path.stat().st_size > 10_000 for path in (folder / "figures").glob("*.png"))
    names = plane.layer.attrs["names"]
    return plane.isel(seed=0, epoch=-1).assign_coords(layer=names), plane.layer.attrs["diagnostics"]


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_digits_mlp(run, tmp_path, activation):
    folder = tmp_path / "run"
    out = run("digits_mlp.py", "--epochs", 11, "--out", folder, "--activation", activation)
    final, diagnostics = final_of(folder)
    assert int(final.epoch) == 11
    assert final.layer.values.tolist() == ["1", "3", "5", "7"]
    digit, parity, ink = (final.i_ty.sel(labels=name) for name in ("digit", "parity", "ink"))
    assert (parity <= digit + 1e-12).all()  # which is a function of the digit
    assert (ink <= 1).all()
    assert not final.saturated.any()
    assert "test digits are right" in out
    assert all(text in out for text in ("digit", "parity", "ink", *filter(None, diagnostics)))


def test_transformer(run, tmp_path):
    folder = tmp_path / "run"
    out = run("transformer.py", "--epochs", 2, "--out", folder)
    final, _ = final_of(folder)
    embedding = final.i_ty.sel(layer="embedding")
    assert embedding.sel(labels="own").values == pytest.approx(2.0, abs=0.02)
    assert embedding.sel(labels="marked").values == pytest.approx(2 / 8, abs=0.02)
    assert (final.i_ty.sel(labels="marked", layer="blocks.2") > 0.5).all()
    assert final.n.values.ravel().tolist() == [8 * 4000] * 8
    assert "test sequences are right" in out


def test_transformer_of_means(run, tmp_path):
    folder = tmp_path / "run"
    run("transformer.py", "--epochs", 1, "--out", folder, "--pool", "mean")
    final, diagnostics = final_of(folder)
    assert final.labels.values.tolist() == ["marked", "first"]
    assert (final.i_ty.sel(labels="marked", layer="embedding") < 0.34).all()
    assert all("mean over positions" in text for text in diagnostics)


def test_conv_mnist(run, tmp_path, mnist_folder):
    folder = tmp_path / "runs"
    with pytest.warns(ibfast.SaturationWarning, match="layers tanh1"):
        out = run("conv_mnist.py", mnist_folder, "--epochs", 1, "--out", folder)
    spatial, _ = final_of(folder / "spatial")
    mean, _ = final_of(folder / "mean")
    flat, diagnostics = final_of(folder / "flatten")
    assert spatial.n.sel(split="test").values.tolist() == [200 * 144, 200 * 25, 200]
    assert not spatial.saturated.any()
    assert (mean.i_ty > spatial.i_ty).sel(layer=["tanh1", "tanh2"]).all()
    assert flat.saturated.sel(layer="tanh1").all()
    assert flat.i_xt.sel(layer="tanh1", split="test") == pytest.approx(np.log2(200))
    assert diagnostics[0].startswith("saturated in ")
    assert diagnostics[0] in out
    assert "test images are right" in out
