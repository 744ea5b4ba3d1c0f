import json
import warnings
from dataclasses import replace

import numpy as np
import pytest

from ibfast import SaturationWarning, store
from ibfast.experiments import (
    left_to_run,
    load_preset,
    open_variant,
    preset_names,
    run_experiment,
    run_variants,
    variant_folder,
    variants,
)
from test_cli import call, error_of

EVERY = [name for preset in preset_names() for name in variants(preset)]
SMALL = {"seeds": 1, "epochs": 2, "checkpoints": 2, "widths": (12, 3, 2)}
SMALL_OPTIONS = "--seeds 1 --epochs 2 --checkpoints 2 --widths 12-3-2 --threads 1"


def small(*names):
    return [load_preset(f"saxe-edges/{name}").changed(**SMALL) for name in names]


def started(experiments, folder, **options):
    """Names of those that were run."""
    names = []
    run_variants(
        experiments, folder, threads=1, on_start=lambda one: names.append(one.name), **options
    )
    return names


@pytest.mark.parametrize("name", EVERY)
def test_every_variant_runs_and_is_stored(name, tmp_path, monkeypatch):
    monkeypatch.setattr("ibfast.plots.save_figures", lambda *_: [])  # their own tests draw them
    experiment = load_preset(name)
    checkpoints = (3,) if experiment.estimator.startswith(("kde", "noisy")) else (0, 3)
    toy = experiment.changed(seeds=2, epochs=3, checkpoints=checkpoints)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SaturationWarning)
        run = run_experiment(toy, tmp_path / "run", threads=1)
    plane, info = store.open_run(tmp_path / "run")
    assert info["complete"]
    assert plane.equals(run.plane)
    assert plane.i_xt.notnull().all()
    assert plane.test_accuracy.notnull().all() == (experiment.train_fraction < 1)


@pytest.mark.parametrize("name", EVERY)
def test_every_variant_says_what_it_is(name):
    experiment = load_preset(name)
    assert experiment.name == name
    assert experiment.title
    assert experiment.source
    assert experiment.tests
    assert experiment.minutes > 0
    assert len(experiment.epochs_to_measure()) >= 40


def test_titles_differ():
    assert len({load_preset(name).title for name in EVERY}) == len(EVERY)


def test_names_of_variants():
    assert variants("szt") == ["szt"]
    assert {"noise/gd", "noise/sgd-256", "noise/random"} <= set(variants("noise"))
    assert variants("noise/gd") == ["noise/gd"]
    gd = load_preset("noise/gd")
    assert (gd.name, gd.batch_size, gd.optimizer) == ("noise/gd", None, "sgd")
    assert load_preset("depth/hidden-2").widths == (12, 10, 7, 2)
    assert load_preset("depth/hidden-6").widths == (12, 10, 7, 5, 4, 4, 3, 2)


@pytest.mark.parametrize("function", [load_preset, variants])
def test_names_that_are_none(function):
    with pytest.raises(ValueError, match=r"preset must be one of szt, .*digits; got 'x'"):
        function("x")
    with pytest.raises(ValueError, match=r"preset must be one of noise/.*; got 'noise/x'"):
        function("noise/x")
    with pytest.raises(ValueError, match="preset must be one of szt; got 'szt/x'"):
        function("szt/x")


def test_a_preset_with_variants_is_several_experiments():
    with pytest.raises(ValueError, match="saxe-edges has variants: choose one of saxe-edges/uni"):
        load_preset("saxe-edges")


def test_variants_are_run_once(tmp_path):
    both = small("uniform", "tanh")
    assert started(both[:1], tmp_path) == ["saxe-edges/uniform"]
    assert left_to_run(both, tmp_path) == both[1:]
    assert started(both, tmp_path) == ["saxe-edges/tanh"]
    epochs = []
    paths = run_variants(both, tmp_path, on_epoch=epochs.append)
    assert epochs == []
    assert paths == {one.name: variant_folder(tmp_path, one.name) for one in both}
    assert paths["saxe-edges/tanh"] == tmp_path / "tanh"
    plane, info = open_variant(tmp_path, "saxe-edges/tanh")
    assert info["experiment"]["bins"] == plane.attrs["bins"] == "tanh:30"
    assert started(both, tmp_path, overwrite=True) == [one.name for one in both]


def test_another_experiment_is_refused_before_anything_runs(tmp_path):
    both = small("uniform", "tanh")
    run_variants(both[1:], tmp_path, threads=1)
    other = [one.changed(lr=0.01) for one in both]
    with pytest.raises(FileExistsError, match="tanh exists: choose another folder"):
        run_variants(other, tmp_path, threads=1)
    assert [path.name for path in tmp_path.iterdir()] == ["tanh"]
    assert len(started(other, tmp_path, overwrite=True)) == 2
    (tmp_path / "notes").mkdir()
    notes = load_preset("szt").changed(name="notes", **SMALL)
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="notes exists"):
            run_variants([notes], tmp_path, overwrite=overwrite)


