"""The bottleneck against closed forms, restarts and embo: `python -m benchmarks.bottleneck`."""

import sys
import time
from pathlib import Path

import numpy as np
from scipy.optimize import brentq

from benchmarks.cases import Result, _child, seconds
from benchmarks.tables import show
from ibfast import bottleneck
from ibfast.bottleneck import critical_betas, ib_curve
from ibfast.datasets import spherical_rule

sys.path.append(str(Path(__file__).parents[1] / "tests"))
import bottleneck_oracle as oracle

LN2 = float(np.log(2))


def entropy(p):
    return oracle.entropy(np.array([p, 1 - p]))


def symmetric_channel(p, beta):
    """Rate and relevance in bits, beyond the onset."""

    def excess(a):
        through = p + a - 2 * p * a
        return np.log((1 - a) / a) - beta * (1 - 2 * p) * np.log((1 - through) / through)

    a = brentq(excess, 1e-300, 0.5 - 1e-6, xtol=1e-300, rtol=1e-14)
    return 1 - entropy(a), 1 - entropy(p + a - 2 * p * a)


def closed_forms():
    worst = critical = 0.0
    for p in (0.01, 0.05, 0.11, 0.25, 0.4, 0.49):
        onset = 1 / (1 - 2 * p) ** 2
        betas = onset * (1 + np.geomspace(1e-3, 10, 50))
        rows = [[1 - p, p], [p, 1 - p]]
        curve = ib_curve(rows, betas=betas, threads=1)
        truth = np.array([symmetric_channel(p, beta) for beta in betas])
        worst = max(worst, np.abs(np.stack([curve.rate, curve.relevance], axis=1) - truth).max())
        found = critical_betas(rows)
        critical = max(critical, abs(found.onset - onset), abs(found.instability - onset))
    yield Result("symmetric channels: error, bits", worst, 1e-7, True, "6 p x 50 betas")
    for e in (0.1, 0.5, 0.9):
        found = critical_betas(np.hstack([(1 - e) * np.eye(3), np.full((3, 1), e)]))
        critical = max(critical, abs(found.onset - 1 / (1 - e)))
    yield Result("critical betas: error", critical, 1e-4, True, "symmetric and erasure channels")
    if hasattr(bottleneck, "gaussian_ib"):
        found = bottleneck.gaussian_ib([[1.0]], [[0.9]], [[1.0]], [2.0], units="nats")
        error = max(abs(found.rate[0] - 0.7250051), abs(found.relevance[0] - 0.4837920))
        yield Result("Gaussian, rho = 0.9: error, nats", error, 1e-6, True, "beta = 2")


def embo_curve(rows, p_x, betas, **options):
    """Rate and relevance in bits; embo's exponents are ln q(t) - beta KL with KL in bits."""
    from embo import InformationBottleneck

    found = InformationBottleneck(
        pxy=p_x[:, None] * rows,
        minbeta=LN2 * betas[0],
        maxbeta=LN2 * betas[-1],
        numbeta=len(betas),
        processes=1,
        ensure_monotonic_bound=False,
        **options,
    )
    rate, relevance, _, beta = found.get_bottleneck()
    return np.array(rate), np.array(relevance), np.array(beta) / LN2


def random_problems():
    residual = gap = over_embo = over_restarts = -np.inf
    for i, (rows, p_x) in enumerate(oracle.problems()):
        onset = critical_betas(rows, p_x).onset
        betas = np.linspace(0.9 * onset, 5 * onset, 12)
        curve = ib_curve(rows, p_x, betas, threads=1)
        for at, beta in enumerate(betas):
            residual = max(residual, oracle.residual(rows, p_x, curve.encoder(at), beta))
        gap = max(gap, curve.gap.max())
        rate, relevance, beta = embo_curve(rows, p_x, betas, rtol=1e-10, iterations=3000)
        over_embo = max(over_embo, np.max(curve.objective - (rate - beta * relevance)))
        for at in (1, 5, 11):
            least = oracle.restarts(rows, p_x, betas[at], 50, seed=i, steps=1000)
            over_restarts = max(over_restarts, curve.objective[at] - least)
    yield Result("20 problems: residual", residual, 1e-9, True, "12 betas each, in NumPy")
    yield Result("20 problems: gap, bits", gap, 1e-9, True, "12 betas each")
    yield Result(
        "20 problems: objective above embo's", over_embo, 1e-8, True, "3 restarts, rtol=1e-10"
    )
    yield Result("20 problems: objective above restarts'", over_restarts, 1e-8, True, "50 restarts")


def paper():
    betas = np.geomspace(1.01, 100, 100)
    for information in (0.99, 0.9, 0.7):
        _, rows = spherical_rule(information)
        took = min(
            seconds(lambda rows=rows: ib_curve(rows, betas=betas, tolerance=1e-9, threads=1), 3)
        )
        curve = ib_curve(rows, betas=betas, tolerance=1e-9, threads=1)
        yield Result(
            f"soft rule {information}, 100 betas, s",
            took,
            0.3,
            True,
            f"{len(curve.source.p_x)} unlike rows, greatest gap {curve.gap.max():.1e}",
        )


def against_embo():
    rng = np.random.default_rng(0)
    rows, p_x = rng.dirichlet(np.ones(4), 64)[np.arange(256) % 64], np.full(256, 1 / 256)
    betas = np.linspace(0.01, 5, 30) / LN2  # embo's own
    took = min(seconds(lambda: ib_curve(rows, p_x, betas, threads=1), 5))
    curve = ib_curve(rows, p_x, betas, threads=1)
    start = time.perf_counter()
    rate, relevance, beta = embo_curve(rows, p_x, betas)
    other = time.perf_counter() - start
    excess = np.max(rate - beta * relevance - curve.objective)
    yield Result(
        "256 inputs x 4 labels, 30 betas: embo / ibfast",
        other / took,
        50,
        False,
        f"{took:.3f} s, embo {other:.1f} s; its objective is above ours by up to {excess:.1e}, "
        f"our greatest gap {curve.gap.max():.1e}",
    )


LARGE = """
import time
import numpy as np
from ibfast.bottleneck import ib_curve
def status(key):
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith(key)) * 1024
rows = np.random.default_rng(0).dirichlet(np.ones(10), 4096)
betas = np.geomspace(1.1, 50, 50)
ib_curve(rows[:100], betas=[2.0])
open("/proc/self/clear_refs", "w").write("5")
before, start = status("VmRSS"), time.process_time()
curve = ib_curve(rows, betas=betas, n_clusters=64, threads=1)
took = time.process_time() - start
print(WHAT)
"""


def large():
    name = "4096 unlike inputs x 10 labels, 64 clusters, 50 betas"
    yield Result(
        f"{name}: s", _child(LARGE.replace("WHAT", "took")), 20, True, "process time, one thread"
    )
    if Path("/proc/self/clear_refs").exists():
        extra = _child(LARGE.replace("WHAT", "(status('VmHWM') - before) / 1e9"))
        yield Result(f"{name}: extra GB", extra, 1, True, "peak RSS")


def main():
    groups = (closed_forms, random_problems, paper, against_embo, large)
    show((r for group in groups for r in group()), "one thread")


if __name__ == "__main__":
    main()
