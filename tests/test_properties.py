"""Identities and inequalities of information, and invariances that hold to the last bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oracle
from ibfast import JointCounts, entropy, information, layer_information, mutual_info
from ibfast.binning import Edges, Integers, Uniform, Width, discretise

pytestmark = pytest.mark.filterwarnings("ignore::ibfast.SaturationWarning")
few = settings(max_examples=60, deadline=None, derandomize=True)
NEAR = 1e-12


@st.composite
def samples(draw, units=3):
    """Integer activations (n, units), labels (n,)."""
    n = draw(st.integers(1, 60))
    acts = draw(hnp.arrays(np.int8, (n, units), elements=st.integers(0, 3)))
    return acts, draw(hnp.arrays(np.int64, n, elements=st.integers(0, 4)))


@st.composite
def soft_samples(draw):
    """Integer activations (n, 2), rows p(y|x) (n, 3), weights (n,) of many sizes."""
    acts, _ = draw(samples(units=2))
    n = len(acts)
    p = draw(hnp.arrays(np.float64, (n, 3), elements=st.floats(0, 1, allow_subnormal=False)))
    p[:, 0] += 0.01
    weights = draw(hnp.arrays(np.float64, n, elements=st.sampled_from([0, 2.0**-39, 0.1, 1, 1e5])))
    weights[0] = 1
    return acts, p / p.sum(axis=1, keepdims=True), weights


def h(*columns):
    return entropy(np.column_stack(columns), bins=Integers())


def mi(acts, labels):
    return mutual_info(np.reshape(acts, (len(acts), -1)), labels, bins=Integers())


@few
@given(samples())
def test_information_is_the_sum_of_entropies(sample):
    acts, labels = sample
    layer = layer_information(acts, labels, bins=Integers())
    h_t, h_y, h_ty = h(acts), h(labels), h(acts, labels)
    assert (layer.h_t, layer.h_y) == (h_t, h_y)
    assert layer.i_ty == pytest.approx(h_t + h_y - h_ty, rel=NEAR, abs=NEAR)


@few
@given(samples())
def test_bounds(sample):
    acts, labels = sample
    layer = layer_information(acts, labels, bins=Integers())
    assert 0 <= layer.i_ty <= layer.h_y
    assert layer.i_ty <= layer.h_t * (1 + NEAR)
    assert 0 <= layer.h_t <= np.log2(layer.n_cells) * (1 + NEAR)
    assert layer.h_t <= np.log2(layer.n) * (1 + NEAR)
    assert layer.n_singletons <= layer.n_cells <= layer.n == len(acts)


@few
@given(samples(units=1))
def test_information_is_symmetric(sample):
    acts, labels = sample
    assert mi(acts, labels) == pytest.approx(mi(labels, acts[:, 0]), rel=NEAR, abs=NEAR)
    given_inputs = layer_information(acts, labels, inputs=labels, bins=Integers())
    assert given_inputs.i_xt == pytest.approx(given_inputs.i_ty, rel=NEAR, abs=NEAR)


@few
@given(samples())
def test_the_chain_rule(sample):
    """I(T1,T2;Y) = I(T1;Y) + I(T2;Y|T1)."""
    acts, labels = sample
    first = acts[:, :1]
    conditional = sum(
        (first == v).mean() * mi(acts[first[:, 0] == v][:, 1:], labels[first[:, 0] == v])
        for v in np.unique(first)
    )
    assert mi(acts, labels) == pytest.approx(mi(first, labels) + conditional, rel=NEAR, abs=NEAR)


@few
@given(samples(), st.integers(1, 3))
def test_processing_loses_information(sample, shift):
    acts, labels = sample
    coarse = acts >> shift
    assert mi(coarse, labels) <= mi(acts, labels) + NEAR
    assert h(coarse) <= h(acts) + NEAR
    assert mi(acts[:, :2], labels) <= mi(acts, labels) + NEAR


@few
@given(samples())
def test_what_is_renamed_is_the_same(sample):
    acts, labels = sample
    expected = layer_information(acts, labels, bins=Integers())
    for other in (
        acts[:, ::-1],
        np.column_stack([acts, acts]),
        3 - acts.astype(np.int64),
        acts * 9,
    ):
        assert layer_information(other, labels, bins=Integers()) == expected
    assert layer_information(acts, 7 * labels + 1, bins=Integers()) == expected
    assert layer_information(acts.astype(np.float32), labels, bins=Width(1)) == expected


@few
@given(samples(), st.randoms(use_true_random=False))
def test_rows_in_any_order_give_the_same_bits(sample, random):
    acts, labels = sample
    order = list(range(len(acts)))
    random.shuffle(order)
    expected = layer_information(acts, labels, bins=Integers())
    assert layer_information(acts[order], labels[order], bins=Integers()) == expected


@few
@given(soft_samples(), st.randoms(use_true_random=False))
def test_weighted_rows_in_any_order_give_the_same_bits(sample, random):
    acts, soft, weights = sample
    order = list(range(len(acts)))
    random.shuffle(order)
    for w, shuffled in ((None, None), (weights, weights[order])):
        expected = layer_information(acts, soft, bins=Integers(), weights=w)
        got = layer_information(acts[order], soft[order], bins=Integers(), weights=shuffled)
        assert got == expected


@few
@given(soft_samples())
def test_weighted_rows_against_exact_sums(sample):
    acts, soft, weights = sample
    joint = oracle.soft_joint(oracle.cells(acts), soft, weights)
    h_t, h_y, h_ty = oracle.entropies(joint)
    layer = layer_information(acts, soft, bins=Integers(), weights=weights)
    assert layer.h_t == pytest.approx(h_t, rel=NEAR, abs=1e-20)
    assert layer.h_y == pytest.approx(h_y, rel=NEAR, abs=1e-20)
    assert layer.i_ty == pytest.approx(h_t + h_y - h_ty, rel=NEAR, abs=NEAR)
    assert layer.n == np.count_nonzero(weights)
    assert 0 <= layer.i_ty <= layer.h_y


@few
@given(soft_samples(), st.booleans(), st.data())
def test_any_split_and_merge_gives_the_same_bytes(sample, weighted, data):
    acts, soft, weights = sample
    hard = soft.argmax(axis=1)
    labels = soft if weighted else hard
    owner = data.draw(hnp.arrays(np.int64, len(acts), elements=st.integers(0, 3)))
    whole = JointCounts(Integers(), 3)
    whole.update(acts, labels, weights if weighted else None)
    parts = [JointCounts(Integers(), 3) for _ in range(4)]
    for k in data.draw(st.permutations(range(4))):
        mine = owner == k
        if (weights[mine] > 0).any():
            parts[k].update(acts[mine], labels[mine], weights[mine] if weighted else None)
        elif not weighted and mine.any():
            parts[k].update(acts[mine], labels[mine])
    total = JointCounts(Integers(), 3)
    for k in data.draw(st.permutations(range(4))):
        total.merge(parts[k])
    assert total.to_bytes() == whole.to_bytes()
    assert information(total) == information(JointCounts.from_bytes(whole.to_bytes()))


@few
@given(
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        st.tuples(st.integers(1, 20), st.integers(1, 20)),
        elements=st.floats(-2, 2, width=16),
    ),
    st.integers(1, 300),
    st.tuples(st.floats(-3, 0), st.floats(0.001, 3)),
    st.sampled_from(["clip", "cell"]),
)
def test_codes_of_any_grid(acts, n, span, outside):
    bins = Uniform(n, span)
    assert np.array_equal(
        discretise(acts, bins, outside=outside), oracle.codes(acts, bins, outside)
    )


@few
@given(
    hnp.arrays(
        np.float64, st.tuples(st.integers(1, 30), st.just(2)), elements=st.floats(-1e9, 1e9)
    ),
    st.lists(st.floats(allow_nan=False), min_size=1, max_size=40).map(sorted),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from(["clip", "cell"]),
)
def test_codes_of_any_edges(acts, edges, dtype, outside):
    acts = acts.astype(dtype)
    acts[0] = acts.dtype.type(np.clip(edges[0], -1e30, 1e30))
    bins = Edges(edges)
    assert np.array_equal(
        discretise(acts, bins, outside=outside), oracle.codes(acts, bins, outside)
    )


@few
@given(samples(), st.integers(1, 6), st.integers(1, 4))
def test_sums_of_counts(sample, n_units, threads):
    acts, labels = sample
    wide = np.tile(acts, (1, n_units))
    counts = JointCounts(Integers(), 5, threads=threads)
    counts.update(wide, labels)
    cell, label, total = counts.joint_counts()
    assert counts.cell_counts().sum() == total.sum() == counts.n == len(acts)
    assert np.array_equal(np.bincount(label, total, 5), np.bincount(labels, minlength=5))
    assert np.array_equal(np.unique(cell), np.arange(counts.n_cells))
