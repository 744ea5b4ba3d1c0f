"""Hard encoders against all set partitions of small problems."""

import math

import numpy as np
import pytest

from ibfast.bottleneck import (
    deterministic_ib,
    hard_frontier,
    make_source,
    optimal_hard_encoders,
)
from ibfast.datasets import spherical_rule

BETAS = (0.5, 1.0, 1.3, 2.0, 5.0, 20.0, 300.0)


def set_partitions(n):
    """All of them, as restricted growth strings."""
    partitions = [[0]]
    for _ in range(n - 1):
        partitions = [[*p, t] for p in partitions for t in range(max(p) + 2)]
    return np.array(partitions)


def entropy(p):
    p = p[p > 0]
    return -(p * np.log2(p)).sum()


def point(rows, p_x, cells):
    """H(T) and I(T;Y) in bits."""
    cells = np.asarray(cells)
    joint = np.array([(p_x[:, None] * rows)[cells == t].sum(axis=0) for t in np.unique(cells)])
    h_t = entropy(joint.sum(axis=1))
    return h_t, h_t + entropy(joint.sum(axis=0)) - entropy(joint)


def all_points(rows, p_x):
    """(H(T), I(T;Y)) of every partition, and its number of cells."""
    partitions = set_partitions(len(rows))
    hot = (partitions[:, None, :] == np.arange(len(rows))[:, None]).astype(float)
    joint = hot @ (p_x[:, None] * rows)

    def entropies(p):
        return -(p * np.log2(np.where(p > 0, p, 1.0))).reshape(len(p), -1).sum(axis=1)

    h_t = entropies(joint.sum(axis=2))
    return (
        np.maximum(h_t, 0.0),
        h_t + entropy(p_x @ rows) - entropies(joint),
        partitions.max(axis=1) + 1,
    )


