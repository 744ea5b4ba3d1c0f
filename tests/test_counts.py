"""JointCounts: streamed, merged, copied, refused; the same bits whatever the way."""

import copy
import pickle
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import oracle
from ibfast import JointCounts, _core, information, layer_information
from ibfast._arrays import view_acts
from ibfast.binning import Edges, Integers, Quantile, Uniform, Width
from ibfast.binning._cells import compile_binning

KINDS = ["hard", "soft", "weighted", "soft-weighted"]


def batch(kind, n=600, d=3, seed=0):
    """Activations, labels and weights of one of the kinds."""
    rng = np.random.default_rng(seed)
    acts = rng.integers(0, 4, (n, d)).astype(np.float32)
    soft = rng.dirichlet([0.5, 0.5, 0.5], n)
    weights = np.where(rng.random(n) < 0.1, 0, rng.lognormal(0, 2, n))
    labels = soft if "soft" in kind else soft.argmax(axis=1)
    return acts, labels, weights if "weighted" in kind else None


def table(*batches, bins=None, **kwargs):
    counts = JointCounts(Width(1.0) if bins is None else bins, 3, **kwargs)
    for acts, labels, weights in batches:
        counts.update(acts, labels, weights)
    return counts


def part(whole, rows):
    return tuple(None if a is None else a[rows] for a in whole)


@pytest.mark.parametrize("d", [1, 3, 50])
def test_counts_are_those_of_numpy(d):
    acts, labels, _ = batch("hard", d=d, n=300)
    acts[::2] = acts[:1]
    counts = table((acts, labels, None))
    joint = oracle.hard_joint(oracle.cells(acts), labels)
    cell, label, total = counts.joint_counts()
    assert (counts.n, counts.n_cells) == (300, len({c for c, _ in joint}))
    assert total.dtype == cell.dtype == label.dtype == np.int64
    assert sorted(total.tolist()) == sorted(joint.values())
    assert list(zip(cell, label, strict=True)) == sorted(zip(cell, label, strict=True))
    assert np.array_equal(counts.cell_counts(), np.bincount(cell, total).astype(int))
    spectra = sorted(oracle.margin(joint, 0).values())
    assert sorted(counts.cell_counts().tolist()) == spectra
    by_cell = Counter(
        tuple(zip(label[cell == c], total[cell == c], strict=True)) for c in set(cell)
    )
    expected = defaultdict(list)
    for (c, y), value in sorted(joint.items()):
        expected[c].append((y, value))
    assert by_cell == Counter(map(tuple, expected.values()))


@pytest.mark.parametrize("kind", KINDS[1:])
def test_weights_are_those_of_exact_sums(kind):
    acts, labels, weights = batch(kind)
    soft = labels if "soft" in kind else np.eye(3)[labels]
    counts = table((acts, labels, weights))
    joint = oracle.soft_joint(oracle.cells(acts), soft, weights)
    total = counts.joint_counts().total
    assert total.dtype == np.float64
    assert np.sort(total) == pytest.approx(sorted(map(float, joint.values())), rel=1e-12)
    cells = sorted(map(float, oracle.margin(joint, 0).values()))
    assert np.sort(counts.cell_counts()) == pytest.approx(cells, rel=1e-12)
    h_t, h_y, h_ty = oracle.entropies(joint)
    layer = information(counts)
    assert (layer.h_t, layer.h_y) == pytest.approx((h_t, h_y), rel=1e-12)
    assert layer.i_ty == pytest.approx(h_t + h_y - h_ty, rel=1e-12, abs=1e-12)
    assert counts.n == (len(acts) if weights is None else np.count_nonzero(weights))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [2, 60])
def test_any_split_order_and_merge_gives_the_same_bytes(kind, d):
    whole = batch(kind, d=d)
    expected = table(whole).to_bytes()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        order = rng.permutation(600)
        cuts = np.sort(rng.choice(np.arange(1, 600), 4, replace=False))
        parts = [part(whole, rows) for rows in np.split(order, cuts)]
        if kind.endswith("weighted"):  # a batch of weight 0 is refused
            parts = [p for p in parts if p[2].any()]
        assert table(*parts).to_bytes() == expected
        tables = [table(p, threads=seed) for p in parts]
        while len(tables) > 1:
            mine = tables.pop(rng.integers(len(tables)))
            tables[rng.integers(len(tables))].merge(mine)
        assert tables[0].to_bytes() == expected
        expected_layer = information(table(whole), exhaustive=True)
        assert information(tables[0], exhaustive=True) == expected_layer


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_batch_is_the_sum_of_small_ones(kind):
    acts, labels, weights = batch(kind, n=70_000)
    whole = table((acts, labels, weights), threads=8)
    small = table(
        *(part((acts, labels, weights), slice(i, i + 7000)) for i in range(0, 70_000, 7000))
    )
    assert whole.to_bytes() == small.to_bytes()


