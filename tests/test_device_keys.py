"""Codes and keys from torch's own operations against the kernel's and whole numbers, bit for bit.

The tensors are in main memory, for want of other devices; the operations are those of any.
"""

import numpy as np
import pytest

import oracle
from ibfast import JointCounts, _core
from ibfast._arrays import view_acts
from ibfast.binning import Edges, Integers, Levels, Quantile, Uniform, Width, discretise
from ibfast.binning._cells import compile_binning

torch = pytest.importorskip("torch")
hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies
from ibfast import _device_hash, _device_keys  # noqa: E402
from ibfast._device_keys import DeviceKeyer  # noqa: E402

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INTS = [torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool]
WIDE = [torch.uint16, torch.uint32, torch.uint64]
ANY = st.integers(0, 2**32 - 1)


def name(value):
    return str(value).removeprefix("torch.")


def values_of(dtype, edges, outside):
    """A tensor (n,): on, beside and between the edges, what is special, outside where allowed."""
    edges = np.asarray(edges, dtype=np.float64).ravel()
    low, high = edges.min(), edges.max()
    finite = edges[np.isfinite(edges)]
    between = np.random.default_rng(0).choice(np.append(finite, [0.0, 1.0]), (2, 200)).mean(axis=0)
    given = np.concatenate([edges, between])
    if dtype.is_floating_point:
        info = torch.finfo(dtype)
        with np.errstate(over="ignore"):
            x = torch.from_numpy(given).to(dtype)
        inf = torch.tensor(np.inf, dtype=dtype)
        x = torch.cat([x, step(x, 1), step(x, -1)])
        tiny = step(torch.zeros(1, dtype=dtype), 1)
        special = torch.tensor([0.0, -0.0, info.max, info.min, info.tiny], dtype=dtype)
        x = torch.cat([x, special, tiny, -tiny, inf[None], -inf[None]])
    elif dtype == torch.bool:
        x = torch.tensor([True, False])
    else:
        info = torch.iinfo(dtype)
        near = np.rint(finite.clip(-(2.0**62), 2.0**62)).astype(object)
        near = [int(v) + e for v in near for e in (-1, 0, 1)] + [
            0,
            1,
            2,
            3,
            2**53 + 1,
            -(2**62) - 1,
        ]
        near = np.clip(
            np.array([*near, info.min, info.max, info.max - 1], object), info.min, info.max
        )
        x = torch.from_numpy(near.astype(name(dtype)))
    if outside == "raise":
        exact = numbers(x)
        x = x[torch.from_numpy((exact >= low) & (exact <= high))]
    return x


def step(x, way):
    """The neighbours of floating-point values, by their bits."""
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[x.itemsize]
    whole = x.view(bits)
    low = torch.iinfo(bits).min
    ordered = torch.where(whole < 0, low - whole, whole) + way
    moved = torch.where(ordered < 0, low - ordered, ordered).view(x.dtype)
    return torch.where(x.isfinite(), moved, x)


def numbers(x):
    """The values as float64, by NumPy."""
    return (x.to(torch.float32) if x.dtype == torch.bfloat16 else x).numpy().astype(np.float64)


def kernel(of, x, bins, outside):
    view = view_acts(x)
    compiled = compile_binning(bins, view, outside=outside)
    return of(view.array, view.bfloat16, compiled, 0)


