"""What a bin is: how an activation becomes a code.

Every function that takes `bins` accepts one of these kinds, or a short form: an integer is
`Uniform`, an array is `Edges`. The arithmetic is that of float64 on the exact value of each
activation, whatever its dtype, and equals NumPy's to the last code.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from ibfast import _core
from ibfast._arrays import (
    Acts,
    as_values,
    check_count,
    check_outside,
    check_threads,
    view_acts,
    widen_bfloat16,
)

__all__ = ["Edges", "Integers", "Quantile", "Uniform", "Width", "discretise"]

_MOST_BINS = (1 << 24) - 3
Range: TypeAlias = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Uniform:
    """`n` bins of equal width, the last one closed: the rule of `numpy.histogram`.

    Parameters
    ----------
    n : int
        Number of bins.
    range : (float, float), optional
        First and last edge. By default the least and greatest activation; where they are equal,
        half a unit to each side, as NumPy does.

    Raises
    ------
    TypeError, ValueError
        `n` is no positive integer; the range is not finite and increasing.

    Examples
    --------
    >>> import ibfast
    >>> ibfast.binning.discretise([[0.0], [0.5], [1.0]], ibfast.binning.Uniform(2, (0, 1)))
    array([[0],
           [1],
           [1]])
    """

    kind: ClassVar[str] = "uniform"
    n: int
    range: Range | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", check_count("bins", self.n, 1, _MOST_BINS))
        if self.range is None:
            return
        try:
            low, high = (float(v) for v in self.range)
        except (TypeError, ValueError):
            raise ValueError(f"range: {self.range!r}; expected (low, high)") from None
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"range: ({low}, {high}); expected finite low < high")
        object.__setattr__(self, "range", (low, high))
        self._compile("raise")  # an overflow, or bins too many for the range, is said here

    @property
    def data_dependent(self) -> bool:
        """Whether the edges come from the data."""
        return self.range is None

    def _compile(self, outside: str, per_unit: bool = False) -> _core.Binning:
        if self.range is None:
            return _core.Binning("uniform", outside, self.n, per_unit=per_unit)
        return _core.Binning("uniform", outside, self.n, edges=np.array(self.range))


@dataclasses.dataclass(frozen=True, eq=False)
class Edges:
    """Bins between given edges: the rule of `numpy.digitize`.

    A code is the number of edges that are not above the value, so a value equal to the last edge
    has a code of its own. Values below the first edge or above the last raise by default;
    `outside="cell"` gives them digitize's codes, `outside="clip"` moves them to the nearest edge.

    Parameters
    ----------
    edges : array_like, shape (m,) or (d, m)
        Increasing; equal neighbours leave an empty bin. Two dimensions: edges of each unit.

    Raises
    ------
    TypeError, ValueError
        The edges are not numbers, are NaN, do not increase, or are none.

    Examples
    --------
    >>> import ibfast
    >>> ibfast.binning.discretise([[-1.0], [0.2], [1.0]], ibfast.binning.Edges([-1, 0, 1]))
    array([[1],
           [2],
           [3]])
    """

    kind: ClassVar[str] = "edges"
    edges: npt.ArrayLike

    def __post_init__(self) -> None:
        edges = np.array(as_values("edges", self.edges), dtype=np.float64, order="C")
        if edges.ndim not in (1, 2) or edges.size == 0:
            raise ValueError(f"edges: shape {edges.shape}; expected (m,) or (d, m), m at least 1")
        if edges.shape[-1] > _MOST_BINS:
            raise ValueError(f"edges: {edges.shape[-1]}; expected at most {_MOST_BINS}")
        edges.flags.writeable = False
        object.__setattr__(self, "edges", edges)
        self._compile("raise")  # edges that do not increase are refused there

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Edges) and np.array_equal(self._array, other._array)

    def __hash__(self) -> int:
        return hash(tuple(self._array.ravel().tolist()))

    @property
    def _array(self) -> npt.NDArray[np.float64]:
        return self.edges  # type: ignore[return-value]  # an array, since __post_init__

    @property
    def data_dependent(self) -> bool:
        """Whether the edges come from the data: never."""
        return False

    def _compile(self, outside: str, per_unit: bool = False) -> _core.Binning:
        return _core.Binning("edges", outside, edges=self._array, per_unit=self._array.ndim == 2)


@dataclasses.dataclass(frozen=True)
class Width:
    """Bins of one width without end: the code of `t` is `floor(t / width)`.

    Nothing lies outside, so ranges that move while a network trains cannot move the bins.

    Parameters
    ----------
    width : float
        In the units of the activations; positive.

    Raises
    ------
    ValueError
        The width is not positive and finite.

    Examples
    --------
    >>> import ibfast
    >>> ibfast.binning.discretise([[-0.1], [0.0], [0.7]], ibfast.binning.Width(0.5))
    array([[-1],
           [ 0],
           [ 1]])
    """

    kind: ClassVar[str] = "width"
    width: float

    def __post_init__(self) -> None:
        try:
            width = float(self.width)
        except (TypeError, ValueError):
            raise ValueError(f"width: {self.width!r}; expected a positive number") from None
        if not (width > 0 and math.isfinite(width)):
            raise ValueError(f"width: {width}; expected a positive, finite number")
        object.__setattr__(self, "width", width)

    @property
    def data_dependent(self) -> bool:
        """Whether the edges come from the data: never."""
        return False

    def _compile(self, outside: str, per_unit: bool = False) -> _core.Binning:
        return _core.Binning("width", outside, width=self.width)


@dataclasses.dataclass(frozen=True)
class Quantile:
    """`n` bins that hold equally many activations of each unit, with edges from the data.

    The inner edges are `numpy.quantile(unit, i / n)` for i = 1 .. n-1, in float64; the code is
    `numpy.digitize`'s among them, 0 to n-1. Costs a sort of the activations and a float64 copy.

    Parameters
    ----------
    n : int
        Number of bins, at least 2.

    Raises
    ------
    TypeError, ValueError
        `n` is no integer of at least 2.

    Examples
    --------
    >>> import ibfast
    >>> ibfast.binning.discretise([[0.0], [1.0], [10.0], [100.0]], ibfast.binning.Quantile(2))
    array([[0],
           [0],
           [1],
           [1]])
    """

    kind: ClassVar[str] = "quantile"
    n: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", check_count("bins", self.n, 2, _MOST_BINS))

    @property
    def data_dependent(self) -> bool:
        """Whether the edges come from the data: always."""
        return True


@dataclasses.dataclass(frozen=True)
class Integers:
    """Activations that are discrete already, as of a quantised network: the code is the value.

    Examples
    --------
    >>> import numpy as np
    >>> import ibfast
    >>> ibfast.entropy(np.array([[-7], [0], [0], [3]] * 4), bins=ibfast.binning.Integers())
    1.5
    """

    kind: ClassVar[str] = "integers"

    @property
    def data_dependent(self) -> bool:
        """Whether the edges come from the data: never."""
        return False

    def _compile(self, outside: str, per_unit: bool = False) -> _core.Binning:
        return _core.Binning("integers", outside)


Binning: TypeAlias = Uniform | Edges | Width | Quantile | Integers


def as_binning(bins: Any, range: Range | None = None) -> Binning:
    """The binning that `bins` and `range` mean together.

    Raises
    ------
    TypeError, ValueError
        `bins` is neither a binning, an integer nor an array of edges; or a range is given with
        bins that have no use for it.
    """
    if isinstance(bins, (Uniform, Edges, Width, Quantile, Integers)):
        if range is not None:
            raise ValueError(f"range: {range!r}; expected none where bins is {bins!r}")
        return bins
    if isinstance(bins, int) and not isinstance(bins, bool):
        return Uniform(bins, range)
    if isinstance(bins, (bool, np.bool_, str)):
        raise TypeError(f"bins: {bins!r}; expected an integer, an array of edges or a binning")
    scalar = not isinstance(bins, (list, tuple)) and np.ndim(bins) == 0
    if scalar and hasattr(bins, "__index__"):
        return Uniform(bins, range)
    if scalar:
        raise TypeError(f"bins: {bins!r}; expected an integer, an array of edges or a binning")
    if range is not None:
        raise ValueError(f"range: {range!r}; expected none where bins is an array of edges")
    return Edges(bins)


def compile_binning(
    binning: Binning, acts: Acts, *, per_unit: bool = False, outside: str = "raise"
) -> _core.Binning:
    """The kernel's form of a binning for these activations.

    Raises
    ------
    TypeError, ValueError
        The dtype of the activations, their units, `per_unit` or `outside` do not fit the binning.
    """
    check_outside(outside)
    if per_unit and not (isinstance(binning, Uniform) and binning.range is None):
        raise ValueError(
            f"per_unit: True; expected False where bins is {binning!r}, for it concerns the range "
            "that an integer `bins` takes from the data"
        )
    if isinstance(binning, Integers) and (acts.array.dtype.kind == "f" or acts.bfloat16):
        raise TypeError(
            f"acts: dtype {'bfloat16' if acts.bfloat16 else acts.array.dtype}; Integers() expects "
            "integers or bool"
        )
    if isinstance(binning, Quantile):
        if acts.repeats is not None:
            raise ValueError("acts: 3-D; Quantile() expects (n, d), one repeat at a time")
        # float64 values of any dtype, bfloat16 too, come from the kernel's own conversion
        values = _float64(acts)
        if not np.isfinite(values).all():
            row, unit = (int(i) for i in np.argwhere(~np.isfinite(values))[0])
            raise ValueError(
                f"acts: {values[row, unit]} at row {row}, unit {unit}; quantiles need finite values"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            inner = np.quantile(values, np.arange(1, binning.n) / binning.n, axis=0).T
        if not np.isfinite(inner).all():
            raise ValueError(
                f"acts: from {values.min()} to {values.max()}; the distance of neighbouring values "
                "overflows, so there are no quantiles between them"
            )
        return _core.Binning("edges", "cell", edges=np.ascontiguousarray(inner), per_unit=True)
    if isinstance(binning, Edges):
        shape = binning._array.shape
        if len(shape) == 2 and shape[0] != acts.array.shape[-1]:
            raise ValueError(
                f"edges: shape {shape}; expected (m,) or (d, m) with d = {acts.array.shape[-1]}"
            )
    return binning._compile(outside, per_unit)


def _float64(acts: Acts) -> npt.NDArray[np.float64]:
    array = widen_bfloat16(acts.array) if acts.bfloat16 else acts.array
    return array.astype(np.float64)


def discretise(
    acts: Any,
    bins: Any = 30,
    *,
    range: Range | None = None,
    per_unit: bool = False,
    outside: str = "raise",
    threads: int = 0,
) -> npt.NDArray[np.int64]:
    """The codes that the measures count, as an array: to look at, not needed to measure.

    Parameters
    ----------
    acts : array_like, shape (n, d) or (repeats, n, d)
        As in `ibfast.mutual_info`, and so are the other arguments.
    bins, range, per_unit, outside, threads
        As there.

    Returns
    -------
    ndarray of int64
        Codes in the shape of `acts`. `Uniform`: 0 to n-1, with `outside="cell"` -1 below and n
        above. `Edges`: numpy.digitize's. `Width`: floor(t / width). `Integers`: the values.

    Raises
    ------
    TypeError, ValueError
        As in `ibfast.mutual_info`.

    Examples
    --------
    >>> import ibfast
    >>> ibfast.binning.discretise([[0.0, 3.0], [1.0, 2.0]], 3)
    array([[0, 2],
           [1, 2]])
    """
    view = view_acts(acts)
    compiled = compile_binning(as_binning(bins, range), view, per_unit=per_unit, outside=outside)
    return _core.discretise(view.array, view.bfloat16, compiled, check_threads(threads))


def _hex(value: float) -> str:
    # Zeros of either sign are one edge. Not value + 0.0: denormals may be flushed where we run.
    return value.hex().replace("-0x0.0p+0", "0x0.0p+0")


def to_dict(binning: Binning) -> dict[str, Any]:
    """A binning as plain data, exact: floats in hexadecimal."""
    if isinstance(binning, Uniform):
        ends = None if binning.range is None else [_hex(v) for v in binning.range]
        return {"kind": "uniform", "n": binning.n, "range": ends}
    if isinstance(binning, Edges):
        edges = binning._array
        return {
            "kind": "edges",
            "shape": list(edges.shape),
            "edges": [_hex(v) for v in edges.ravel().tolist()],
        }
    if isinstance(binning, Width):
        return {"kind": "width", "width": binning.width.hex()}
    if isinstance(binning, Quantile):
        return {"kind": "quantile", "n": binning.n}
    return {"kind": "integers"}


def from_dict(data: Mapping[str, Any]) -> Binning:
    """The binning that `to_dict` described; KeyError, TypeError or ValueError for other data."""
    kind = data["kind"]
    if kind == "uniform":
        ends = data["range"]
        return Uniform(
            data["n"], None if ends is None else (float.fromhex(ends[0]), float.fromhex(ends[1]))
        )
    if kind == "edges":
        values = np.array([float.fromhex(v) for v in data["edges"]])
        return Edges(values.reshape(data["shape"]))
    if kind == "width":
        return Width(float.fromhex(data["width"]))
    if kind == "quantile":
        return Quantile(data["n"])
    if kind == "integers":
        return Integers()
    raise ValueError(f"binning: kind {kind!r} is unknown")
