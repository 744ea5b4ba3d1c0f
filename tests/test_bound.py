"""Experiments with soft labels: layers against the bound, from training to figure and table."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from typer.testing import CliRunner

import ibfast
from ibfast import _reports, bound_plots, cli, plots, store
from ibfast.bottleneck import hard_frontier, ib_curve, layer_optimality, make_source
from ibfast.datasets import spherical_rule
from ibfast.experiments import load_preset, run_experiment
from ibfast.experiments.bound import Bound
from ibfast.plane import BOUND_VARIABLES

EDGES = np.linspace(-1, 1, 50)


def toy(**options):
    return load_preset("bound/0.99").changed(
        **{"seeds": 2, "epochs": 8, "checkpoints": 3, **options}
    )


@pytest.fixture(scope="module")
def run():
    return run_experiment(toy(information=0.7))


def activations(run, epoch, seed):
    """Of every layer, from the stored weights, in NumPy."""
    at = int(np.flatnonzero(run.parameters["epoch"] == epoch)[0])
    below, layers = spherical_rule()[0].T.astype(np.float32), []
    for number in range(1, 8):
        weight, bias = (run.parameters[f"{kind}_{number}"][at, seed] for kind in ("weight", "bias"))
        z = weight @ below + bias
        if number < 7:
            below = np.tanh(z)
        else:
            e = np.exp(z - z.max(axis=0))
            below = e / e.sum(axis=0)
        layers.append(below.T)
    return layers


def test_the_plane_has_what_layer_optimality_says(run):
    plane, p = run.plane, spherical_rule(0.7)[1]
    assert set(BOUND_VARIABLES) <= set(plane.data_vars)
    for name, (_, long_name, units) in BOUND_VARIABLES.items():
        assert plane[name].dims == ("seed", "epoch", "layer")
        assert plane[name].attrs == {"long_name": long_name, "units": units}
    curve = ib_curve(p, resolution=1e-4)
    for place, acts in enumerate(activations(run, 8, 1)):
        # Cells by NumPy, of activations that differ from torch's by rounding: nearly the same.
        codes = np.digitize(acts, EDGES)
        cells = np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1)
        one = layer_optimality(cells, p, curve)
        found = plane.sel(epoch=8, layer=place + 1).isel(seed=1)
        assert found.gap.item() == pytest.approx(one.gap, abs=2e-3)
        assert found.hard_gap.item() == pytest.approx(one.hard_gap, abs=2e-3)
        assert found.divergence.item() == pytest.approx(one.divergence, abs=0.05)
        if found.identified.item() and one.identified and one.beta < 100:
            assert found.beta_star.item() == pytest.approx(one.beta, rel=0.05)


def test_gaps_fit_the_plane_s_own_coordinates(run):
    plane = run.plane
    curve = ib_curve(spherical_rule(0.7)[1], resolution=1e-4)
    assert np.allclose(plane.gap, curve.relevance_at(plane.i_xt) - plane.i_ty, atol=1e-9)
    assert (plane.gap > -1e-4).all()
    assert np.allclose(plane.rate_gap, plane.i_xt - curve.rate_at(plane.i_ty), atol=1e-6)
    assert (plane.divergence <= plane.i_xt + 1e-9).all()  # beta = 0 gives p(t), I(X;T) from p(t|x)
    for name in ("encoder_residual", "marginal_residual", "decoder_residual"):
        assert ((plane[name] >= 0) & (plane[name] <= 1)).all()


def test_the_lines_are_the_curve_and_the_hull(run):
    source = make_source(spherical_rule(0.7)[1])
    rate, relevance = ib_curve(source, resolution=1e-4).hull
    frontier = hard_frontier(source)
    plane = run.plane
    assert np.array_equal(plane.curve_rate, rate)
    assert np.array_equal(plane.curve_relevance, relevance)
    assert np.array_equal(plane.frontier_rate, frontier.rate)
    assert np.array_equal(plane.frontier_relevance, frontier.relevance)
    assert plane.curve_relevance[-1].item() == pytest.approx(0.7)
    assert plane.curve_rate.attrs["units"] == "bits"


def test_i_ty_is_of_the_soft_labels(run):
    p = spherical_rule(0.7)[1]
    acts = activations(run, 8, 0)[3]
    soft = ibfast.mutual_info(acts, np.stack([1 - p, p], axis=1), bins=EDGES)
    found = run.plane.i_ty.sel(epoch=8, layer=4).isel(seed=0).item()
    assert found == pytest.approx(soft, abs=2e-3)
    assert run.plane.i_ty.max() <= 0.7 + 1e-9


def test_any_number_of_threads_measures_the_same():
    rng = np.random.default_rng(0)
    layers = [rng.uniform(-1, 1, (3, 4096, d)).astype(np.float32) for d in (2, 1)]
    p = spherical_rule(0.9)[1]
    one, two = (Bound(p, threads).measure(layers, 7) for threads in (1, 2))
    assert one.keys() == two.keys()
    for name, values in one.items():
        assert values.shape == (3, 2)
        assert np.array_equal(values, two[name], equal_nan=True)
    # Seven bins of each network's own range, as layer_information takes them.
    own = ibfast.layer_information(layers[1], np.arange(4096), bins=7)
    relevance = ib_curve(p, resolution=1e-4).relevance_at(own.i_xt)
    y = ibfast.layer_information(layers[1], np.stack([1 - p, p], 1), bins=7).i_ty
    assert np.allclose(one["gap"][:, 1], relevance - y)


def test_sampled_targets_train_other_networks():
    soft, sampled = (run_experiment(toy(targets=t, epochs=3)) for t in ("soft", "sampled"))
    assert not np.array_equal(soft.parameters["weight_1"][-1], sampled.parameters["weight_1"][-1])
    assert np.array_equal(soft.parameters["weight_1"][0], sampled.parameters["weight_1"][0])


def test_other_information_has_a_title_of_its_own():
    assert "I(X;Y) = 0.99" in load_preset("bound/0.99").title
    assert toy(information=0.7).title == "Information plane, tanh 12-10-7-5-4-4-3-2, I(X;Y) = 0.7"
    assert load_preset("szt").changed(information=0.7).reference is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": "hard"}, "targets must be 'soft', 'sampled' or 'random'; got 'hard'"),
        ({"label_noise": 0.1}, r"label_noise must be 0 where the targets are soft .*; got 0\.1"),
        ({"task": "committee_rule"}, "information must be None for the task committee_rule"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        load_preset("bound/0.99").changed(**options)
    with pytest.raises(ValueError, match="information must be between 0 and"):
        run_experiment(toy(information=1.5))


def test_figure(run):
    ax = Figure().add_subplot()
    assert bound_plots.plot_bound(run.plane, ax) is ax
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[:2] == ["bound", "hard encoders (hull)"]
    assert labels[2].startswith(r"1: tanh 10: $\beta^*$ ")
    assert len(labels) == 9
    assert np.array_equal(ax.lines[0].get_xdata()[:-1], run.plane.curve_rate)
    assert len(bound_plots.bound_figure(run.plane).axes) == 4


def test_beta_of_a_layer_in_the_legend(run):
    plane = run.plane.copy(deep=True)
    plane["beta_star"][:, -1, 2] = [2.0, 8.0]
    plane["identified"][:, -1, 2:5] = [[True, True, False], [True, False, False]]
    plane["beta_star"][0, -1, 3] = 4.0
    ax = bound_plots.plot_bound(plane, Figure().add_subplot())
    labels = [text.get_text() for text in ax.get_legend().get_texts()][4:7]
    assert [label.split("$ ")[1] for label in labels] == ["5", "4 (1 of 2)", "not identified"]


def test_logarithmic_curves_are_geometric_means(run):
    plane = run.plane.assign(
        beta_star=xr.full_like(run.plane.beta_star, 3.0).where(run.plane.seed > 0, 12.0)
    )
    ax = plots.plot_against_epoch(plane, "beta_star", Figure().add_subplot(), log=True)
    assert ax.get_yscale() == "log"
    assert np.allclose(ax.lines[0].get_ydata(), 6.0)


def test_table_and_words(run):
    plane = run.plane.copy(deep=True)
    plane["gap"][:, -1, 6] = [0.1, 0.3]
    distances, equations = _reports.bound_tables(plane)
    assert [str(c.header) for c in distances.columns][:2] == ["layer", "I(T;Y) below bound"]
    assert list(distances.columns[0].cells)[6] == "7: softmax 2"
    # t(0.975, 1) = 12.706; sd / sqrt(2) = 0.1
    assert list(distances.columns[1].cells)[6] == "0.200 ± 1.271"
    assert next(iter(equations.columns[1].cells)) == "none (0/2)"
    plane["identified"][:] = True
    plane["beta_star"][0, -1] = np.arange(7, 0, -1)
    plane["beta_star"][1, -1] = np.arange(7)
    assert "beta* falls with depth in 1 of 2 networks" in _reports.bound_in_words(plane)
    alone = _reports.bound_tables(plane.isel(seed=[0]))
    assert list(alone[0].columns[1].cells)[6] == "0.100"


def test_the_command_line(tmp_path):
    out = tmp_path / "run"
    arguments = ["run", "bound/0.99", "--information", "0.9", "--targets", "sampled"]
    arguments += ["--seeds", "2", "--epochs", "4", "--checkpoints", "3", "--out", str(out)]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.output
    assert "Distance from the bound at epoch 4" in result.stdout
    assert "beta* falls with depth in" in result.stdout
    plane, info = store.open_run(out)
    assert info["experiment"]["targets"] == "sampled"
    assert "gap" in plane
    assert (out / "figures" / "bound.png").stat().st_size > 0
    assert CliRunner().invoke(cli.app, ["plot", str(out)]).exit_code == 0
    assert (out / "figures" / "bound.svg").stat().st_size > 0
