import json

import numpy as np
import pytest
import torch
import xarray as xr

import ibfast
from ibfast import store
from ibfast.datasets import spherical_rule
from ibfast.experiments import (
    Experiment,
    authors_results,
    compare_with_authors,
    load_preset,
    parse_bins,
    preset_names,
    run_experiment,
    variants,
)
from ibfast.models import MLP
from test_plane import plane_of


def toy(**options):
    return load_preset("szt").changed(**{"seeds": 2, "epochs": 12, "checkpoints": 5, **options})


def test_the_preset_is_the_protocol():
    szt = load_preset("szt")
    assert szt.widths == (12, 10, 7, 5, 4, 4, 3, 2)
    assert (szt.activation, szt.optimizer, szt.lr) == ("tanh", "adam", 2e-4)
    assert (szt.seeds, szt.seed, szt.epochs, szt.batch_size) == (20, 0, 9999, None)
    assert (szt.train_fraction, szt.reference) == (1.0, "szt_authors")
    assert np.array_equal(parse_bins(szt.bins), np.linspace(-1, 1, 50))
    assert szt.checkpoints >= 100
    assert {200, 1002, 3998, 9998} <= set(szt.include)
    assert szt.layers[0] == "tanh 10"
    assert szt.layers[-1] == "softmax 2"


def test_every_preset_loads_and_goes_through_json():
    for name in (one for preset in preset_names() for one in variants(preset)):
        experiment = load_preset(name)
        entry = json.loads(json.dumps(experiment.as_dict()))
        lists = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
        assert Experiment(**lists) == experiment


def test_the_presets_with_minibatches():
    minibatch, phases = load_preset("szt-minibatch"), load_preset("phases/tanh")
    assert (minibatch.batch_size, minibatch.train_fraction, minibatch.lr) == (256, 0.8, 2e-4)
    assert (minibatch.optimizer, minibatch.reference) == ("adam", None)
    assert phases.gradients
    differ = {"name", "title", "source", "gradients", "tests", "minutes"}
    assert {k for k, v in phases.as_dict().items() if v != minibatch.as_dict()[k]} <= differ


def test_options_that_are_none_change_nothing():
    szt = load_preset("szt")
    assert szt.changed(lr=None, seeds=None) == szt


def test_another_protocol_is_not_compared():
    szt = load_preset("szt")
    assert szt.changed(seeds=3, epochs=5, checkpoints=7, seed=9).reference == "szt_authors"
    assert szt.changed(checkpoints=(0, 200)).reference == "szt_authors"
    for option in (
        {"lr": 0.1},
        {"bins": "30"},
        {"batch_size": 9},
        {"widths": (12, 2)},
        {"init": "fan_out"},
        {"optimizer": "sgd"},
        {"momentum": 0.5},
        {"weight_decay": 0.1},
        {"dropout": 0.1},
        {"temperature": 0.1},
        {"label_noise": 0.1},
        {"targets": "random"},
    ):
        assert szt.changed(**option).reference is None
    other = szt.changed(activation="relu", widths=(12, 4, 2))
    assert other.title == "Information plane, relu 12-4-2"
    assert szt.changed(epochs=5).title == szt.title


def test_checkpoints_by_number_and_by_list():
    szt = load_preset("szt")
    assert {0, 200, 1002, 3998, 9998, 9999} <= set(szt.epochs_to_measure())
    assert toy(checkpoints=2).epochs_to_measure() == [0, 12]
    assert toy(checkpoints=(7, 0, 7)).epochs_to_measure() == [0, 7]
    run = run_experiment(toy(checkpoints=(3, 5), widths=(12, 4, 2)))
    assert run.plane.epoch.values.tolist() == run.parameters["epoch"].tolist() == [3, 5]


def test_without_the_authors_epochs_there_is_no_comparison():
    assert run_experiment(toy(checkpoints=(3,), epochs=3), threads=1).comparison is None
    run = run_experiment(toy(checkpoints=(0, 3), epochs=3), threads=1)
    assert run.comparison.epoch.values.tolist() == [0]


@pytest.mark.parametrize("checkpoints", [(), (0, 13), (-1, 5)])
def test_checkpoints_outside_the_training(checkpoints):
    with pytest.raises(ValueError, match="checkpoints must be one or more epochs from 0 to 12"):
        toy(checkpoints=checkpoints)


