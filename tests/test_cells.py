"""Cells few and many: every way of counting them, and the switch between, against brute force."""

import numpy as np
import pytest

import ibfast
import oracle
from ibfast import layer_information
from ibfast.binning import Integers

pytestmark = pytest.mark.filterwarnings("ignore::ibfast.SaturationWarning")


def check(cell, label, d=2, threads=(1, 2, 8), scale=1):
    """`cell` numbers the rows' cells; d > 2 hashes them."""
    cell = np.asarray(cell)
    acts = np.repeat(cell[:, None] * scale, d, axis=1)
    h_t, h_y, h_ty = oracle.entropies(oracle.hard_joint(cell, label))
    layers = [
        layer_information(acts, label, bins=Integers(), exhaustive=True, threads=t) for t in threads
    ]
    unlabelled = [ibfast.entropy(acts, bins=Integers(), threads=t) for t in threads]
    assert all(layer == layers[0] for layer in layers)
    assert layers[0].n_cells == len(np.unique(cell))
    assert layers[0].h_y == pytest.approx(h_y, rel=1e-12, abs=1e-12)
    assert layers[0].i_ty == pytest.approx(h_t + h_y - h_ty, rel=1e-11, abs=1e-11)
    assert [float(h) for h in unlabelled] == pytest.approx([h_t] * len(threads), rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 12, 13, 28, 29, 32, 33, 256, 257, 1000])
@pytest.mark.parametrize("cells", [1, 40, 9_000])
def test_classes(k, cells):
    rng = np.random.default_rng(k)
    n = 70_001
    check(rng.integers(0, cells, n), rng.integers(0, k, n), threads=(1, 2))


@pytest.mark.parametrize("d", [1, 2, 40])
@pytest.mark.parametrize("cells", [2, 3_000, 16_383, 16_384, 20_000, 33_000, 150_000])
def test_cells_around_the_bounds(cells, d):
    rng = np.random.default_rng(cells)
    n = 200_000
    check(rng.integers(0, cells, n), rng.integers(0, 10, n), d)


@pytest.mark.parametrize("n", [16_383, 16_384, 16_385, 16_895, 16_897, 65_535, 65_537])
@pytest.mark.parametrize("cells", [100, 10**9])
def test_rows_around_the_blocks(n, cells):
    rng = np.random.default_rng(n)
    check(rng.integers(0, cells, n), rng.integers(0, 5, n))


@pytest.mark.parametrize("n", [1, 2, 4095, 4096, 4097, 8192, 8193])
def test_few_rows(n):
    rng = np.random.default_rng(n)
    check(rng.integers(0, n, n), rng.integers(0, 5, n))


@pytest.mark.parametrize("d", [1, 2])
def test_the_key_of_all_zeros(d):
    """Empty places of the table hold this key: with and without rows of it."""
    rng = np.random.default_rng(0)
    for first in (0, 1):
        cell = rng.integers(first, 500, 40_000)
        check(cell, rng.integers(0, 3, 40_000), d)
    check(np.zeros(40_000, int), rng.integers(0, 3, 40_000), d)


@pytest.mark.parametrize("rows_a_cell", [2, 4, 30])
def test_rows_in_order_of_their_cells(rows_a_cell):
    """Each thread meets few cells, and all of them many."""
    n = 600_000
    check(np.arange(n) // rows_a_cell, np.arange(n) // 7 % 10)


@pytest.mark.parametrize("k", [1, 10, 300])
def test_one_cell_of_half_the_rows(k):
    """A part of the rows that is much larger than the others, in which one cell is everywhere."""
    rng = np.random.default_rng(k)
    cell = np.arange(200_000)
    cell[::2] = 7
    check(rng.permutation(cell), rng.integers(0, k, len(cell)))


@pytest.mark.parametrize("step", [2**32, 2**40, 2**48, 2**56])
def test_keys_that_meet_in_their_slots(step):
    """Packed keys whose bits differ only where a weak hash would not look."""
    rng = np.random.default_rng(0)
    for cells in (128, 30_000):
        cell = rng.integers(0, cells, 60_000) % (2**62 // step)
        check(cell, rng.integers(0, 10, len(cell)), 1, scale=step)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int64", "uint64", ">i4"])
@pytest.mark.parametrize("cells", [100, 10**9])
def test_labels_that_do_not_lie_side_by_side(dtype, cells):
    rng = np.random.default_rng(0)
    cell, label = rng.integers(0, cells, 20_000), rng.integers(0, 33, 20_000).astype(dtype)
    expected = layer_information(cell[:, None], label.astype(int), bins=Integers(), exhaustive=True)
    for given in (np.repeat(label, 3)[::3], np.stack([label, label], 1)[:, 1], label[::-1][::-1]):
        layer = layer_information(cell[:, None], given, bins=Integers(), exhaustive=True)
        assert layer == expected


@pytest.mark.parametrize("wrong", [-1, -256, -(2**31), -(2**40), -(2**63)])
@pytest.mark.parametrize("row", [0, 511, 39_999])
def test_a_negative_label_is_named(wrong, row):
    label = np.zeros(40_000, np.int64)
    label[row] = wrong
    with pytest.raises(ValueError, match=f"labels: {wrong} at row {row}; expected classes"):
        ibfast.mutual_info(np.zeros((40_000, 3), np.float32), label, range=(-1, 1))


@pytest.mark.parametrize("greatest", [255, 256, 65_535, 65_536, 2**31 - 1, 2**31, 2**32, 2**62])
def test_one_label_far_from_the_others(greatest):
    rng = np.random.default_rng(0)
    cell, label = rng.integers(0, 300, 30_000), rng.integers(0, 3, 30_000)
    label[12_345] = greatest
    check(cell, label)
