"""Layers against the bound: an oracle from the definitions, and layers that are optimal."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from bottleneck_oracle import LN2, divergences, encode, information, marginals, problems, xlog2
from ibfast import JointCounts
from ibfast.binning import Integers
from ibfast.bottleneck import (
    critical_betas,
    hard_frontier,
    ib_curve,
    layer_optimality,
    make_source,
)

few = settings(max_examples=25, deadline=None, derandomize=True)
INFORMATION = ("rate", "relevance", "gap", "rate_gap", "hard_gap", "divergence")
RESIDUALS = ("encoder_residual", "marginal_residual", "decoder_residual")
FLAT = "the divergence is flat"


def distance(rows, p_x, layer, beta):
    """E_x KL[p(t|x) || p_beta(t|x)] in bits, and p_beta; shares of n x t arrays."""
    p_t, decoder, _ = marginals(rows, p_x, layer)
    with np.errstate(divide="ignore"):
        exponent = np.log2(p_t) - beta * divergences(rows, decoder)
    most = exponent.max(axis=1, keepdims=True)
    log_near = exponent - most - np.log2(np.exp2(exponent - most).sum(axis=1, keepdims=True))
    kl = xlog2(layer, layer) - np.where(layer > 0, layer * log_near, 0.0)
    return float(p_x @ kl.sum(axis=1)), encode(rows, p_t, decoder, beta)


def oracle(rows, p_x, layer):
    layer = layer[:, (p_x @ layer) > 0]
    grid = np.geomspace(1e-3, 1e6, 400)
    values = [distance(rows, p_x, layer, beta)[0] for beta in grid]
    at = int(np.argmin(values))
    low, high = np.log(grid[max(0, at - 1)]), np.log(grid[min(399, at + 1)])
    best = optimize.minimize_scalar(
        lambda x: distance(rows, p_x, layer, math.exp(x))[0],
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-12},
    )
    beta = math.exp(best.x)
    divergence, near = distance(rows, p_x, layer, beta)
    p_t, decoder, _ = marginals(rows, p_x, layer)
    near_t, near_decoder, _ = marginals(rows, p_x, near)
    return {
        "beta": beta,
        "divergence": divergence,
        "encoder_residual": 0.5 * p_x @ np.abs(layer - near).sum(axis=1),
        "marginal_residual": 0.5 * np.abs(p_t - near_t).sum(),
        "decoder_residual": 0.5 * p_t @ np.abs(decoder - near_decoder).sum(axis=1),
    }


def assert_agrees(found, rows, p_x, layer):
    expected = oracle(rows, p_x, layer)
    rate, relevance = information(rows, p_x, layer)
    assert found.rate == pytest.approx(rate, abs=1e-10)
    assert found.relevance == pytest.approx(relevance, abs=1e-10)
    assert found.divergence == pytest.approx(expected["divergence"], abs=1e-8)
    if found.identified:
        assert found.beta == pytest.approx(expected["beta"], rel=1e-3)
        for name in RESIDUALS:
            # Residuals move with beta, which the oracle knows to the root of the rounding.
            assert getattr(found, name) == pytest.approx(expected[name], abs=1e-4)


def same(one, two, **tolerance):
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(two, field.name)
        if isinstance(a, str | bool):
            assert a == b, field.name
        else:
            assert a == pytest.approx(b, nan_ok=True, **tolerance), field.name


@pytest.mark.parametrize("i", [0, 1, 2, 5, 6, 9, 14])
def test_an_optimal_encoder(i):
    rows, p_x = list(problems())[i]
    betas = critical_betas(rows, p_x).onset * np.array([1.3, 2.0, 5.0])
    curve = ib_curve(rows, p_x, betas, tolerance=1e-12, threads=1)
    for at, beta in enumerate(betas):
        found = layer_optimality(curve.encoder(at), rows, curve, p_x=p_x, threads=1)
        assert found.rate == pytest.approx(curve.rate[at], abs=1e-10)
        assert found.relevance == pytest.approx(curve.relevance[at], abs=1e-10)
        assert found.gap == pytest.approx(0, abs=1e-9)
        assert found.rate_gap == pytest.approx(0, abs=1e-8)
        assert found.gap_share == pytest.approx(0, abs=1e-7)
        assert found.divergence == pytest.approx(0, abs=1e-10)
        for name in RESIDUALS:
            assert getattr(found, name) == pytest.approx(0, abs=1e-7)
        assert found.identified
        assert found.beta == pytest.approx(beta, rel=1e-5)
        assert found.reason == ""
        assert math.isnan(found.hard_gap)


@pytest.mark.parametrize("i", range(20))
def test_random_cells(i):
    rows, p_x = list(problems())[i]
    rng = np.random.default_rng(i)
    cells = rng.integers(0, 4, len(rows)) * 3 - 5
    layer = np.eye(4)[(cells + 5) // 3]
    found = layer_optimality(cells, rows, p_x=p_x, threads=1)
    assert_agrees(found, rows, p_x, layer)
    curve = ib_curve(rows, p_x, threads=1)
    assert found.gap == pytest.approx(curve.relevance_at(found.rate) - found.relevance, abs=1e-12)
    bound = found.gap + found.relevance
    assert found.gap_share == pytest.approx(found.gap / bound, nan_ok=True)
    assert found.rate_gap == pytest.approx(found.rate - curve.rate_at(found.relevance), abs=1e-9)
    assert found.gap > -1e-9
    assert math.isnan(found.hard_gap) == (rows.shape[1] > 2)


@few
@given(st.integers(0, 2**32), st.integers(2, 9), st.integers(2, 4), st.integers(1, 5))
def test_random_encoders(seed, n, k, clusters):
    rng = np.random.default_rng(seed)
    rows, p_x = rng.dirichlet(np.full(k, 0.7), n), rng.dirichlet(np.ones(n))
    layer = rng.dirichlet(np.full(clusters, 0.3), n)
    curve = ib_curve(rows, p_x, resolution=0.05, threads=1)
    found = layer_optimality(layer, rows, curve, p_x=p_x, threads=1)
    assert_agrees(found, rows, p_x, layer)
    assert 0 <= found.relevance <= found.rate + 1e-12
    for name in RESIDUALS:
        assert 0 <= getattr(found, name) <= 1
    nats = layer_optimality(layer, rows, curve, p_x=p_x, units="nats", threads=1)
    for name in INFORMATION:
        assert getattr(nats, name) == pytest.approx(LN2 * getattr(found, name), nan_ok=True)
    for name in ("beta", "gap_share", "identified", "reason", *RESIDUALS):
        assert getattr(nats, name) == pytest.approx(getattr(found, name), nan_ok=True)


def test_units_of_the_curve_and_of_the_frontier_do_not_matter():
    rows = np.array([0.1, 0.2, 0.6, 0.9, 0.3])
    cells = [0, 0, 1, 1, 1]
    expected = layer_optimality(cells, rows, threads=1)
    for units in ("bits", "nats"):
        curve = ib_curve(rows, units=units, threads=1)
        frontier = hard_frontier(make_source(rows), units=units)
        found = layer_optimality(cells, rows, curve, frontier=frontier, threads=1)
        same(found, expected, rel=1e-9, abs=1e-12)


def test_cells_rows_and_counts_agree():
    rng = np.random.default_rng(0)
    rows, p_x = rng.dirichlet([1, 1, 1], 12), rng.dirichlet(np.ones(12))
    cells = rng.integers(0, 4, 12)
    curve = ib_curve(rows, p_x, threads=1)
    counts = JointCounts(Integers(), 12)
    for times in (1, 3):  # each input is seen four times
        for _ in range(times):
            counts.update(cells[:, None], np.arange(12))
    expected = layer_optimality(cells, rows, curve, p_x=p_x, threads=1)
    for layer in (
        np.eye(4)[cells],
        np.eye(4, dtype=np.float32)[cells],
        cells.astype(np.uint8),
        counts,
    ):
        found = layer_optimality(layer, make_source(rows, p_x), curve, threads=1)
        same(found, expected, rel=1e-9, abs=1e-12)

    # Rows that were counted in several cells are a soft layer.
    other = rng.integers(0, 4, 12)
    counts.update(other[:, None], np.arange(12))
    soft = 0.8 * np.eye(4)[cells] + 0.2 * np.eye(4)[other]
    expected = layer_optimality(soft, rows, curve, p_x=p_x, threads=1)
    found = layer_optimality(counts, rows, curve, p_x=p_x, threads=1)
    same(found, expected, rel=1e-9, abs=1e-12)
    assert_agrees(found, rows, p_x, soft)


def test_two_cells_with_one_decoder():
    """They are not one layer with the cells joined, but what is measured of both is known."""
    rows = np.array([[0.8, 0.2], [0.8, 0.2], [0.3, 0.7], [0.3, 0.7], [0.5, 0.5]])
    p_x = np.array([0.1, 0.3, 0.2, 0.2, 0.2])
    layer = np.eye(3)[[0, 1, 2, 2, 2]]
    found = layer_optimality([0, 1, 2, 2, 2], rows, p_x=p_x, threads=1)
    assert_agrees(found, rows, p_x, layer)
    soft = np.array([[0.5, 0.5, 0], [0.1, 0.9, 0], [0, 0.1, 0.9], [0, 0, 1], [0.2, 0, 0.8]])
    assert_agrees(layer_optimality(soft, rows, p_x=p_x, threads=1), rows, p_x, soft)
    # Doubled clusters: rate, divergence and residuals are those of the single ones.
    curve = ib_curve(rows, p_x, [8.0], threads=1)
    one = layer_optimality(curve.encoder(0), rows, curve, p_x=p_x, threads=1)
    doubled = np.hstack([0.3 * curve.encoder(0), 0.7 * curve.encoder(0)])
    two = layer_optimality(doubled, rows, curve, p_x=p_x, threads=1)
    same(one, two, rel=1e-6, abs=1e-9)


def test_inputs_that_do_not_occur_and_clusters_that_are_not_used():
    rows = np.array([[0.8, 0.2], [0.1, 0.9], [0.5, 0.5], [0.4, 0.6]])
    p_x = np.array([0.5, 0.3, 0.0, 0.2])
    expected = layer_optimality([0, 1, 1], rows[[0, 1, 3]], p_x=p_x[[0, 1, 3]], threads=1)
    same(layer_optimality([0, 1, 7, 1], rows, p_x=p_x, threads=1), expected, rel=1e-12)
    layer = np.zeros((4, 5))
    layer[[0, 1, 3], [1, 4, 4]] = 1
    layer[2] = np.nan
    same(layer_optimality(layer, rows, p_x=p_x, threads=1), expected, rel=1e-12)
    counts = JointCounts(Integers(), 4)
    counts.update([[3], [4], [4]], [0, 1, 3])
    same(layer_optimality(counts, rows, p_x=p_x, threads=1), expected, rel=1e-12)


@pytest.mark.parametrize(
    ("layer", "rows", "reason"),
    [
        ([0, 1, 1], [0, 1, 1], "the label is a function of the input"),
        ([0, 0, 1], [0, 1, 1], "the label is a function of the input"),
        ([0, 0, 0], [0.2, 0.6, 0.9], FLAT),
        ([0, 1, 1], [0.3, 0.3, 0.3], FLAT),
        ([0, 1, 2], [0.2, 0.6, 0.9], "the minimum is at the end of the search|" + FLAT),
    ],
)
def test_beta_is_not_identified(layer, rows, reason):
    found = layer_optimality(layer, rows, threads=1)
    assert not found.identified
    assert any(found.reason.startswith(r) for r in reason.split("|")), found.reason
    for name in ("rate", "relevance", "gap", "divergence", *RESIDUALS):
        assert math.isfinite(getattr(found, name))


def test_a_constant_layer():
    found = layer_optimality(np.zeros(4, int), [0.1, 0.3, 0.5, 0.9], threads=1)
    assert (found.rate, found.relevance, found.gap) == (0, 0, 0)
    assert math.isnan(found.gap_share)
    assert found.divergence == pytest.approx(0, abs=1e-12)
    assert found.hard_gap == pytest.approx(0, abs=1e-12)


def test_a_layer_that_keeps_everything():
    rows = np.array([[0.1, 0.9], [0.3, 0.7], [0.8, 0.2]])
    found = layer_optimality(np.arange(3), rows, threads=1)
    s = make_source(rows)
    assert (found.rate, found.relevance) == pytest.approx((np.log2(3), s.i_xy))
    assert found.gap == pytest.approx(0, abs=1e-12)
    assert found.hard_gap == pytest.approx(0, abs=1e-9)
    assert found.divergence == pytest.approx(0, abs=1e-4)  # at the greatest beta


def test_the_best_hard_encoder_has_no_hard_gap():
    rows = np.array([0.05, 0.1, 0.4, 0.8, 0.95])
    for cells, optimal in (([0, 0, 0, 1, 1], True), ([0, 1, 0, 1, 0], False)):
        found = layer_optimality(cells, rows, threads=1)
        assert (found.hard_gap < 1e-9) == optimal
        assert found.hard_gap <= found.gap + 1e-9
    soft = np.array([[0.9, 0.1], [1, 0], [1, 0], [0, 1], [0, 1]])
    assert math.isnan(layer_optimality(soft, rows, threads=1).hard_gap)


def counts_of(labels, classes):
    counts = JointCounts(Integers(), classes)
    counts.update(np.zeros((len(labels), 1), int), labels)
    return counts


@pytest.mark.parametrize(
    ("layer", "options", "error", "match"),
    [
        ([0, 1], {}, ValueError, r"layer: int64 of shape \(2,\); expected integers \(3,\)"),
        ([[0], [1], [1]], {}, ValueError, r"layer: int64 of shape \(3, 1\); expected integers"),
        ([0.5, 0.5, 1.0], {}, ValueError, r"layer: float64 of shape \(3,\); expected integers"),
        (np.ones((2, 1)), {}, ValueError, r"layer: float64 of shape \(2, 1\); .* rows p\(t\|x\)"),
        (np.ones((3, 0)), {}, ValueError, r"layer: float64 of shape \(3, 0\); expected integers"),
        (np.full((3, 2), 0.6), {}, ValueError, r"layer: row 0 .* sums to 1.2; expected probab"),
        ([[1.0, 0], [0, 1], [np.nan, 1]], {}, ValueError, r"layer: row 2 .* sums to nan"),
        ([[1.0, 0], [2, -1], [0, 1]], {}, ValueError, r"layer: row 1 .* not negative"),
        (["a", "b", "c"], {}, TypeError, "layer: dtype <U1; expected floating point"),
        (counts_of([0, 2], 3), {}, ValueError, "layer: input 1 was never counted; expected the"),
        (JointCounts(Integers(), 3), {}, ValueError, "layer: input 0 was never counted"),
        (
            counts_of([0, 1, 2, 3], 4),
            {},
            ValueError,
            "layer: counts of input 3; expected the inputs 0 to 2",
        ),
        ([0, 1, 1], {"p_x": [1.0]}, ValueError, r"p_x: shape \(1,\); expected \(3,\)"),
        ([0, 1, 1], {"units": "bit"}, ValueError, "units: 'bit'; expected"),
        ([0, 1, 1], {"threads": -1}, ValueError, "threads: -1; expected"),
    ],
)
def test_what_is_refused(layer, options, error, match):
    with pytest.raises(error, match=match):
        layer_optimality(layer, [0.1, 0.2, 0.7], **options)


def test_a_curve_or_frontier_of_another_source_is_refused():
    p, other = [0.1, 0.2, 0.8, 0.9], [0.1, 0.3, 0.8, 0.9]
    with pytest.raises(ValueError, match=r"curve: of another source, 4 unlike rows with I\(X;Y\)"):
        layer_optimality([0, 0, 1, 1], p, ib_curve(other))
    with pytest.raises(ValueError, match="frontier: of another source"):
        layer_optimality([0, 0, 1, 1], p, frontier=hard_frontier(other))
    with pytest.raises(ValueError, match="frontier: of another source"):
        layer_optimality([0, 0, 1, 1], p, frontier=hard_frontier(p, [0.1, 0.2, 0.3, 0.4]))


def test_a_bad_row_is_named_by_its_own_number():
    rows = [[np.nan, 2.0], [0.5, 0.5], [0.5, 0.6]]
    with pytest.raises(ValueError, match="layer: row 2 is"):
        layer_optimality(np.array(rows), [0.1, 0.2, 0.9], p_x=[0, 0.5, 0.5])
    rows[2] = [0.5, 0.5]
    assert layer_optimality(np.array(rows), [0.1, 0.2, 0.9], p_x=[0, 0.5, 0.5]).rate == 0
