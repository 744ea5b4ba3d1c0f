"""Brute force: what must come out, by NumPy on float64 values and exact decimal logarithms."""

import decimal
import functools
from collections import Counter, defaultdict

import numpy as np

from ibfast import binning

_PRECISION = decimal.Context(prec=60)


def codes(values, bins, outside="raise", per_unit=False):
    """Codes as numpy.histogram, numpy.digitize or floor give them; `values` are (n, d)."""
    if isinstance(bins, binning.Integers):
        return np.asarray(values).astype(np.int64)
    x = np.asarray(values).astype(np.float64)
    if isinstance(bins, binning.Width):
        return np.floor(x / bins.width).astype(np.int64)
    if isinstance(bins, binning.Quantile):
        inner = np.quantile(x, np.arange(1, bins.n) / bins.n, axis=0)
        return _by_unit(lambda u: np.digitize(x[:, u], inner[:, u]), x)
    if isinstance(bins, binning.Edges):
        edges = np.asarray(bins.edges)
        return _by_unit(
            lambda u: _digitize(x[:, u], edges if edges.ndim == 1 else edges[u], outside), x
        )
    if per_unit:
        return _by_unit(lambda u: _histogram(x[:, u], x[:, u], bins, outside), x)
    return _histogram(x, x, bins, outside)


def _by_unit(code, x):
    return np.stack([code(u) for u in range(x.shape[1])], axis=1)


def _digitize(x, edges, outside):
    return np.digitize(np.clip(x, edges[0], edges[-1]) if outside == "clip" else x, edges)


def _histogram(x, sample, bins, outside):
    edges = np.histogram_bin_edges(sample, bins.n, bins.range)
    out = np.searchsorted(edges, np.clip(x, edges[0], edges[-1]), side="right") - 1
    out = np.minimum(out, bins.n - 1)
    if outside == "cell":
        out[x < edges[0]] = -1
        out[x > edges[-1]] = bins.n
    return out


def cells(code_rows):
    """Number of the cell of each row, in lexicographic order of the codes."""
    return np.unique(code_rows, axis=0, return_inverse=True)[1].reshape(-1)


@functools.cache
def _ln(amount):
    return _PRECISION.ln(decimal.Decimal(amount))


def entropy(amounts):
    """Entropy in bits of positive counts or weights, correct to the last bit or two."""
    with decimal.localcontext(_PRECISION):
        how_many = Counter(amounts)
        total = sum(decimal.Decimal(a) * k for a, k in how_many.items())
        rest = sum(decimal.Decimal(a) * k * _ln(a) for a, k in how_many.items() if a)
        return float(max((_ln(total) - rest / total) / _ln(2), 0))


def hard_joint(cell, label):
    """(cell, class) -> rows."""
    return Counter(zip(np.asarray(cell).tolist(), np.asarray(label).tolist(), strict=True))


def soft_joint(cell, soft, weights=None):
    """(cell, class) -> weight, exactly; rows p(y|x) are normalised."""
    weights = np.ones(len(cell)) if weights is None else weights
    joint = defaultdict(decimal.Decimal)
    with decimal.localcontext(_PRECISION):
        for c, row, w in zip(np.asarray(cell).tolist(), soft, weights, strict=True):
            p = [decimal.Decimal(float(v)) for v in row]
            total = sum(p)
            for k, v in enumerate(p):
                if v and w:
                    joint[c, k] += decimal.Decimal(float(w)) * v / total
    return joint


def margin(joint, axis):
    out = defaultdict(decimal.Decimal)
    with decimal.localcontext(_PRECISION):
        for pair, amount in joint.items():
            out[pair[axis]] += amount
    return out


def entropies(joint):
    """H(T), H(Y), H(T,Y) in bits of (cell, class) -> amount."""
    t, y = margin(joint, 0), margin(joint, 1)
    return entropy(t.values()), entropy(y.values()), entropy(joint.values())


def repeated_rows(n, d, seed, n_distinct=60, scale=1.0):
    """float64 (n, d) in which rows repeat, so that cells hold several."""
    rng = np.random.default_rng(seed)
    pool = rng.normal(0, scale, (n_distinct, d))
    return pool[rng.integers(0, n_distinct, n)]
