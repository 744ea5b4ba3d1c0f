"""Counts of (cell, class) that can be streamed, merged, stored and read back."""

import itertools
import json
import struct
import threading
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ibfast import _core
from ibfast._arrays import (
    Acts,
    Labels,
    as_array,
    check_count,
    check_outside,
    check_threads,
    view_acts,
    view_labels,
    view_weights,
)
from ibfast.binning import from_dict, to_dict
from ibfast.binning._cells import as_binning, compile_binning
from ibfast.binning._kinds import Binning, Range

__all__ = ["Joint", "JointCounts"]

_MAGIC = b"ibfastJC"
_VERSION = 1
_HEAD = struct.Struct("<8sIQ")
_LEAST_WEIGHT, _MOST_WEIGHT = 2.0**-40, 2.0**46
_KINDS = {"f": "floating point", "i": "signed integer", "u": "unsigned integer", "b": "bool"}


class Joint(NamedTuple):
    """Sparse counts, in order: entry i is the `total[i]` of class `label[i]` in cell `cell[i]`."""

    cell: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    total: npt.NDArray[Any]


class JointCounts:
    """How often each class falls into each cell of the discretised activations.

    Grows by `update`, batch by batch, and by `merge`, and forgets the activations: what it keeps is
    bounded by the occupied (cell, class) pairs. The result depends on the multiset of rows alone,
    bit for bit, whatever the batches, their order, the merges or the threads. Threads of Python may
    share one: they wait for each other.

    Parameters
    ----------
    bins : int, array_like or binning
        As in `ibfast.mutual_info`, but nothing that depends on the data: an integer needs a
        `range`, and `Quantile` is refused.
    n_classes : int
        Classes are 0 to n_classes-1.
    range : (float, float), optional
        First and last edge for an integer `bins`.
    outside : {"raise", "clip", "cell"}
        What to do with values outside the range or the edges.
    threads : int
        0: all that the process may use.

    Notes
    -----
    The first update fixes the number of units, the kind of dtype (floating point, signed or
    unsigned integer, bool) and whether rows are counted (classes, no weights) or weighted (soft
    labels or weights). Weights are summed in 128-bit fixed point with a resolution of 2^-80: each
    must be 0 or at least 2^-40, and all together below 2^46.

    Examples
    --------
    >>> import numpy as np
    >>> import ibfast
    >>> counts = ibfast.JointCounts(bins=2, n_classes=2, range=(0, 1))
    >>> counts.update(np.array([[0.1], [0.2], [0.9], [0.8]]), [0, 0, 1, 0])
    >>> counts.n, counts.n_cells
    (4, 2)
    >>> counts.cell_counts()
    array([2, 2])
    >>> round(ibfast.information(counts).i_ty, 4)
    0.3113
    """

    def __init__(
        self,
        bins: Any,
        n_classes: int,
        *,
        range: Range | None = None,
        outside: str = "raise",
        threads: int = 0,
    ) -> None:
        self._binning: Binning = as_binning(bins, range)
        if self._binning.data_dependent:
            raise ValueError(
                f"bins: {self._binning!r} depends on the data, so updates could not be merged; "
                "expected bins with a range, edges, a width or integers"
            )
        self._n_classes = check_count("n_classes", n_classes, 1, 2**31)
        self._outside = check_outside(outside)
        self._threads = check_threads(threads)
        self._units: int | None = None
        self._kind: str | None = None
        self._table: _core.CountTable | None = None
        self._lock = threading.RLock()  # an update releases the GIL

    @property
    def n(self) -> int:
        """Rows counted; rows of weight 0 do not count."""
        return 0 if self._table is None else self._table.n

    @property
    def n_cells(self) -> int:
        """Occupied cells."""
        return 0 if self._table is None else self._table.n_cells

    @property
    def n_classes(self) -> int:
        """Classes, occupied or not."""
        return self._n_classes

    @property
    def weighted(self) -> bool:
        """Whether rows are weighted or their labels soft, so that counts are sums of weights."""
        return isinstance(self._table, _core.WeightTable)

    def __repr__(self) -> str:
        return (
            f"<JointCounts: {self.n} rows of {self._units or '?'} units in {self.n_cells} cells, "
            f"{self._n_classes} classes, {self._binning!r}, outside={self._outside!r}>"
        )

    def update(self, acts: Any, labels: Any, weights: Any = None) -> None:
        """Count a batch; on an error nothing of it is counted.

        Parameters
        ----------
        acts : array_like, shape (n, d)
            Activations, viewed without a copy.
        labels : array_like, shape (n,) or (n, n_classes)
            Classes, or rows p(y|x).
        weights : array_like, shape (n,), optional
            p(x), up to a factor.

        Raises
        ------
        TypeError, ValueError
            As `ibfast.mutual_info`; or the batch does not fit what the first one has fixed.
        """
        view = view_acts(acts)
        if view.array.ndim != 2:
            raise ValueError(f"acts: shape {view.array.shape}; expected (n, d)")

        def count(table: _core.CountTable, *rest: Any) -> None:
            compiled = compile_binning(self._binning, view, outside=self._outside)
            table.update(view.array, view.bfloat16, compiled, *rest)

        kind = "f" if view.bfloat16 else view.array.dtype.kind
        self._update(count, view, kind, view_labels(labels, view), weights)

    def _update_keys(
        self, keys: Any, labels: Any, weights: Any = None, *, units: int, kind: str
    ) -> None:
        """As `update`, of rows whose keys under these bins are known; nothing can tell others.

        Parameters
        ----------
        keys : array_like of 64-bit integers, shape (n, 2)
            As `_core.keys` gives them: bits of the high word, then of the low one.
        labels : array_like or Labels
            As in `update`, or viewed already.
        weights
            As in `update`.
        units : int
            Of the activations.
        kind : {"f", "i", "u", "b"}
            Of their dtype.
        """
        words, _ = as_array("keys", keys)
        right_type = words.dtype in (np.uint64, np.int64)
        if not right_type or words.shape[1:] != (2,) or not words.size:
            raise ValueError(
                f"keys: {words.dtype} of shape {words.shape}; expected 64-bit integers (n, 2), "
                "n at least 1"
            )
        if kind not in _KINDS:
            raise ValueError(f"kind: {kind!r}; expected one of {', '.join(_KINDS)}")
        words = np.ascontiguousarray(words).view(np.uint64)
        shape = len(words), check_count("units", units, 1, 2**31)
        acts = Acts(np.broadcast_to(np.uint64(0), shape), False)  # in place of those unknown

        def count(table: _core.CountTable, *rest: Any) -> None:
            table.update_keys(words, *rest)

        label = labels if isinstance(labels, Labels) else view_labels(labels, acts)
        self._update(count, acts, kind, label, weights)

    def _update(
        self, count: Callable[..., None], acts: Acts, kind: str, label: Labels, weights: Any
    ) -> None:
        weight = None if weights is None else view_weights(weights, acts)
        with self._lock:
            self._check_batch(acts, kind, label, weight)
            table = self._table
            if table is None:
                counted = label.soft is None and weight is None
                table = _core.CountTable() if counted else _core.WeightTable()
            count(table, label.hard, label.soft, weight, self._n_classes, self._threads)
            self._table = table
            self._units = int(acts.array.shape[1])
            self._kind = kind

    def _check_batch(
        self, acts: Acts, kind: str, labels: Labels, weights: npt.NDArray[np.float64] | None
    ) -> None:
        if labels.hard is not None:
            low, high = int(labels.hard.min()), int(labels.hard.max())
            if low < 0 or high >= self._n_classes:
                raise ValueError(
                    f"labels: classes from {low} to {high}; expected 0 to {self._n_classes - 1}, "
                    f"for n_classes={self._n_classes}"
                )
        elif labels.soft is not None and labels.soft.shape[1] != self._n_classes:
            raise ValueError(
                f"labels: shape {labels.soft.shape}; expected (n, {self._n_classes}), "
                f"for n_classes={self._n_classes}"
            )
        if weights is not None and weights[weights > 0].min() < _LEAST_WEIGHT:
            raise ValueError(
                f"weights: {weights[weights > 0].min()}; expected 0 or at least 2**-40: multiply "
                "them all by one factor"
            )
        if self._table is None:
            total = 0.0
        else:
            total = self._table.weight
            if acts.array.shape[1] != self._units:
                raise ValueError(
                    f"acts: {acts.array.shape[1]} units; expected {self._units}, as in the first "
                    "update"
                )
            if kind != self._kind:
                raise ValueError(
                    f"acts: {_KINDS[kind]}; expected {_KINDS[self._kind or 'f']}, as in "
                    "the first update"
                )
            weighted = labels.soft is not None or weights is not None
            if weighted != self.weighted:
                raise ValueError(
                    "labels, weights: {}; expected {}, as in the first update".format(
                        *("soft or weighted", "classes without weights")[:: 1 if weighted else -1]
                    )
                )
        with np.errstate(over="ignore"):
            total += float(acts.n if weights is None else weights.sum())
        if total >= _MOST_WEIGHT:
            raise ValueError(f"weights: their sum would be {total}; expected less than 2**46")

    def merge(self, other: "JointCounts") -> None:
        """Add the counts of another table, as if its rows had been counted here.

        Parameters
        ----------
        other : JointCounts
            Of the same bins, classes and, where both have counted, units, kind of dtype and
            weighting.

        Raises
        ------
        TypeError
            `other` is no JointCounts.
        ValueError
            The tables are unlike; the error names both.
        """
        if not isinstance(other, JointCounts):
            raise TypeError(f"other: {type(other).__name__}; expected JointCounts")
        first, second = sorted(
            (self, other), key=id
        )  # in one order, lest two merges wait crosswise
        with first._lock, second._lock:
            mine, theirs = self._header(), other._header()
            if self._table is None or other._table is None:
                for header in (mine, theirs):
                    for key in ("units", "kind", "weighted"):
                        del header[key]
            if mine != theirs:
                raise ValueError(f"other: unlike tables cannot be merged: {self!r} and {other!r}")
            if other._table is None:
                return
            if self._table is None:
                fresh = type(other._table)()
                fresh.merge(other._table)
                self._table, self._units, self._kind = fresh, other._units, other._kind
                return
            total = self._table.weight + other._table.weight
            if total >= _MOST_WEIGHT:
                raise ValueError(
                    f"other: the weights would sum to {total}; expected less than 2**46"
                )
            self._table.merge(other._table)

    def cell_counts(self) -> npt.NDArray[Any]:
        """Rows (int64), or weight (float64), of each cell in order of its key, `(n_cells,)`."""
        cell, _, count = self.joint_counts()
        out = np.zeros(cell.max(initial=-1) + 1, dtype=count.dtype)
        np.add.at(out, cell, count)
        return out

    def joint_counts(self) -> Joint:
        """Rows (int64), or weight (float64), of each occupied (cell, class), sparse, in order.

        Returns
        -------
        Joint
            Arrays `cell`, `label` and `total` of equal length; cells are numbered in key order.
        """
        with self._lock:
            if self._table is None:
                none = np.zeros(0, dtype=np.int64)
                return Joint(none, none, none)
            _, _, cell, label, amount = self._table.arrays()
        if self.weighted:
            high = amount[:, 1].astype(np.int64).astype(np.float64)
            count: npt.NDArray[Any] = high * 2.0**-16 + amount[:, 0] * 2.0**-80
        else:
            count = amount[:, 0].astype(np.int64)
        return Joint(cell.astype(np.int64), label.astype(np.int64), count)

    def _summary(self) -> tuple[int, int, int, float, float, float]:
        """n, n_cells, n_singletons, H(T), H(Y) and H(T,Y) in bits."""
        with self._lock:
            if self._table is None or self._table.n == 0:
                raise ValueError("counts: empty; expected at least one row")
            return self._table.summary()

    def _split(self) -> list["JointCounts"]:
        """A table for each high word of the keys, in order: what `_update_keys` has put there."""
        with self._lock:
            if self._table is None:
                return []
            keys, rows, cell, label, amount = self._table.arrays()
            kind = type(self._table)
        starts = np.flatnonzero(keys[1:, 0] != keys[:-1, 0]) + 1
        tables = []
        for first, last in itertools.pairwise([0, *starts.tolist(), len(keys)]):
            entries = slice(*np.searchsorted(cell, [first, last]))
            table = JointCounts(
                self._binning, self._n_classes, outside=self._outside, threads=self._threads
            )
            table._units, table._kind = 1, self._kind
            table._table = kind.restore(
                keys[first:last],
                rows[first:last],
                cell[entries] - np.uint64(first),
                label[entries],
                amount[entries],
            )
            tables.append(table)
        return tables

    def _header(self) -> dict[str, Any]:
        return {
            "binning": to_dict(self._binning),
            "outside": self._outside,
            "n_classes": self._n_classes,
            "units": self._units,
            "kind": self._kind,
            "weighted": self.weighted,
        }

    def to_bytes(self) -> bytes:
        """The table as versioned, little-endian bytes, equal for equal multisets of rows.

        Layout: magic, version (uint32), length of the header (uint64), the header (JSON), then
        uint64 arrays (keys, rows, cell, label, amount; their lengths are in the header), then a
        CRC-32 of all that (uint32).
        """
        with self._lock:
            header = self._header()
            arrays = () if self._table is None else self._table.arrays()
        header["lengths"] = [int(a.size) for a in arrays]
        text = json.dumps(header, sort_keys=True).encode()
        body = _HEAD.pack(_MAGIC, _VERSION, len(text)) + text
        body += b"".join(a.astype("<u8", copy=False).tobytes() for a in arrays)
        return body + struct.pack("<I", zlib.crc32(body))

    @classmethod
    def from_bytes(cls, data: bytes) -> "JointCounts":
        """The table that `to_bytes` wrote.

        Raises
        ------
        ValueError
            The bytes are no table, of another version, truncated or damaged.
        """
        try:
            data = memoryview(data).tobytes()
        except TypeError:
            raise TypeError(f"data: {type(data).__name__}; expected bytes") from None
        if len(data) < _HEAD.size + 4 or data[: len(_MAGIC)] != _MAGIC:
            raise ValueError(f"data: {len(data)} bytes that are no JointCounts")
        _, version, length = _HEAD.unpack_from(data)
        if version != _VERSION:
            raise ValueError(f"data: JointCounts of version {version}; expected {_VERSION}")
        if zlib.crc32(data[:-4]) != struct.unpack("<I", data[-4:])[0]:
            raise ValueError("data: the checksum of a JointCounts is wrong: truncated or damaged")
        try:
            header = json.loads(data[_HEAD.size : _HEAD.size + length])
            out = cls(from_dict(header["binning"]), header["n_classes"], outside=header["outside"])
            if header["lengths"]:
                words = np.frombuffer(data[_HEAD.size + length : -4], dtype="<u8")
                out._units = check_count("units", header["units"], 1, 2**62)
                out._kind = header["kind"]
                if out._kind not in _KINDS:
                    raise ValueError("kind")
                out._table = _restore(header, words.astype(np.uint64), out._n_classes)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"data: the contents of a JointCounts are wrong: {error!r}") from error
        return out

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self).from_bytes, (self.to_bytes(),), {"_threads": self._threads})


