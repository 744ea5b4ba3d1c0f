"""Counts that several processes of torch.distributed have made, as one."""

from __future__ import annotations

import sys
from typing import Any, TypeVar

from ibfast.counts import JointCounts

__all__ = ["merge_counts"]

_T = TypeVar("_T")


def in_use() -> Any:
    """torch.distributed where it is initialised, else None."""
    torch = sys.modules.get("torch")
    distributed = None if torch is None else torch.distributed
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed


def rank() -> int:
    """The rank of this process; 0 where torch.distributed is not in use."""
    distributed = in_use()
    return 0 if distributed is None else int(distributed.get_rank())


def gather(value: _T, group: Any = None) -> list[_T]:
    """The values of all ranks, in order of rank, on every rank.

    Parameters
    ----------
    value : object
        To be pickled.
    group : torch.distributed.ProcessGroup, optional
        Default: all ranks.

    Raises
    ------
    RuntimeError
        torch.distributed is not in use.
    """
    distributed = in_use()
    if distributed is None:
        raise RuntimeError(
            "torch.distributed is not in use: call torch.distributed.init_process_group first"
        )
    values: list[Any] = [None] * distributed.get_world_size(group)
    distributed.all_gather_object(values, value, group=group)
    return values


def merge_counts(counts: JointCounts, group: Any = None) -> JointCounts:
    """The counts of all ranks as one table, equal to that of one process, bit for bit.

    Parameters
    ----------
    counts : JointCounts
        Of this rank; it is left as it is.
    group : torch.distributed.ProcessGroup, optional
        Default: all ranks.

    Returns
    -------
    JointCounts
        The same on every rank.

    Raises
    ------
    RuntimeError
        torch.distributed is not in use.
    ValueError
        The tables are unlike, as for `JointCounts.merge`.

    Examples
    --------
    >>> import ibfast
    >>> counts = ibfast.JointCounts(bins=2, n_classes=2, range=(0, 1))
    >>> merge_counts(counts)
    Traceback (most recent call last):
    ...
    RuntimeError: torch.distributed is not in use: call torch.distributed.init_process_group first
    """
    first, *others = gather(counts, group)
    for other in others:
        first.merge(other)
    return first
