"""Labels of each seed's own, exact, sampled, noisy or random; and the targets that they make."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ibfast.models import MLP, seed_generator

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise ImportError('ibfast.labels needs torch: pip install "ibfast[torch]"') from error

__all__ = ["KINDS", "as_targets", "draw_labels"]

KINDS = ("exact", "sampled", "random")
"""What `draw_labels` draws."""


def draw_labels(
    model: MLP, labels: ArrayLike, kind: str = "exact", *, label_noise: float = 0.0
) -> NDArray[np.int64]:
    """Draw labels for each seed of a model: the same in any batch of seeds.

    Parameters
    ----------
    model : MLP
        Whose seeds draw; it says how many classes there are.
    labels : array_like, shape (n,) or (n, classes)
        Integer classes, or rows p(y|x).
    kind : {"exact", "sampled", "random"}
        The labels as they are; drawn from p(y|x), of which hard labels are a case; or uniform over
        the classes whatever the input (Zhang et al., 2017).
    label_noise : float
        Probability with which a label is replaced by another class, all being as likely.

    Returns
    -------
    ndarray of int64, shape (seeds, n)

    Raises
    ------
    ValueError
        If the labels do not fit the model, the kind is unknown or needs hard labels, or the noise
        is no probability, has no other class to choose, or is asked for of random labels.

    References
    ----------
    Zhang, Bengio, Hardt, Recht & Vinyals (2017), "Understanding deep learning requires rethinking
    generalization", arXiv:1611.03530.

    Examples
    --------
    >>> draw_labels(MLP((1, 2), seeds=2), [0, 1, 1])
    array([[0, 1, 1],
           [0, 1, 1]])
    """
    classes = model.widths[-1]
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
    if not 0 <= label_noise <= 1:
        raise ValueError(f"label_noise must be a probability from 0 to 1; got {label_noise}")
    if label_noise and (kind == "random" or classes < 2):
        raise ValueError(
            f"label_noise must be 0 for random labels, and where there is one class; got "
            f"{label_noise} for {kind} labels of {classes} classes"
        )
    y = np.asarray(labels)
    if y.ndim not in (1, 2) or y.size == 0 or y.shape[1:] not in ((), (classes,)):
        raise ValueError(
            f"labels must have shape (n,) or (n, {classes}), n at least 1; got {y.shape}"
        )
    p = _probabilities(y, classes, soft=y.ndim == 2)
    if kind == "exact" and y.ndim == 2:
        raise ValueError("labels must be integer classes (n,) for the kind 'exact'; got p(y|x)")
    # p(y >= k) for k = classes - 1 to 1: a uniform number below it means a class of k at least.
    at_least = p[:, :0:-1].cumsum(axis=1).T
    drawn = []
    for member in model.members:
        generator = seed_generator(model.seed, member, 3)
        if kind == "random":
            own = torch.randint(classes, (len(y),), generator=generator).numpy()
        elif y.ndim == 1:
            own = y.astype(np.int64)
        else:
            own = (_uniform(len(y), generator) < at_least).sum(axis=0)
        if label_noise:
            noisy = _uniform(len(y), generator) < label_noise
            other = torch.randint(1, classes, (len(y),), generator=generator).numpy()
            own = np.where(noisy, (own + other) % classes, own)
        drawn.append(own)
    return np.stack(drawn)


def as_targets(labels: ArrayLike, n: int, model: MLP) -> Tensor:
    """Return the labels as p(y|x): an (n, classes) tensor, or (seeds, n, classes).

    Parameters
    ----------
    labels : array_like, shape (n,) or (n, classes), or (seeds, n)
        Integer classes, or rows p(y|x); or classes of each seed's own.
    n : int
        How many there must be.
    model : MLP
        It says how many seeds and classes there are.

    Raises
    ------
    ValueError
        If they do not fit.

    Examples
    --------
    >>> as_targets([0, 1], 2, MLP((1, 2)))
    tensor([[1., 0.],
            [0., 1.]])
    """
    y, classes, seeds = np.asarray(labels), model.widths[-1], len(model.members)
    own = y.shape == (seeds, n) and np.issubdtype(y.dtype, np.integer)
    if not own and y.shape not in ((n,), (n, classes)):
        raise ValueError(
            f"labels must have shape ({n},) or ({n}, {classes}), or be integers of shape "
            f"({seeds}, {n}); got {y.dtype} of shape {y.shape}"
        )
    soft = y.ndim == 2 and not own
    return torch.as_tensor(_probabilities(y, classes, soft=soft)).to(model.theta.dtype)


def _probabilities(y: NDArray[Any], classes: int, *, soft: bool) -> NDArray[Any]:
    """Return labels as p(y|x), the classes being the last axis."""
    if soft:
        if not np.allclose(y.sum(axis=1), 1, rtol=0, atol=1e-6) or y.min() < 0:
            raise ValueError("labels of shape (n, classes) must be rows p(y|x) that sum to 1")
        return y
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= classes:
        raise ValueError(
            f"labels must be integer classes below {classes}; got {y.dtype} "
            f"from {y.min()} to {y.max()}"
        )
    one_hot: NDArray[np.float64] = np.eye(classes)[y]
    return one_hot


def _uniform(n: int, generator: torch.Generator) -> NDArray[np.float64]:
    drawn: NDArray[np.float64] = torch.rand(n, generator=generator, dtype=torch.float64).numpy()
    return drawn
