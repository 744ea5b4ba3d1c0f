"""Every point solves the equations and is optimal: against NumPy, restarts and nasty sources."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bottleneck_oracle import information, problems, residual, restarts, used
from ibfast.bottleneck import critical_betas, ib_curve
from test_processes import LEVELS, available, run

FIELDS = ("beta", "rate", "relevance", "objective", "n_clusters", "residual", "gap", "iterations")


def assert_solved(curve, rows, p_x):
    for i, beta in enumerate(curve.beta):
        encoder = curve.encoder(i)
        assert residual(rows, p_x, encoder, beta) < 1e-9
        rate, relevance = information(rows, p_x, encoder)
        assert curve.rate[i] == pytest.approx(rate, abs=1e-10)
        assert curve.relevance[i] == pytest.approx(relevance, abs=1e-10)
        assert curve.objective[i] == pytest.approx(rate - beta * relevance, abs=1e-10)
        decoder = curve.decoder(i)
        apart = np.abs(decoder[:, None] - decoder).max(axis=2) + np.eye(len(decoder))
        assert apart.min() > 1e-6
    assert (curve.residual < 1e-9).all()
    assert (curve.gap < 1e-9).all()
    assert (curve.gap >= 0).all()
    assert curve.sure.all()


@pytest.mark.parametrize("i", range(20))
def test_every_point_solves_the_equations(i):
    rows, p_x = list(problems())[i]
    onset = critical_betas(rows, p_x).onset
    betas = np.concatenate([np.geomspace(0.1, 300, 30), onset * np.array([0.999, 1.001, 1.01, 2])])
    assert_solved(ib_curve(rows, p_x, betas, threads=1), rows, p_x)


@pytest.mark.parametrize("i", range(0, 20, 2))
def test_every_chosen_point_solves_the_equations(i):
    rows, p_x = list(problems())[i]
    assert_solved(ib_curve(rows, p_x, resolution=0.01, threads=1), rows, p_x)


@pytest.mark.parametrize("i", range(20))
def test_no_restart_is_better(i):
    rows, p_x = list(problems())[i]
    betas = critical_betas(rows, p_x).onset * np.array([1.05, 3.0])
    curve = ib_curve(rows, p_x, betas, threads=1)
    for beta, objective in zip(betas, curve.objective, strict=True):
        least = restarts(rows, p_x, beta, 50, seed=i)
        assert objective <= least + 1e-8
        assert objective >= least - 0.2 * abs(least) - 0.01  # the restarts do search


@pytest.mark.parametrize("i", range(0, 20, 3))
def test_too_few_clusters_are_known_to_be_too_few(i):
    rows, p_x = list(problems())[i]
    betas = critical_betas(rows, p_x).onset * np.array([0.9, 1.02, 1.5, 4.0, 30.0])
    best = ib_curve(rows, p_x, betas, threads=1)
    seen = 0
    for n in (1, 2, 3):
        capped = ib_curve(rows, p_x, betas, n_clusters=n, threads=1)
        assert (capped.n_clusters <= n).all()
        excess = capped.objective - best.objective
        assert (excess > -1e-9).all()
        assert (capped.gap >= excess - 1e-9).all()
        assert not (capped.sure & (excess > 1e-8)).any()
        seen += np.count_nonzero(excess > 1e-8)
        # What is capped bounds the curve from above all the same.
        rates = np.linspace(0, best.source.h_x, 50)
        assert (capped.relevance_bound(rates) >= best.relevance_at(rates) - 1e-9).all()
    assert seen > 3
    one = ib_curve(rows, p_x, betas, n_clusters=1, threads=1)
    assert np.abs([one.rate, one.relevance]).max() < 1e-12


def test_a_loose_tolerance_is_quick_and_no_less_certain():
    rows, p_x = list(problems())[12]
    betas = np.geomspace(1.1, 50, 20)
    for tolerance in (1e-3, 1e-6, 1e-12):
        curve = ib_curve(rows, p_x, betas, tolerance=tolerance, threads=1)
        assert (curve.residual <= tolerance).all()
        best = ib_curve(rows, p_x, betas, threads=1)
        assert (curve.objective - curve.gap <= best.objective + 1e-12).all()


def many_classes():
    rng = np.random.default_rng(0)
    return rng.dirichlet([0.5, 1.0, 2.0], 300), rng.dirichlet(np.full(300, 2.0))


@pytest.mark.parametrize("n_clusters", [20, 5])
def test_threads_change_nothing(n_clusters):
    rows, p_x = many_classes()
    options = {"betas": [2.0, 4.0, 12.0], "n_clusters": n_clusters, "tolerance": 1e-8}
    one = ib_curve(rows, p_x, threads=1, **options)
    assert max(one.n_clusters) > 4
    for threads in (2, 3):
        other = ib_curve(rows, p_x, threads=threads, **options)
        for name in FIELDS:
            assert np.array_equal(getattr(other, name), getattr(one, name)), name
        for i in range(len(one)):
            assert np.array_equal(other.encoder(i), one.encoder(i))


ALL_THE_BITS = """
    import hashlib, json, sys
    import numpy as np
    from ibfast import _core
    from ibfast.bottleneck import ib_curve, layer_optimality

    h = hashlib.sha256()
    rng = np.random.default_rng(0)
    for n, k in ((30, 2), (200, 3), (20, 17)):
        rows, p_x = rng.dirichlet(np.full(k, 0.5), n), rng.dirichlet(np.ones(n))
        curve = ib_curve(rows, p_x, [1.1, 2.0, 5.0, 30.0], n_clusters=20, threads=2)
        for name in ("rate", "relevance", "residual", "gap", "iterations"):
            h.update(getattr(curve, name).tobytes())
        for i in range(4):
            h.update(curve.encoder(i).tobytes())
            h.update(curve.decoder(i).tobytes())
        layer = layer_optimality(rng.integers(0, 5, n), rows, curve, p_x=p_x)
        h.update(repr(layer).encode())
    print(json.dumps([_core.info()["simd"], h.hexdigest()]))
