"""Train a batched network: each seed with its own split and order, measured at checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ibfast.models import MLP, seed_generator

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise ImportError('ibfast.train needs torch: pip install "ibfast[torch]"') from error

__all__ = ["OPTIMIZERS", "Evaluation", "Trainer", "log_checkpoints"]

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
}
"""Optimisers by name."""


@dataclass(frozen=True)
class Evaluation:
    """What a batched network does on all rows at one moment."""

    activations: list[Tensor]
    """Per layer ``(seeds, units, n)``, the last the class probabilities. Reused: copy to keep."""
    loss: Tensor
    """Mean cross-entropy on the training rows, in bits, ``(seeds,)``."""
    train_accuracy: Tensor
    """Share of the training rows whose most likely class is right, ``(seeds,)``."""
    test_accuracy: Tensor
    """The same on the other rows; NaN where there are none."""


class Trainer:
    """Train all seeds of a batched network at once.

    Parameters
    ----------
    model : MLP
        The networks.
    inputs : array_like, shape (n, d)
        One row per sample.
    labels : array_like, shape (n,) or (n, classes), or (seeds, n)
        Integer classes, or rows p(y|x); or classes of each seed's own.
    optimizer : str
        A key of `OPTIMIZERS`.
    lr : float
        Learning rate.
    batch_size : int, optional
        Rows per update, in an order that each seed draws anew every epoch; all of them by default.
    train_fraction : float
        Share of the rows that each seed draws to train on; the others are its test rows.

    Attributes
    ----------
    train_rows : Tensor of int64, shape (seeds, n_train)
        The rows that each seed trains on, ascending.

    Raises
    ------
    ValueError
        If lengths or widths do not fit the model, a label is not a class, or an option is out of
        range.

    Examples
    --------
    >>> from ibfast.datasets import spherical_rule
    >>> trainer = Trainer(MLP((12, 8, 2), seeds=3), *spherical_rule(), lr=0.01)
    >>> trainer.run(100)
    >>> trainer.evaluate().train_accuracy.shape
    torch.Size([3])
    """

    def __init__(
        self,
        model: MLP,
        inputs: ArrayLike,
        labels: ArrayLike,
        *,
        optimizer: str = "adam",
        lr: float = 2e-4,
        batch_size: int | None = None,
        train_fraction: float = 1.0,
    ) -> None:
        if optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}; got {optimizer!r}")
        if not 0 < lr < np.inf:
            raise ValueError(f"lr must be positive and finite; got {lr}")
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; got {batch_size}")
        self.model, self.batch_size = model, batch_size
        self._inputs = _inputs(inputs, model)
        n = len(self._inputs)
        self._targets = _targets(labels, n, model)
        # Rows of the table of targets where those of each seed begin.
        own = 0 if self._targets.ndim == 2 else n
        self._first_target = own * torch.arange(len(model.members))[:, None]

        n_train = round(train_fraction * n) if 0 < train_fraction <= 1 else 0
        if n_train == 0:
            raise ValueError(
                f"train_fraction must leave 1 to {n} training rows; got {train_fraction}"
            )
        self.train_rows = torch.stack([self._draw(m, 1, n)[:n_train] for m in model.members])
        self.train_rows = self.train_rows.sort(dim=1).values
        self._is_train = torch.zeros(len(model.members), n, dtype=torch.bool)
        self._is_train.scatter_(1, self.train_rows, True)

        self._orders = [seed_generator(model.seed, m, 2) for m in model.members]
        self._x, self._t = (
            torch.empty(*self.train_rows.shape, table.shape[-1], dtype=model.theta.dtype)
            for table in (self._inputs, self._targets)
        )
        self._load(self.train_rows)
        self._optimizer = OPTIMIZERS[optimizer]([model.theta], lr=lr, fused=True)

    def run(
        self,
        epochs: int,
        checkpoints: Iterable[int] = (),
        on_checkpoint: Callable[[int, Trainer], object] | None = None,
        on_epoch: Callable[[int], object] | None = None,
    ) -> None:
        """Train for a number of epochs.

        Parameters
        ----------
        epochs : int
            Passes over the training rows.
        checkpoints : iterable of int
            Epochs 0 (before any update) to `epochs` at which to call back.
        on_checkpoint : callable, optional
            Called with the epoch and this trainer.
        on_epoch : callable, optional
            Called with the number of epochs done after each of them.
        """
        marks = frozenset(checkpoints)
        for epoch in range(epochs + 1):
            if on_checkpoint and epoch in marks:
                on_checkpoint(epoch, self)
            if epoch == epochs:
                return
            for inputs, targets in self._batches():
                self.model.gradient(inputs, targets)
                self._optimizer.step()
            if on_epoch:
                on_epoch(epoch + 1)

    def evaluate(self) -> Evaluation:
        """Run all rows, of training and of test, through every seed's network."""
        activations = self.model.forward(self._inputs.mT)
        log_p = self.model.log_probabilities(len(self._inputs))
        bits = -(self._targets.mT * log_p).sum(1) / np.log(2)
        right = (activations[-1].argmax(1) == self._targets.argmax(-1)).to(bits.dtype)
        train, test = self._is_train, ~self._is_train
        return Evaluation(
            activations,
            loss=_mean(bits, train),
            train_accuracy=_mean(right, train),
            test_accuracy=_mean(right, test),
        )

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self.batch_size is None:
            yield self._x.mT, self._t.mT
            return
        n = self.train_rows.shape[1]
        order = torch.stack([torch.randperm(n, generator=g) for g in self._orders])
        self._load(self.train_rows.gather(1, order))
        for start in range(0, n, self.batch_size):
            batch = slice(start, start + self.batch_size)
            yield self._x[:, batch].mT, self._t[:, batch].mT

    def _load(self, rows: Tensor) -> None:
        """Copy each seed's rows to where the batches are cut from, always the same memory."""
        for table, at, loaded in (
            (self._inputs, rows, self._x),
            (self._targets, rows + self._first_target, self._t),
        ):
            flat = table.view(-1, table.shape[-1])
            torch.index_select(flat, 0, at.flatten(), out=loaded.view(-1, flat.shape[1]))

    def _draw(self, member: int, stream: int, n: int) -> Tensor:
        return torch.randperm(n, generator=seed_generator(self.model.seed, member, stream))


