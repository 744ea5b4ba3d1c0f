"""Statistics of minibatch gradients against loops in plain torch; the drift-to-diffusion epoch."""

import json

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.figure import Figure
from typer.testing import CliRunner

from ibfast import cli, gradient_plots, store
from ibfast.datasets import spherical_rule
from ibfast.experiments import load_preset, run_experiment
from ibfast.gradients import gradient_statistics, layer_transitions, transition
from ibfast.models import MLP, seed_generator
from ibfast.plane import GRADIENT_VARIABLES
from ibfast.train import Trainer, log_checkpoints

EPOCHS = np.array(log_checkpoints(10_000, 60))


def trained(epochs=2, *, dtype=torch.float64, **options):
    x, y = spherical_rule()
    model = MLP((12, 6, 4, 2), seeds=[0, 4], seed=3, dtype=dtype)
    options = {"batch_size": 300, "train_fraction": 0.4, "lr": 0.01, **options}
    trainer = Trainer(model, x, y, **options)
    trainer.run(epochs)
    return trainer


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_statistics_against_autograd(dropout):
    x, y = spherical_rule()
    trainer = trained(dropout=dropout)
    found = gradient_statistics(trainer)
    inputs, labels = torch.from_numpy(x).double(), torch.from_numpy(y).long()
    for place, member in enumerate(trainer.model.members):
        order, drop = seed_generator(3, member, 2), seed_generator(3, member, 4)
        rows = seed_generator(3, member, 1)
        rows = torch.randperm(4096, generator=rows)[:1638].sort().values
        for epoch in range(3):
            batches = rows[torch.randperm(1638, generator=order)].split(300)
            masks = [torch.ones(10, len(b)).double() for b in batches]
            if dropout:
                for mask in masks:
                    mask.bernoulli_(1 - dropout, generator=drop).div_(1 - dropout)
            if epoch < 2:
                continue
            parameters = [
                (w[place].clone().requires_grad_(), b[place, :, 0])
                for w, b in zip(trainer.model.weights, trainer.model.biases, strict=True)
            ]
            gradients = [[] for _ in parameters]
            for batch, mask in zip(batches, masks, strict=True):
                a = inputs[batch]
                for (w, b), part in zip(parameters, (mask[:6], mask[6:], None), strict=True):
                    a = torch.nn.functional.linear(a, w, b)
                    a = a if part is None else a.tanh() * part.T
                loss = torch.nn.functional.cross_entropy(a, labels[batch])
                for kept, g in zip(
                    gradients, torch.autograd.grad(loss, [w for w, _ in parameters]), strict=True
                ):
                    kept.append(g.numpy().ravel())
        for layer, (kept, (w, _)) in enumerate(zip(gradients, parameters, strict=True)):
            kept, norm = np.array(kept), np.linalg.norm(w.detach().numpy())
            mean = np.linalg.norm(kept.mean(axis=0)) / norm
            sd = np.sqrt(np.trace(np.cov(kept.T, ddof=0))) / norm
            at = place, layer
            assert found["gradient_mean"][at] == pytest.approx(mean, rel=1e-9)
            assert found["gradient_sd"][at] == pytest.approx(sd, rel=1e-9)
            assert found["gradient_snr"][at] == pytest.approx(mean / sd, rel=1e-9)


OPTIONS = [{}, {"dropout": 0.2}, {"optimizer": "sgd", "temperature": 1e-3, "lr": 0.1}]


@pytest.mark.parametrize("options", OPTIONS)
def test_measuring_does_not_disturb_training(options):
    plain, measured = (trained(0, dtype=torch.float32, **options) for _ in range(2))
    plain.run(4)
    measured.run(4, [0, 1, 3], lambda _, trainer: gradient_statistics(trainer))
    assert torch.equal(plain.model.theta, measured.model.theta)
    assert torch.equal(plain.evaluate().loss, measured.evaluate().loss)


def test_an_interrupted_measurement_does_not_disturb_training():
    plain, measured = trained(0), trained(0)
    plain.run(2)
    coming = measured.coming_gradients()
    first = next(coming).clone()
    coming.close()
    assert torch.equal(next(measured.coming_gradients()), first)
    measured.run(2)
    assert torch.equal(plain.model.theta, measured.model.theta)


def test_a_seed_s_statistics_do_not_depend_on_the_others():
    x, y = spherical_rule()
    together, alone = (
        gradient_statistics(
            Trainer(MLP((12, 6, 2), seeds=seeds, dtype=torch.float64), x, y, batch_size=500)
        )
        for seeds in ([0, 1, 2], [2])
    )
    for name in GRADIENT_VARIABLES:
        assert together[name].shape == (3, 2)
        assert together[name].dtype == np.float64
        assert np.allclose(together[name][2], alone[name][0], rtol=1e-9)


def test_gradients_that_vanish_have_no_ratio():
    trainer = trained(0)
    trainer.model.weights[2].zero_()
    trainer.model.weights[1].zero_()
    found = gradient_statistics(trainer)
    assert np.isnan(found["gradient_snr"][:, 0]).all()


