"""Every dtype, layout, binning and number of threads against brute force, to the last code.

The partition into cells is checked whole: with the oracle's cells as `inputs`, H(T|X) is 0 and the
cells are as many only where kernel and oracle put the same rows together.
"""

import array

import numpy as np
import pytest

import ibfast
import oracle
from ibfast import JointCounts, _core, layer_information
from ibfast._arrays import view_acts
from ibfast.binning import Edges, Integers, Quantile, Uniform, Width, discretise
from ibfast.binning._cells import compile_binning

FLOATS = ["float16", "float32", "float64"]
INTS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
UNITS = [
    1,
    2,
    3,
    4,
    *(m + e for m in (8, 16, 32, 48, 64, 112, 128, 224, 448) for e in (-1, 0, 1)),
    1000,
]


def sliced(a):
    big = np.zeros((a.shape[0] * 2 + 1, a.shape[1] * 3 + 2), a.dtype)
    big[1::2, 2::3] = a
    return big[1::2, 2::3]


def padded_rows(a):
    big = np.zeros((a.shape[0], a.shape[1] + 3), a.dtype)
    big[:, 2:-1] = a
    return big[:, 2:-1]


def unit_major(a):
    return np.stack([a.T, a.T, a.T])[1].T


def unaligned(a):
    records = np.zeros(a.shape[0], [("pad", "u1"), ("acts", a.dtype, (a.shape[1],))])
    records["acts"] = a
    return records["acts"]


def unaligned_units(a):
    records = np.zeros(a.T.shape, [("pad", "u1"), ("acts", a.dtype)])
    records["acts"] = a.T
    return records["acts"].T


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


class Capsule:
    """Nothing but DLPack."""

    def __init__(self, a):
        self.a = a.copy()

    def __dlpack__(self, **kwargs):
        return self.a.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.a.__dlpack_device__()


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "sliced": sliced,
    "padded-rows": padded_rows,
    "unit-major": unit_major,
    "reversed-rows": lambda a: a[::-1].copy()[::-1],
    "reversed-units": lambda a: a[:, ::-1].copy()[:, ::-1],
    "reversed-F": lambda a: np.asfortranarray(a[::-1, ::-1])[::-1, ::-1],
    "unaligned": unaligned,
    "unaligned-units": unaligned_units,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": read_only,
    "dlpack": Capsule,
    "lists": lambda a: a.tolist(),
}


def acts_of(dtype, n, d, seed=0):
    """Values of any dtype in which rows repeat and units differ."""
    if dtype == "bool":
        return oracle.repeated_rows(n, d, seed) > 0
    x = oracle.repeated_rows(n, d, seed, scale=1.0 if dtype in FLOATS else 20.0)
    return np.abs(x).astype(dtype) if dtype.startswith("uint") else x.astype(dtype)


def binnings_of(x, dtype):
    """Name -> (bins, outside, per_unit) for float64 values x."""
    lo, hi = float(x.min()), float(x.max())
    middle = (lo / 2, hi / 2 + 0.25)
    by_unit = np.sort(np.random.default_rng(1).uniform(lo, hi, (x.shape[1], 6)), axis=1)
    found = {
        "data": (Uniform(30), "raise", False),
        "per-unit": (Uniform(5), "raise", True),
        "range": (Uniform(2, (lo - 1, hi)), "raise", False),
        "clip": (Uniform(127, middle), "clip", False),
        "cell": (Uniform(1000, middle), "cell", False),
        "edges": (Edges(np.linspace(lo, hi, 50)), "raise", False),
        "edges-cell": (Edges([lo / 3, lo / 7, 0.01, hi / 2]), "cell", False),
        "edges-by-unit": (Edges(by_unit), "clip", False),
        "width": (Width(0.3), "raise", False),
        "quantile": (Quantile(4), "raise", False),
    }
    if dtype not in FLOATS:
        found["integers"] = (Integers(), "raise", False)
    if dtype == "bool":  # its one unit may be constant
        del found["clip"], found["cell"]
    return found