def _restore(
    header: dict[str, Any], words: npt.NDArray[np.uint64], n_classes: int
) -> _core.CountTable:
    """The table of the arrays in `words`; a ValueError where it could not have been written."""
    if sum(header["lengths"]) != words.size:
        raise ValueError("lengths")
    keys, rows, cell, label, amount = np.split(words, np.cumsum(header["lengths"])[:-1])
    kind, width = (_core.WeightTable, 2) if header["weighted"] else (_core.CountTable, 1)
    if (keys.size, label.size, amount.size) != (2 * rows.size, cell.size, width * cell.size):
        raise ValueError("lengths")
    amount = amount.reshape(-1, width)
    totals = amount[:, 0] * 2.0**-80 + amount[:, 1] * 2.0**-16 if width == 2 else amount[:, 0]
    ascends = (cell[1:] > cell[:-1]) | ((cell[1:] == cell[:-1]) & (label[1:] > label[:-1]))
    if not (
        np.array_equal(np.unique(cell), np.arange(rows.size))
        and ascends.all()
        and (label < n_classes).all()
        and (amount > 0).any(axis=1).all()
        and max(totals.sum(dtype=np.float64), rows.sum(dtype=np.float64)) < _MOST_WEIGHT
    ):
        raise ValueError("counts")
    return kind.restore(keys.reshape(-1, 2), rows, cell, label, amount)
