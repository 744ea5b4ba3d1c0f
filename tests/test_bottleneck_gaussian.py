"""The Gaussian bottleneck against published values and log-determinants."""

import math

import numpy as np
import pytest

from ibfast.bottleneck import gaussian_ib, gaussian_ib_from_samples

BETAS = np.array([0.3, 1.0, 1.1, 1.3, 2.0, 3.7, 12.0, 200.0, 1e6])


def covariances(rho, dx, dy, seed=0):
    """Joint covariances with these canonical correlations, after random invertible maps."""
    rng = np.random.default_rng(seed)
    cov_xy = np.zeros((dx, dy))
    np.fill_diagonal(cov_xy, [*rho, *np.zeros(min(dx, dy) - len(rho))])
    a, b = rng.normal(size=(dx, dx)), rng.normal(size=(dy, dy))
    return a @ a.T, a @ cov_xy @ b.T, b @ b.T


PROBLEMS = [
    ([0.9], 1, 1),
    ([0.6, 0.2], 2, 2),
    ([0.9999, 0.7, 0.7], 4, 3),
    ([0.8, 0.3], 2, 5),
    ([0.5], 3, 2),
]


def half_log_det(matrix):
    sign, value = np.linalg.slogdet(matrix)
    assert sign == 1
    return value / 2


def test_published_values():
    found = gaussian_ib([[1.0]], [[0.9]], [[1.0]], 2.0, units="nats")
    assert found.critical_betas == pytest.approx([1.2345679], abs=1e-7)
    assert found.rate == pytest.approx([0.7250051], abs=1e-7)
    assert found.relevance == pytest.approx([0.4837920], abs=1e-7)
    assert found.i_xy == pytest.approx(0.8303656, abs=1e-7)
    other = gaussian_ib([[1.0]], [[-0.75]], [[1.0]], [1.0], units="nats")
    assert other.i_xy == pytest.approx(0.4133393, abs=1e-7)


@pytest.mark.parametrize(("rho", "dx", "dy"), PROBLEMS)
def test_the_projection_has_the_claimed_rate_and_relevance(rho, dx, dy):
    cov_x, cov_xy, cov_y = covariances(rho, dx, dy)
    found = gaussian_ib(cov_x, cov_xy, cov_y, BETAS, units="nats")
    cov_x_given_y = cov_x - cov_xy @ np.linalg.solve(cov_y, cov_xy.T)
    for i, beta in enumerate(BETAS):
        a = found.projection(i)
        modes = sum(beta * r**2 > 1 for r in rho)
        assert a.shape == (modes, dx)
        assert found.n_modes[i] == modes
        entropy = half_log_det(a @ cov_x @ a.T + np.eye(modes))
        of_y = entropy - half_log_det(a @ cov_x_given_y @ a.T + np.eye(modes))
        assert found.rate[i] == pytest.approx(entropy, rel=1e-7, abs=1e-12)
        assert found.relevance[i] == pytest.approx(of_y, rel=1e-7, abs=1e-12)


@pytest.mark.parametrize(("rho", "dx", "dy"), PROBLEMS)
def test_no_other_projection_is_better(rho, dx, dy):
    cov_x, cov_xy, cov_y = covariances(rho, dx, dy)
    cov_x_given_y = cov_x - cov_xy @ np.linalg.solve(cov_y, cov_xy.T)
    found = gaussian_ib(cov_x, cov_xy, cov_y, [3.0], units="nats")
    least = found.rate[0] - 3.0 * found.relevance[0]
    rng = np.random.default_rng(1)
    for _ in range(200):
        a = rng.normal(size=(dx, dx)) * rng.exponential()
        a[: found.n_modes[0]] += found.projection(0)
        rate = half_log_det(a @ cov_x @ a.T + np.eye(dx))
        relevance = rate - half_log_det(a @ cov_x_given_y @ a.T + np.eye(dx))
        assert rate - 3.0 * relevance >= least - 1e-9
        assert relevance <= found.relevance_at(rate) + 1e-9