def check(view, values, bins, outside, per_unit, threads):
    """Codes, partition, counts per class and entropies of a view against those of its values."""
    kwargs = {"outside": outside, "per_unit": per_unit, "threads": threads}
    codes = oracle.codes(values, bins, outside, per_unit)
    assert np.array_equal(discretise(view, bins, **kwargs), codes)
    cell = oracle.cells(codes)
    label = np.arange(len(cell)) * 7 % 5 % 3
    layer = layer_information(view, label, inputs=cell, bins=bins, exhaustive=True, **kwargs)
    sizes = np.bincount(cell)
    assert (layer.n, layer.n_cells) == (len(cell), len(sizes))
    assert layer.n_singletons == np.count_nonzero(sizes == 1)
    assert layer.h_t_given_x == 0
    h_t, h_y, h_ty = oracle.entropies(oracle.hard_joint(cell, label))
    assert layer.h_t == pytest.approx(h_t, rel=1e-12)
    assert layer.h_y == pytest.approx(h_y, rel=1e-12)
    assert layer.i_ty == pytest.approx(max(0.0, h_t + h_y - h_ty), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", FLOATS + INTS)
def test_every_dtype_and_layout(dtype, layout):
    for d in (3, 37):
        a = acts_of(dtype, 150, d)
        view = LAYOUTS[layout](a)
        kind = a if layout != "lists" else np.asarray(view)
        for name, (bins, outside, per_unit) in binnings_of(a.astype(np.float64), dtype).items():
            values = a if name == "integers" else kind.astype(np.float64)
            check(view, values, bins, outside, per_unit, threads=0)


@pytest.mark.parametrize("layout", ["C", "unit-major", "sliced"])
def test_bfloat16(layout):
    torch = pytest.importorskip("torch")
    for d in (3, 37):
        a = torch.from_numpy(acts_of("float32", 150, d)).to(torch.bfloat16)
        values = a.to(torch.float64).numpy()
        if layout == "unit-major":
            a = torch.stack([a.T, a.T])[1].T
        elif layout == "sliced":
            a = a.repeat_interleave(2, 0).repeat_interleave(3, 1)[::2, ::3]
        for bins, outside, per_unit in binnings_of(values, "float64").values():
            check(a, values, bins, outside, per_unit, threads=0)


@pytest.mark.parametrize("dtype", [*FLOATS, "int8", "int32", "int64", "uint8", "bool"])
def test_torch_tensors(dtype):
    torch = pytest.importorskip("torch")
    a = acts_of(dtype, 150, 9)
    bins = Uniform(6)
    for tensor in (torch.from_numpy(a), torch.from_numpy(a.T.copy()).T):
        check(tensor, a.astype(np.float64), bins, "raise", False, threads=0)
    if dtype.startswith("float"):
        check(torch.from_numpy(a).requires_grad_(), a.astype(np.float64), bins, "raise", False, 0)


def test_the_buffer_protocol():
    a = acts_of("float32", 60, 1)
    check(memoryview(a), a.astype(np.float64), Uniform(4), "raise", False, threads=0)
    flat = array.array("d", range(12))
    grid = memoryview(flat).cast("B").cast("d", [6, 2])
    expected = oracle.codes(np.arange(12).reshape(6, 2), Uniform(5))
    assert np.array_equal(discretise(grid, 5), expected)
    assert ibfast.mutual_info(a[:6], array.array("i", [0, 0, 0, 1, 1, 1]), bins=1) == 0


@pytest.mark.parametrize("d", UNITS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_number_of_units(d, dtype):
    """Around multiples of 16, of the lanes of 28 bits, and of the 128 bits of an exact key."""
    a = acts_of(dtype, 130, d, seed=d)
    for n_bins in (1, 2, 4, 14, 30, 128, 129, 2**14, 2**20 + 1):
        bins = Uniform(n_bins, (-6.0, 6.0))
        cell = oracle.cells(oracle.codes(a, bins))
        for layout in ("C", "F"):
            view = LAYOUTS[layout](a)
            layer = layer_information(view, cell, inputs=cell, bins=bins, exhaustive=True)
            assert (layer.n_cells, layer.h_t_given_x) == (cell.max() + 1, 0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "uint8"])
@pytest.mark.parametrize("layout", ["C", "unit-major", "sliced", "reversed-rows"])
def test_threads_change_no_bit(dtype, layout):
    a = acts_of(dtype, 40_000, 12)
    view = LAYOUTS[layout](a)
    x = a.astype(np.float64)
    label = np.arange(len(a)) % 11
    for name in ("data", "per-unit", "edges", "width", "cell"):
        bins, outside, per_unit = binnings_of(x, dtype)[name]
        codes = oracle.codes(x, bins, outside, per_unit)
        kwargs = {"bins": bins, "outside": outside, "per_unit": per_unit}
        layers = []
        for threads in (1, 2, 3, 8, 0):
            assert np.array_equal(discretise(view, threads=threads, **kwargs), codes)
            layers.append(layer_information(view, label, threads=threads, **kwargs))
        assert layers[1:] == layers[:-1]
        assert layers[0].n_cells == len(np.unique(codes[:2000], axis=0))  # all 60 rows are there


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (1, 300), (513, 1), (512, 2), (511, 20)])
@pytest.mark.parametrize("layout", ["C", "F", "sliced", "reversed-F"])
def test_one_row_one_unit_and_the_ends_of_blocks(shape, layout):
    a = acts_of("float32", *shape)
    check(LAYOUTS[layout](a), a.astype(np.float64), Uniform(9), "raise", False, threads=0)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_broadcast_views(dtype, threads):
    a = acts_of(dtype, 300, 40)
    for view in (np.broadcast_to(a[0], a.shape), np.broadcast_to(a[:, :1], a.shape)):
        check(view, view.astype(np.float64), Uniform(12, (-100, 200)), "raise", False, threads)
    view = np.broadcast_to(a[:1, :1], (300, 40))
    assert ibfast.entropy(view) == 0
    window = np.lib.stride_tricks.sliding_window_view(a[:, 0], 20)  # rows overlap
    check(window, window.astype(np.float64), Uniform(3), "raise", False, threads)


