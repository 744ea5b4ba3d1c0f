"""The squared bottleneck against closed forms and a dense maximisation."""

import numpy as np
import pytest

from bottleneck_oracle import LN2, entropy, information, problems
from ibfast.bottleneck import ib_curve, squared_ib

BETAS = [0.05, 0.2, 0.5, 1.0, 3.0]


@pytest.mark.parametrize("p_x", [None, [0.1, 0.2, 0.3, 0.3, 0.1]])
def test_a_label_that_is_a_function_of_the_input(p_x):
    rows = np.eye(3)[[0, 1, 1, 2, 0]]
    h_y = entropy((np.full(5, 0.2) if p_x is None else np.array(p_x)) @ rows)
    found = squared_ib(rows, p_x, BETAS, threads=1)
    expected = np.minimum(1 / (2 * np.array(BETAS)), h_y)
    assert found.rate == pytest.approx(expected, abs=1e-9)
    assert found.relevance == pytest.approx(expected, abs=1e-9)
    assert_reached(found, rows, p_x)


@pytest.mark.parametrize("e", [0.1, 0.5, 0.9])
def test_an_erasure_channel(e):
    rows = np.hstack([(1 - e) * np.eye(3), np.full((3, 1), e)])
    found = squared_ib(rows, None, BETAS, threads=1)
    expected = np.minimum((1 - e) / (2 * np.array(BETAS)), np.log2(3))
    assert found.rate == pytest.approx(expected, abs=1e-6)
    assert found.relevance == pytest.approx((1 - e) * expected, abs=1e-6)
    assert_reached(found, rows, None)


@pytest.mark.parametrize("i", [0, 1, 3, 6, 9])
def test_general_sources(i):
    rows, p_x = list(problems())[i]
    found = squared_ib(rows, p_x, BETAS, threads=1)
    curve = ib_curve(rows, p_x, resolution=1e-4, threads=1)
    rates = np.linspace(0, curve.source.h_x, 100_001)
    for beta, rate, relevance in zip(BETAS, found.rate, found.relevance, strict=True):
        value = relevance - beta * rate**2
        assert value >= (curve.relevance_at(rates) - beta * rates**2).max() - 1e-9
        assert value <= (curve.relevance_bound(rates) - beta * rates**2).max() + 1e-6
    assert (np.diff(found.rate) <= 1e-9).all()
    assert ((found.share >= 0) & (found.share <= 1)).all()
    assert_reached(found, rows, p_x)


def assert_reached(found, rows, p_x):
    p_x = np.full(len(rows), 1 / len(rows)) if p_x is None else np.asarray(p_x)
    for i in range(len(found.beta)):
        encoder = found.encoder(i)
        assert encoder.sum(axis=1) == pytest.approx(1)
        assert information(rows, p_x, encoder) == pytest.approx(
            (found.rate[i], found.relevance[i]), abs=1e-9
        )


def test_nats():
    """R - beta R^2 is in bits as it is in nats where beta is divided by ln 2."""
    rows, p_x = list(problems())[1]
    for source in ((rows, p_x), (np.eye(2), None)):
        bits = squared_ib(*source, BETAS, threads=1)
        nats = squared_ib(*source, np.array(BETAS) / LN2, units="nats", threads=1)
        assert (bits.units, nats.units) == ("bits", "nats")
        assert nats.rate == pytest.approx(LN2 * bits.rate, abs=1e-8)
        assert nats.relevance == pytest.approx(LN2 * bits.relevance, abs=1e-8)
        assert nats.share == pytest.approx(bits.share, abs=1e-6)


def test_betas_are_sorted_and_taken_once():
    found = squared_ib(np.eye(2), betas=[2.0, 0.5, 2.0], threads=1)
    assert found.beta.tolist() == [0.5, 2.0]
    assert found.relevance.tolist() == pytest.approx([1.0, 0.25])
    assert squared_ib(np.eye(2), threads=1).beta.tolist() == [0.5]


def test_nothing_to_know():
    found = squared_ib([[0.3, 0.7]] * 3, betas=[0.1, 1.0], threads=1)
    assert found.rate.tolist() == found.relevance.tolist() == [0, 0]
    assert (found.encoder(0).sum(axis=1) == 1).all()


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"betas": [0.0]}, ValueError, "betas: from 0.0 to 0.0; expected finite and positive"),
        ({"betas": []}, ValueError, r"betas: shape \(0,\); expected \(b,\), at least one"),
        ({"betas": np.inf}, ValueError, "betas: from inf to inf; expected finite and positive"),
        ({"betas": ["a"]}, TypeError, "betas: dtype <U1; expected"),
        ({"units": "bit"}, ValueError, "units: 'bit'; expected"),
        ({"threads": -2}, ValueError, "threads: -2; expected"),
        ({"p_x": [1.0]}, ValueError, r"p_x: shape \(1,\); expected \(2,\)"),
    ],
)
def test_what_is_refused(options, error, match):
    with pytest.raises(error, match=match):
        squared_ib(np.eye(2), **options)
