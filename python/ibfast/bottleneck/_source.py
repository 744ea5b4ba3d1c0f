"""What the information bottleneck starts from: p(x) and p(y|x)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibfast._arrays import as_distributions, as_values

__all__ = ["Source", "entropy_bits", "make_source"]


@dataclass(frozen=True, eq=False)
class Source:
    """A joint distribution of X and Y, inputs with equal p(y|x) merged.

    The class of an input is a sufficient statistic of it for Y: neither the rate nor the relevance
    of any optimal encoder is lost by the merging.

    Attributes
    ----------
    p_y_given_x : ndarray of float64, shape (classes, k)
        Different rows p(y|x), in lexicographic order.
    p_x : ndarray of float64, shape (classes,)
        Their probabilities, all positive.
    class_of : ndarray of int64, shape (n,)
        The class of each input; -1 for inputs of probability 0.
    inputs : ndarray of float64, shape (n,)
        p(x) of the inputs themselves.
    p_y : ndarray of float64, shape (k,)
    h_x, h_y, i_xy : float
        H of the classes, H(Y) and I(X;Y), in bits.
    """

    p_y_given_x: NDArray[np.float64]
    p_x: NDArray[np.float64]
    class_of: NDArray[np.int64]
    inputs: NDArray[np.float64]
    p_y: NDArray[np.float64]
    h_x: float
    h_y: float
    i_xy: float

    @property
    def deterministic(self) -> bool:
        """Whether Y is a function of X."""
        return bool(((self.p_y_given_x == 0) | (self.p_y_given_x == 1)).all())


def make_source(p_y_given_x: Any, p_x: Any = None) -> Source:
    """Check p(y|x) and p(x), and merge inputs with equal rows.

    Parameters
    ----------
    p_y_given_x : array_like, shape (n, k) or (n,), or Source
        Rows p(y|x), each with sum 1; or p(y=1|x) of a binary label, hard ones among them. A Source
        is returned as it is.
    p_x : array_like, shape (n,), optional
        With sum 1; uniform by default. None with a Source.

    Raises
    ------
    TypeError
        A dtype is not one of real numbers.
    ValueError
        A shape does not fit, or there are values that are no probabilities.

    Examples
    --------
    >>> from ibfast.bottleneck import make_source
    >>> source = make_source([0.0, 1.0, 0.0, 1.0])
    >>> source.class_of, source.i_xy
    (array([1, 0, 1, 0]), 1.0)
    """
    if isinstance(p_y_given_x, Source):
        if p_x is not None:
            raise ValueError("p_x: given beside a Source, which has its own; expected None")
        return p_y_given_x
    rows = as_values("p_y_given_x", p_y_given_x)
    if rows.ndim not in (1, 2) or 0 in rows.shape:
        raise ValueError(
            f"p_y_given_x: shape {rows.shape}; expected (n, k), rows p(y|x), or (n,), p(y=1|x)"
        )
    if rows.ndim == 1:
        ones = rows.astype(np.float64)
        wrong = ~((ones >= 0) & (ones <= 1))
        if wrong.any():
            at = int(np.argmax(wrong))
            raise ValueError(
                f"p_y_given_x: {ones[at]} at input {at}; expected p(y=1|x) from 0 to 1"
            )
        rows = np.stack([1 - ones, ones], axis=1)
    else:
        rows = as_distributions("p_y_given_x", rows)
        rows = rows / rows.sum(axis=1, keepdims=True)
    n = len(rows)
    if p_x is None:
        inputs = np.full(n, 1 / n)
    else:
        given = as_values("p_x", p_x)
        if given.shape != (n,):
            raise ValueError(f"p_x: shape {given.shape}; expected ({n},), one for each input")
        inputs = as_distributions("p_x", given)
        inputs = inputs / inputs.sum()

    possible = np.flatnonzero(inputs)
    distinct, class_here = np.unique(rows[possible], axis=0, return_inverse=True)
    class_of = np.full(n, -1, dtype=np.int64)
    class_of[possible] = class_here.reshape(-1)
    weights = np.zeros(len(distinct))
    np.add.at(weights, class_of[possible], inputs[possible])
    p_y = weights @ distinct
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(distinct > 0, distinct * np.log2(distinct / p_y), 0.0)
    return Source(
        p_y_given_x=distinct,
        p_x=weights,
        class_of=class_of,
        inputs=inputs,
        p_y=p_y,
        h_x=entropy_bits(weights),
        h_y=entropy_bits(p_y),
        i_xy=max(0.0, float(weights @ terms.sum(axis=1))),
    )


def entropy_bits(p: NDArray[Any]) -> float:
    """Entropy in bits of probabilities of any shape, 0 log 0 being 0."""
    positive = p[p > 0]
    return max(0.0, float(-(positive @ np.log2(positive))))