@pytest.mark.parametrize("n_bins", [2, 30])
def test_ten_thousand_units(n_bins):
    a = acts_of("float32", 200, 10_000)
    for layout in ("C", "F", "sliced"):
        view = LAYOUTS[layout](a)
        check(view, a.astype(np.float64), Uniform(n_bins, (-6, 6)), "raise", False, threads=0)


def test_a_thousand_classes_and_one():
    rng = np.random.default_rng(0)
    acts = rng.integers(0, 40, (5000, 2)).astype(np.float32)
    cell = oracle.cells(acts)
    for label in (rng.integers(0, 1000, 5000), np.zeros(5000, int), np.full(5000, 999)):
        h_t, h_y, h_ty = oracle.entropies(oracle.hard_joint(cell, label))
        layer = layer_information(acts, label, bins=Width(1), exhaustive=True)
        assert layer.h_y == pytest.approx(h_y, rel=1e-12)
        assert layer.i_ty == pytest.approx(h_t + h_y - h_ty, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64", "bool", "float32", ">i4"])
def test_labels_of_every_dtype(dtype):
    acts = acts_of("float32", 200, 3)
    label = (np.arange(200) % 2).astype(dtype)
    expected = layer_information(acts, label.astype(np.int64), exhaustive=True)
    strided = np.stack([label, label], axis=1)[::-1][::-1, 1]
    for given in (label, strided, label[::-1].copy()[::-1], label.tolist()):
        assert layer_information(acts, given, exhaustive=True) == expected


def test_classes_are_names():
    """Only which rows share a class matters, be the numbers as large as they are."""
    acts = acts_of("float32", 500, 3)
    label = np.arange(500) % 7
    expected = layer_information(acts, label, exhaustive=True)
    for other in (6 - label, label * 10**6 + 5, label * 2**60, label + (2**63 - 8)):
        assert layer_information(acts, other, exhaustive=True) == expected


def structured_differences(d, n_bins):
    """Rows of codes that differ from 0 by powers of two, in one unit, in pairs, or in all."""
    rows = [np.zeros(d, int)]
    for bit in range((n_bins - 1).bit_length()):
        if 1 << bit >= n_bins:
            break
        one = np.eye(d, dtype=int) * (1 << bit)
        rows += [*one, *(one + np.roll(one, 1, axis=1)), np.full(d, 1 << bit)]
    rows += [np.arange(d) * k % n_bins for k in range(1, 50)]
    rows += [np.full(d, v) for v in range(min(n_bins, 64))]
    return np.unique(rows, axis=0)


@pytest.mark.parametrize("n_bins", [2, 30, 128, 16384])
@pytest.mark.parametrize("d", [65, 130, 300])
@pytest.mark.parametrize("order", ["C", "F"])
def test_no_collision_of_structured_rows(d, n_bins, order):
    codes = structured_differences(d, n_bins).astype(np.float32, order=order)
    bins = Uniform(n_bins, (0, n_bins))
    layer = layer_information(codes, np.zeros(len(codes), int), bins=bins, exhaustive=True)
    assert layer.n_cells == len(codes)


@pytest.mark.parametrize("bits", range(1, 23))
@pytest.mark.parametrize("order", ["C", "F"])
def test_no_bit_of_a_packed_row_is_lost(bits, order):
    one = np.eye(128 // bits, dtype=int)  # as many units as a key holds
    codes = np.unique(np.concatenate([one << b for b in range(bits)] + [one * 0]), axis=0)
    bins = Uniform(2**bits, (0, 2**bits))
    acts = codes.astype(np.float32, order=order)
    layer = layer_information(acts, np.zeros(len(acts), int), bins=bins, exhaustive=True)
    assert layer.n_cells == len(codes)


@pytest.mark.parametrize("d", [3, 40, 150])
def test_no_collision_of_structured_integers(d):
    one = np.eye(d, dtype=np.int64)
    rows = np.concatenate([one * s * (1 << b) for b in range(63) for s in (1, -1)] + [one * 0])
    rows = np.unique(rows, axis=0)
    layer = layer_information(rows, np.zeros(len(rows), int), bins=Integers(), exhaustive=True)
    assert layer.n_cells == len(rows)


@pytest.mark.parametrize("d", [4, 40, 450, 5000, 20_000])
@pytest.mark.parametrize("n_bins", [30, 128, 16384])
def test_keys_do_not_depend_on_the_dtype_or_layout(d, n_bins):
    """Tables of equal codes are equal bytes, so that any two can be merged; of many units too,
    whose hashes are sums that have to be reduced on the way."""
    tables = set()
    for dtype in FLOATS:
        a = acts_of("float16", 70, d).astype(dtype)
        a[0] = 8  # the greatest codes there are
        for layout in ("C", "F", "sliced", "unaligned-units"):
            counts = JointCounts(Uniform(n_bins, (-8, 8)), 2)
            counts.update(LAYOUTS[layout](a), np.arange(70) % 2)
            tables.add(counts.to_bytes())
    assert len(tables) == 1


def core_keys(acts, bins, outside="raise", threads=0):
    view = view_acts(acts)
    compiled = compile_binning(bins, view, outside=outside)
    return _core.keys(view.array, view.bfloat16, compiled, threads)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint64"])
@pytest.mark.parametrize("d", [1, 2, 3, 16, 17, 40, 300])
def test_keys_are_those_of_whole_numbers(d, dtype):
    a = acts_of(dtype, 40, d)
    for outside in ("clip", "cell"):
        for n in (1, 2, 30, 254, 255, 256, 257, 1000, 2**20 + 1):
            bins = Uniform(n, (-3.0, 2.0))
            codes = oracle.codes(a, bins, outside) + (outside == "cell")  # from 0
            expected = oracle.keys(codes, oracle.n_codes(bins, outside))
            assert np.array_equal(core_keys(a, bins, outside), expected)
    wide = [Width(0.3), Width(1e-12), *([Integers()] if "int" in dtype else [])]
    for bins in wide:
        signed = not (dtype == "uint64" and isinstance(bins, Integers))
        expected = oracle.keys(oracle.codes(a, bins), signed=signed)
        assert np.array_equal(core_keys(a, bins), expected)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("d", [3, 255, 257, 600])
@pytest.mark.parametrize("width", [0.25, 0.3, 2.0**-60, 2.0**-59, 2.0**59, 2.0**70, 3e-40])
def test_keys_of_widths_with_small_and_large_codes(width, d, dtype):
    """Rows whose codes are all within 2^21 take a short way; one beyond ends it."""
    rng = np.random.default_rng(d)
    kinds = np.finfo(dtype)
    edge = width * 2.0**21
    with np.errstate(over="ignore"):
        ends = (kinds.tiny, kinds.smallest_subnormal, width, edge, kinds.max)
        special = np.array([0.0, 3 * width, *ends, *np.negative((0.0, *ends))], dtype)
        beside = np.nextafter(special, np.array([[np.inf], [-np.inf]], dtype))
        special = np.concatenate([special, *beside])
    special = special[np.isfinite(special)]
    small = special[np.abs(special.astype(float)) < edge / 2]
    with np.errstate(over="ignore"):
        usual = (rng.normal(size=(40, d)) * min(width, 1e4) * 9).astype(dtype)
    a = np.where(rng.random((40, d)) < 0.3, rng.choice(small, (40, d)), usual)
    a[20, d // 2] = a[39, 0] = special[0]
    for all_small in (True, False):
        if not all_small:
            a[25:30] = rng.choice(special, (5, d))
        codes = oracle.codes(a, Width(width), "cell")
        for layout in ("C", "F", "sliced"):
            found = core_keys(LAYOUTS[layout](a), Width(width), "cell")
            assert np.array_equal(found, oracle.keys(codes))
    a[17, -1] = np.nan
    with pytest.raises(ValueError, match=f"NaN at row 17, unit {d - 1}"):
        core_keys(a, Width(width), "cell")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("threads", [1, 2, 8])
def test_keys_do_not_depend_on_layout_or_threads(layout, threads):
    for d in (3, 37):
        a = np.repeat(acts_of("float32", 150, d), 40, axis=0)
        if layout == "lists":
            a = a.astype(np.float64)
        for bins in (Uniform(30, (-9, 9)), Uniform(300, (-9, 9)), Width(0.1)):
            assert np.array_equal(
                core_keys(LAYOUTS[layout](a), bins, threads=threads), core_keys(a, bins)
            )


def test_keys_refuse_what_updates_refuse():
    a = np.zeros((5000, 3), np.float32)
    a[4000, 1] = np.nan
    with pytest.raises(ValueError, match=r"acts: NaN at row 4000, unit 1"):
        core_keys(a, Uniform(3, (0, 1)))
    a[4000, 1] = 7
    with pytest.raises(ValueError, match=r"acts: 1 of 15000 values lie outside \[0, 1\]"):
        core_keys(a, Uniform(3, (0, 1)))


@pytest.mark.parametrize("labels", ["shared", "each"])
def test_a_batch_is_a_loop_over_its_repeats(labels):
    rng = np.random.default_rng(2)
    base = rng.normal(size=(6, 5, 400)).round(1).astype(np.float32)
    soft = rng.dirichlet([1, 1, 1], (6, 400))
    hard = rng.integers(0, 3, (6, 400))
    weights = rng.random((6, 400))
    inputs = rng.integers(0, 50, (6, 400))
    shared = labels == "shared"
    row_major = base.transpose(0, 2, 1).copy()
    for batch in (base.transpose(0, 2, 1), row_major, row_major[::-1]):
        for label, w in ((hard, None), (soft, None), (hard, weights), (soft, weights)):
            for kwargs in ({"bins": 5}, {"bins": 4, "per_unit": True}, {"bins": Width(0.5)}):
                given = {"labels": label, "inputs": inputs, "weights": w}
                given = {name: a for name, a in given.items() if a is not None}
                first = {name: a[0] for name, a in given.items()}
                whole = layer_information(
                    batch, **(first if shared else given), exhaustive=True, **kwargs
                )
                for r, acts in enumerate(batch):
                    own = first if shared else {name: a[r] for name, a in given.items()}
                    one = layer_information(acts, **own, exhaustive=True, **kwargs)
                    for field, value in vars(one).items():
                        assert field == "units" or getattr(whole, field)[r] == value


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_batches_of_any_size_and_threads(threads):
    rng = np.random.default_rng(4)
    for shape in ((1, 10, 1), (2, 1, 3), (50, 4096, 3), (3, 40_000, 8)):
        acts = rng.integers(0, 3, shape).astype(np.int8)
        label = rng.integers(0, 4, shape[1])
        got = layer_information(acts, label, bins=Integers(), exhaustive=True, threads=threads)
        assert got.i_ty.shape == got.n_cells.shape == got.saturated.shape == shape[:1]
        one = layer_information(acts[-1], label, bins=Integers(), exhaustive=True)
        assert (got.h_t[-1], got.i_ty[-1], got.n_cells[-1]) == (one.h_t, one.i_ty, one.n_cells)


def test_flush_to_zero_is_not_inherited():
    """Other libraries switch it on for speed; denormals keep their bins all the same."""
    torch = pytest.importorskip("torch")
    tiny32 = np.float32(1e-45)
    x32 = np.array([[-3], [-1], [0], [1], [2], [5]], np.float32) * tiny32
    x64 = np.array([[-3], [-1], [0], [1], [2], [5]]) * 5e-324
    cases = [
        (x32, Edges([-1e-45, 1e-45, 3e-45]), "cell"),
        (x64, Edges([-5e-324, 5e-324, 1.5e-323]), "cell"),
        (x32, Uniform(2), "raise"),
        (x64, Uniform(2), "raise"),
        (x32, Width(2e-45), "raise"),
        (x64, Width(1e-323), "raise"),
        (x32.astype(np.float16) + np.float16(6e-8), Edges([0, 6e-8, 1.2e-7]), "cell"),
    ]
    expected = [oracle.codes(x, bins, outside) for x, bins, outside in cases]
    if not torch.set_flush_denormal(True):
        pytest.skip("the machine has no flush-to-zero mode")
    try:
        got = [discretise(x, bins, outside=outside) for x, bins, outside in cases]
    finally:
        torch.set_flush_denormal(False)
    for codes, right in zip(got, expected, strict=True):
        assert np.array_equal(codes, right)


def test_what_the_core_says_of_itself():
    info = _core.info()
    assert info["version"] == ibfast.__version__
    assert info["simd"] in ("v2", "v3", "v4", "plain")
    assert info["threads"] >= 1