def rows_of(x, d):
    """Rows in which each unit takes all of the values, in orders of their own."""
    n = min(max(len(x), 4), 4 + 40_000 // d)
    at = np.random.default_rng(d).integers(0, len(x), (n, d))
    at[: len(x), 0] = np.arange(min(n, len(x)))
    return x[torch.from_numpy(at)]


def check_refused(keyer, x, text):
    """By the same error as the kernel's."""
    with pytest.raises(ValueError, match=text) as expected:
        kernel(_core.keys, x, keyer._binning, keyer._outside)
    for method in (keyer.keys, keyer.codes):
        with pytest.raises(ValueError, match=text) as mine:
            method(x)
        assert str(mine.value) == str(expected.value)


def check(x, bins, outside):
    keyer = DeviceKeyer(bins, outside)
    codes, keys = keyer.codes(x), keyer.keys(x)
    assert codes.dtype == keys.dtype == torch.int64
    assert np.array_equal(codes.numpy(), discretise(x, bins, outside=outside))
    assert np.array_equal(keys.numpy().view(np.uint64), kernel(_core.keys, x, bins, outside))
    return codes.numpy(), keys.numpy().view(np.uint64)


@pytest.fixture
def on_device(monkeypatch):
    """The kernel is left for thresholds alone: nothing is sent to the host."""

    def refused(*args, **kwargs):
        raise AssertionError("sent to the host")

    monkeypatch.setattr(_device_keys, "view_acts", refused)


BINS = {
    "one": Uniform(1, (-1, 1)),
    "two": Uniform(2, (-1, 1)),
    "thirty": Uniform(30, (-0.7, 2)),
    "254": Uniform(254, (0, 255)),
    "256": Uniform(256, (0, 256)),
    "257": Uniform(257, (-3, 4)),
    "thousand": Uniform(1000, (-1e3, 1e3)),
    "vast": Uniform(7, (-1e300, 1e300)),
    "tiny": Uniform(5, (-1e-40, 3e-44)),
    "far": Uniform(30, (2.0**53, 2.0**53 + 64)),
    "edge": Edges([0.5]),
    "edges": Edges([-1, -0.3, 0.0, 0.1, 1, 7]),
    "equal": Edges([0.0, 0.0, 1, 1, 2, 2]),
    "same": Edges([1.0, 1.0]),
    "infinite": Edges([-np.inf, -1, 0.3, np.inf]),
    "extreme": Edges([-1e300, -(2.0**63), -1e-310, 5e-324, 1e-45, 2.0**53 + 2, 2.0**63, 1e300]),
    "many": Edges(np.linspace(-4, 4, 999)),
}


@pytest.mark.usefixtures("on_device")
@pytest.mark.parametrize("outside", ["raise", "clip", "cell"])
@pytest.mark.parametrize("dtype", FLOATS + INTS + WIDE, ids=name)
@pytest.mark.parametrize("bins", BINS.values(), ids=BINS)
def test_bins_between_edges(bins, dtype, outside):
    edges = bins.edges if isinstance(bins, Edges) else np.linspace(*bins.range, bins.n + 1)
    values = values_of(dtype, edges, outside)
    if len(values) == 0:
        return  # of a dtype that has no such value
    for d in (1, 2, 3, 16, 17, 40, 300):
        codes, keys = check(rows_of(values, d), bins, outside)
        if d in (1, 17, 40):
            expected = oracle.codes(numbers(rows_of(values, d)), bins, outside)
            assert np.array_equal(codes, expected)
            base = outside == "cell" and isinstance(bins, Uniform)
            some = expected[:50] + base
            assert np.array_equal(keys[:50], oracle.keys(some, oracle.n_codes(bins, outside)))


@pytest.mark.usefixtures("on_device")
@pytest.mark.parametrize("outside", ["raise", "clip", "cell"])
@pytest.mark.parametrize("dtype", FLOATS + INTS, ids=name)
@pytest.mark.parametrize("d", [1, 2, 17, 40])
def test_edges_of_each_unit(dtype, d, outside):
    rng = np.random.default_rng(d)
    edges = np.sort(rng.normal(0, 50, (d, 9)).round(1), axis=1)
    edges[0] = [-np.inf, 0, 0, 1, 1, 2, 3, 4, np.inf]
    edges[-1, :4] = edges[-1, 0]
    values = values_of(dtype, edges, "clip")
    x = rows_of(values, d)
    if outside == "raise":
        inside = [x[:, u][(numbers(x[:, u]) >= edges[u, 0]) & (numbers(x[:, u]) <= edges[u, -1])]
                  for u in range(d)]  # fmt: skip
        if not all(map(len, inside)):
            return  # of a dtype that has no such value
        x = torch.stack([v.repeat(100 // len(v) + 1)[:100] for v in inside], dim=1)
    codes, _ = check(x, Edges(edges), outside)
    assert np.array_equal(codes, oracle.codes(numbers(x), Edges(edges), outside))


@pytest.mark.usefixtures("on_device")
@pytest.mark.parametrize("outside", ["clip", "cell"])
@pytest.mark.parametrize("dtype", FLOATS + INTS + WIDE[:2], ids=name)
@pytest.mark.parametrize(
    "width", [0.25, 2.0**-60, 2.0**65, 2.0**-1074, 2.0**899, 2.0**1000, 0.3, 7.5, 1e-9, 1e300]
)
def test_width(width, dtype, outside):
    values = values_of(dtype, np.arange(-9, 10) * width, outside)
    for d in (1, 2, 3, 16, 17, 40, 300):
        x = rows_of(values, d)
        codes, keys = check(x, Width(width), outside)
        assert np.array_equal(codes, oracle.codes(numbers(x), Width(width)))
        assert np.array_equal(keys[:20], oracle.keys(codes[:20]))
        fits = ((codes > -(2**63)) & (codes < 2**63 - 1)).all(axis=1)
        if fits.any():
            check(x[torch.from_numpy(fits)], Width(width), "raise")


@pytest.mark.usefixtures("on_device")
@pytest.mark.parametrize("dtype", INTS + WIDE, ids=name)
def test_integers(dtype):
    values = values_of(dtype, [0.0, 100.0], "clip")
    for d in (1, 2, 3, 16, 17, 40, 300):
        x = rows_of(values, d)
        codes, keys = check(x, Integers(), "raise")
        assert np.array_equal(codes, x.numpy().astype(np.int64))
        assert np.array_equal(keys[:20], oracle.keys(codes[:20], signed=dtype.is_signed))


@pytest.mark.parametrize("outside", ["raise", "clip", "cell"])
@pytest.mark.parametrize("dtype", FLOATS + INTS + WIDE, ids=name)
@pytest.mark.parametrize("levels", [Levels(1, (0, 1)), Levels(4, (-1, 1)), Levels(8, (0, 255))])
def test_levels(levels, dtype, outside):
    x = torch.from_numpy(np.linspace(*levels.range, 2**levels.bits))
    if not dtype.is_floating_point:
        last = 1 if dtype == torch.bool else torch.iinfo(dtype).max
        x = x[(x == x.round()) & (x >= 0) & (x <= last)]
    for d in (1, 3, 17, 300):
        rows = rows_of(x, d).to(dtype)
        if dtype == torch.bfloat16 and levels.bits == 4:  # too few digits
            with pytest.raises(ValueError, match=r"acts: .* expected one of the 16 levels"):
                DeviceKeyer(levels).keys(rows)
        else:
            check(rows, levels, outside)


@pytest.mark.parametrize("way", [-1, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=name)
def test_the_last_value_that_is_a_level(dtype, way):
    """A hundredth of a step away, to the last bit: refused by both or by neither."""
    levels = Levels(3, (-0.4, 1.1))
    low, size = levels.range[0], levels._step
    keyer = DeviceKeyer(levels)
    refused = 0
    for k in range(8):
        x = torch.tensor([low + k * size + way * 0.01 * size], dtype=torch.float64).to(dtype)
        for near in (step(step(x, -1), -1), step(x, -1), x, step(x, 1), step(step(x, 1), 1)):
            off = abs(float(near.double()) - (low + k * size)) > 0.01 * size
            refused += off
            if off:
                check_refused(keyer, near[:, None], r"acts: .* expected one of the 8 levels")
            else:
                check(near[:, None], levels, "raise")
    assert 0 < refused < 40


@hypothesis.given(
    bits=st.lists(ANY, min_size=1, max_size=20),
    n=st.integers(1, 300),
    span=st.tuples(st.floats(-1e30, 1e30), st.floats(1e-30, 1e30)),
    outside=st.sampled_from(["clip", "cell"]),
)
@hypothesis.settings(max_examples=200, deadline=None)
def test_any_bits_of_a_float_in_any_range(bits, n, span, outside):
    low, size = span
    hypothesis.assume(np.all(np.diff(np.linspace(low, low + size, n + 1)) > 0))
    x = torch.from_numpy(np.array(bits, np.uint32).view(np.float32))[:, None]
    x = x.nan_to_num(low, np.inf, -np.inf)
    check(x, Uniform(n, (low, low + size)), outside)
    check(x.expand(-1, 40), Edges(np.sort([low, *x[:, 0].tolist()])), outside)
    check(x, Width(size), outside)
    check(x, Width(2.0 ** np.frexp(size)[1]), outside)


@hypothesis.given(
    edges=st.lists(st.floats(allow_nan=False), min_size=1, max_size=12).map(sorted),
    whole=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=12),
    outside=st.sampled_from(["clip", "cell"]),
    dtype=st.sampled_from([torch.int64, torch.uint64, torch.float64]),
)
@hypothesis.settings(max_examples=200, deadline=None)
def test_any_64_bits_between_any_edges(edges, whole, outside, dtype):
    near = [int(e) + i for e in edges if abs(e) < 2.0**62 for i in (-1, 0, 1)]
    x = torch.tensor(whole + near).view(dtype)[:, None]
    x = x.nan_to_num(0.0, np.inf, -np.inf) if dtype == torch.float64 else x
    check(x, Edges(edges), outside)


@pytest.mark.parametrize("d", [128, 129, 450, 5000])
@pytest.mark.parametrize("n_bins", [1, 2, 14, 128, 129, 16384, 2**16 + 1])
def test_many_units(d, n_bins):
    """About as many as fit a key, and sums that must be reduced; the greatest codes there are."""
    x = torch.from_numpy(oracle.repeated_rows(40, d, seed=d, scale=3.0))
    x[0] = 8
    x = x.clamp(-8, 8)
    check(x, Uniform(n_bins, (-8, 8)), "raise")
    check(x * 2.0**58, Width(0.7), "raise")


@pytest.mark.parametrize("bits", range(1, 25))
def test_no_bit_of_a_packed_row_is_lost(bits):
    for d in {1, 5, 128 // bits} & set(range(128 // bits + 1)):
        codes = np.full((2, d), 2**bits - 1)
        codes[1] = np.arange(d) * 7 % 2**bits
        step = 8 if bits <= 8 and d <= 16 else bits
        keys = _device_hash._packed(torch.from_numpy(codes), step)
        assert np.array_equal(keys.numpy().view(np.uint64), oracle.keys(codes, 2**bits))


@pytest.mark.parametrize("bins", [Uniform(30, (-9, 9)), Width(0.5), Edges([[-9.0, 0, 9]] * 70)])
def test_chunks_change_no_bit(bins, monkeypatch):
    x = torch.from_numpy(oracle.repeated_rows(1000, 70, seed=0))
    expected = check(x, bins, "raise")
    for chunk in (1, 1000, 70_000):
        monkeypatch.setattr(_device_keys, "_CHUNK", chunk)
        assert all(map(np.array_equal, check(x, bins, "raise"), expected))


@pytest.mark.parametrize("bins", [Uniform(30, (-9, 9)), Width(0.3), Edges([[-9.0, 0, 9]] * 6)])
@pytest.mark.parametrize("dtype", FLOATS, ids=name)
def test_any_strides_and_gradients(bins, dtype):
    whole = torch.from_numpy(oracle.repeated_rows(60, 18, seed=0)).to(dtype)
    for x in (whole[::2, ::3], whole[:, :6], whole[:6].T, whole[:1, :6].expand(9, 6)):
        check(x, bins, "raise")
        check(x.clone().requires_grad_(), bins, "raise")
        with torch.inference_mode():
            check(x, bins, "raise")


def test_flush_to_zero_changes_no_bit():
    x = torch.tensor([-3, -1, 0, 1, 2, 5], dtype=torch.float32)[:, None]
    tiny = (x.to(torch.int32).abs() | (x < 0).to(torch.int32) << 31).view(torch.float32)
    cases = [
        (tiny, Edges([-1e-45, 1e-45, 3e-45]), "cell"),
        (tiny, Edges([-5e-45, 1e-45, 8e-45]), "raise"),
        (tiny, Uniform(3, (-1e-44, 1e-44)), "raise"),
        (tiny, Width(2.0**-148), "raise"),
        (tiny.to(torch.float64), Edges([-1e-45, 1e-45, 3e-45]), "cell"),
    ]
    expected = [(oracle.codes(numbers(x), b, o), kernel(_core.keys, x, b, o)) for x, b, o in cases]
    if not torch.set_flush_denormal(True):
        pytest.skip("the machine has no flush-to-zero mode")
    try:
        keyers = [(DeviceKeyer(b, o), x) for x, b, o in cases]
        got = [(keyer.codes(x).numpy(), keyer.keys(x).numpy()) for keyer, x in keyers]
    finally:
        torch.set_flush_denormal(False)
    for (codes, keys), (right_codes, right_keys) in zip(got, expected, strict=True):
        assert np.array_equal(codes, right_codes)
        assert np.array_equal(keys.view(np.uint64), right_keys)


@pytest.mark.parametrize("kind", ["hard", "soft", "weighted"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int16, torch.uint8, torch.bool], ids=name)
@pytest.mark.parametrize("d", [2, 60])
def test_tables_of_keys_are_tables_of_activations(dtype, d, kind):
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.integers(0, 5, (500, d))).to(dtype)
    labels = rng.dirichlet([1, 1, 1], 500) if kind == "soft" else rng.integers(0, 3, 500)
    weights = rng.random(500) if kind == "weighted" else None
    for bins in (Uniform(3, (0, 4)), Width(1.5), Edges([0.0, 2])):
        expected, counts = (JointCounts(bins, 3, outside="cell") for _ in range(2))
        keyer = DeviceKeyer(bins, "cell")
        for rows in (slice(0, 100), slice(100, 500)):
            part = labels[rows], None if weights is None else weights[rows]
            expected.update(x[rows], *part)
            letter = x.numpy().dtype.kind
            counts._update_keys(keyer.keys(x[rows]), *part, units=d, kind=letter)
        assert counts.to_bytes() == expected.to_bytes()


@pytest.mark.parametrize(
    ("bins", "outside", "wrong"),
    [
        (Uniform(3, (-1, 1)), "raise", np.nan),
        (Uniform(3, (-1, 1)), "clip", -np.nan),
        (Uniform(3, (-1, 1)), "cell", np.nan),
        (Uniform(3, (-1, 1)), "raise", 1.5),
        (Uniform(3, (-1, 1)), "raise", -np.inf),
        (Edges([-1, 0, 1]), "raise", 1.0000001),
        (Edges([-1, 0, 1]), "clip", np.nan),
        (Edges([-1, -0.0]), "raise", 6e-8),
        (Edges([0.0, np.inf]), "raise", -6e-8),
        (Uniform(3, (-1, -0.0)), "raise", 6e-8),
        (Edges([[-1, 0, 1]] * 3), "raise", -2),
        (Edges([[-1, 0, 1]] * 3), "cell", np.nan),
        (Width(0.3), "raise", np.inf),
        (Width(0.3), "raise", np.nan),
        (Width(0.3), "cell", np.nan),
        (Width(0.5), "raise", np.inf),
        (Width(0.5), "raise", -np.nan),
        (Width(0.5), "clip", np.nan),
        (Width(2.0**-50), "raise", 8192.0),
        (Levels(2, (0, 3)), "raise", 0.1),
        (Levels(2, (0, 3)), "clip", np.nan),
        (Levels(2, (0, 3)), "cell", 4.0),
        (Levels(2, (0, 3)), "cell", np.inf),
    ],
)
@pytest.mark.parametrize("dtype", FLOATS, ids=name)
def test_wrong_values_are_named_as_the_kernel_names_them(bins, outside, wrong, dtype):
    x = torch.zeros((5000, 3), dtype=dtype)
    x[4000:, 1] = wrong
    if wrong == 1.0000001 and dtype.itemsize == 2:
        return  # rounded to the edge
    text = r"acts: .* (lie outside|too large|expected one of)"
    nan = r"acts: NaN at row 4000, unit 1: every activation must be a number"
    check_refused(DeviceKeyer(bins, outside), x, nan if np.isnan(wrong) else text)


@pytest.mark.parametrize(
    ("bins", "acts", "error", "text"),
    [
        (Width(1), np.zeros((2, 2)), TypeError, r"acts: ndarray; expected a tensor"),
        (Width(1), torch.zeros(3), ValueError, r"acts: shape \(3,\); expected \(n, d\), at least"),
        (Width(1), torch.tensor(1.0), ValueError, r"acts: shape \(\); expected \(n, d\)"),
        (Width(1), torch.zeros(2, 3, 4), ValueError, r"acts: shape \(2, 3, 4\); expected \(n, d\)"),
        (Width(1), torch.zeros(0, 4), ValueError, r"acts: shape \(0, 4\); expected .*one row and"),
        (Width(1), torch.zeros(4, 0), ValueError, r"acts: shape \(4, 0\); expected .*one row and"),
        (Width(1), torch.zeros(2, 2, device="meta"), ValueError, r"acts: a tensor on meta, .*de"),
        (Width(1), torch.eye(2).to_sparse(), ValueError, r"acts: .*torch.sparse_coo; expected one"),
        (Width(1), torch.zeros(2, 2) * 1j, TypeError, r"acts: dtype complex64; expected floating"),
        (Integers(), torch.zeros(2, 2), TypeError, r"acts: dtype float32; Integers\(\) expects"),
        (Integers(), torch.zeros(2, 2).bfloat16(), TypeError, r"acts: dtype bfloat16; Integers"),
        (Edges(np.zeros((3, 3))), torch.zeros(2, 2), ValueError, r"edges: shape \(3, 3\); expec"),
    ],
    ids=lambda value: None,
)  # fmt: skip
def test_what_is_no_matrix_of_numbers(bins, acts, error, text):
    keyer = DeviceKeyer(bins)
    for method in (keyer.keys, keyer.codes):
        with pytest.raises(error, match=text):
            method(acts)


@pytest.mark.parametrize(
    ("args", "error", "text"),
    [
        ((30,), ValueError, r"binning: Uniform\(n=30, range=None\) depends on the data; expected"),
        ((Quantile(3),), ValueError, r"binning: Quantile\(n=3\) depends on the data"),
        ((Width(1), "ignore"), ValueError, r"outside: 'ignore'; expected"),
        (("x",), TypeError, r"bins: 'x'; expected an integer"),
    ],
)
def test_bad_configuration(args, error, text):
    with pytest.raises(error, match=text):
        DeviceKeyer(*args)


@pytest.mark.parametrize(
    ("bins", "dtype", "device", "method"),
    [
        (Uniform(3, (0, 1)), torch.float16, "mps", "thresholds"),
        (Edges([0, 1]), torch.int64, "cuda", "thresholds"),
        (Integers(), torch.uint64, "mps", "integers"),
        (Integers(), torch.float32, "cuda", "host"),
        (Width(0.5), torch.bfloat16, "mps", "shift"),
        (Width(0.5), torch.float32, "cuda", "shift"),
        (Width(0.5), torch.float64, "cuda", "float64"),
        (Width(0.3), torch.float32, "cuda", "float64"),
        (Width(2.0**1000), torch.float32, "cuda", "float64"),
        (Width(0.3), torch.float32, "mps", "host"),
        (Width(0.5), torch.int8, "mps", "host"),
        (Width(0.5), torch.uint64, "cuda", "host"),
        (Levels(2, (0, 1)), torch.float32, "cuda", "thresholds"),
        (Levels(2, (0, 1)), torch.float32, "mps", "host"),
        (Levels(2, (0, 1)), torch.uint64, "cuda", "host"),
        (Width(0.5), torch.complex64, "cuda", "host"),
    ],
)
def test_where_codes_are_found(bins, dtype, device, method):
    assert _device_keys._method(bins, dtype, device) == method


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int32, torch.uint64], ids=name)
def test_what_is_sent_to_the_host_comes_back_the_same(dtype, monkeypatch):
    x = torch.arange(60).reshape(20, 3).to(dtype)
    expected = [check(x, bins, "raise") for bins in (Width(0.3), Width(0.5), Edges([0, 7, 60]))]
    monkeypatch.setattr(_device_keys, "_method", lambda *_: "host")
    again = [check(x, bins, "raise") for bins in (Width(0.3), Width(0.5), Edges([0, 7, 60]))]
    for mine, right in zip(again, expected, strict=True):
        assert all(map(np.array_equal, mine, right))