@pytest.mark.parametrize("weighted", [False, True])
def test_a_batch_of_millions_of_rows(weighted):
    n = 2**22 + 10  # more than the table takes at once
    acts, labels = np.arange(n, dtype=np.uint8)[:, None] % 5, np.arange(n, dtype=np.uint8) % 3
    times = np.where(np.arange(n) < 2**22, 1, 7)
    counts = JointCounts(Integers(), 3)
    counts.update(acts, labels, times if weighted else None)
    pair = labels * np.int64(5) + acts[:, 0]
    expected = np.bincount(pair, times if weighted else None)
    cell, label, total = counts.joint_counts()
    assert (counts.n, counts.n_cells) == (n, 5)
    assert sorted(zip(label, total, strict=True)) == sorted(
        zip(np.arange(15) // 5, expected, strict=True)
    )
    assert np.array_equal(np.unique(cell, return_counts=True)[1], [3] * 5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "bins", [Width(1.0), Uniform(5, (0, 3)), Edges([0, 1.5, 3]), Edges([[0, 1, 3.0]] * 3)]
)
def test_round_trips(kind, bins):
    counts = table(batch(kind), bins=bins, outside="clip", threads=2)
    data = counts.to_bytes()
    for again in (
        JointCounts.from_bytes(data),
        JointCounts.from_bytes(memoryview(data)),
        JointCounts.from_bytes(bytearray(data)),
        pickle.loads(pickle.dumps(counts)),
        copy.deepcopy(counts),
    ):
        assert again.to_bytes() == data
        assert repr(again) == repr(counts)
        assert again.weighted == counts.weighted
        assert again.n_classes == 3
        assert information(again) == information(counts)
        again.update(*batch(kind, seed=1))
        again.merge(counts)
        assert again.n == 2 * counts.n + table(batch(kind, seed=1), bins=bins).n
    assert counts.to_bytes() == data


def keys_of(acts, bins):
    view = view_acts(acts)
    return _core.keys(view.array, view.bfloat16, compile_binning(bins, view), 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [1, 2, 60])
@pytest.mark.parametrize("bins", [Width(1.0), Uniform(5, (0, 3))])
def test_rows_whose_keys_are_known(kind, d, bins):
    whole = batch(kind, d=d)
    counts, mixed = table(bins=bins), table(part(whole, slice(0, 100)), bins=bins)
    for rows in (slice(0, 100), slice(100, None)):
        acts, labels, weights = part(whole, rows)
        keys = keys_of(acts, bins)
        counts._update_keys(keys, labels, weights, units=d, kind="f")
        if rows.start:  # as signed integers, every other one
            keys = np.repeat(keys.view(np.int64), 2, axis=1)[:, ::2]
            mixed._update_keys(keys, labels, weights, units=d, kind="f")
    assert counts.to_bytes() == mixed.to_bytes() == table(whole, bins=bins).to_bytes()
    counts.update(*whole)
    counts.merge(mixed)
    assert counts.to_bytes() == table(whole, whole, whole, bins=bins).to_bytes()


def test_keys_that_are_known_in_millions():
    n = 2**22 + 10  # more than the table takes at once
    keys = np.stack([np.arange(n) % 5, np.arange(n) % 3], axis=1)
    counts = JointCounts(Integers(), 3)
    counts._update_keys(keys, np.arange(n) % 3, units=2, kind="i")
    _, label, total = counts.joint_counts()
    assert (counts.n, counts.n_cells, set(label)) == (n, 15, {0, 1, 2})
    assert set(total) == {n // 15, n // 15 + 1}
    assert total.sum() == n


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"keys": np.zeros((4, 2))}, r"keys: float64 of shape \(4, 2\); expected 64-bit integers"),
        ({"keys": np.zeros((4, 2), np.int32)}, r"keys: int32 of shape"),
        ({"keys": np.zeros((4, 3), int)}, r"keys: int64 of shape \(4, 3\); expected .*\(n, 2\)"),
        ({"keys": np.zeros(4, int)}, r"keys: int64 of shape \(4,\); expected"),
        ({"keys": np.zeros((0, 2), int)}, r"keys: int64 of shape \(0, 2\); expected .*at least 1"),
        ({"kind": "c"}, r"kind: 'c'; expected one of f, i, u, b"),
        ({"kind": "i"}, r"acts: signed integer; expected floating point, as in the first update"),
        ({"units": 0}, r"units: 0; expected an integer from 1"),
        ({"units": 2}, r"acts: 2 units; expected 3, as in the first update"),
        ({"labels": [0, 1]}, r"labels: shape \(2,\); expected .* for acts of shape \(4, 3\)"),
        ({"labels": [0, 1, 2, 3]}, r"labels: classes from 0 to 3; expected 0 to 2"),
        ({"weights": [1, 1, 1, 1]}, r"weights: soft or weighted; expected classes without"),
        ({"weights": [1, 1, 1]}, r"weights: shape \(3,\); expected \(n,\) for acts of shape"),
    ],
)  # fmt: skip
def test_a_failed_update_of_keys_leaves_the_table_as_it_was(change, text):
    counts = JointCounts(Uniform(4, (-4, 4)), 3)
    good = {"keys": np.zeros((4, 2), int), "labels": [0, 1, 2, 0], "units": 3, "kind": "f"}
    counts._update_keys(**good)
    expected = counts.to_bytes()
    with pytest.raises(ValueError, match=text):
        counts._update_keys(**good | change)
    assert counts.to_bytes() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_threads_of_python_may_share_a_table(kind):
    acts, labels, weights = batch(kind, n=4000)
    parts = [part((acts, labels, weights), slice(i, i + 50)) for i in range(0, 4000, 50)]
    shared, other = table(), table((acts, labels, weights))  # the first update is a race too
    with ThreadPoolExecutor(4) as pool:
        for job in [pool.submit(shared.update, *p) for p in parts]:
            job.result()
        for job in [pool.submit(shared.merge, other), pool.submit(shared.merge, shared)]:
            job.result()
    whole = table(*[(acts, labels, weights)] * 4)
    also = table(*[(acts, labels, weights)] * 3)  # where the second merge came first
    assert shared.to_bytes() in {whole.to_bytes(), also.to_bytes()}


