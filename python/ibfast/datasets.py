"""Tasks that need no download: rules on all 4096 patterns of 12 bits, and scanned digits.

The rules are small enough that every input can be measured. Labels are exact and the same on every
machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["committee_rule", "digits", "spherical_rule"]

_BITS = 12
_GOLDEN = (1 + 5**0.5) / 2
# Bit j sits on vertex j of an icosahedron; this order gives the labels that the authors published.
_VERTICES = np.array(
    [
        (0, 1, _GOLDEN),
        (0, -1, _GOLDEN),
        (1, -_GOLDEN, 0),
        (_GOLDEN, 0, 1),
        (-1, -_GOLDEN, 0),
        (-1, _GOLDEN, 0),
        (-_GOLDEN, 0, -1),
        (0, 1, -_GOLDEN),
        (_GOLDEN, 0, -1),
        (0, -1, -_GOLDEN),
        (1, _GOLDEN, 0),
        (-_GOLDEN, 0, 1),
    ]
) / np.sqrt(1 + _GOLDEN**2)
# The midpoint of the gap in f that is nearest to P(y=1) = 1/2.
_THETA = 7.63204


def spherical_rule(
    information: float | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | NDArray[np.float64]]:
    """Shwartz-Ziv & Tishby's rule: a rotation-invariant threshold on 12 points of a sphere.

    Twelve bits switch the vertices of an icosahedron on and off, and
    ``f(x) = (number of on-bits) + |sum of the on-vertices|``, the square roots of the pattern's
    spherical-harmonic power at degrees 0 and 1. The label is ``f > theta``.

    Parameters
    ----------
    information : float, optional
        I(X;Y) in bits of soft labels ``p(y=1|x) = sigmoid(gain * (f - theta))``; the gain is solved
        for. The paper's value is 0.99. Without it the labels are hard and I(X;Y) = H(Y) = 0.99916.

    Returns
    -------
    x : ndarray of uint8, shape (4096, 12)
        Row n holds the binary digits of n, most significant first.
    y : ndarray, shape (4096,)
        Hard labels as uint8, or ``p(y=1|x)`` as float64 when `information` is given.

    Raises
    ------
    ValueError
        If `information` is not between 0 and H(Y) of the hard labels, both excluded.

    Examples
    --------
    >>> x, y = spherical_rule()
    >>> x.shape, int(y.sum())
    ((4096, 12), 2118)

    References
    ----------
    Shwartz-Ziv, R. & Tishby, N. (2017). Opening the black box of deep neural networks via
    information. arXiv:1703.00810, section 3.1.
    """
    x = _all_patterns()
    # Patterns of one orbit differ in the last digits of f: rounding makes them equal again.
    f = np.round(x.sum(axis=1) + np.linalg.norm(x @ _VERTICES, axis=1), 9)
    if information is None:
        return x, (f > _THETA).astype(np.uint8)

    hard = _label_information((f > _THETA).astype(np.float64))
    if not 0 < information < hard:
        raise ValueError(
            f"information must be between 0 and H(Y) = {hard:.7f} bits, both excluded; "
            f"got {information}"
        )
    return x, _sigmoid(_gain(f - _THETA, information) * (f - _THETA))


def committee_rule(seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the majority vote of three random perceptrons with weights of +-1 on 12 bits.

    A stand-in for the committee machine of Shwartz-Ziv & Tishby's figure 8, whose weights are not
    published: these are ours. Each perceptron votes by the sign of ``w . (2 x - 1)``, and by its
    first input alone where that is zero, so that exactly half of the labels are 1.

    Parameters
    ----------
    seed : int
        Seed of the weights.

    Returns
    -------
    x : ndarray of uint8, shape (4096, 12)
        Row n holds the binary digits of n, most significant first.
    y : ndarray of uint8, shape (4096,)
        The majority's vote.

    Examples
    --------
    >>> x, y = committee_rule()
    >>> int(y.sum())
    2048

    References
    ----------
    Shwartz-Ziv & Tishby (2017), arXiv:1703.00810, figure 8.
    """
    x = _all_patterns()
    weights = np.random.default_rng(seed).choice(np.array([-1, 1]), size=(3, _BITS))
    fields = (2 * x.astype(np.int64) - 1)[:, None, :] * weights
    # The sum is even: half a vote of the first input decides a tie and nothing else.
    votes = fields.sum(axis=2) + 0.5 * fields[:, :, 0] > 0
    return x, (votes.sum(axis=1) >= 2).astype(np.uint8)


def digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the handwritten digits of scikit-learn, a sample of real data.

    Returns
    -------
    x : ndarray of float64, shape (1797, 64)
        Grey values of 8x8 pixels from 0 to 1.
    y : ndarray of int64, shape (1797,)
        The digits, 0 to 9.

    Raises
    ------
    ImportError
        If scikit-learn is missing.

    Examples
    --------
    >>> x, y = digits()
    >>> x.shape, int(y.max())
    ((1797, 64), 9)

    References
    ----------
    Alpaydin & Kaynak (1998), "Optical recognition of handwritten digits", UCI Machine Learning
    Repository: the test set.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError('digits needs scikit-learn: pip install "ibfast[run]"') from error
    x, y = load_digits(return_X_y=True)
    return x / 16.0, y.astype(np.int64)


def _all_patterns() -> NDArray[np.uint8]:
    rows = np.arange(2**_BITS)[:, None]
    return ((rows >> np.arange(_BITS - 1, -1, -1)) & 1).astype(np.uint8)


def _sigmoid(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * z)), dtype=np.float64)


def _binary_entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entropy in bits of a coin that shows 1 with probability p; zero at 0 and 1."""
    q = np.stack([p, 1 - p])
    entropy: NDArray[np.float64] = -np.sum(
        q * np.log2(q, out=np.zeros_like(q), where=q > 0), axis=0
    )
    return entropy


def _label_information(p: NDArray[np.float64]) -> float:
    """I(X;Y) in bits of equally likely inputs with the given p(y=1|x)."""
    return float(_binary_entropy(p.mean(keepdims=True))[0] - _binary_entropy(p).mean())


def _gain(margin: NDArray[np.float64], information: float) -> float:
    """Bisect for the gain at which the soft labels have the given I(X;Y)."""
    low, high = 0.0, 1.0
    while _label_information(_sigmoid(high * margin)) < information:
        low, high = high, 2 * high
    for _ in range(60):
        middle = 0.5 * (low + high)
        if _label_information(_sigmoid(middle * margin)) < information:
            low = middle
        else:
            high = middle
    return high
