import hashlib
import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibfast.datasets import committee_rule, digits, spherical_rule

PUBLISHED = "77732f16f85e91b49d3997196b56163b3bd362d8cf631468a8de3f986e88359f"


def label_information(p):
    """I(X;Y) of equally likely inputs, pattern by pattern."""

    def entropy(q):
        return -sum(x * np.log2(x) for x in (q, 1 - q) if x > 0)

    return entropy(p.mean()) - np.mean([entropy(q) for q in p])


def test_patterns_are_the_binary_digits():
    x, _ = spherical_rule()
    assert x.dtype == np.uint8
    assert x.tolist() == [list(bits) for bits in product((0, 1), repeat=12)]


def test_hard_labels_are_the_published_ones():
    _, y = spherical_rule()
    assert y.dtype == np.uint8
    assert hashlib.sha256(y.tobytes()).hexdigest() == PUBLISHED
    assert label_information(y.astype(float)) == pytest.approx(0.9991571, abs=1e-7)


def test_soft_labels_of_the_paper():
    x, p = spherical_rule(0.99)
    _, y = spherical_rule()
    assert p.shape == (4096,)
    assert p.dtype == np.float64
    assert label_information(p) == pytest.approx(0.99, abs=1e-6)
    assert np.array_equal(p > 0.5, y.astype(bool))
    assert ((p > 0.001) & (p < 0.999)).sum() == 240
    assert len(x) == 4096


@given(st.floats(1e-6, 0.99915))
def test_soft_labels_have_the_information_asked_for(information):
    assert label_information(spherical_rule(information)[1]) == pytest.approx(information, abs=1e-9)


@pytest.mark.parametrize("information", [0, -0.1, 0.9991572, 1, float("nan")])
def test_information_out_of_range(information):
    with pytest.raises(ValueError, match=r"information must be between 0 and H\(Y\) = 0.99915"):
        spherical_rule(information)


@given(st.integers(0, 2**32))
def test_committee_is_balanced_and_odd(seed):
    x, y = committee_rule(seed)
    assert y.dtype == np.uint8
    assert np.array_equal(1 - y, y[::-1])  # row 4095 - n is the complement of row n
    assert np.array_equal(y, committee_rule(seed)[1])
    assert len(x) == len(y)


def test_committee_is_a_majority_of_perceptrons():
    x, y = committee_rule(3)
    weights = np.random.default_rng(3).choice([-1, 1], size=(3, 12))
    for n in range(0, 4096, 37):
        spins = [2 * int(bit) - 1 for bit in x[n]]
        votes = 0
        for w in weights.tolist():
            field = sum(a * b for a, b in zip(w, spins, strict=True)) or w[0] * spins[0]
            votes += 1 if field > 0 else -1
        assert y[n] == (votes > 0)


def test_digits_are_a_sample_of_real_data(monkeypatch):
    x, y = digits()
    assert (x.shape, x.dtype, x.min(), x.max()) == ((1797, 64), np.float64, 0, 1)
    assert (y.shape, np.unique(y).tolist()) == ((1797,), list(range(10)))
    assert np.issubdtype(y.dtype, np.integer)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(
        ImportError, match=r'digits needs scikit-learn: pip install "ibfast\[run\]"'
    ):
        digits()