def binary(seed):
    """Up to nine inputs: p(x) uniform or skewed, rows unlike, repeated or deterministic."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 10))
    ones = rng.random(n)
    if seed % 3 == 1:
        ones = ones.round(1)
    if seed % 3 == 2:
        ones = rng.choice([0.0, 0.2, 0.5, 1.0], n)
    p_x = np.full(n, 1 / n) if seed % 2 else rng.dirichlet(np.full(n, 0.5))
    return np.stack([1 - ones, ones], axis=1), p_x


@pytest.fixture(scope="module", params=range(18))
def problem(request):
    rows, p_x = binary(request.param)
    return rows, p_x, *all_points(rows, p_x)


def test_optima_of_each_number_of_cells(problem):
    rows, p_x, _, relevance, n_cells = problem
    m = len(make_source(rows, p_x).p_x)
    found = optimal_hard_encoders(rows, p_x, n_cells=m)
    assert found.rate.shape == found.relevance.shape == (m,)
    for i in range(m):
        assert found.relevance[i] == pytest.approx(relevance[n_cells <= i + 1].max(), abs=1e-13)
        encoder = found.encoder(i)
        assert encoder.dtype == np.int64
        assert set(encoder) == set(range(i + 1))
        reached = point(rows, p_x, encoder)
        assert (found.rate[i], found.relevance[i]) == pytest.approx(reached, abs=1e-13)


def test_the_frontier_is_the_hull_of_all_partitions(problem):
    rows, p_x, rate, relevance, _ = problem
    found = hard_frontier(rows, p_x)
    for i in range(len(found.rate)):  # each vertex is the optimum of some beta
        between = math.sqrt(max(found.beta[i], 0.01) * ([*found.beta, math.inf][i + 1]))
        if between < 1e6:
            best = np.argmin(rate - between * relevance)
            assert (found.rate[i], found.relevance[i]) == pytest.approx(
                (rate[best], relevance[best]), abs=1e-12
            )
    assert (relevance <= found.relevance_at(rate) + 1e-13).all()
    assert found.rate[0] == found.relevance[0] == found.beta[0] == 0
    assert found.relevance[-1] == pytest.approx(make_source(rows, p_x).i_xy, abs=1e-13)
    assert found.rate[-1] == pytest.approx(make_source(rows, p_x).h_x, abs=1e-12)
    assert (np.diff(found.rate) > 0).all()
    assert (np.diff(found.beta) > 0).all()
    assert (found.beta[1:] > 1 - 1e-9).all()
    for i in range(len(found.rate)):
        encoder = found.encoder(i)
        assert (found.rate[i], found.relevance[i]) == pytest.approx(
            point(rows, p_x, encoder), abs=1e-13
        )
        assert len(set(encoder)) == found.n_cells[i]


@pytest.mark.parametrize("beta", BETAS)
def test_the_lagrangian_is_minimal_among_all_partitions(problem, beta):
    rows, p_x, rate, relevance, n_cells = problem
    frontier = hard_frontier(rows, p_x)
    i = np.searchsorted(frontier.beta, beta, side="right") - 1
    least = (rate - beta * relevance).min()
    assert frontier.rate[i] - beta * frontier.relevance[i] == pytest.approx(least, abs=1e-11)
    for most in (None, 1, 2, 3, 4):
        found = deterministic_ib(rows, p_x, beta=beta, n_cells=most)
        allowed = n_cells <= (most or len(rows))
        least = (rate - beta * relevance)[allowed].min()
        assert found.objective == pytest.approx(least, abs=1e-11)
        assert found.exact
        assert (found.rate, found.relevance) == pytest.approx(
            point(rows, p_x, found.encoder), abs=1e-13
        )
        assert found.encoder.max() < (most or len(rows))


def test_candidates_are_dropped_only_where_they_are_useless():
    """Larger problems against the plain recursion over all candidates."""
    rng = np.random.default_rng(0)
    for p_x in (rng.dirichlet(np.full(150, 0.3)), np.full(150, 1 / 150)):
        ones = np.sort(rng.random(150))
        joint = np.cumsum(p_x * np.stack([1 - ones, ones]), axis=1)
        joint = np.concatenate([np.zeros((2, 1)), joint], axis=1)
        cell = joint[:, None, :] - joint[:, :, None]  # [y, i, j]: the classes from i to j - 1

        def terms(p):
            return p * np.log2(np.where(p > 0, p, 1.0))

        h_t = -terms(cell.sum(axis=0))
        lost = -h_t - terms(cell).sum(axis=0)
        frontier = hard_frontier(ones, p_x)
        for i in range(5, len(frontier.rate) - 1, 9):
            beta = math.sqrt(frontier.beta[i] * frontier.beta[i + 1])
            best = np.zeros(151)
            for j in range(1, 151):
                best[j] = (best[:j] + (h_t + beta * lost)[:j, j]).min()
            objective = frontier.rate[i] + beta * (entropy(joint[:, -1]) - frontier.relevance[i])
            assert objective == pytest.approx(best[-1], rel=1e-10)
        found = optimal_hard_encoders(ones, p_x, n_cells=150)
        best = np.full(151, np.inf)
        best[0] = 0.0
        for k in range(150):
            best = np.array([math.inf, *((best[:j] + lost[:j, j]).min() for j in range(1, 151))])
            assert entropy(joint[:, -1]) - best[-1] == pytest.approx(found.relevance[k], abs=1e-13)


def test_more_slopes_and_cells_than_are_sought_together():
    ones = np.random.default_rng(0).random(600)
    frontier = hard_frontier(ones)
    found = optimal_hard_encoders(ones, n_cells=600)
    assert len(frontier.rate) > 400
    assert (frontier.relevance <= found.relevance[frontier.n_cells - 1] + 1e-13).all()
    assert (found.relevance <= frontier.relevance_at(found.rate) + 1e-13).all()
    assert (np.diff(found.relevance) > -1e-15).all()


def test_merging_equal_inputs_changes_nothing():
    rng = np.random.default_rng(1)
    ones, p_x = rng.random(12), rng.dirichlet(np.ones(12))
    split = np.concatenate([p_x * 0.3, p_x * 0.7, [0.0]])
    more = np.concatenate([ones, ones, [0.5]])
    a, b = hard_frontier(ones, p_x), hard_frontier(more, split)
    assert (a.rate, a.relevance) == (pytest.approx(b.rate), pytest.approx(b.relevance))
    assert a.beta == pytest.approx(b.beta, rel=1e-6)
    encoder = b.encoder(-1)
    assert encoder[-1] == -1
    assert np.array_equal(encoder[:12], encoder[12:24])
    assert np.array_equal(encoder[:12], a.encoder(-1))
    c, d = (optimal_hard_encoders(*args, n_cells=5) for args in ((ones, p_x), (more, split)))
    assert c.relevance == pytest.approx(d.relevance)
    assert d.encoder(3)[-1] == -1
    e = deterministic_ib(more, split, beta=9.0)
    assert e.encoder[-1] == -1
    assert np.array_equal(e.encoder[:12], e.encoder[12:24])


@pytest.mark.parametrize("information", [0.99, 0.7])
def test_the_soft_rule(information):
    _, ones = spherical_rule(information)
    source = make_source(ones)
    frontier = hard_frontier(source)
    found = optimal_hard_encoders(source, n_cells=len(source.p_x))
    assert frontier.relevance[-1] == pytest.approx(information, abs=1e-9)
    assert (np.diff(frontier.relevance) > 0).all()
    assert (np.diff(frontier.beta) > 0).all()
    assert (found.relevance <= frontier.relevance_at(found.rate) + 1e-13).all()
    # Two cells: the rule's own threshold is as good as any.
    rows = np.stack([1 - ones, ones], axis=1)
    thresholds = [point(rows, np.full(4096, 1 / 4096), ones > at)[1] for at in np.unique(ones)]
    assert found.relevance[1] == pytest.approx(max(thresholds), abs=1e-12)
    i = len(frontier.rate) // 2
    assert point(rows, np.full(4096, 1 / 4096), frontier.encoder(i)) == pytest.approx(
        (frontier.rate[i], frontier.relevance[i]), abs=1e-12
    )


def test_a_deterministic_label_has_one_corner():
    _, labels = spherical_rule()
    found = hard_frontier(labels)
    assert found.rate == pytest.approx([0.0, make_source(labels).h_y])
    assert found.relevance == pytest.approx(found.rate)
    assert found.beta == pytest.approx([0.0, 1.0])


@pytest.mark.parametrize("label", [[0.5, 0.5], [[1.0], [1.0]], [0.0, 0.0], [0.3, 0.1 + 0.2]])
def test_nothing_to_tell(label):
    found = hard_frontier(label)
    assert (found.rate.tolist(), found.relevance.tolist(), found.beta.tolist()) == ([0], [0], [0])
    assert found.relevance_at([0.0, 3.0]).tolist() == [0.0, 0.0]
    assert found.encoder(0).tolist() == [0, 0]
    assert deterministic_ib(label, beta=50.0).relevance == pytest.approx(0.0, abs=1e-15)


def test_probabilities_near_zero_and_one_keep_their_order():
    ones = np.array([1e-18, 1e-20, 1e-3, 0.5, 1 - 1e-16, 1.0, 1e-19])
    encoder = optimal_hard_encoders(ones, n_cells=7).encoder(6)
    assert np.array_equal(np.argsort(encoder), np.argsort(ones))


def test_relevance_at_and_units():
    ones = np.random.default_rng(3).random(9)
    bits, nats = hard_frontier(ones), hard_frontier(ones, units="nats")
    assert nats.rate == pytest.approx(bits.rate * math.log(2))
    assert nats.relevance == pytest.approx(bits.relevance * math.log(2))
    assert nats.beta == pytest.approx(bits.beta)
    assert (bits.units, nats.units) == ("bits", "nats")
    middle = (bits.rate[1:] + bits.rate[:-1]) / 2
    at = bits.relevance_at(np.stack([bits.rate[1:], middle]))
    assert at == pytest.approx(
        np.stack([bits.relevance[1:], (bits.relevance[1:] + bits.relevance[:-1]) / 2])
    )
    assert bits.relevance_at(100.0) == bits.relevance[-1]
    in_nats = optimal_hard_encoders(ones, n_cells=4, units="nats")
    in_bits = optimal_hard_encoders(ones, n_cells=4)
    assert in_nats.rate == pytest.approx(in_bits.rate * math.log(2))
    assert in_nats.relevance == pytest.approx(in_bits.relevance * math.log(2))
    a, b = (deterministic_ib(ones, beta=4.0, units=units) for units in ("bits", "nats"))
    assert np.multiply((a.rate, a.relevance, a.objective), math.log(2)) == pytest.approx(
        (b.rate, b.relevance, b.objective)
    )


@pytest.mark.parametrize("seed", range(8))
def test_several_labels(seed):
    """Never better than all partitions, and here, on small problems, as good."""
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(4, 9)), int(rng.integers(3, 5))
    rows, p_x = rng.dirichlet(np.full(k, 0.4), n), rng.dirichlet(np.ones(n))
    rate, relevance, n_cells = all_points(rows, p_x)
    for beta in BETAS:
        for most in (None, 3):
            found = deterministic_ib(rows, p_x, beta=beta, n_cells=most, rng=0)
            least = (rate - beta * relevance)[n_cells <= (most or n)].min()
            assert not found.exact
            assert found.objective == pytest.approx(least, abs=1e-9)
            reached = point(rows, p_x, found.encoder)
            assert (found.rate, found.relevance) == pytest.approx(reached, abs=1e-12)
            assert len(set(found.encoder)) <= (most or n)


@pytest.mark.parametrize("seed", range(6))
def test_the_search_finds_the_exact_optimum_of_a_binary_label(seed):
    """A third label that splits one in two proportionally tells nothing more."""
    rng = np.random.default_rng(seed)
    ones, p_x = rng.random(8), rng.dirichlet(np.ones(8))
    three = np.stack([1 - ones, 0.4 * ones, 0.6 * ones], axis=1)
    for beta in BETAS:
        exact = deterministic_ib(ones, p_x, beta=beta)
        found = deterministic_ib(three, p_x, beta=beta, rng=0)
        assert (exact.exact, found.exact) == (True, False)
        assert found.objective == pytest.approx(exact.objective, abs=1e-10)


def test_never_worse_than_the_trivial_encoders():
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.full(5, 0.5), 300)
    source = make_source(rows)
    for beta in (1.0, 1e6):
        found = deterministic_ib(rows, beta=beta, n_restarts=1, rng=0)
        assert found.objective <= min(0.0, source.h_x - beta * source.i_xy) * (1 - 1e-12)
    alone = deterministic_ib(rows, beta=5.0, n_restarts=0, rng=0)
    again = deterministic_ib(rows, beta=5.0, n_restarts=0, rng=0)
    assert np.array_equal(alone.encoder, again.encoder)
    assert deterministic_ib(rows, beta=5.0, n_restarts=2, rng=0).objective < 0


THREE = np.full((4, 3), 1 / 3)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: hard_frontier(THREE), ValueError, r"3 labels occur; .* deterministic_ib takes"),
        (lambda: optimal_hard_encoders(THREE, n_cells=1), ValueError, r"3 labels occur"),
        (
            lambda: optimal_hard_encoders([0.1, 0.1, 0.3], n_cells=3),
            ValueError,
            r"n_cells: 3; expected an integer from 1 to 2, the number of different p\(y\|x\)",
        ),
        (lambda: optimal_hard_encoders([0.1], n_cells=0), ValueError, r"n_cells: 0; expected"),
        (lambda: optimal_hard_encoders([0.1], n_cells=1.0), TypeError, r"n_cells: 1.0 of type"),
        (lambda: optimal_hard_encoders([0.1], n_cells=1, units="b"), ValueError, "units: 'b'"),
        (lambda: hard_frontier([0.1], units="b"), ValueError, "units: 'b'"),
        (lambda: hard_frontier([1.1]), ValueError, r"p_y_given_x: 1.1 at input 0"),
        (lambda: hard_frontier([0.1]).relevance_at(-0.1), ValueError, r"rate: -0.1; expected fin"),
        (lambda: hard_frontier([0.1]).relevance_at([0, math.nan]), ValueError, r"rate: nan at 1;"),
        (lambda: hard_frontier([0.1]).relevance_at("x"), TypeError, r"rate: dtype"),
        (lambda: hard_frontier([0.1]).encoder(1), ValueError, r"i: 1; expected an integer from -1"),
        (lambda: optimal_hard_encoders([0.1], n_cells=1).encoder(0.0), TypeError, r"i: 0.0 of"),
        (lambda: deterministic_ib(THREE, beta=0), ValueError, r"beta: 0.0; expected a number abo"),
        (lambda: deterministic_ib(THREE, beta=math.inf), ValueError, r"beta: inf; expected finite"),
        (lambda: deterministic_ib(THREE, beta=[1.0]), ValueError, r"beta: shape \(1,\); expected"),
        (lambda: deterministic_ib(THREE, beta=1, n_cells=0), ValueError, r"n_cells: 0; expected"),
        (lambda: deterministic_ib(THREE, beta=1, n_restarts=-1), ValueError, r"n_restarts: -1"),
        (lambda: deterministic_ib(THREE, beta=1, rng="x"), TypeError, r"rng: 'x'; expected None"),
        (lambda: deterministic_ib(THREE, beta=1, units=1), ValueError, r"units: 1; expected"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