def log_checkpoints(epochs: int, count: int = 110, include: Iterable[int] = ()) -> list[int]:
    """Epochs from 0 to `epochs`, evenly spaced in their logarithm.

    Parameters
    ----------
    epochs : int
        The last epoch.
    count : int
        How many before those of `include` at least, 2 or more; all if there are no more.
    include : iterable of int
        Epochs to have in any case.

    Returns
    -------
    list of int
        Ascending, without repeats, from 0 to `epochs`.

    Raises
    ------
    ValueError
        If `epochs` is negative, `count` is below 2, or an epoch to include is out of range.

    Examples
    --------
    >>> log_checkpoints(1000, 5, include=[200])
    [0, 1, 10, 100, 200, 1000]
    """
    if epochs < 0:
        raise ValueError(f"epochs must not be negative; got {epochs}")
    if count < 2:
        raise ValueError(f"count of checkpoints must be at least 2; got {count}")
    extra = set(include)
    if not extra <= set(range(epochs + 1)):
        raise ValueError(f"checkpoints must lie between 0 and {epochs}; got {sorted(extra)}")
    if epochs + 1 <= count:
        return list(range(epochs + 1))
    # Early epochs round to the same number: ask for more until enough are left.
    asked = count - 1
    while True:
        spaced = {0, *np.geomspace(epochs, 1, asked).round().astype(int).tolist()}
        if len(spaced) >= count:
            return sorted(spaced | extra)
        asked += 1


def _inputs(inputs: ArrayLike, model: MLP) -> Tensor:
    """Return the inputs as an (n, d) tensor of the model's dtype."""
    x = torch.as_tensor(np.asarray(inputs)).to(model.theta.dtype)
    if x.ndim != 2 or x.shape[1] != model.widths[0] or len(x) == 0:
        raise ValueError(
            f"inputs must have shape (n, {model.widths[0]}), n at least 1; got {tuple(x.shape)}"
        )
    return x


def _targets(labels: ArrayLike, n: int, model: MLP) -> Tensor:
    """Return the labels as p(y|x): an (n, classes) tensor, or (seeds, n, classes)."""
    y, classes, seeds = np.asarray(labels), model.widths[-1], len(model.members)
    own = y.shape == (seeds, n) and np.issubdtype(y.dtype, np.integer)
    if not own and y.shape not in ((n,), (n, classes)):
        raise ValueError(
            f"labels must have shape ({n},) or ({n}, {classes}), or be integers of shape "
            f"({seeds}, {n}); got {y.dtype} of shape {y.shape}"
        )
    if y.ndim == 2 and not own:
        if not np.allclose(y.sum(axis=1), 1, rtol=0, atol=1e-6) or y.min() < 0:
            raise ValueError("labels of shape (n, classes) must be rows p(y|x) that sum to 1")
    else:
        if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= classes:
            raise ValueError(
                f"labels must be integer classes below {classes}; got {y.dtype} "
                f"from {y.min()} to {y.max()}"
            )
        y = np.eye(classes)[y]
    return torch.as_tensor(y).to(model.theta.dtype)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of each row over the columns that the mask selects; NaN where it selects none."""
    return torch.where(mask, values, 0).sum(1) / mask.sum(1)
