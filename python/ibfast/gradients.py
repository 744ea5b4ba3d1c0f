"""Statistics of minibatch gradients, and the epoch at which drift turns into diffusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ibfast._arrays import check_rng

if TYPE_CHECKING:
    import xarray as xr

    from ibfast.train import Trainer

__all__ = ["Transition", "gradient_statistics", "layer_transitions", "transition"]

_LEAST = 3  # checkpoints on either side of a change
_RESAMPLES = 1999


def gradient_statistics(trainer: Trainer) -> dict[str, NDArray[np.float64]]:
    """Measure how the gradients of the coming epoch's minibatches agree, at the weights of now.

    Over the minibatches, each counting once, of the gradients of the mean cross-entropy (nats) with
    respect to a layer's weights (biases left out, as in the authors' code): the norm of their mean,
    and their standard deviation, the root of the variances (over the number of minibatches) summed
    over the weights. Both are divided by the Frobenius norm of the weights. The sums are running
    ones in float64; training goes on as if nothing had been measured.

    The paper's figure 4 is of these quantities. The plotting code that was published with it draws
    others under the same names: powers of them, and sums over several layers.

    Parameters
    ----------
    trainer : Trainer
        With two minibatches an epoch or more.

    Returns
    -------
    dict of ndarray of float64, shape (seeds, layers)
        ``gradient_mean`` and ``gradient_sd`` (nats), and ``gradient_snr``, the first over the
        second: NaN where all gradients are 0, infinite where they are equal.

    Raises
    ------
    ValueError
        If the trainer has one minibatch an epoch, whose gradient has no spread.

    References
    ----------
    Shwartz-Ziv & Tishby (2017), arXiv:1703.00810, section 3.3.

    Examples
    --------
    >>> from ibfast.datasets import spherical_rule
    >>> from ibfast.models import MLP
    >>> from ibfast.train import Trainer
    >>> trainer = Trainer(MLP((12, 8, 2), seeds=3), *spherical_rule(), batch_size=256)
    >>> gradient_statistics(trainer)["gradient_snr"].shape
    (3, 2)
    """
    import torch  # here, so that figures of a stored run do without

    if trainer.batches_per_epoch < 2:
        raise ValueError(
            "trainer must have two minibatches an epoch or more, for their spread; got one: "
            f"batch_size {trainer.batch_size} of {trainer.train_rows.shape[1]} training rows"
        )
    model = trainer.model
    mean, squares = torch.zeros(2, model.theta.numel(), dtype=torch.float64)
    for count, gradient in enumerate(trainer.coming_gradients(), 1):
        # Welford's update: no difference of large sums.
        before = gradient - mean
        mean.add_(before, alpha=1 / count)
        squares.addcmul_(before, gradient - mean)
    squares /= trainer.batches_per_epoch
    norms = []
    (means, _), (variances, _) = model.split(mean), model.split(squares)
    for weight, m, s in zip(model.weights, means, variances, strict=True):
        scale = weight.double().square().sum((1, 2)).sqrt()
        sums = m.square().sum((1, 2)), s.sum((1, 2))
        norms.append([(total.sqrt() / scale).numpy() for total in sums])
    gradient_mean, gradient_sd = np.array(norms).transpose(1, 2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = gradient_mean / gradient_sd
    return {"gradient_mean": gradient_mean, "gradient_sd": gradient_sd, "gradient_snr": snr}


@dataclass(frozen=True)
class Transition:
    """Where the signal-to-noise ratio of gradients falls: the end of drift."""

    epoch: float | None
    """Of the mean curve, between two checkpoints; None if it does not fall."""
    interval: tuple[float, float] | None
    """95 % of the resamples of the seeds in which it falls; None if `epoch` is, or for one seed."""
    found: float
    """Share of the resamples in which it falls; of one seed, 1 or 0."""
    factor: float
    """Level before over level after the best step of the mean curve, 1 or less if none falls."""
    seed_epochs: NDArray[np.float64]
    """Of each seed's own curve; NaN where that does not fall."""

    def __str__(self) -> str:
        if self.epoch is None:
            return "no fall of the signal-to-noise ratio"
        text = f"epoch {self.epoch:.3g}"
        if self.interval is not None:
            text += f" [{self.interval[0]:.3g}, {self.interval[1]:.3g}]"
        return f"{text}, by a factor of {self.factor:.3g}"


