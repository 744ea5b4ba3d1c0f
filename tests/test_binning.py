"""Codes equal NumPy's, on the edges and beside them, for every kind of bins."""

import warnings

import numpy as np
import pytest

import ibfast
import oracle
from ibfast.binning import Edges, Integers, Levels, Quantile, Uniform, Width, discretise

F32, F64 = np.finfo(np.float32), np.finfo(np.float64)


def beside(edges, dtype):
    """The edges as `dtype`, the value one below and one above each, zeros and denormals."""
    e = np.asarray(edges).astype(dtype)
    inf = dtype(np.inf)
    tiny = np.finfo(dtype).smallest_subnormal
    special = np.array([0.0, -0.0, tiny, -tiny], dtype)
    return np.concatenate([e, np.nextafter(e, -inf), np.nextafter(e, inf), special])[:, None]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("outside", ["clip", "cell"])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 30, 49, 100, 127, 128, 255, 1000, 4096, 70_001])
@pytest.mark.parametrize("span", [(-1, 1), (0, 1), (0.1, 0.7), (-3.3, 1e3), (1e6, 1e6 + 1)])
def test_uniform_on_and_beside_its_edges(dtype, outside, n, span):
    bins = Uniform(n, span)
    x = beside(np.linspace(*span, n + 1), dtype)
    got = discretise(x, bins, outside=outside)
    assert np.array_equal(got, oracle.codes(x, bins, outside))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("outside", ["clip", "cell"])
@pytest.mark.parametrize(
    "edges",
    [
        [0.5],
        [0.0, 1.0],
        [-0.0, 0.0, 1.0],
        [0.0, 0.0, 1.0],
        [1.0, 1.0],
        np.linspace(-1, 1, 50),
        np.linspace(-1, 1, 3000),
        np.geomspace(1e-6, 10, 40),
        [-np.inf, -1, 0.3, np.inf],
        [-1e300, -1.0, 1e-310, 1e300],
        [-F64.max, 0.0, F64.max],
        np.arange(5) + 0.1 * np.array([0, 1.7, 0, -1.9, 0]),
        [1.0, 1.0 + 2**-30, 1.0 + 2**-29],
        [0, 5e-324, 1e-45, 2e-45],
    ],
    ids=lambda e: f"{len(e)}-from-{e[0]:g}",
)
def test_edges_on_and_beside_them(dtype, outside, edges):
    bins = Edges(edges)
    with np.errstate(over="ignore"):
        x = beside(edges, dtype)
    got = discretise(x, bins, outside=outside)
    assert np.array_equal(got, oracle.codes(x, bins, outside))


@pytest.mark.parametrize("bins", [Uniform(7, (-1, 1)), Edges([-1, -0.5, 0.9, 1])])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_infinities_join_the_end_bins_or_have_cells_of_their_own(bins, dtype):
    big = np.finfo(dtype).max
    x = np.array([[-np.inf], [-big], [-1], [1], [big], [np.inf]], dtype)
    for outside in ("clip", "cell"):
        got = discretise(x, bins, outside=outside)
        assert np.array_equal(got, oracle.codes(x, bins, outside))


def test_outside_as_the_manual_says():
    x = np.array([[-2.0], [-1.0], [0.0], [1.0], [2.0]])
    assert discretise(x, 2, range=(-1, 1), outside="clip").ravel().tolist() == [0, 0, 1, 1, 1]
    assert discretise(x, 2, range=(-1, 1), outside="cell").ravel().tolist() == [-1, 0, 1, 1, 2]
    assert discretise(x, [-1, 0, 1], outside="clip").ravel().tolist() == [1, 1, 2, 3, 3]
    assert discretise(x, [-1, 0, 1], outside="cell").ravel().tolist() == [0, 1, 2, 3, 3]


def test_the_last_edge_is_a_cell_of_its_own_for_edges_and_closed_for_uniform():
    x = np.array([[0.9], [1.0]])
    assert discretise(x, Edges([0, 0.5, 1])).ravel().tolist() == [2, 3]
    assert discretise(x, Uniform(2, (0, 1))).ravel().tolist() == [1, 1]