@pytest.mark.parametrize("batch_size", [None, 4096, 9999])
def test_one_minibatch_has_no_spread(batch_size):
    trainer = Trainer(MLP((12, 2)), *spherical_rule(), batch_size=batch_size)
    with pytest.raises(
        ValueError, match=r"two minibatches an epoch or more, .* 4096 training rows"
    ):
        gradient_statistics(trainer)


def curves(change=350.0, factor=20.0, noise=0.2, seeds=12, rng=0):
    random = np.random.default_rng(rng)
    levels = np.where(change > EPOCHS, factor, 1.0)
    return levels * np.exp(noise * random.normal(size=(seeds, EPOCHS.size)))


@pytest.mark.parametrize("change", [5, 50, 350, 3000])
def test_a_known_change_is_found(change):
    below, above = EPOCHS[change > EPOCHS][-1], EPOCHS[change <= EPOCHS][0]
    found = transition(curves(change), EPOCHS, rng=0)
    assert found.epoch == pytest.approx(np.sqrt(below * above))
    assert found.interval[0] <= found.epoch <= found.interval[1]
    assert found.found == 1
    assert found.factor == pytest.approx(20, rel=0.1)
    assert np.isfinite(found.seed_epochs).all()
    assert np.median(found.seed_epochs) == pytest.approx(found.epoch)


def test_the_interval_covers_changes_that_differ_by_seed():
    random = np.random.default_rng(0)
    changes = 300 * np.exp(0.5 * random.normal(size=20))
    snr = np.concatenate([curves(c, seeds=1, rng=k) for k, c in enumerate(changes)])
    found = transition(snr, EPOCHS, rng=0)
    assert np.corrcoef(np.log(changes), np.log(found.seed_epochs))[0, 1] > 0.95
    low, high = found.interval
    assert 100 < low < 300 < high < 1000
    assert transition(snr, EPOCHS, rng=0).interval == (low, high)


def test_the_step_is_the_best_of_all_steps():
    snr = curves(noise=1.0, seeds=3)
    found = transition(snr, EPOCHS, rng=0)
    at, logs = np.log(EPOCHS[1:]), np.log(snr[:, 1:])
    # The parts of the axis between the middles of neighbouring checkpoints.
    edges = np.concatenate([at[:1], (at[1:] + at[:-1]) / 2, at[-1:]])
    weight = np.diff(edges)
    for curve, epoch in zip(logs, found.seed_epochs, strict=True):
        costs = {}
        for k in range(3, at.size - 2):
            parts = slice(None, k), slice(k, None)
            costs[k] = sum(
                np.sum(weight[p] * (curve[p] - np.average(curve[p], weights=weight[p])) ** 2)
                for p in parts
            )
        best = min(costs, key=costs.get)
        assert epoch == pytest.approx(np.exp((at[best - 1] + at[best]) / 2))


def test_scale_and_order_of_seeds_do_not_matter():
    snr = curves()
    found = transition(snr, EPOCHS, rng=0)
    scaled = transition(1e-6 * snr, EPOCHS, rng=0)
    assert (scaled.epoch, scaled.interval) == (found.epoch, found.interval)
    assert np.array_equal(scaled.seed_epochs, found.seed_epochs)
    each = transition(snr * np.geomspace(1e-3, 1e3, len(snr))[:, None], EPOCHS, rng=0)
    assert each.epoch == found.epoch
    assert np.array_equal(transition(snr[::-1], EPOCHS).seed_epochs, found.seed_epochs[::-1])


def test_epoch_0_does_not_count():
    snr = curves()
    changed = snr.copy()
    changed[:, 0] = np.nan
    assert transition(changed, EPOCHS, rng=0).epoch == transition(snr, EPOCHS, rng=0).epoch


@pytest.mark.parametrize("snr", [np.ones((3, 60)), 0.1 * np.ones((1, 60)), curves(factor=0.05)])
def test_no_fall_is_said(snr):
    found = transition(snr, EPOCHS[: snr.shape[1]], rng=0)
    assert found.epoch is None
    assert found.interval is None
    assert found.found == 0
    assert found.factor <= 1
    assert np.isnan(found.seed_epochs).all()
    assert str(found) == "no fall of the signal-to-noise ratio"


def test_noise_seldom_has_a_fall():
    found = transition(curves(factor=1, noise=0.5, seeds=300, rng=3), EPOCHS, rng=0)
    assert np.isfinite(found.seed_epochs).mean() < 0.2


def test_one_seed_has_no_interval():
    found = transition(curves(seeds=1), EPOCHS)
    assert found.interval is None
    assert found.found == 1
    assert str(found) == f"epoch {found.epoch:.3g}, by a factor of {found.factor:.3g}"


