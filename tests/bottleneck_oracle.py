"""The information bottleneck written down plainly in NumPy, from its definitions."""

import numpy as np

LN2 = float(np.log(2))


def xlog2(p, q):
    """p log2 q, 0 log 0 being 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p > 0, p * np.log2(q), 0.0)


def entropy(p):
    return -float(xlog2(p, p).sum())


def marginals(rows, p_x, encoder):
    """p(t), p(y|t) and p(t,y) by Bayes' rule, of the inputs that occur."""
    joint = (p_x[:, None] * encoder).T @ rows
    p_t = p_x @ encoder
    return p_t, joint / np.where(p_t > 0, p_t, 1.0)[:, None], joint


def information(rows, p_x, encoder):
    """I(X;T) and I(T;Y) in bits."""
    rows, p_x, encoder = used(rows, p_x, encoder)
    p_t, _, joint = marginals(rows, p_x, encoder)
    rate = xlog2(p_x[:, None] * encoder, encoder / np.where(p_t > 0, p_t, 1.0)).sum()
    relevance = entropy(p_t) + entropy(p_x @ rows) - entropy(joint)
    return max(0.0, float(rate)), max(0.0, relevance)


def divergences(rows, decoder):
    """KL[p(y|x) || p(y|t)] in bits, shape (n, t)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        log_decoder = np.where(decoder > 0, np.log2(decoder), -1e300)
    return xlog2(rows, rows).sum(axis=1)[:, None] - rows @ log_decoder.T


def iterate(rows, p_x, encoder, beta):
    """The encoder after one round of the self-consistent equations."""
    p_t, decoder, _ = marginals(rows, p_x, encoder)
    return encode(rows, p_t, decoder, beta)


def encode(rows, p_t, decoder, beta):
    with np.errstate(divide="ignore"):
        exponent = np.log2(p_t) - beta * divergences(rows, decoder)
    encoder = np.exp2(exponent - exponent.max(axis=1, keepdims=True))
    return encoder / encoder.sum(axis=1, keepdims=True)


def residual(rows, p_x, encoder, beta):
    rows, p_x, encoder = used(rows, p_x, encoder)
    return float(np.abs(iterate(rows, p_x, encoder, beta) - encoder).max())


def used(rows, p_x, encoder):
    possible = p_x > 0
    return rows[possible], p_x[possible], encoder[possible]


def restarts(rows, p_x, beta, n, seed, steps=300):
    """Least objective of EM from `n` random encoders, all of them at once."""
    rng = np.random.default_rng(seed)
    rows, p_x = rows[p_x > 0], p_x[p_x > 0]
    size = len(rows)
    encoder = rng.dirichlet(np.full(size, 0.3), (n, size))
    # From near the identity too: each input in a cluster of its own, mostly.
    encoder[::2] = 0.3 * encoder[::2] + 0.7 * np.eye(size)
    h_y = entropy(p_x @ rows)
    before = np.inf
    for step in range(steps):
        p_t = p_x @ encoder
        joint = (p_x[:, None] * encoder).transpose(0, 2, 1) @ rows
        with np.errstate(divide="ignore", invalid="ignore"):
            log_r = np.where(joint > 0, np.log2(joint / p_t[..., None]), -1e300)
            exponent = np.log2(p_t)[:, None] + beta * rows @ log_r.transpose(0, 2, 1)
        most = exponent.max(axis=2, keepdims=True)
        encoder = np.exp2(exponent - most)
        total = encoder.sum(axis=2, keepdims=True)
        encoder /= total
        if step % 20 == 19:
            f = (most + np.log2(total))[..., 0] @ p_x
            least = float((-f - beta * h_y).min())
            if before - least < 1e-12:
                break
            before = least
    return least


def problems(n=20):
    """Random sources of up to 32 inputs and 8 labels, of several concentrations."""
    for seed in range(n):
        rng = np.random.default_rng(seed)
        inputs, labels = int(rng.integers(3, 33)), int(rng.integers(2, 9))
        rows = rng.dirichlet(np.full(labels, [0.05, 0.2, 1.0, 5.0][seed % 4]), inputs)
        p_x = rng.dirichlet(np.full(inputs, [0.3, 1.0, 100.0][seed % 3]))
        yield rows / rows.sum(axis=1, keepdims=True), p_x / p_x.sum()
