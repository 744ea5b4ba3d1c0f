"""From what a loader yields to what a model takes."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Batch", "as_loader", "one_pass", "run_model", "unpack_pair"]


@dataclasses.dataclass(frozen=True)
class Batch:
    """A batch as `Recorder.measure` takes it; what `unpack` returns.

    Attributes
    ----------
    x : Tensor, tuple or mapping
        What the model gets: one argument, several, or several by name.
    labels : array_like or mapping of str to array_like
        Classes `(n,)`, rows p(y|x) `(n, k)`, or classes of positions `(n, positions)` for layers
        with ``pool="spatial"``; several sets by name.
    inputs : array_like of int, shape (n,), optional
        Which input each row belongs to, where inputs are repeated, augmented or noisy.
    weights : array_like, shape (n,), optional
        p(x), up to a factor.

    Examples
    --------
    >>> Batch(torch.zeros(2, 3), labels={"digit": [3, 4], "parity": [1, 0]}).labels["parity"]
    [1, 0]
    """

    x: Any
    labels: Any
    inputs: Any = None
    weights: Any = None


def as_loader(loader: Any) -> Any:
    """The loader; a pair of a tensor or array and labels is a single batch.

    Raises
    ------
    TypeError
        It cannot be iterated over.
    """
    if isinstance(loader, tuple) and len(loader) == 2:
        x, labels = loader
        if hasattr(x, "shape") and (hasattr(labels, "shape") or isinstance(labels, Mapping)):
            return [loader]
    if not hasattr(loader, "__iter__"):
        raise TypeError(
            f"loader: {type(loader).__name__}; expected batches to iterate over, such as a "
            "DataLoader, or a pair (x, labels) of tensors"
        )
    return loader


def one_pass(loader: Any) -> Iterator[Any]:
    """All batches; a DataLoader's own random generators and workers are left as they were."""
    if getattr(loader, "persistent_workers", False):
        # Its only iterator may be the one that training is using, or about to use.
        loader = copy.copy(loader)
        loader._iterator = None
    batch_sampler = getattr(loader, "batch_sampler", None)
    owners = (loader, *(getattr(part, "sampler", None) for part in (loader, batch_sampler)))
    generators = [getattr(owner, "generator", None) for owner in (*owners, batch_sampler)]
    states = [(g, g.get_state()) for g in generators if isinstance(g, torch.Generator)]
    try:
        yield from loader
    finally:
        for generator, state in states:
            generator.set_state(state)


def unpack_pair(batch: Any) -> Batch:
    """A batch from (x, labels), or from a mapping with ``labels`` or ``label``.

    Raises
    ------
    TypeError
        It is neither.
    """
    if isinstance(batch, Batch):
        return batch
    if isinstance(batch, Mapping):
        for key in ("labels", "label"):
            if key in batch:
                rest = {name: value for name, value in batch.items() if name != key}
                return Batch(rest, batch[key])
        raise TypeError(
            f"loader: a batch with {', '.join(map(repr, batch)) or 'nothing'} and no 'labels'; "
            "say unpack=function from a batch to ibfast.recorder.Batch"
        )
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return Batch(*batch)
    shape = f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
    raise TypeError(
        f"loader: a batch that is a {type(batch).__name__}{shape}; expected (x, labels) or a "
        "mapping with 'labels', or say unpack=function from a batch to ibfast.recorder.Batch"
    )


def checked_unpack(unpack: Callable[[Any], Batch], batch: Any) -> Batch:
    """What `unpack` makes of a batch; a TypeError if that is no `Batch`."""
    unpacked = unpack(batch)
    if isinstance(unpacked, Batch):
        return unpacked
    if isinstance(unpacked, (tuple, list)) and len(unpacked) == 2:
        return Batch(*unpacked)
    raise TypeError(
        f"unpack: it returned {type(unpacked).__name__}; expected ibfast.recorder.Batch or "
        "(x, labels)"
    )


def run_model(model: nn.Module, x: Any, device: torch.device | None) -> None:
    """Run a model on a batch, which is moved to the device."""
    x = _to(x, device)
    if isinstance(x, Mapping):
        model(**x)
    elif isinstance(x, (tuple, list)):
        model(*x)
    else:
        model(x)


def _to(x: Any, device: torch.device | None) -> Any:
    if isinstance(x, Tensor):
        return x if device is None else x.to(device)
    if isinstance(x, Mapping):
        return {name: _to(value, device) for name, value in x.items()}
    if isinstance(x, (tuple, list)):
        return type(x)(_to(value, device) for value in x) if type(x) in (tuple, list) else x
    return torch.as_tensor(x, device=device) if hasattr(x, "__array__") else x
