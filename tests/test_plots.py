import matplotlib.figure
import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import LineCollection

from ibfast import plots
from test_plane import plane_of

RNG = np.random.default_rng(0)


@pytest.fixture
def ax():
    return matplotlib.figure.Figure().add_subplot()


def random_plane(seeds=3, epochs=5, layers=4):
    shape = (seeds, epochs, layers)
    return plane_of(RNG.uniform(0, 4, shape), RNG.uniform(0, 1, shape))


def test_plane_has_one_coloured_path_per_layer_and_faint_seeds(ax):
    plane = random_plane()
    assert plots.plot_information_plane(plane, ax) is ax
    collections = [c for c in ax.collections if isinstance(c, LineCollection)]
    paths = [c for c in collections if c.get_array() is not None]
    faint = [c for c in collections if c.get_array() is None]
    assert len(paths) == len(faint) == 4
    mean = plane[["i_xt", "i_ty"]].isel(layer=2).mean("seed").to_array().values.T
    for k, segment in enumerate(paths[2].get_segments()):
        assert segment == pytest.approx(mean[k : k + 2])
    assert paths[2].get_array().tolist() == [1, 2, 3, 4]
    seed = faint[2].get_segments()[1]
    assert np.array_equal(seed[:, 0], plane.i_xt.isel(seed=1, layer=2))


def test_plane_says_units_layers_and_saturation(ax):
    plots.plot_information_plane(random_plane(), ax)
    assert ax.get_xlabel() == "$I(X;T)$ [bits]"
    assert ax.get_ylabel() == "$I(T;Y)$ [bits]"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["1: layer 0", "2: layer 1", "3: layer 2", "4: layer 3"]
    assert "saturation: log$_2$ 16 = 4 bits" in [text.get_text() for text in ax.texts]


def test_curves_are_the_mean_with_a_band_of_one_sd(ax):
    plane = random_plane()
    assert plots.plot_against_epoch(plane, "i_ty", ax) is ax
    assert len(ax.lines) == 4
    assert np.allclose(ax.lines[1].get_ydata(), plane.i_ty.isel(layer=1).mean("seed"))
    low, high = ax.collections[1].get_datalim(ax.transData).intervaly
    mean, sd = plane.i_ty.isel(layer=1).mean("seed"), plane.i_ty.isel(layer=1).std("seed")
    assert low == pytest.approx(float((mean - sd).min()))
    assert high == pytest.approx(float((mean + sd).max()))
    assert ax.get_ylabel() == "$I(T;Y)$ [bits]"


@pytest.mark.parametrize("shape", [(3, 5, 4), (1, 1, 1), (1, 3, 15)])
def test_figures_are_saved_as_png_and_svg(tmp_path, shape):
    files = plots.save_figures(random_plane(*shape), tmp_path / "figures")
    names = ["information_plane", "information_against_epoch"]
    assert [file.name for file in files] == [f"{n}.{s}" for n in names for s in ("png", "svg")]
    for file in files:
        start = file.read_bytes()[:4]
        assert start == (b"\x89PNG" if file.suffix == ".png" else b"<?xm")


def test_the_same_plane_gives_the_same_svg(tmp_path):
    plane = random_plane()
    for name in ("a", "b"):
        plots.save_figures(plane, tmp_path / name)
    first = (tmp_path / "a" / "information_plane.svg").read_bytes()
    assert first == (tmp_path / "b" / "information_plane.svg").read_bytes()


def recorded():
    """Of two splits, in the form of a recorder's; the test was not measured at first."""
    train, test = random_plane(seeds=1), random_plane(seeds=1)
    plane = xr.concat([train, test], xr.Variable("split", ["train", "test"]))
    plane = plane.transpose("seed", "epoch", "layer", "split")
    plane["i_ty_null"] = 0.1 * plane.i_ty
    plane["n"] = xr.full_like(plane.i_xt, 16.0)
    plane["n"][..., 1] = 8.0
    for name in ("i_xt", "i_ty", "i_ty_null", "n"):
        plane[name][:, :2, :, 1] = np.nan
    return plane


def test_splits_are_side_by_side_with_the_same_axes():
    figure = plots.plane_figure(recorded())
    train, test, _ = figure.axes
    assert (train.get_title(), test.get_title()) == ("train", "test")
    assert train.get_xlim() == test.get_xlim() == (0, pytest.approx(1.03 * 4))
    assert "saturation: log$_2$ 8 = 3 bits" in [text.get_text() for text in test.texts]
    paths = [c for c in test.collections if c.get_array() is not None]
    assert [len(path.get_segments()) for path in paths] == [2] * 4  # of three epochs
    assert figure.legends[0].get_texts()[0].get_text() == "1: layer 0"


def test_shuffled_labels_are_dotted(ax):
    plane = recorded().sel(split="test")
    plots.plot_against_epoch(plane, "i_ty", ax)
    solid, dotted = ([li for li in ax.lines if li.get_linestyle() == style] for style in ("-", ":"))
    assert len(solid) == len(dotted) == 4
    assert dotted[2].get_ydata() == pytest.approx(0.1 * solid[2].get_ydata())
    assert len(dotted[2].get_xdata()) == 3


def test_a_layer_that_was_never_measured_is_left_out(ax):
    plane = random_plane()
    plane["i_xt"][:, :, 1] = np.nan
    plots.plot_information_plane(plane, ax)
    assert len([c for c in ax.collections if c.get_array() is not None]) == 3
    plots.plot_against_epoch(plane, "i_xt", ax)


def test_layers_of_many_positions_have_limits_of_their_own(ax):
    plane = random_plane()
    plane["n"] = xr.full_like(plane.i_xt, 16.0)
    plane["n"][:, :, 0] = 64
    plots.plot_information_plane(plane, ax)
    texts = [text.get_text() for text in ax.texts]
    assert texts == [f"saturation: log$_2$ {n} = {k} bits" for n, k in ((16, 4), (64, 6))]
    assert ax.get_xlim()[1] == pytest.approx(1.03 * 6)


def test_a_long_name_leaves_fewer_columns():
    plane = random_plane()
    plane.layer.attrs["names"] = ["3", "a" * 60, "b", "c"]
    figure = plots.plane_figure(plane)
    legend = figure.axes[0].get_legend()
    assert legend._ncols == 1
    assert legend.get_texts()[0].get_text() == "1: module 3"