def test_a_run_that_is_described_otherwise_is_kept(tmp_path):
    both = small("uniform", "tanh")
    run_variants(both, tmp_path, threads=1)
    other = [replace(one, title="T", source="S", tests="t", minutes=9.0) for one in both]
    assert started(other, tmp_path) == []
    # A run of a version without some option has its default.
    file = variant_folder(tmp_path, both[0].name) / "run.json"
    info = json.loads(file.read_text())
    del info["experiment"]["dropout"]
    file.write_text(json.dumps(info))
    assert started(both, tmp_path) == []
    del info["experiment"]["lr"]
    file.write_text(json.dumps(info))
    with pytest.raises(FileExistsError, match="uniform exists"):
        run_variants(both, tmp_path)


def test_an_interrupted_variant_is_run_again(tmp_path):
    def interrupt(epoch):
        raise KeyboardInterrupt

    both = small("uniform", "tanh")
    with pytest.raises(KeyboardInterrupt):
        run_variants(both, tmp_path, on_epoch=interrupt)
    assert not open_variant(tmp_path, "saxe-edges/uniform")[1]["complete"]
    assert len(started(both, tmp_path)) == 2
    assert open_variant(tmp_path, "saxe-edges/uniform")[1]["complete"]
    assert started(both, tmp_path) == []


def test_variants_need_folders_of_their_own(tmp_path):
    same = [load_preset(f"{preset}/tanh") for preset in ("saxe-edges", "saxe-relu")]
    with pytest.raises(ValueError, match="experiments must have different folders; got saxe-edges"):
        run_variants(same, tmp_path)
    with pytest.raises(FileNotFoundError, match="is not a run folder"):
        open_variant(tmp_path, "saxe-edges/tanh")


def test_the_command_runs_variants_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = call("run", "saxe-edges", *SMALL_OPTIONS.split()).stdout
    assert text.count("Information per layer at epoch 2") == 2
    assert text.count("training") == 2
    assert store.is_run(tmp_path / "runs" / "saxe-edges" / "uniform")
    text = call("run", "saxe-edges", *SMALL_OPTIONS.split()).stdout
    assert "saxe-edges/tanh: complete in runs/saxe-edges/tanh, kept" in text
    assert "training" not in text
    assert "uniform exists" in error_of("run", "saxe-edges", *SMALL_OPTIONS.split(), "--lr", 0.1)
    call("run", "saxe-edges", *SMALL_OPTIONS.split(), "--lr", 0.1, "--overwrite", "--quiet")
    assert open_variant(tmp_path / "runs/saxe-edges", "tanh")[1]["experiment"]["lr"] == 0.1


def test_the_command_runs_one_variant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call("run", "saxe-edges/tanh", *SMALL_OPTIONS.split(), "--quiet")
    _, info = store.open_run(tmp_path / "runs" / "saxe-edges" / "tanh")
    assert info["experiment"]["name"] == "saxe-edges/tanh"
    options = ("--estimator", "adaptive:5", "--out", tmp_path / "other", "--quiet")
    call("run", "saxe-edges/tanh", *SMALL_OPTIONS.split(), *options)
    assert store.open_run(tmp_path / "other")[0].attrs["estimator"] == "adaptive:5"
    assert "has variants" not in error_of("run", "saxe-edges/x")


def test_digits_say_that_values_are_saturated(tmp_path):
    options = ("--seeds", 1, "--epochs", 1, "--checkpoints", 2, "--out", tmp_path / "run")
    text = call("run", "digits", *options).stdout
    assert "say nothing of it: use coarser bins or more rows" in text


def test_list():
    text = call("list").stdout
    assert all(name in text for name in ("szt", "hidden-1", "sgd-256", "tanh-q4", "minutes"))
    total = sum(load_preset(name).minutes for name in EVERY)
    assert f"{len(preset_names())} presets, {len(EVERY)} variants, {total:.0f} minutes" in text
    assert total <= 60


def test_the_panel_of_every_layer_at_the_end(tmp_path):
    digits = load_preset("digits").changed(
        widths=(64, 3, 10), seeds=2, epochs=2, checkpoints=2, train_fraction=0.2
    )
    run = run_experiment(digits, tmp_path / "run", threads=1)
    assert len(run.panels) == 2
    table = np.genfromtxt(
        tmp_path / "run" / "panel_1.csv", delimiter=",", names=True, dtype=None, encoding="utf-8"
    )
    assert np.array_equal(table["i_ty"], run.panels[0].i_ty, equal_nan=True)
    assert (tmp_path / "run" / "figures" / "panel_2.png").stat().st_size > 0
    with pytest.raises(ValueError, match="panel must be False where labels are soft"):
        load_preset("bound/0.9").changed(panel=True)
