"""Equal bins, whose codes are found by arithmetic: values that it leaves unsure, in every place.

Blocks of such values are tried again in another way, so one that is missed, or that spoils its
neighbours, would show in some place of a block and not in others.
"""

import numpy as np
import pytest

import oracle
from ibfast import layer_information, mutual_info
from ibfast.binning import Edges, Uniform, discretise

BINS = {
    "even": Uniform(30, (-1, 1)),  # 0 is an edge
    "odd": Uniform(31, (-1, 1)),
    "inexact": Uniform(7, (0.1, 0.8)),
    "one": Uniform(1, (-1, 1)),
    "far": Uniform(30, (1000, 1001)),
    "small": Uniform(5, (0, 1e-40)),  # denormal
    "most": Uniform(2**15, (-1, 1)),  # of a lattice
    "more": Uniform(2**15 + 1, (-1, 1)),
    "edges": Edges(np.linspace(-1, 1, 50)),
}


def edges_of(bins):
    if isinstance(bins, Edges):
        return np.asarray(bins.edges)
    return np.histogram_bin_edges([], bins.n, bins.range)


def inside(x, edges, dtype):
    """x in the dtype, between the outermost of its values that are not outside the edges."""
    lo, hi = edges[[0, -1]].astype(dtype)
    lo = lo if float(lo) >= edges[0] else np.nextafter(lo, dtype("inf"))
    hi = hi if float(hi) <= edges[-1] else np.nextafter(hi, dtype("-inf"))
    return np.clip(np.asarray(x).astype(dtype), lo, hi)


def on_and_beside(edges, dtype):
    """The values next to the edges and those nearest to them, inside."""
    near = edges.astype(dtype)
    beside = [np.nextafter(near, dtype(way)) for way in ("-inf", "inf")]
    return np.unique(inside(np.concatenate([near, *beside]), edges, dtype))


def middles(edges, shape, dtype, seed=0):
    cell = np.random.default_rng(seed).integers(0, min(len(edges) - 1, 3), shape)
    return inside((edges[cell] + edges[cell + 1]) / 2, edges, dtype)


def check(acts, bins, outside):
    codes = oracle.codes(acts, bins, outside)
    assert np.array_equal(discretise(acts, bins, outside=outside), codes)
    cell = oracle.cells(codes)
    layer = layer_information(
        acts, cell % 2, inputs=cell, bins=bins, outside=outside, exhaustive=True
    )
    assert layer.n_cells == cell.max() + 1
    assert layer.h_t_given_x == 0


@pytest.mark.parametrize("outside", ["raise", "clip", "cell"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", BINS)
def test_one_unsure_value_in_every_place(name, dtype, order, outside):
    bins = BINS[name]
    edges = edges_of(bins)
    d = 173  # two groups of 80 units, a vector and odd ones
    trouble = on_and_beside(edges, dtype)
    if outside != "raise":
        width = edges[-1] - edges[0]
        beyond = np.array([-np.inf, edges[0] - width, edges[-1] + width, np.inf])
        trouble = np.concatenate([trouble, beyond.astype(dtype)])
    acts = np.repeat(middles(edges, (d, d), dtype), 2, axis=0)
    place = np.arange(d)
    acts[2 * place, place] = trouble[place * 7 % len(trouble)]
    check(np.asarray(acts, order=order), bins, outside)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("share", [0.01, 0.5, 1])
@pytest.mark.parametrize("name", BINS)
def test_many_unsure_values(name, share, dtype, order):
    bins = BINS[name]
    edges = edges_of(bins)
    rng = np.random.default_rng(1)
    for d in (33, 130):
        acts = middles(edges, (500, d), dtype)
        unsure = rng.choice(on_and_beside(edges, dtype), acts.shape)
        acts = np.where(rng.random(acts.shape) < share, unsure, acts)
        acts[250:] = acts[:250]
        check(np.asarray(acts, order=order), bins, "raise")


BACKGROUNDS = {  # what the rest holds, so that each way of finding codes meets the fault
    "middles": lambda edges, shape: middles(edges, shape, np.float32),
    "ends": lambda edges, shape: np.random.default_rng(0).choice(edges[[0, -1]], shape),
    "edges": lambda edges, shape: np.random.default_rng(0).choice(edges[15:16], shape),
}


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 64), (67, 117)])  # the last block of rows is not whole
def test_every_fault_is_found_in_every_place(shape, dtype, order, background):
    bins = BINS["even"]
    acts = np.asarray(BACKGROUNDS[background](edges_of(bins), shape), dtype, order=order)
    n, d = shape
    faults = {
        np.nan: "NaN at row {}, unit {}: every",
        np.nextafter(dtype(1), dtype(2)): f"1 of {n * d} values lie outside",
        np.nextafter(dtype(-1), dtype(-2)): f"1 of {n * d} values lie outside",
        np.inf: f"1 of {n * d} values lie outside",
        -np.inf: f"1 of {n * d} values lie outside",
        dtype(3e38): f"1 of {n * d} values lie outside",
    }
    for fault, text in faults.items():
        for place in range(max(n, d)):
            row, unit = (n - 1 if place % 3 == 0 else place % n), place % d
            value, acts[row, unit] = acts[row, unit], fault
            with pytest.raises(ValueError, match=text.format(row, unit)):
                mutual_info(acts, np.arange(n) % 2, bins=bins)
            acts[row, unit] = value
    assert np.array_equal(discretise(acts, bins), oracle.codes(acts, bins))


@pytest.mark.parametrize("outside", ["clip", "cell"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_nan_is_found_where_values_outside_are_not_faults(order, outside):
    acts = np.zeros((67, 117), np.float32, order=order)
    acts[::2] = 5
    for place in range(117):
        row = place % 67
        value, acts[row, place] = acts[row, place], np.nan
        with pytest.raises(ValueError, match=f"NaN at row {row}, unit {place}"):
            mutual_info(acts, np.arange(67) % 2, bins=BINS["even"], outside=outside)
        acts[row, place] = value