@pytest.mark.parametrize(("rho", "dx", "dy"), PROBLEMS)
def test_linear_maps_and_units_change_nothing(rho, dx, dy):
    plain = covariances(rho, dx, dy)
    one = gaussian_ib(*plain, BETAS)
    scale = np.logspace(-6, 6, dx)
    cov_x, cov_xy, cov_y = covariances(rho, dx, dy, seed=5)
    scaled = np.outer(scale, scale) * cov_x, scale[:, None] * cov_xy * 1e3, cov_y * 1e6
    two = gaussian_ib(*scaled, BETAS)
    assert one.correlations[: len(rho)] == pytest.approx(np.sort(rho)[::-1], abs=1e-10)
    assert one.correlations[len(rho) :] == pytest.approx(0.0, abs=1e-10)
    assert two.rate == pytest.approx(one.rate, rel=1e-6)
    assert two.relevance == pytest.approx(one.relevance, rel=1e-6)
    nats = gaussian_ib(*plain, BETAS, units="nats")
    for name in ("rate", "relevance", "i_xy"):
        assert getattr(nats, name) == pytest.approx(getattr(one, name) * math.log(2))
    assert nats.relevance_at(1.0) == pytest.approx(one.relevance_at(1 / math.log(2)) * math.log(2))


@pytest.mark.parametrize(("rho", "dx", "dy"), PROBLEMS)
def test_the_curve(rho, dx, dy):
    betas = np.concatenate([np.geomspace(1.0001, 1e5, 400), 1 / np.square(rho)])
    found = gaussian_ib(*covariances(rho, dx, dy), betas)
    assert found.relevance_at(found.rate) == pytest.approx(found.relevance, abs=1e-9)
    assert found.relevance_at(np.zeros((2, 1))).tolist() == [[0.0], [0.0]]
    assert found.relevance_at(1e5) == pytest.approx(found.i_xy)
    assert found.i_xy == pytest.approx(-np.log2(1 - np.square(rho)).sum() / 2)
    rate = np.linspace(0, 12, 2000)
    relevance = found.relevance_at(rate)
    assert (np.diff(relevance) > 0).all()
    assert (np.diff(relevance, 2) < 1e-12).all()
    assert (relevance <= np.minimum(rate, found.i_xy)).all()
    inside = (found.rate > 0.01) & (found.rate < 12)
    step = 1e-4
    up, down = (found.relevance_at(found.rate[inside] + s) for s in (step, -step))
    assert (up - down) / (2 * step) == pytest.approx(1 / betas[inside], rel=1e-3, abs=1e-7)


def test_nothing_is_kept_below_the_first_critical_beta():
    found = gaussian_ib([[1.0]], [[0.5]], [[1.0]], [0.5, 1.0, 3.9, 4.0, 4.1])
    assert found.n_modes.tolist() == [0, 0, 0, 0, 1]
    assert found.rate[:4].tolist() == found.relevance[:4].tolist() == [0, 0, 0, 0]
    assert found.projection(0).shape == (0, 1)
    assert found.projection(-1).shape == (1, 1)


@pytest.mark.parametrize("cov_x", [np.eye(2), np.zeros((2, 2))])
def test_independent_variables(cov_x):
    found = gaussian_ib(cov_x, np.zeros((2, 1)), [[2.0]], [1.0, 9.0])
    assert found.rate.tolist() == found.relevance.tolist() == [0, 0]
    assert found.i_xy == 0
    assert (found.critical_betas == np.inf).all()
    assert found.relevance_at([0.0, 2.0]).tolist() == [0, 0]
    assert found.projection(1).shape == (0, 2)


def test_null_directions_are_dropped():
    cov_x, cov_xy, cov_y = covariances([0.8, 0.3], 2, 2)
    one = gaussian_ib(cov_x, cov_xy, cov_y, BETAS)
    more = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 2.0], [0.0, 0.0]])  # a sum and a constant
    two = gaussian_ib(more @ cov_x @ more.T, more @ cov_xy @ more.T, more @ cov_y @ more.T, BETAS)
    assert two.correlations == pytest.approx(one.correlations)
    assert two.rate == pytest.approx(one.rate)
    assert two.relevance == pytest.approx(one.relevance)
    a, b = one.projection(5), two.projection(5) @ more
    assert b @ cov_x @ b.T == pytest.approx(a @ cov_x @ a.T, abs=1e-8)


def test_samples():
    rng = np.random.default_rng(0)
    cov_x, cov_xy, cov_y = covariances([0.9, 0.4], 3, 2)
    truth = gaussian_ib(cov_x, cov_xy, cov_y, BETAS)
    joint = np.block([[cov_x, cov_xy], [cov_xy.T, cov_y]])
    errors = []
    for n in (100, 10_000, 400_000):
        rows = rng.normal(size=(n, 5)) @ np.linalg.cholesky(joint).T + [1, 2, 3, 4, 500]
        found = gaussian_ib_from_samples(rows[:, :3].astype(np.float32), rows[:, 3:], BETAS)
        errors.append(np.abs(found.correlations - truth.correlations).max())
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 0.005
    assert found.rate == pytest.approx(truth.rate, abs=0.05)
    assert found.units == "bits"


