"""Brute force: what must come out, by NumPy on float64 values and exact decimal logarithms."""

import decimal
import functools
import itertools
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
        with np.errstate(over="ignore"):
            cell = np.floor(x / bins.width)
        fits = (cell >= -(2.0**63)) & (cell < 2.0**63)
        ends = np.where(cell < 0, np.int64(-(2**63)), np.int64(2**63 - 1))
        return np.where(fits, np.where(fits, cell, 0).astype(np.int64), ends)
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


def _splitmix64(seed):
    mask = 2**64 - 1
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = (seed ^ seed >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        yield z ^ z >> 31


@functools.cache
def _factors(digit, p=2**31 - 1):
    """The four factors of one digit of the hash; 16 digits have theirs hash by hash."""
    drawn = (z >> 33 for z in _splitmix64(0x1BFA57))
    uniform = (a for a in drawn if a < p)
    block = list(itertools.islice(uniform, digit // 16 * 64, digit // 16 * 64 + 64))
    return [block[h * 16 + digit % 16] for h in range(4)]


def keys(code_rows, n_codes=None, signed=True):
    """(high, low) words of the keys of rows of codes 0 to n_codes - 1, or of 64 bits; in Python's
    integers, one by one."""
    out = []
    for row in np.asarray(code_rows).tolist():
        d = len(row)
        if n_codes is None:
            bits = step = 64
            row = [(2 * c if c >= 0 else -2 * c - 1) if signed else c % 2**64 for c in row]
            digits = [(3 * u + i, c >> (0, 22, 43)[i] & (1 << (22, 21, 21)[i]) - 1)
                      for u, c in enumerate(row) for i in range(3)]  # fmt: skip
        else:
            bits = max(1, (n_codes - 1).bit_length())
            step = 8 if bits <= 8 and d <= 16 else bits
            a_lane = 28 // bits
            digits = [(u // (16 * a_lane) * 16 + u % 16, c << (u // 16 % a_lane * bits))
                      for u, c in enumerate(row)]  # fmt: skip
        if d * bits <= 128:
            key = sum(c << u * step for u, c in enumerate(row))
        else:
            h = [sum(_factors(at)[i] * c for at, c in digits) % (2**31 - 1) for i in range(4)]
            key = sum(v << 32 * i for i, v in enumerate(h))
        out.append(divmod(key, 2**64))
    return np.array(out, np.uint64)


def n_codes(bins, outside="raise"):
    """How many codes there are; None where there is no end of them."""
    if isinstance(bins, binning.Uniform):
        return bins.n + 2 * (outside == "cell")
    if isinstance(bins, binning.Levels):
        return 2**bins.bits
    if isinstance(bins, binning.Edges):
        return np.shape(bins.edges)[-1] + 1
    return None


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