def test_seeds_without_gradients_are_left_out():
    snr = curves(seeds=4)
    with_dead = np.concatenate([snr, np.full((1, EPOCHS.size), np.nan)])
    found = transition(with_dead, EPOCHS, rng=0)
    assert found.epoch == transition(snr, EPOCHS, rng=0).epoch
    assert np.isnan(found.seed_epochs[-1])


@pytest.mark.parametrize(
    ("snr", "epochs", "message"),
    [
        (np.ones(60), EPOCHS, r"snr must have shape \(seeds, epochs\) .*; got \(60,\)"),
        (np.ones((2, 5)), EPOCHS, r"got \(2, 5\) and epochs of shape \(\d+,\)"),
        (np.ones((2, 7)), [0, 1, 2, 3, 5, 4, 6], "epochs must ascend, from 0 or more; got"),
        (np.ones((2, 7)), np.arange(-1, 6), "epochs must ascend, from 0 or more"),
        (np.ones((2, 6)), np.arange(6), "epochs after 0 must be at least 6; got 5"),
        (np.zeros((2, 7)), np.arange(7), "snr must be positive and finite throughout for one"),
    ],
)
def test_bad_curves(snr, epochs, message):
    with pytest.raises(ValueError, match=message):
        transition(snr, epochs)


def toy(**options):
    return load_preset("phases/tanh").changed(
        **{"seeds": 2, "epochs": 12, "widths": (12, 6, 4, 2), "batch_size": 1024, **options}
    )


@pytest.fixture(scope="module")
def plane():
    return run_experiment(toy(), threads=1).plane


def test_an_experiment_measures_gradients(plane):
    for name, (long_name, units) in GRADIENT_VARIABLES.items():
        assert plane[name].dims == ("seed", "epoch", "layer")
        assert plane[name].attrs == {"long_name": long_name, "units": units}
    at_start = MLP((12, 6, 4, 2), seeds=2)
    trainer = Trainer(at_start, *spherical_rule(), batch_size=1024, train_fraction=0.8)
    for name, values in gradient_statistics(trainer).items():
        assert np.allclose(plane[name].sel(epoch=0), values, rtol=1e-4)


def test_an_experiment_is_the_same_without():
    plain, measured = (run_experiment(toy(epochs=3), threads=1).plane for _ in range(2))
    without = run_experiment(
        load_preset("szt-minibatch").changed(
            seeds=2, epochs=3, widths=(12, 6, 4, 2), batch_size=1024
        ),
        threads=1,
    ).plane
    xr.testing.assert_identical(plain, measured)
    assert "gradient_snr" not in without
    assert all(without[name].equals(plain[name]) for name in without.data_vars)


def test_transitions_of_layers(plane):
    falling = plane.copy(deep=True)
    falling["gradient_snr"][:] = 1.0
    falling["gradient_snr"][:, :6, 1] = 8.0
    falling["gradient_snr"][:, :, 2] = 0.0
    first, second, third = layer_transitions(falling)
    assert first.epoch is None
    assert second.epoch == pytest.approx(np.sqrt(5 * 6))
    assert third is None
    assert layer_transitions(plane.isel(epoch=slice(0, 6))) == [None] * 3


def test_figure_shows_both_and_the_transition(plane):
    shown = plane.copy(deep=True)
    shown["gradient_snr"][:] = 1.0
    shown["gradient_snr"][:, :6, 1] = 8.0
    ax = Figure().add_subplot()
    assert gradient_plots.plot_gradients(shown, ax) is ax
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert len(ax.lines) == 2 * 3 + 1
    mean = np.exp(np.log(shown.gradient_mean.isel(layer=1)).mean("seed"))
    assert np.allclose(ax.lines[1].get_ydata()[1:], mean[1:])
    assert np.isnan(ax.lines[1].get_ydata()[0])
    assert ax.lines[-1].get_xdata()[0] == pytest.approx(np.sqrt(5 * 6))
    other = Figure().add_subplot()
    assert gradient_plots.plot_snr(shown, other) is other
    assert len(other.lines) == 3 + 1
    assert len(other.patches) == 1
    assert len(gradient_plots.gradient_figure(shown).axes) == 2


def test_the_command_line(tmp_path):
    arguments = ["run", "szt-minibatch", "--gradients", "--batch-size", "999", "--seeds", "2"]
    arguments += ["--epochs", "9", "--widths", "12-4-2", "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.output
    assert "where the gradients' SNR falls" in result.stdout
    plane, info = store.open_run(tmp_path / "run")
    assert "gradient_sd" in plane
    assert len(info["transitions"]) == 2
    assert info["transitions"][0].keys() == {"epoch", "interval", "found", "factor"}
    json.dumps(info)
    assert (tmp_path / "run" / "figures" / "gradients.svg").stat().st_size > 0
    refused = CliRunner().invoke(cli.app, ["run", "--gradients", "--out", str(tmp_path / "no")])
    assert refused.exit_code == 2
    assert "gradients need minibatches: batch_size must be given; got None" in refused.output