def transition(snr: ArrayLike, epochs: ArrayLike, *, rng: Any = None) -> Transition:
    """Find where signal-to-noise ratios fall: the change point of a two-level step.

    The step is fitted to log SNR by least squares over log epoch: a checkpoint weighs as much as
    the part of that axis that is nearest to it, so that denser checkpoints do not draw the change
    to them. At least three checkpoints lie on either side; the change is at the geometric mean of
    the two epochs around it. A fall is found where the upper level comes first and the step
    explains more than its search finds in noise, ``n log(rss_constant / rss_step) > 3 log n`` of n
    checkpoints, the modified BIC.

    Parameters
    ----------
    snr : array_like, shape (seeds, epochs)
        Positive. Seeds with a value that is 0 or not finite have no epoch of their own and are
        left out of the mean.
    epochs : array_like, shape (epochs,)
        Ascending; epoch 0, which has no logarithm, is left out.
    rng : None, int or numpy.random.Generator
        For the bootstrap of the seeds, as for `numpy.random.default_rng`.

    Returns
    -------
    Transition

    Raises
    ------
    ValueError
        If the shapes do not fit, the epochs do not ascend from 0 or more, fewer than six are
        left, or no seed has values that are positive and finite.

    References
    ----------
    Shwartz-Ziv & Tishby (2017), arXiv:1703.00810, section 3.3. Zhang & Siegmund (2007), "A modified
    Bayes information criterion with applications to the analysis of comparative genomic
    hybridization data".

    Examples
    --------
    >>> epochs = np.array([0, 1, 2, 4, 8, 16, 32, 64])
    >>> snr = np.where(epochs < 10, 2.0, 0.1) * [[1.0], [1.5]]
    >>> print(transition(snr, epochs, rng=0))
    epoch 11.3 [11.3, 11.3], by a factor of 20
    """
    values, at = np.asarray(snr, dtype=float), np.asarray(epochs, dtype=float)
    if values.ndim != 2 or at.shape != values.shape[1:]:
        raise ValueError(
            f"snr must have shape (seeds, epochs) with as many epochs as given; got {values.shape} "
            f"and epochs of shape {at.shape}"
        )
    if not (np.isfinite(at).all() and (at >= 0).all() and (np.diff(at) > 0).all()):
        raise ValueError(f"epochs must ascend, from 0 or more; got {at.tolist()}")
    values, at = values[:, at > 0], at[at > 0]
    if at.size < 2 * _LEAST:
        raise ValueError(f"epochs after 0 must be at least {2 * _LEAST}; got {at.size}")
    usable = (np.isfinite(values) & (values > 0)).all(axis=1)
    if not usable.any():
        raise ValueError("snr must be positive and finite throughout for one seed; got none")
    curves = np.log(values[usable])
    own = np.full(len(values), np.nan)
    own[usable] = _falls(curves, at)[0]

    (epoch,), (step,) = _falls(curves.mean(axis=0)[None], at)
    fell, interval, found = not np.isnan(epoch), None, float(not np.isnan(epoch))
    if len(curves) > 1:
        picks = check_rng(rng).integers(len(curves), size=(_RESAMPLES, len(curves)))
        resampled = _falls(curves[picks].mean(axis=1), at)[0]
        resampled = resampled[~np.isnan(resampled)]
        found = resampled.size / _RESAMPLES
        if fell and resampled.size:
            low, high = np.quantile(resampled, [0.025, 0.975], method="nearest")
            interval = float(low), float(high)
    return Transition(float(epoch) if fell else None, interval, found, float(np.exp(step)), own)


def layer_transitions(plane: xr.Dataset) -> list[Transition | None]:
    """Find the `transition` of every layer of an experiment.

    Parameters
    ----------
    plane : xarray.Dataset
        With ``gradient_snr`` of dims ``(seed, epoch, layer)``.

    Returns
    -------
    list of Transition or None
        One per layer; None where there are fewer than six checkpoints after epoch 0, or no seed
        whose ratio is positive and finite at all of them. The same each time.
    """
    later = plane.gradient_snr.sel(epoch=plane.epoch > 0).transpose("layer", "seed", "epoch")
    found: list[Transition | None] = []
    for layer in later:
        usable = (np.isfinite(layer) & (layer > 0)).all("epoch").any()
        enough = usable and later.sizes["epoch"] >= 2 * _LEAST
        found.append(transition(layer, later.epoch, rng=0) if enough else None)
    return found


def _falls(
    curves: NDArray[np.float64], epochs: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Epoch of each curve's fall, NaN where there is none, and how far the best step goes down."""
    n = epochs.size
    weight = np.gradient(np.log(epochs))
    weight[[0, -1]] /= 2
    weight /= weight.sum()
    curves = curves - (curves @ weight)[:, None]
    # With the mean at 0, a step with share w before it and level m there explains m^2 w / (1 - w).
    split = np.arange(_LEAST, n - _LEAST + 1)
    before = weight.cumsum()[split - 1]
    level = (curves * weight).cumsum(axis=1)[:, split - 1] / before
    explained = level**2 * before / (1 - before)
    best = explained.argmax(axis=1)
    rows = np.arange(len(curves))
    down = level[rows, best] / (1 - before[best])
    total = (curves**2) @ weight
    left = np.maximum(total - explained[rows, best], 0)
    # Levels that differ by rounding alone are equal.
    fell = (down > 1e-9) & (left < total * n ** (-3 / n))
    place = np.sqrt(epochs[split - 1] * epochs[split])[best]
    return np.where(fell, place, np.nan), down