def test_correlations_of_samples_are_biased_upwards():
    rng = np.random.default_rng(0)
    n, dx, dy = 200, 3, 4
    found = [
        gaussian_ib_from_samples(
            rng.normal(size=(n, dx)), rng.normal(size=(n, dy)), 2.0, units="nats"
        )
        for _ in range(200)
    ]
    assert np.mean([f.i_xy for f in found]) == pytest.approx(dx * dy / (2 * n), rel=0.1)
    greatest = np.mean([f.correlations[0] for f in found])
    assert greatest == pytest.approx(math.sqrt(dx / n) + math.sqrt(dy / n), rel=0.25)


ONE, TWO = [[1.0]], np.eye(2)


def solve(cov_x=ONE, cov_xy=((0.5,),), cov_y=ONE, betas=2.0, **options):
    return gaussian_ib(cov_x, cov_xy, cov_y, betas, **options)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: solve(cov_x=1.0), ValueError, r"cov_x: shape \(\); expected 2 dimensions"),
        (lambda: solve(cov_x=[[1.0, 0.0]]), ValueError, r"cov_x: shape \(1, 2\); expected a squ"),
        (lambda: solve(cov_y=np.zeros((0, 0))), ValueError, r"cov_y: shape \(0, 0\); expected"),
        (lambda: solve(cov_x=TWO), ValueError, r"cov_xy: shape \(1, 1\); expected \(2, 1\) for"),
        (lambda: solve(cov_y=[[math.nan]]), ValueError, r"cov_y: nan at \(0, 0\); expected finite"),
        (lambda: solve(cov_xy=[["a"]]), TypeError, r"cov_xy: dtype"),
        (lambda: solve(cov_x=[[-1.0]]), ValueError, r"cov_x: a variance of -1.0; expected none"),
        (lambda: solve(cov_x=[[1, 0.5], [0.4, 1]]), ValueError, r"cov_x: not symmetric"),
        (
            lambda: solve(cov_y=[[1, 1.1], [1.1, 1]], cov_xy=[[0, 0]]),
            ValueError,
            r"cov_y: not positive semidefinite; the least eigenvalue is -0.1 of the correlations",
        ),
        (lambda: solve(cov_xy=[[1.5]]), ValueError, r"cov_xy: a canonical correlation of 1.5 with"),
        (lambda: solve(cov_xy=[[1.0]]), ValueError, r"a canonical correlation of 1: a direction"),
        (lambda: solve(cov_x=[[0.0]]), ValueError, r"cov_xy: 0.5 in a direction in which"),
        (
            lambda: solve(cov_x=[[1, 1], [1, 1]], cov_xy=[[0.5], [-0.5]]),
            ValueError,
            r"cov_xy: 0.707 in a direction in which cov_x or cov_y has no variance; expected 0",
        ),
        (lambda: solve(betas=[1.0, 0.0]), ValueError, r"betas: 0.0; expected numbers above 0"),
        (lambda: solve(betas=[1.0, math.inf]), ValueError, r"betas: inf at 1; expected finite"),
        (lambda: solve(betas=[[1.0]]), ValueError, r"betas: shape \(1, 1\); expected \(b,\)"),
        (lambda: solve(units="bans"), ValueError, r"units: 'bans'; expected"),
        (lambda: solve().projection(1), ValueError, r"i: 1; expected an integer from -1 to 0"),
        (lambda: solve().projection(0.5), TypeError, r"i: 0.5 of type float; expected an integer"),
        (lambda: solve().relevance_at(-1), ValueError, r"rate: -1.0; expected finite values from"),
        (lambda: solve().relevance_at([math.inf]), ValueError, r"rate: inf at 0; expected finite"),
        (
            lambda: gaussian_ib_from_samples(np.ones((5, 1)), np.ones((4, 1)), 2.0),
            ValueError,
            r"x, y: shapes \(5, 1\), \(4, 1\); expected \(n, dx\) and \(n, dy\)",
        ),
        (
            lambda: gaussian_ib_from_samples(np.ones((5, 0)), np.ones((5, 1)), 2.0),
            ValueError,
            r"x, y: shapes \(5, 0\)",
        ),
        (
            lambda: gaussian_ib_from_samples(np.ones((3, 2)), np.ones((3, 1)), 2.0),
            ValueError,
            r"x: 3 rows; expected more than dx \+ dy = 3",
        ),
        (
            lambda: gaussian_ib_from_samples(np.ones(5), np.ones(5), 2.0),
            ValueError,
            r"x: shape \(5,\); expected 2 dimensions",
        ),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