@pytest.mark.parametrize(
    "options",
    [
        {"init": "torch"},
        {"init": "fan_out"},
        {"optimizer": "sgd", "momentum": 0.9},
        {"weight_decay": 0.1},
        {"dropout": 0.5},
        {"optimizer": "sgd", "temperature": 1e-4},
        {"label_noise": 0.3},
        {"targets": "random"},
        {"activation": "tanh-q4"},
    ],
)
def test_every_option_of_training_is_passed_on(options):
    small = {"widths": (12, 4, 2), "epochs": 2, "lr": 0.05}
    plain = toy(**small, optimizer=options.get("optimizer"))
    run, other = (run_experiment(e, threads=1) for e in (plain.changed(**options), plain))
    assert not np.array_equal(run.parameters["weight_1"][-1], other.parameters["weight_1"][-1])
    assert other.experiment.optimizer == run.experiment.optimizer
    asked = json.loads(run.plane.attrs["configuration"])
    assert options.items() <= asked.items()


def test_labels_to_train_on_are_not_those_that_are_measured():
    plain, random = (
        run_experiment(toy(targets=targets, epochs=1, widths=(12, 4, 2)), threads=1)
        for targets in ("soft", "random")
    )
    assert plain.plane.i_ty.sel(epoch=0).equals(random.plane.i_ty.sel(epoch=0))
    assert not plain.plane.loss.sel(epoch=0).equals(random.plane.loss.sel(epoch=0))


def test_hard_labels_are_their_own_samples():
    soft, sampled = (
        run_experiment(toy(targets=targets, epochs=1, widths=(12, 4, 2)), threads=1)
        for targets in ("soft", "sampled")
    )
    assert soft.plane.equals(sampled.plane)


def test_bad_preset_and_seeds():
    with pytest.raises(ValueError, match=r"preset must be one of szt.*; got 'x'"):
        load_preset("x")
    with pytest.raises(ValueError, match="seeds must be at least 1; got 0"):
        toy(seeds=0)
    with pytest.raises(ValueError, match="gradients need minibatches: batch_size must be given"):
        toy(gradients=True)
    with pytest.raises(ValueError, match="threads must not be negative; got -1"):
        run_experiment(toy(), threads=-1)


def test_authors_results():
    theirs = authors_results()
    assert theirs.epoch.values.tolist() == [0, 200, 1002, 3998, 9998]
    assert theirs.i_xt.sel(epoch=1002, layer=4).item() == 10.5923
    assert theirs.i_xt_sd.sel(epoch=1002, layer=4).item() == 0.5707
    assert theirs.i_ty.sel(epoch=9998, layer=7).item() == 0.9776
    assert theirs.i_ty_sd.sel(epoch=0, layer=1).item() == 0
    assert theirs.test_accuracy.sel(epoch=9998).item() == 0.9987


def test_comparison_by_hand():
    i_xt = np.full((4, 2, 7), 12.0)
    i_xt[:, 1, 3] = [10, 11, 10, 11]
    plane = plane_of(i_xt, np.full(i_xt.shape, 0.9), epochs=(7, 1002), samples=4096)
    result = compare_with_authors(plane)
    assert result.epoch.values.tolist() == [1002]
    assert result.i_xt_difference.sel(layer=4).item() == pytest.approx(10.5 - 10.5923)
    # sd of ours: sqrt(1/3); both divided by their numbers of networks
    z = (10.5 - 10.5923) / np.sqrt(1 / 3 / 4 + 0.5707**2 / 20)
    assert result.i_xt_z.sel(layer=4).item() == pytest.approx(z)
    # layer 1: both sds are 0, taken as 0.01
    floor = np.sqrt(0.01**2 / 4 + 0.01**2 / 20)
    assert result.i_xt_z.sel(layer=1).item() == 0
    assert result.i_ty_z.sel(layer=1).item() == pytest.approx((0.9 - 0.9992) / floor)


def test_the_chance_of_the_largest_z_is_a_p_value():
    # Networks drawn from what the authors report, so that they differ from theirs by chance.
    rng = np.random.default_rng(0)
    theirs = authors_results()
    chances = []
    for _ in range(40):
        names = "i_xt", "i_ty"
        truth = {k: rng.normal(theirs[k], theirs[f"{k}_sd"] / np.sqrt(20)) for k in names}
        i_xt, i_ty = (rng.normal(truth[k], theirs[f"{k}_sd"], (20, 5, 7)) for k in names)
        result = compare_with_authors(plane_of(i_xt, i_ty, epochs=theirs.epoch.values))
        chances.append(float(result.i_xt_chance))
    assert 0.3 < np.mean(chances) < 0.7
    assert np.mean(np.array(chances) < 0.05) <= 0.15
    far = compare_with_authors(plane_of(i_xt + 1.0, i_ty, epochs=theirs.epoch.values))
    assert float(far.i_xt_chance) < 0.001