def test_a_copy_keeps_its_threads():
    assert pickle.loads(pickle.dumps(JointCounts(Integers(), 2, threads=3)))._threads == 3


def test_integer_activations_keep_their_kind():
    for dtype in (np.int8, np.uint16, bool):
        counts = JointCounts(Integers(), 2)
        counts.update(np.array([[0], [1]], dtype), [0, 1])
        again = JointCounts.from_bytes(counts.to_bytes())
        again.update(np.array([[0], [1]], dtype), [0, 1])
        assert again.n_cells == 2
        with pytest.raises(ValueError, match=r"acts: floating point; expected .*as in the first"):
            again.update(np.array([[0.0]], np.float32), [0])


def test_an_empty_table():
    counts = JointCounts(Integers(), 2)
    assert (counts.n, counts.n_cells, counts.weighted) == (0, 0, False)
    assert counts.cell_counts().shape == (0,)
    assert [a.shape for a in counts.joint_counts()] == [(0,)] * 3
    assert repr(counts) == (
        "<JointCounts: 0 rows of ? units in 0 cells, 2 classes, Integers(), outside='raise'>"
    )
    again = pickle.loads(pickle.dumps(counts))
    assert again.to_bytes() == counts.to_bytes()
    counts.merge(again)
    counts.merge(counts)
    assert counts.n == 0
    full = JointCounts(Integers(), 2)
    full.update([[1], [2]], [0, 1])
    before = full.to_bytes()
    full.merge(counts)
    assert full.to_bytes() == before
    counts.merge(full)
    assert counts.to_bytes() == before
    counts.update([[1], [2]], [0, 1])
    assert full.to_bytes() == before  # nothing is shared


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_merged_with_itself_counts_twice(kind):
    counts = table(batch(kind))
    twice = table(batch(kind), batch(kind))
    counts.merge(counts)
    assert counts.to_bytes() == twice.to_bytes()