"""


def test_every_level_of_simd_gives_the_same_bits():
    levels = [level for level in LEVELS if available(level)]
    out = [json.loads(run(ALL_THE_BITS, IBFAST_SIMD=level)) for level in [*levels, ""]]
    assert [name for name, _ in out[:-1]] == levels
    assert len({digest for _, digest in out}) == 1
    assert len(out[0][1]) == 2 * hashlib.sha256().digest_size


def shares(values):
    """Distributions along the last axis, of numbers that are not all 0."""
    values = values + (values.sum(axis=-1, keepdims=True) == 0)
    values = values / values.max(axis=-1, keepdims=True)
    return values / values.sum(axis=-1, keepdims=True)


probabilities = st.one_of(
    st.sampled_from([0.0, 1e-300, 1e-150, 1e-12, 0.5, 1.0, 1 - 1e-12]),
    st.floats(0, 1),
    st.floats(-300, 0).map(lambda x: 10.0**x),
)
nasty_rows = st.tuples(st.integers(1, 10), st.integers(1, 5)).flatmap(
    lambda shape: hnp.arrays(np.float64, shape, elements=probabilities, fill=st.nothing())
)
nasty_betas = st.one_of(
    st.floats(-2, 6).map(lambda x: 10.0**x), st.floats(-6, 1).map(lambda x: 1 + 10.0**x)
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(nasty_rows, st.lists(nasty_betas, min_size=1, max_size=3), st.integers(0, 2**32))
def test_nasty_sources(values, betas, seed):
    rng = np.random.default_rng(seed)
    rows = shares(values)
    if rng.random() < 0.3:
        rows = rows[rng.integers(0, len(rows), len(rows))]
    p_x = shares(10 ** rng.uniform(-12, 0, len(rows))) if rng.random() < 0.6 else None
    curve = ib_curve(rows, p_x, betas, threads=1)
    p_x = curve.source.inputs
    for name in FIELDS:
        assert np.isfinite(getattr(curve, name)).all(), name
    for i, beta in enumerate(curve.beta):
        encoder = curve.encoder(i)
        assert np.isfinite(encoder).all()
        assert np.isfinite(curve.marginal(i)).all()
        assert np.isfinite(curve.decoder(i)).all()
        rate, relevance = information(rows, p_x, encoder)
        assert curve.rate[i] == pytest.approx(rate, abs=1e-9)
        assert curve.relevance[i] == pytest.approx(relevance, abs=1e-9)
        if curve.sure[i]:
            assert curve.gap[i] < 1e-9
            assert residual(rows, p_x, encoder, beta) < 1e-9 * max(1, beta / 1e3)
        if curve.gap[i] < 1e-9:  # the trivial and the full encoder are not better
            assert curve.objective[i] <= 1e-8
            s = curve.source
            assert curve.objective[i] <= s.h_x - beta * s.i_xy + 1e-8 * (1 + beta / 1e3)
    rates = np.linspace(0, curve.source.h_x, 20)
    assert (curve.relevance_at(rates) <= curve.relevance_bound(rates) + 1e-9).all()
    critical = critical_betas(curve.source)
    assert 1 <= critical.onset <= critical.instability
    assert len(used(rows, p_x, rows)[0]) == len(rows)
