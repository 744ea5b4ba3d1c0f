"""The curve against closed forms, and what must hold of any curve."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from bottleneck_oracle import LN2, entropy, information, problems
from ibfast.bottleneck import critical_betas, ib_curve, make_source

few = settings(max_examples=25, deadline=None, derandomize=True)


def h(p):
    return entropy(np.array([p, 1 - p]))


def source(i):
    return list(problems(i + 1))[i]


@pytest.mark.parametrize("p", [0.01, 0.05, 0.11, 0.25, 0.4, 0.49])
def test_a_symmetric_channel(p):
    """Mrs. Gerber: T is X through another such channel, of error a."""
    onset = 1 / (1 - 2 * p) ** 2
    betas = onset * (1 + np.geomspace(1e-3, 10, 50))
    curve = ib_curve([[1 - p, p], [p, 1 - p]], betas=betas, threads=1)
    for beta, rate, relevance in zip(betas, curve.rate, curve.relevance, strict=True):

        def excess(a, beta=beta):
            through = p + a - 2 * p * a
            return math.log((1 - a) / a) - beta * (1 - 2 * p) * math.log((1 - through) / through)

        a = optimize.brentq(excess, 1e-300, 0.5 - 1e-6, xtol=1e-300, rtol=1e-14)
        assert rate == pytest.approx(1 - h(a), abs=1e-7)
        assert relevance == pytest.approx(1 - h(p + a - 2 * p * a), abs=1e-7)
    assert curve.sure.all()
    assert (curve.n_clusters == 2).all()


def test_a_symmetric_channel_as_published():
    channel = [[0.89, 0.11], [0.11, 0.89]]
    curve = ib_curve(channel, betas=[2.0], threads=1)
    assert (curve.rate[0], curve.relevance[0]) == pytest.approx((0.6011649, 0.3385081), abs=1e-7)
    fine = ib_curve(channel, resolution=1e-5, threads=1)
    assert fine.relevance_at([0.25, 0.5, 0.75]) == pytest.approx(
        [0.1482386, 0.2865076, 0.4091986], abs=1e-5
    )
    assert fine.critical.onset == pytest.approx(1.6436555, abs=1e-4)


@pytest.mark.parametrize("p", [0.3, 0.05, 0.002])
@pytest.mark.parametrize(
    "channel", [[[0.9, 0.1], [0.1, 0.9]], [[1.0, 0.0], [0.5, 0.5]], [[0.7, 0.3], [0.2, 0.8]]]
)
def test_binary_inputs(channel, p):
    """Two clusters lie where a line touches beta H(Y|t) - H(X|t) twice (Witsenhausen & Wyner)."""
    channel = np.array(channel)
    grid = np.sort(np.concatenate([np.linspace(0, 1, 4001), np.geomspace(1e-9, 1e-3, 800)]))
    both = np.stack([1 - grid, grid], axis=1)

    def entropies(rows):
        return -np.where(rows > 0, rows * np.log2(np.maximum(rows, 1e-300)), 0).sum(axis=1)

    of_x, of_y = entropies(both), entropies(both @ channel)
    onset = critical_betas(channel, [1 - p, p]).onset
    betas = onset * np.array([0.5, 0.98, 1.02, 1.3, 2.0, 5.0])
    curve = ib_curve(channel, [1 - p, p], betas, threads=1)
    for i, beta in enumerate(betas):
        cost = beta * of_y - of_x
        # The envelope at p: the greatest of lines below, by slope.
        slope = optimize.minimize_scalar(
            lambda s, cost=cost: -(cost - s * (grid - p)).min(),
            bracket=(-1.0, 1.0),
            options={"xtol": 1e-13},
        )
        least = h(p) - beta * h(float(p * channel[1, 1] + (1 - p) * channel[0, 1])) - slope.fun
        assert curve.objective[i] <= least + 1e-10
        assert curve.objective[i] == pytest.approx(least, abs=2e-6 * beta)
        assert curve.objective[i] == curve.rate[i] - beta * curve.relevance[i]
        if beta < onset:
            assert (curve.rate[i], curve.relevance[i]) == pytest.approx((0, 0), abs=1e-9)
            continue
        ends = curve.encoder(i) * np.array([1 - p, p])[:, None]
        for x in ends[1] / ends.sum(axis=0):  # p(x=1|t) of both clusters lie on that line
            at = np.array([[1 - x, x]])
            on = beta * entropies(at @ channel) - entropies(at) - slope.x * (x - p)
            assert on == pytest.approx(-slope.fun, abs=1e-5 * beta)
    assert curve.sure.all()


@pytest.mark.parametrize("e", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("p_x", [[1 / 3, 1 / 3, 1 / 3], [0.7, 0.2, 0.1]])
def test_an_erasure_channel(e, p_x):
    rows = np.hstack([(1 - e) * np.eye(3), np.full((3, 1), e)])
    h_x = entropy(np.array(p_x))
    rates = np.linspace(0, h_x, 11)
    curve = ib_curve(rows, p_x, threads=1)
    for f in (curve.relevance_at, curve.relevance_bound):
        assert f(rates) == pytest.approx((1 - e) * rates, abs=1e-9)
        assert f(2 * h_x) == pytest.approx((1 - e) * h_x, abs=1e-12)
    assert curve.rate_at((1 - e) * rates) == pytest.approx(rates, abs=1e-8)
    one = ib_curve(rows, p_x, np.array([0.99, 1.01, 20]) / (1 - e), threads=1)
    assert one.rate == pytest.approx([0, h_x, h_x], abs=1e-7)
    assert one.sure.all()


@pytest.mark.parametrize("betas", [None, [0.5, 1.0, 1.0001, 2.0, 1e6], [3.0]])
def test_a_label_that_is_a_function_of_the_input(betas):
    rows, p_x = np.eye(3)[[0, 1, 1, 2, 0]], np.array([0.1, 0.2, 0.3, 0.3, 0.1])
    h_y = entropy(p_x @ rows)
    curve = ib_curve(rows, p_x, betas, threads=1)
    rates = np.array([0, 0.3, 1.0, h_y, 2.0])
    for f in (curve.relevance_at, curve.relevance_bound):
        assert f(rates) == pytest.approx(np.minimum(rates, h_y), abs=1e-14)
    above = curve.beta > 1
    assert curve.rate.tolist() == curve.relevance.tolist() == np.where(above, h_y, 0).tolist()
    assert curve.sure.all()
    assert (curve.residual == 0).all()
    assert curve.n_clusters.tolist() == np.where(above, 3, 1).tolist()
    for i in range(len(curve)):
        assert information(rows, p_x, curve.encoder(i)) == pytest.approx(
            (curve.rate[i], curve.relevance[i]), abs=1e-12
        )
        assert curve.marginal(i).sum() == pytest.approx(1)


def test_few_clusters_for_a_label_that_is_a_function_of_the_input():
    rows = np.eye(3)[[0, 1, 2, 2]]
    curve = ib_curve(rows, betas=[2.0], n_clusters=2, threads=1)
    assert curve.n_clusters == [2]
    assert curve.relevance[0] == pytest.approx(curve.rate[0])
    assert not curve.sure[0]
    assert curve.objective[0] - curve.gap[0] <= -1.5  # what three clusters reach


@pytest.mark.parametrize("rows", [[[0.2, 0.8]] * 4, [[1.0]] * 3, [[0.4, 0.6]], [[0.0, 1.0]] * 2])
@pytest.mark.parametrize("betas", [None, [0.5, 3.0, 1e6]])
def test_nothing_to_know(rows, betas):
    curve = ib_curve(rows, betas=betas, threads=1)
    assert curve.rate.tolist() == curve.relevance.tolist() == [0.0] * len(curve)
    assert curve.sure.all()
    assert (curve.n_clusters == 1).all()
    assert curve.encoder(0).tolist() == [[1.0]] * len(rows)
    assert (curve.relevance_at([0.0, 1.0]) == 0).all()
    assert (curve.relevance_bound([0.0, 1.0]) == 0).all()
    assert curve.rate_at(0.0) == 0
    assert curve.splits().tolist() == []


@pytest.mark.parametrize("resolution", [0.1, 1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("i", [0, 3, 5, 14, 18])
def test_the_resolution_is_met(i, resolution):
    rows, p_x = source(i)
    curve = ib_curve(rows, p_x, resolution=resolution, threads=1)
    i_xy = curve.source.i_xy
    rates = np.linspace(0, curve.source.h_x, 2000)
    room = curve.relevance_bound(rates) - curve.relevance_at(rates)
    assert room.min() > -1e-12
    assert room.max() <= resolution * i_xy + 1e-10
    assert curve.sure.all()
    assert (np.diff(curve.beta) > 0).all()


@pytest.mark.parametrize("i", range(0, 20, 3))
def test_every_curve_is_concave_and_below_its_bound(i):
    rows, p_x = source(i)
    curve = ib_curve(rows, p_x, threads=1)
    s = curve.source
    assert (np.diff(curve.rate) > -1e-9).all()
    assert (np.diff(curve.relevance) > -1e-9).all()
    rates = np.linspace(0, s.h_x, 500)
    known = curve.relevance_at(rates)
    assert known[0] == 0
    assert known[-1] == pytest.approx(s.i_xy, abs=1e-12)
    assert (np.diff(known, 2) < 1e-12).all()
    assert (known <= np.minimum(rates, s.i_xy) + 1e-12).all()
    assert curve.relevance_at(curve.rate) == pytest.approx(curve.relevance, abs=1e-10)
    assert curve.rate_at(known) == pytest.approx(rates, abs=1e-6)
    rng = np.random.default_rng(i)
    for _ in range(200):
        n = int(rng.integers(1, 2 * len(rows)))
        encoder = rng.dirichlet(np.full(n, 10 ** rng.uniform(-3, 1)), len(rows))
        if rng.random() < 0.3:  # near an optimal one
            best = curve.encoder(int(rng.integers(len(curve))))
            share = rng.random() * 0.1
            encoder = np.hstack([(1 - share) * best, share * encoder])
        rate, relevance = information(rows, p_x, encoder)
        assert relevance <= curve.relevance_bound(rate) + 1e-9
        assert relevance <= rate + 1e-12  # data processing
    slope = curve.relevance_bound(1e-9) / 1e-9
    assert slope >= 1 / curve.critical.onset - 1e-6


@pytest.mark.parametrize("i", range(0, 20, 4))
def test_the_slope_at_the_origin(i):
    rows, p_x = source(i)
    onset = critical_betas(rows, p_x).onset
    curve = ib_curve(rows, p_x, onset * np.array([1 - 1e-5, 1 + 1e-4]), threads=1)
    low = curve.rate[1] / 2
    assert low > 0
    for f in (curve.relevance_at, curve.relevance_bound):
        assert f(low) / low == pytest.approx(1 / onset, rel=1e-3)


@pytest.mark.parametrize("i", [2, 5, 9, 13])
def test_merged_permuted_and_impossible_inputs_change_nothing(i):
    rows, p_x = source(i)
    betas = critical_betas(rows, p_x).onset * np.array([1.1, 1.7, 4.0, 20.0])
    curve = ib_curve(rows, p_x, betas, threads=1)
    rng = np.random.default_rng(i)
    order, labels = rng.permutation(len(rows)), rng.permutation(rows.shape[1])
    share = rng.random(len(rows))
    others = {
        "permuted": (rows[order], p_x[order], order),
        "labels": (rows[:, labels], p_x, np.arange(len(rows))),
        "split": (
            np.concatenate([rows, rows]),
            np.concatenate([share * p_x, (1 - share) * p_x]),
            np.tile(np.arange(len(rows)), 2),
        ),
        "impossible": (
            np.vstack([np.full(rows.shape[1], 1 / rows.shape[1]), rows]),
            np.append(0.0, p_x),
            np.append(-1, np.arange(len(rows))),
        ),
    }
    for other_rows, other_p, which in others.values():
        other = ib_curve(other_rows, other_p, betas, threads=1)
        assert other.sure.all()
        assert other.objective == pytest.approx(curve.objective, abs=1e-9)
        assert other.rate == pytest.approx(curve.rate, abs=1e-6)
        assert other.relevance == pytest.approx(curve.relevance, abs=1e-6)
        assert other.n_clusters.tolist() == curve.n_clusters.tolist()
        for at in range(len(betas)):
            encoder = other.encoder(at)
            assert np.isnan(encoder[which < 0]).all()
            # Up to the order of the clusters: that of the decoders.
            one, two = (
                c.encoder(at)[:, np.lexsort(decoder.round(4).T)]
                for c, decoder in (
                    (curve, curve.decoder(at)),
                    (other, other.decoder(at)[:, np.argsort(labels)])
                    if other_rows.shape == rows.shape and not np.array_equal(which, order)
                    else (other, other.decoder(at)),
                )
            )
            assert two[which >= 0] == pytest.approx(one[which[which >= 0]], abs=1e-5)


def test_clusters_are_described():
    rows, p_x = source(7)
    curve = ib_curve(rows, p_x, [20.0, 60.0, 300.0], threads=1)
    for i in range(3):
        encoder, marginal, decoder = curve.encoder(i), curve.marginal(i), curve.decoder(i)
        n = curve.n_clusters[i]
        assert (encoder.shape, marginal.shape) == ((len(rows), n), (n,))
        assert decoder.shape == (n, rows.shape[1])
        for p in (encoder, decoder):
            assert p.sum(axis=1) == pytest.approx(1, abs=1e-12)
        assert p_x @ encoder == pytest.approx(marginal, abs=1e-9)
        assert encoder.T @ (p_x[:, None] * rows) == pytest.approx(
            marginal[:, None] * decoder, abs=1e-9
        )


def test_betas_are_sorted_and_taken_once():
    rows, p_x = source(1)
    curve = ib_curve(rows, p_x, [5.0, 2.0, 5.0, 3], threads=1)
    assert curve.beta.tolist() == [2, 3, 5]
    assert len(curve) == 3
    one = ib_curve(rows, p_x, 3.0, threads=1)
    assert one.objective == pytest.approx(curve.objective[1:2], abs=1e-9)
    again = ib_curve(make_source(rows, p_x), betas=np.float32([5, 3, 2]), threads=1)
    assert np.array_equal(again.rate, curve.rate)


def test_more_clusters_than_inputs_are_not_used():
    rows, p_x = source(1)
    few, many = (ib_curve(rows, p_x, [5.0, 50.0], n_clusters=n, threads=1) for n in (None, 1000))
    assert np.array_equal(few.rate, many.rate)
    assert (many.n_clusters <= len(rows)).all()


@pytest.mark.parametrize("betas", [None, [1.5, 3.0, 10.0]])
def test_nats_are_bits_times_ln_2(betas):
    rows, p_x = source(1)
    bits, nats = (ib_curve(rows, p_x, betas, units=u, threads=1) for u in ("bits", "nats"))
    assert (bits.units, nats.units) == ("bits", "nats")
    for name in ("rate", "relevance", "objective", "gap"):
        assert getattr(nats, name) == pytest.approx(LN2 * getattr(bits, name), rel=1e-14, abs=0)
    for name in ("beta", "residual", "n_clusters", "sure", "iterations"):
        assert np.array_equal(getattr(nats, name), getattr(bits, name))
    rates = np.linspace(0, bits.source.h_x, 20)
    for name in ("relevance_at", "relevance_bound"):
        one, two = getattr(bits, name)(rates), getattr(nats, name)(LN2 * rates)
        assert two == pytest.approx(LN2 * one, abs=1e-14)
    known = bits.relevance_at(rates)
    assert nats.rate_at(LN2 * known) == pytest.approx(LN2 * bits.rate_at(known), abs=1e-11)
    for name in ("h_x", "h_y", "i_xy"):
        assert nats.dataset.attrs[name] == pytest.approx(LN2 * bits.dataset.attrs[name])
    for name in ("onset", "instability", "classes", "deterministic"):
        assert nats.dataset.attrs[name] == bits.dataset.attrs[name]
    assert np.array_equal(nats.encoder(1), bits.encoder(1))


def test_the_dataset():
    rows, p_x = source(2)
    curve = ib_curve(rows, p_x, [5.0, 8.0, 20.0], units="nats", threads=1)
    dataset = curve.dataset
    assert dict(dataset.sizes) == {"beta": 3}
    assert dataset.beta.values.tolist() == [5, 8, 20]
    assert set(dataset.data_vars) == {
        "rate", "relevance", "objective", "n_clusters", "residual", "gap", "sure", "iterations",
    }  # fmt: skip
    for name, variable in dataset.data_vars.items():
        assert np.array_equal(variable.values, getattr(curve, name))
        assert variable.attrs["long_name"]
        in_nats = name in ("rate", "relevance", "objective", "gap")
        assert variable.attrs["units"] == ("nats" if in_nats else "1")
    assert dataset.attrs["units"] == "nats"
    assert dataset.attrs["classes"] == len(rows)
    assert dataset.attrs["deterministic"] == 0
    assert dataset.attrs["onset"] == curve.critical.onset == critical_betas(rows, p_x).onset
    assert ib_curve([0, 1], threads=1).dataset.attrs["deterministic"] == 1


def test_the_dataset_needs_xarray(monkeypatch):
    curve = ib_curve([0, 1], threads=1)
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ImportError, match=r'IBCurve.dataset needs xarray: pip install "ibfast\['):
        _ = curve.dataset


def test_a_split_of_a_symmetric_channel():
    onset = 1 / 0.78**2
    for rtol in (1e-2, 1e-4, 1e-6):
        for units in ("bits", "nats"):
            curve = ib_curve(
                [[0.89, 0.11], [0.11, 0.89]], betas=[1.0, 2.0, 4.0], units=units, threads=1
            )
            assert curve.splits(rtol) == pytest.approx([onset], rel=rtol)


@pytest.mark.parametrize("i", [1, 11, 9])
def test_the_number_of_clusters_changes_at_a_split(i):
    rows, p_x = source(i)
    onset = critical_betas(rows, p_x).onset
    curve = ib_curve(rows, p_x, onset * np.geomspace(0.9, 6, 12), threads=1)
    splits = curve.splits(1e-4)
    changed = np.flatnonzero(np.diff(curve.n_clusters))
    assert len(splits) == len(changed) > 1
    assert splits[0] == pytest.approx(onset, rel=1e-3)
    for split, at in zip(splits, changed, strict=True):
        assert curve.beta[at] < split < curve.beta[at + 1]
        around = ib_curve(rows, p_x, split * np.array([1 - 3e-4, 1 + 3e-4]), threads=1)
        assert around.n_clusters[0] != around.n_clusters[1]


@few
@given(st.integers(0, 2**32), st.integers(2, 8), st.integers(2, 4), st.floats(0.02, 5))
def test_processed_labels_are_known_no_better(seed, n, k, concentration):
    """A function of Y, or Y through a channel, has no higher curve."""
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(k, concentration), n)
    curve = ib_curve(rows, resolution=0.02, threads=1)
    rates = np.linspace(0, curve.source.h_x, 50)
    worse = ib_curve(rows @ rng.dirichlet(np.ones(k), k), resolution=0.02, threads=1)
    assert (worse.relevance_at(rates) <= curve.relevance_bound(rates) + 1e-9).all()
    joined = np.stack([rows[:, 0] + rows[:, 1], *rows[:, 2:].T], axis=1)
    worse = ib_curve(joined, resolution=0.02, threads=1)
    assert (worse.relevance_at(rates) <= curve.relevance_bound(rates) + 1e-9).all()


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"betas": [0.0, 1.0]}, ValueError, "betas: from 0.0 to 1.0; expected finite and positive"),
        ({"betas": -1.0}, ValueError, "betas: from -1.0 to -1.0; expected finite and positive"),
        ({"betas": [1.0, np.inf]}, ValueError, "betas: from 1.0 to inf; expected finite"),
        ({"betas": [1.0, np.nan]}, ValueError, "betas: from 1.0 to nan; expected finite"),
        ({"betas": []}, ValueError, r"betas: shape \(0,\); expected \(b,\), at least one"),
        ({"betas": [[1.0]]}, ValueError, r"betas: shape \(1, 1\); expected \(b,\), at least one"),
        ({"betas": ["a"]}, TypeError, "betas: dtype <U1; expected floating point"),
        ({"betas": [1j]}, TypeError, "betas: dtype complex128; expected floating point"),
        ({"n_clusters": 0}, ValueError, "n_clusters: 0; expected"),
        ({"n_clusters": -1}, ValueError, "n_clusters: -1; expected"),
        ({"n_clusters": 2.5}, TypeError, "n_clusters: .*2.5.*; expected"),
        ({"resolution": 0.0}, ValueError, "resolution: 0.0; expected a number between 0 and 1"),
        ({"resolution": 1.0}, ValueError, "resolution: 1.0; expected a number between 0 and 1"),
        ({"resolution": np.nan}, ValueError, "resolution: nan; expected a number between 0 and 1"),
        ({"tolerance": 0.0}, ValueError, "tolerance: 0.0; expected a number between 0 and 1"),
        ({"tolerance": 1.5}, ValueError, "tolerance: 1.5; expected a number between 0 and 1"),
        ({"tolerance": -1e-9}, ValueError, "tolerance: -1e-09; expected a number between 0 and 1"),
        ({"units": "bit"}, ValueError, "units: 'bit'; expected"),
        ({"threads": -1}, ValueError, "threads: -1; expected"),
        ({"p_x": [0.5, 0.6]}, ValueError, "p_x: .* expected probabilities"),
    ],
)
def test_what_is_refused(options, error, match):
    with pytest.raises(error, match=match):
        ib_curve([[0.9, 0.1], [0.2, 0.8]], **options)


def test_what_a_curve_refuses():
    curve = ib_curve([[0.9, 0.1], [0.2, 0.8]], betas=[3.0], threads=1)
    for f, name in (
        (curve.relevance_at, "rate"),
        (curve.relevance_bound, "rate"),
        (curve.rate_at, "relevance"),
    ):
        for value in (-0.1, [0.1, -2.0], np.nan):
            with pytest.raises(ValueError, match=f"{name}: .*; expected numbers that are not neg"):
                f(value)
    with pytest.raises(
        ValueError, match=r"relevance: 0.6; expected at most I\(X;Y\) = 0.39.* bits"
    ):
        curve.rate_at([0.1, 0.6])
    assert curve.rate_at(curve.source.i_xy) == pytest.approx(1)
    for rtol in (0, 1, -1, np.nan):
        with pytest.raises(ValueError, match=f"rtol: {rtol}; expected a number between 0 and 1"):
            curve.splits(rtol)


def test_a_resolution_out_of_reach_is_refused():
    with pytest.raises(ValueError, match=r"resolution: 1e-09; 1000 betas do not reach it"):
        ib_curve([0.05, 0.3, 0.6, 0.9], resolution=1e-9)


@pytest.mark.parametrize("method", ["encoder", "decoder", "marginal"])
def test_points_that_are_not_there(method):
    curve = ib_curve([0.1, 0.9], betas=[2.0, 3.0])
    for i in (2, -3):
        with pytest.raises(ValueError, match=f"i: {i}; expected an integer from -2 to 1"):
            getattr(curve, method)(i)
    with pytest.raises(TypeError, match=r"i: 0\.5"):
        getattr(curve, method)(0.5)


def test_rates_that_are_no_numbers():
    with pytest.raises(TypeError, match="rate: dtype"):
        ib_curve([0.1, 0.9], betas=[2.0]).relevance_at("a")
