import matplotlib.figure
import numpy as np
import pytest
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