def test_many_cells():
    rng = np.random.default_rng(0)
    acts = rng.random((50_000, 8), dtype=np.float32)
    label = rng.integers(0, 3, 50_000)
    counts = JointCounts(4, 3, range=(0, 1))
    for i in range(0, 50_000, 9_999):
        counts.update(acts[i : i + 9_999], label[i : i + 9_999])
    layer = layer_information(acts, label, bins=4, range=(0, 1))
    assert information(counts) == layer
    assert JointCounts.from_bytes(counts.to_bytes()).to_bytes() == counts.to_bytes()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"acts": np.zeros((4, 2))}, r"acts: 2 units; expected 3, as in the first update"),
        ({"acts": np.zeros((4, 3), int)}, r"acts: signed integer; expected floating point, as in"),
        ({"acts": np.zeros((4, 3), bool)}, r"acts: bool; expected floating point"),
        ({"acts": np.zeros((1, 4, 3))}, r"acts: shape \(1, 4, 3\); expected \(n, d\)"),
        ({"acts": np.full((4, 3), np.nan)}, r"acts: NaN at row 0, unit 0"),
        ({"acts": np.diag([0, 0, 9.0, 0])[:, 1:]}, r"acts: 1 of 12 values lie outside"),
        ({"labels": [0, 1, 2, 3]}, r"labels: classes from 0 to 3; expected 0 to 2, for"),
        ({"labels": [0, 1, 2, -1]}, r"labels: classes from -1 to 2; expected 0 to 2"),
        ({"labels": [0, 1]}, r"labels: shape \(2,\)"),
        ({"labels": np.ones((4, 3)) / 3}, r"weights: soft or weighted; expected classes without"),
        ({"labels": np.ones((4, 2)) / 2}, r"labels: shape \(4, 2\); expected \(n, 3\), for n_cl"),
        ({"weights": [1, 1, 1, 1]}, r"weights: soft or weighted; expected classes without"),
        ({"weights": [0, 0, 0, 0]}, r"weights: all are zero"),
        ({"weights": [1, 1, 1, 2.0**-41]}, r"weights: 4\.5\d*e-13; expected 0 or at least 2\*\*"),
    ],
)  # fmt: skip
def test_a_failed_update_leaves_the_table_as_it_was(change, text):
    counts = JointCounts(Uniform(4, (-4, 4)), 3)
    good = {"acts": np.zeros((4, 3)), "labels": [0, 1, 2, 0]}
    for expected in (counts.to_bytes(), None):
        if expected is None:
            counts.update(**good)
            expected = counts.to_bytes()
        elif any(word in text for word in ("as in", "without", "bool")):  # of the first update
            continue
        with pytest.raises(ValueError, match=text):
            counts.update(**good | change)
        assert counts.to_bytes() == expected
    counts.update(**good)
    assert counts.n == 8


def test_a_weighted_table_refuses_plain_counts():
    counts = table(batch("soft"))
    before = counts.to_bytes()
    text = r"labels, weights: classes without weights; expected soft or weighted, as in the first"
    with pytest.raises(ValueError, match=text):
        counts.update(*batch("hard"))
    assert counts.to_bytes() == before


def test_nan_late_in_a_large_batch_counts_nothing():
    counts = table(batch("hard"))
    before = counts.to_bytes()
    acts, labels, _ = batch("hard", n=100_000)
    acts[99_999, 2] = np.nan
    with pytest.raises(ValueError, match=r"acts: NaN at row 99999, unit 2"):
        counts.update(acts, labels)
    assert counts.to_bytes() == before


@pytest.mark.parametrize("weights", [[2.0**46, 1.0], [1e308, 1.7e308], [2.0**45, 2.0**45]])
def test_weights_that_sum_to_too_much(weights):
    counts = JointCounts(Integers(), 2)
    with pytest.raises(
        ValueError, match=r"weights: their sum would be .*; expected less than 2\*\*46"
    ):
        counts.update([[0], [1]], [0, 1], weights)
    assert counts.n == 0


def test_weights_that_come_to_too_much():
    counts = JointCounts(Integers(), 2)
    counts.update([[0], [1]], [0, 1], [2.0**45, 1.0])
    before = counts.to_bytes()
    with pytest.raises(ValueError, match=r"weights: their sum would be"):
        counts.update([[0], [1]], [0, 1], [2.0**45, 1.0])
    with pytest.raises(ValueError, match=r"other: the weights would sum to .*; expected less than"):
        counts.merge(counts)
    assert counts.to_bytes() == before
    assert counts.cell_counts().tolist() == [2.0**45, 1.0]