@pytest.mark.parametrize("n", [1, 2, 5, 30, 127, 128, 129, 256, 257, 2**16, 2**20 - 1, 2**20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_uniform_with_the_range_of_the_data(n, dtype):
    x = oracle.repeated_rows(400, 3, seed=n).astype(dtype)
    bins = Uniform(n)
    assert np.array_equal(discretise(x, n), oracle.codes(x, bins))
    assert np.array_equal(discretise(x, n, per_unit=True), oracle.codes(x, bins, per_unit=True))


@pytest.mark.parametrize("n", [1, 30, 1000])
def test_uniform_counts_are_those_of_numpy_histogram(n):
    x = oracle.repeated_rows(1000, 1, seed=3, n_distinct=500)
    span = (float(x.min()), float(x.max()))
    counts = np.bincount(discretise(x, n).ravel(), minlength=n)
    assert np.array_equal(counts, np.histogram(x, n)[0])
    assert np.array_equal(counts, np.histogram(x, n, range=span)[0])


@pytest.mark.parametrize("n", [2**20 + 1, 2**24 - 3])
def test_very_many_bins(n):
    x = np.random.default_rng(0).random((200, 2))
    bins = Uniform(n, (0, 1))
    for outside in ("raise", "cell"):
        assert np.array_equal(discretise(x, bins, outside=outside), oracle.codes(x, bins))
    layer = ibfast.layer_information(x, np.zeros(200, int), bins=bins, exhaustive=True)
    assert layer.n_cells == 200


@pytest.mark.parametrize("value", [0.0, -0.0, 1.5, -7.0, 5e-324, 1e10])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_value_throughout_is_given_half_a_unit_to_each_side(value, dtype):
    x = np.full((4, 2), value, dtype)
    assert np.array_equal(discretise(x, 30), oracle.codes(x, Uniform(30)))


@pytest.mark.parametrize("width", [1.0, 0.1, 1 / 3, 1e-3, 7.5, 1e-300, 5e-324])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_width_is_the_floor_of_the_quotient(width, dtype):
    x = np.concatenate([beside(np.arange(-40, 41) * width, dtype), np.zeros((1, 1), dtype)])
    if width < 1e-40:  # else the quotient would pass 64 bits
        x = np.zeros((3, 1), dtype)
    assert np.array_equal(discretise(x, Width(width)), oracle.codes(x, Width(width)))


@pytest.mark.parametrize("limit", [-(2.0**63), 2.0**63 - 1024])
def test_width_reaches_to_the_last_of_64_bits(limit):
    assert discretise([[limit]], Width(1.0)).tolist() == [[int(limit)]]


@pytest.mark.parametrize("value", [2.0**63, -(2.0**63) * 1.0001, 1e300, np.inf, -np.inf])
def test_width_refuses_what_64_bits_cannot_hold(value):
    with pytest.raises(
        ValueError, match=r"acts: 1 .*too large for the width 1.*say outside='clip'"
    ):
        discretise([[0.0], [value]], Width(1.0))


@pytest.mark.parametrize("outside", ["clip", "cell"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("width", [1e-300, 2.0**-60, 1.0, 2.0**1000])
def test_width_has_cells_for_what_64_bits_cannot_hold(outside, dtype, width):
    big = np.finfo(dtype).max
    x = np.array([-np.inf, -big, -1, -0.0, 0, 1, big, np.inf], dtype)[:, None]
    codes = discretise(x, Width(width), outside=outside)
    assert np.array_equal(codes, oracle.codes(x, Width(width), outside))
    assert codes[[0, -1], 0].tolist() == [-(2**63), 2**63 - 1]
    for d in (1, 2, 3, 40):  # the keys have loops of their own
        rows = np.repeat(x, d, axis=1)
        layer = ibfast.layer_information(
            rows, np.arange(8), inputs=oracle.cells(codes), bins=Width(width), outside=outside
        )
        assert (layer.n_cells, layer.h_t_given_x) == (len(np.unique(codes)), 0)


def test_the_last_cells_of_width_beside_those_outside():
    x = np.array([-np.inf, -(2.0**63), -(2.0**63) + 1024, 2.0**63 - 1024, 2.0**63])[:, None]
    low, high = -(2**63), 2**63 - 1
    got = discretise(x, Width(1.0), outside="cell").ravel().tolist()
    assert got == [low, low, low + 1024, high - 1023, high]


@pytest.mark.parametrize("outside", ["raise", "clip", "cell"])
def test_width_refuses_nan_whatever_lies_outside(outside):
    with pytest.raises(ValueError, match=r"acts: NaN at row 1, unit 0"):
        discretise([[0.0], [np.nan], [np.inf]], Width(1.0), outside=outside)


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
)
def test_integers_are_their_own_codes(dtype):
    if dtype == "bool":
        x = np.array([[True, False], [False, False]])
    else:
        limits = np.iinfo(dtype)
        x = np.array([[limits.min, 0], [limits.max, 1]], dtype)
    assert np.array_equal(discretise(x, Integers()), x.astype(np.int64))


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_integers_beyond_53_bits_stay_apart(dtype):
    first = 2**62 if dtype == "int64" else 2**64 - 6
    x = np.array([first + i for i in range(6)] * 2, dtype)[:, None]
    for d in (1, 2, 3, 40):
        wide = np.repeat(x, d, axis=1)
        assert ibfast.entropy(wide, bins=Integers()) == pytest.approx(np.log2(6), rel=1e-14)


@pytest.mark.parametrize("n", [2, 3, 10, 64])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_quantiles_are_those_of_numpy(n, dtype):
    x = (oracle.repeated_rows(301, 4, seed=n) * 50).astype(dtype)
    assert np.array_equal(discretise(x, Quantile(n)), oracle.codes(x, Quantile(n)))


def test_quantile_bins_hold_equally_many():
    x = np.random.default_rng(1).permutation(1000)[:, None].astype(float)
    assert np.bincount(discretise(x, Quantile(4)).ravel()).tolist() == [250] * 4


def test_quantiles_whose_distance_overflows_are_an_error():
    with pytest.raises(ValueError, match=r"acts: .*overflow"):
        discretise([[-F64.max], [F64.max]], Quantile(2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_edges_of_each_unit(dtype):
    rng = np.random.default_rng(5)
    for d in (1, 2, 15, 16, 17, 40):
        edges = np.sort(rng.normal(size=(d, 9)), axis=1)
        x = rng.normal(size=(100, d)).astype(dtype)
        for outside in ("clip", "cell"):
            got = discretise(x, edges, outside=outside)
            assert np.array_equal(got, oracle.codes(x, Edges(edges), outside))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("d", [2, 40])
def test_edges_of_units_of_which_the_first_are_uneven(dtype, layout, d):
    edges = np.tile([0.0, 1, 2, 3, 4], (d, 1))
    edges[0, 1:4] = [1.15, 1.9, 3.05]
    x = np.random.default_rng(0).uniform(0, 4, (2000, d)).astype(dtype, order=layout)
    expected = np.stack([np.digitize(x[:, u], edges[u]) for u in range(d)], axis=1)
    assert np.array_equal(discretise(x, Edges(edges)), expected)
    x[:, 1:] = 0.5
    counts = ibfast.JointCounts(Edges(edges), 1)  # the keys have loops of their own
    counts.update(x, np.zeros(2000, int))
    assert sorted(counts.cell_counts()) == sorted(np.unique(expected[:, 0], return_counts=True)[1])


def test_the_largest_finite_values():
    x = np.array([[-F64.max], [0.0], [F64.max]])
    assert discretise(x, [-F64.max, 0.0, F64.max]).ravel().tolist() == [1, 2, 3]
    y = np.array([[-F32.max], [0.0], [F32.max]], np.float32)
    assert np.array_equal(discretise(y, 30), oracle.codes(y, Uniform(30)))


@pytest.mark.parametrize(
    ("bins", "kwargs", "text"),
    [
        (0, {}, r"bins: 0; expected an integer from 1 to 16777213"),
        (-3, {}, r"bins: -3; expected"),
        (2**24 - 2, {}, r"bins: 16777214; expected an integer from 1 to 16777213"),
        (2, {"range": (1, 0)}, r"range: \(1\.0, 0\.0\); expected finite low < high"),
        (2, {"range": (0, 0)}, r"range: .*expected finite low < high"),
        (2, {"range": (np.nan, 1)}, r"range: \(nan, 1\.0\)"),
        (2, {"range": (0, np.inf)}, r"range: \(0\.0, inf\)"),
        (2, {"range": 5}, r"range: 5; expected \(low, high\)"),
        (2, {"range": (0, 1, 2)}, r"range: \(0, 1, 2\); expected \(low, high\)"),
        (2, {"range": ("a", "b")}, r"range: \('a', 'b'\); expected"),
        (2, {"range": (-1.7e308, 1.7e308)}, r"range: its width overflows, from -1\.7e\+308"),
        (30, {"range": (1.0, 1.0 + 2**-50)}, r"bins: 30 bins of finite size do not fit between"),
        ([], {}, r"edges: shape \(0,\); expected \(m,\) or \(d, m\)"),
        (np.zeros((2, 2, 2)), {}, r"edges: shape \(2, 2, 2\)"),
        ([0, np.nan, 1], {}, r"edges: they do not increase, or are NaN"),
        ([0, 1, 0.5], {}, r"edges: they do not increase"),
        (np.broadcast_to(0.0, 2**24), {}, r"edges: 16777216; expected at most 16777213"),
        ([0.0, 1.0], {"range": (0, 1)}, r"range: \(0, 1\); expected none where bins is an array"),
        (Width(1), {"range": (0, 1)}, r"range: \(0, 1\); expected none where bins is Width"),
        (np.zeros((3, 2)), {}, r"edges: shape \(3, 2\); expected \(m,\) or \(d, m\) with d = 1"),
        (
            5,
            {"per_unit": True, "range": (0, 1)},
            r"per_unit: True; expected False where bins is Uniform",
        ),
        ([0.0, 1.0], {"per_unit": True}, r"per_unit: True; expected False where bins is Edges"),
        (5, {"outside": "ignore"}, r"outside: 'ignore'; expected 'raise', 'clip' or 'cell'"),
    ],
)
def test_bad_bins(bins, kwargs, text):
    with pytest.raises(ValueError, match=text):
        discretise([[0.0], [1.0]], bins, **kwargs)


@pytest.mark.parametrize("bins", [2.5, "30", True, None, {}, np.float64(3)])
def test_bins_of_no_known_kind(bins):
    with pytest.raises(
        TypeError, match=r"bins: .*; expected an integer, an array of edges or a binning"
    ):
        discretise([[0.0], [1.0]], bins)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Uniform(2.5), TypeError, r"bins: 2\.5 of type float; expected an integer"),
        (lambda: Quantile(1), ValueError, r"bins: 1; expected an integer from 2"),
        (lambda: Quantile("a"), TypeError, r"bins: 'a' of type str"),
        (lambda: Width(0), ValueError, r"width: 0\.0; expected a positive, finite number"),
        (lambda: Width(-1), ValueError, r"width: -1\.0"),
        (lambda: Width(np.nan), ValueError, r"width: nan"),
        (lambda: Width(np.inf), ValueError, r"width: inf"),
        (lambda: Width("wide"), ValueError, r"width: 'wide'; expected a positive number"),
        (lambda: Width([1]), ValueError, r"width: \[1\]; expected a positive number"),
        (lambda: Edges(["a"]), TypeError, r"edges: dtype <U1"),
        (lambda: Edges([1j, 2]), TypeError, r"edges: dtype complex128"),
        (lambda: Edges([[0, 1], [1]]), ValueError, r"edges: .*inhomogeneous"),
    ],
)
def test_bad_binnings(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_integers_refuse_floating_point(dtype):
    with pytest.raises(
        TypeError, match=rf"acts: dtype {dtype}; Integers\(\) expects integers or bool"
    ):
        discretise(np.zeros((2, 1), dtype), Integers())


def test_integers_refuse_bfloat16():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"acts: dtype bfloat16; Integers\(\) expects"):
        discretise(torch.zeros(2, 1, dtype=torch.bfloat16), Integers())


def test_quantile_refuses_batches_and_what_is_not_finite():
    with pytest.raises(ValueError, match=r"acts: 3-D; Quantile\(\) expects \(n, d\)"):
        discretise(np.zeros((2, 3, 1)), Quantile(2))
    with pytest.raises(
        ValueError, match=r"acts: inf at row 1, unit 0; edges from the data need finite values"
    ):
        discretise([[0.0], [np.inf]], Quantile(2))


@pytest.mark.parametrize(
    "bins",
    [
        Uniform(3, (0, 1)),
        Edges([0, 1]),
        Edges([[0, 1], [2, 3.5]]),
        Width(0.1),
        Quantile(3),
        Integers(),
        Uniform(4),
        Levels(3, (-1, 0.1)),
    ],
)
def test_a_binning_survives_plain_data(bins):
    again = ibfast.binning.from_dict(ibfast.binning.to_dict(bins))
    assert again == bins
    assert hash(again) == hash(bins)


def test_plain_data_of_an_unknown_kind():
    with pytest.raises(ValueError, match=r"binning: kind 'hexagons' is unknown"):
        ibfast.binning.from_dict({"kind": "hexagons"})


def test_edges_are_compared_by_value_and_cannot_be_changed():
    given = np.array([0.0, 1.0])
    bins = Edges(given)
    given[0] = 0.5
    assert bins == Edges([0, 1])
    assert bins != Edges([0, 2])
    assert bins != Uniform(1, (0, 1))
    with pytest.raises(ValueError, match="read-only"):
        bins.edges[0] = 3
    assert hash(Edges([0.0, 1.0])) == hash(Edges([-0.0, 1.0]))


def test_what_depends_on_the_data():
    assert Uniform(3).data_dependent
    assert Quantile(3).data_dependent
    for bins in (Uniform(3, (0, 1)), Edges([0, 1]), Width(1), Integers(), Levels(1, (0, 1))):
        assert not bins.data_dependent


def test_discretise_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        discretise(np.array([[1e-320], [F64.max / 2]]), 3)