@pytest.mark.parametrize(
    ("shape", "epochs", "message"),
    [
        ((1, 1, 7), (0,), "the comparison needs at least two seeds; the plane has one"),
        ((2, 1, 6), (0,), "the authors' network has 7 layers; the plane has 6"),
        ((2, 1, 7), (1,), r"the plane has none of the authors' epochs \[0, 200, "),
    ],
)
def test_planes_that_cannot_be_compared(shape, epochs, message):
    with pytest.raises(ValueError, match=message):
        compare_with_authors(plane_of(np.ones(shape), epochs=epochs))


def test_a_run_is_trained_measured_and_stored(tmp_path):
    done = []
    run = run_experiment(toy(), tmp_path / "run", on_epoch=done.append)
    assert run.complete
    assert done == list(range(1, 13))
    plane, info = store.open_run(tmp_path / "run")
    xr.testing.assert_identical(plane, run.plane)
    assert dict(plane.sizes) == {"seed": 2, "epoch": plane.epoch.size, "layer": 7}
    assert {0, 12} <= set(plane.epoch.values.tolist())
    assert plane.test_accuracy.isnull().all()
    assert info["complete"]
    assert info["experiment"]["widths"] == [12, 10, 7, 5, 4, 4, 3, 2]
    assert info["comparison"]["epoch"] == [0]
    assert json.loads(plane.attrs["configuration"])["seeds"] == 2
    assert plane.attrs["bins"] == np.linspace(-1, 1, 50).tolist()
    figures = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert "information_plane.svg" in figures


def test_the_stored_weights_give_the_stored_plane(tmp_path):
    run_experiment(toy(), tmp_path / "run")
    plane, _ = store.open_run(tmp_path / "run")
    x, y = spherical_rule()
    with np.load(tmp_path / "run" / "checkpoints" / "parameters.npz") as weights:
        assert np.array_equal(weights["epoch"], plane.epoch)
        model = MLP((12, 10, 7, 5, 4, 4, 3, 2), seeds=2)
        for name, p in model.parameters().items():
            p.copy_(torch.from_numpy(weights[name][-1]))
    layers = model.forward(torch.from_numpy(x).float().T)
    for place, layer in enumerate(layers):
        one = ibfast.layer_information(
            layer.transpose(1, 2), y, bins=np.linspace(-1, 1, 50), exhaustive=True
        )
        assert np.array_equal(one.i_xt, plane.i_xt.isel(epoch=-1, layer=place))


def test_the_same_run_twice_is_the_same():
    options = {"batch_size": 700, "train_fraction": 0.5, "widths": (12, 4, 2)}
    first, second = (run_experiment(toy(**options), threads=1) for _ in range(2))
    xr.testing.assert_identical(first.plane, second.plane)
    assert first.comparison is None
    assert first.plane.test_accuracy.notnull().all()


def test_threads_are_set_back():
    before = torch.get_num_threads()
    run_experiment(toy(seeds=1, widths=(12, 2)), threads=1)
    assert torch.get_num_threads() == before


def interrupt_at(epoch):
    def on_epoch(done):
        if done == epoch:
            raise KeyboardInterrupt

    return on_epoch


def test_an_interrupted_run_is_a_valid_part(tmp_path):
    run = run_experiment(toy(), tmp_path / "run", on_epoch=interrupt_at(6))
    assert not run.complete
    plane, info = store.open_run(tmp_path / "run")
    assert info["complete"] is False
    assert info["last_epoch"] == plane.epoch[-1] <= 6
    whole = run_experiment(toy()).plane
    assert plane.equals(whole.sel(epoch=plane.epoch))


def test_an_interruption_before_anything_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("ibfast.experiments.runner.measure_binned", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(toy(), tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_an_existing_run_is_refused_before_training(tmp_path):
    run_experiment(toy(seeds=1, epochs=1, widths=(12, 2)), tmp_path / "run")
    with pytest.raises(FileExistsError, match="exists: choose another folder"):
        run_experiment(toy(), tmp_path / "run")
    run_experiment(toy(seeds=1, widths=(12, 2)), tmp_path / "run", overwrite=True)
    assert store.open_run(tmp_path / "run")[0].epoch[-1] == 12