def test_counts_that_double_too_often():
    counts = JointCounts(Integers(), 2)
    counts.update([[0], [1]] * 4, [0, 1] * 4)
    for _ in range(42):
        counts.merge(counts)
    assert counts.n == 2**45
    assert information(counts).i_ty == 1.0
    with pytest.raises(ValueError, match=r"other: the weights would sum to"):
        counts.merge(counts)


def test_extreme_weights_keep_their_digits():
    counts = JointCounts(Integers(), 2)
    counts.update([[0], [1], [2], [3]], [0, 0, 1, 1], [2.0**-40, 3.0, 0.1, 2.0**45])
    expected = [2.0**-40, 3.0, 0.1, 2.0**45]
    assert np.sort(counts.cell_counts()) == pytest.approx(sorted(expected), rel=1e-12)


@pytest.mark.parametrize("rare", [0, 1, 2])
def test_small_probabilities_keep_their_digits(rare):
    soft = np.roll([[1e-10, 0.3, 0.7 - 1e-10]], rare, axis=1)
    counts = JointCounts(Integers(), 3)
    counts.update([[0]], soft)
    assert counts.joint_counts().total == pytest.approx(soft[0] / soft.sum(), rel=1e-12, abs=0)


@pytest.mark.parametrize("kind", ["hard", "weighted"])
def test_classes_that_are_never_seen_change_no_bit(kind):
    acts, labels, weights = batch(kind)
    few, many = JointCounts(Width(1.0), 3), JointCounts(Width(1.0), 2**31)
    for counts in (few, many):
        counts.update(acts, labels, weights)
    assert information(many) == information(few)


def test_merging_unlike_tables_names_both():
    mine = table(batch("hard"))
    others = {
        "bins": table(batch("hard"), bins=Width(2.0)),
        "edges": table(batch("hard"), bins=Edges([0, 3.0])),
        "outside": table(batch("hard"), outside="cell"),
        "units": table(batch("hard", d=2)),
        "weighted": table(batch("soft")),
        "kind": table((batch("hard")[0].astype(int), batch("hard")[1], None)),
    }
    classes = JointCounts(Width(1.0), 4)
    for other in (*others.values(), classes):
        before = mine.to_bytes()
        with pytest.raises(ValueError, match=r"other: unlike tables cannot be merged: ") as error:
            mine.merge(other)
        assert repr(mine) in str(error.value)
        assert repr(other) in str(error.value)
        assert mine.to_bytes() == before
    with pytest.raises(TypeError, match=r"other: dict; expected JointCounts"):
        mine.merge({})


def test_edges_with_zeros_of_either_sign_are_the_same():
    mine, other = table(bins=Edges([-0.0, 3.0])), table(bins=Edges([0.0, 3.0]))
    assert mine.to_bytes() == other.to_bytes()
    mine.merge(other)
    assert table(bins=Uniform(2, (-0.0, 1))).to_bytes() == table(bins=Uniform(2, (0, 1))).to_bytes()


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "text"),
    [
        ((30, 2), {}, ValueError, r"bins: Uniform\(n=30, range=None\) depends on the data"),
        ((Quantile(3), 2), {}, ValueError, r"bins: Quantile\(n=3\) depends on the data"),
        (
            (Integers(), 0),
            {},
            ValueError,
            r"n_classes: 0; expected an integer from 1 to 2147483648",
        ),
        ((Integers(), 2**31 + 1), {}, ValueError, r"n_classes: 2147483649; expected"),
        ((Integers(), 2.5), {}, TypeError, r"n_classes: 2\.5 of type float; expected an integer"),
        ((Integers(), 2), {"outside": "x"}, ValueError, r"outside: 'x'; expected"),
        ((Integers(), 2), {"threads": -1}, ValueError, r"threads: -1; expected"),
        ((Integers(), 2), {"range": (0, 1)}, ValueError, r"range: \(0, 1\); expected none"),
        (("x", 2), {}, TypeError, r"bins: 'x'; expected"),
    ],
)
def test_bad_configuration(args, kwargs, error, text):
    with pytest.raises(error, match=text):
        JointCounts(*args, **kwargs)
