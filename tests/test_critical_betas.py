"""Where the bottleneck opens, against closed forms and SciPy."""

import numpy as np
import pytest
from scipy import optimize, special

from bottleneck_oracle import problems
from ibfast.bottleneck import critical_betas, ib_curve


def divergence(p, q):
    return special.rel_entr(p, q).sum()


@pytest.mark.parametrize("p", [0.01, 0.05, 0.11, 0.25, 0.4, 0.49])
def test_a_symmetric_channel(p):
    found = critical_betas([[1 - p, p], [p, 1 - p]])
    assert found.onset == pytest.approx(1 / (1 - 2 * p) ** 2, rel=1e-4)
    assert found.instability == pytest.approx(1 / (1 - 2 * p) ** 2, rel=1e-12)


def test_a_rare_input_opens_long_before_the_trivial_encoder_is_unstable():
    rows, p_x = np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([0.95, 0.05])

    def ratio(q):
        both = np.array([1 - q, q])
        return divergence(both, p_x) / divergence(both @ rows, p_x @ rows)

    onset = min(
        optimize.minimize_scalar(ratio, bounds=ends, method="bounded", options={"xatol": 1e-10}).fun
        for ends in ((1e-12, 0.049), (0.051, 1 - 1e-12))
    )
    found = critical_betas(rows, p_x)
    assert onset == pytest.approx(2.03, abs=0.005)
    assert found.onset == pytest.approx(onset, rel=1e-7)
    assert found.instability == pytest.approx(3.9605263157894766, rel=1e-12)


@pytest.mark.parametrize("e", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("p_x", [None, [0.7, 0.2, 0.1]])
def test_an_erasure_channel(e, p_x):
    rows = np.hstack([(1 - e) * np.eye(3), np.full((3, 1), e)])
    found = critical_betas(rows, p_x)
    assert found.onset == pytest.approx(1 / (1 - e), rel=1e-4)
    assert found.instability == pytest.approx(1 / (1 - e), rel=1e-9)


@pytest.mark.parametrize("rows", [[[0.2, 0.8]] * 4, [[1.0]] * 3, [[0.4, 0.6]], [[0.0, 1.0]] * 2])
def test_never_where_the_label_does_not_depend_on_the_input(rows):
    found = critical_betas(rows)
    assert (found.onset, found.instability) == (np.inf, np.inf)


def test_one_where_the_label_is_a_function_of_the_input():
    found = critical_betas([0, 1, 1, 0, 0], [0.1, 0.2, 0.3, 0.3, 0.1])
    assert found.onset == pytest.approx(1, abs=1e-9)
    assert found.instability == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("i", range(20))
def test_general_sources(i):
    """Maximal correlation by eigenvalues, the onset from many starts, both seen by the curve."""
    rows, p_x = list(problems())[i]
    p_y = p_x @ rows
    found = critical_betas(rows, p_x)
    back = (rows * p_x[:, None] / p_y).T  # p(x|y)
    correlations = np.sort(np.linalg.eigvals(rows @ back).real)
    assert found.instability == pytest.approx(1 / correlations[-2], rel=1e-9)
    assert 1 <= found.onset <= found.instability

    rng = np.random.default_rng(i)
    ratios = []
    for _ in range(300):  # no q has a lower ratio
        q = rng.dirichlet(np.full(len(p_x), 10 ** rng.uniform(-2, 1)))
        q = p_x + 10 ** rng.uniform(-2, 0) * (q - p_x)
        ratios.append(divergence(q, p_x) / divergence(q @ rows, p_y))
    assert min(ratios) >= found.onset * (1 - 1e-6)

    below, above = ib_curve(rows, p_x, [found.onset * 0.9999, found.onset * 1.0001], threads=1).rate
    assert below == pytest.approx(0, abs=1e-12)
    assert above > 1e-6


def test_permutations_and_duplicates_change_nothing():
    rng = np.random.default_rng(0)
    rows, p_x = list(problems())[2]
    found = critical_betas(rows, p_x)
    order, labels = rng.permutation(len(rows)), rng.permutation(rows.shape[1])
    doubled = np.concatenate([0.3 * p_x, 0.7 * p_x])
    for other in (
        critical_betas(rows[order][:, labels], p_x[order]),
        critical_betas(np.concatenate([rows, rows]), doubled),
        critical_betas(
            np.vstack([rows, np.full(rows.shape[1], 1 / rows.shape[1])]), np.append(p_x, 0.0)
        ),
    ):
        assert other.onset == pytest.approx(found.onset, rel=1e-9)
        assert other.instability == pytest.approx(found.instability, rel=1e-9)


def test_probabilities_that_are_as_good_as_zero():
    found = critical_betas([[1.0, 1e-300], [1e-250, 1.0], [0.5, 0.5]], [0.5, 0.5, 1e-200])
    assert found.onset == pytest.approx(1, abs=1e-9)
    assert found.instability == pytest.approx(1, abs=1e-9)


def test_errors_are_those_of_a_source():
    with pytest.raises(ValueError, match=r"p_y_given_x: row 0 .* expected probabilities"):
        critical_betas([[0.5, 0.6]])
    with pytest.raises(ValueError, match="p_x: shape"):
        critical_betas([0.5, 0.1], [1.0])
