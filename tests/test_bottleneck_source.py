"""What the bottleneck starts from: inputs merged, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bottleneck_oracle import entropy, information, problems
from ibfast.bottleneck import Source, make_source

few = settings(max_examples=40, deadline=None, derandomize=True)


@pytest.mark.parametrize("i", range(20))
def test_entropies_are_those_of_the_definition(i):
    rows, p_x = list(problems())[i]
    source = make_source(rows, p_x)
    assert source.p_y == pytest.approx(p_x @ rows, abs=1e-15)
    assert source.h_x == pytest.approx(entropy(p_x), abs=1e-13)
    assert source.h_y == pytest.approx(entropy(p_x @ rows), abs=1e-13)
    assert source.i_xy == pytest.approx(information(rows, p_x, np.eye(len(rows)))[1], abs=1e-13)
    assert source.inputs.tolist() == pytest.approx(p_x.tolist())
    assert not source.deterministic


def test_equal_rows_are_merged():
    rows = [[0.25, 0.75], [0.5, 0.5], [0.25, 0.75], [1.0, 0.0], [0.5, 0.5]]
    source = make_source(rows, [0.1, 0.2, 0.3, 0.0, 0.4])
    assert source.p_y_given_x.tolist() == [[0.25, 0.75], [0.5, 0.5]]
    assert source.p_x == pytest.approx([0.4, 0.6])
    assert source.class_of.tolist() == [0, 1, 0, -1, 1]
    assert make_source(source) is source
    assert isinstance(source, Source)


@few
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 5))
def test_classes_keep_the_joint_distribution(seed, n, k):
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(k, 0.5), n)[rng.integers(0, n, n)]
    p_x = rng.dirichlet(np.ones(n)) * (rng.random(n) < 0.8)
    p_x = p_x / p_x.sum() if p_x.any() else np.full(n, 1 / n)
    source = make_source(rows, p_x)
    assert (source.class_of >= 0).tolist() == (p_x > 0).tolist()
    possible = p_x > 0
    assert source.p_y_given_x[source.class_of[possible]] == pytest.approx(rows[possible], abs=1e-15)
    assert np.bincount(source.class_of[possible], p_x[possible]) == pytest.approx(source.p_x)
    assert len(np.unique(source.p_y_given_x, axis=0)) == len(source.p_x)
    assert (source.p_x > 0).all()
    assert 0 <= source.i_xy <= min(source.h_x, source.h_y) + 1e-12


def test_a_binary_label_by_its_probability():
    for ones in ([0.1, 0.5, 1.0], np.array([0, 1, 1], dtype=np.uint8), [True, False, True]):
        source = make_source(ones)
        both = np.stack([1 - np.asarray(ones, float), np.asarray(ones, float)], axis=1)
        other = make_source(both)
        assert np.array_equal(source.p_y_given_x, other.p_y_given_x)
        assert np.array_equal(source.class_of, other.class_of)
        assert source.i_xy == other.i_xy
    assert make_source([0, 1, 1]).deterministic
    assert make_source([[1, 0, 0], [0, 0, 1]]).deterministic


def test_floats_of_half_size_are_taken_to_sum_to_one():
    rows = np.array([[0.1, 0.9], [0.3, 0.7]])
    for dtype, near in ((np.float16, 1e-3), (np.float32, 1e-7)):
        source = make_source(rows.astype(dtype), np.array([0.3, 0.7], dtype))
        assert source.p_y_given_x == pytest.approx(rows, abs=near)
        assert source.p_y_given_x.sum(axis=1) == pytest.approx([1, 1], abs=1e-15)
        assert source.p_x.sum() == pytest.approx(1, abs=1e-15)


def test_trivial_sources():
    one = make_source([[0.3, 0.7]] * 3)
    assert (one.h_x, one.i_xy, len(one.p_x)) == (0, 0, 1)
    label = make_source([[1.0], [1.0]])
    assert (label.h_x, label.h_y, label.i_xy, label.deterministic) == (0, 0, 0, True)


@pytest.mark.parametrize(
    ("args", "error", "match"),
    [
        ((np.zeros((2, 2, 2)),), ValueError, r"p_y_given_x: shape \(2, 2, 2\); expected \(n, k\)"),
        ((np.zeros((0, 2)),), ValueError, r"p_y_given_x: shape \(0, 2\); expected"),
        ((np.zeros((2, 0)),), ValueError, r"p_y_given_x: shape \(2, 0\); expected"),
        ((0.5,), ValueError, r"p_y_given_x: shape \(\); expected"),
        (([0.5, 1.5],), ValueError, r"p_y_given_x: 1.5 at input 1; expected p\(y=1\|x\) from 0"),
        (([-0.1, 0.5],), ValueError, r"p_y_given_x: -0.1 at input 0; expected"),
        (([0.5, np.nan],), ValueError, r"p_y_given_x: nan at input 1; expected"),
        (([[0.5, 0.5], [0.5, 0.6]],), ValueError, r"p_y_given_x: row 1 .* sums to 1.1; expected"),
        (([[0.5, 0.5], [-0.5, 1.5]],), ValueError, r"p_y_given_x: row 1 .* not negative"),
        (([[np.nan, 1.0]],), ValueError, r"p_y_given_x: row 0 .* sums to nan; expected"),
        (([[np.inf, 1.0]],), ValueError, r"p_y_given_x: row 0 .* sums to inf; expected"),
        (([["a", "b"]],), TypeError, r"p_y_given_x: dtype <U1; expected floating point"),
        (([[1j, 1]],), TypeError, r"p_y_given_x: dtype complex128; expected floating point"),
        (([[0.5, 0.5], [1.0]],), ValueError, r"p_y_given_x: it cannot be viewed as an array"),
        (([0.5, 0.5], [1.0]), ValueError, r"p_x: shape \(1,\); expected \(2,\), one for each"),
        (([0.5, 0.5], [[0.5, 0.5]]), ValueError, r"p_x: shape \(1, 2\); expected \(2,\)"),
        (([0.5, 0.5], [0.5, 0.6]), ValueError, r"p_x: .* sums to 1.1; expected probabilities"),
        (([0.5, 0.5], [1.5, -0.5]), ValueError, r"p_x: .* expected probabilities: not negative"),
        (([0.5, 0.5], [np.nan, 1.0]), ValueError, r"p_x: .* sums to nan; expected probabilities"),
        (([0.5, 0.5], ["a", "b"]), TypeError, r"p_x: dtype <U1; expected floating point"),
        ((make_source([0.5]), [1.0]), ValueError, r"p_x: given beside a Source, which has its own"),
    ],
)
def test_what_is_refused(args, error, match):
    with pytest.raises(error, match=match):
        make_source(*args)
