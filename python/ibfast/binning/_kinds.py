"""The kinds of bins."""

import dataclasses
import math
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from ibfast import _core
from ibfast._arrays import Acts, as_values, check_count, widen_bfloat16

_MOST_BINS = (1 << 24) - 3
Range: TypeAlias = tuple[float, float]


def as_float64(acts: Acts) -> npt.NDArray[np.float64]:
    array = widen_bfloat16(acts.array) if acts.bfloat16 else acts.array
    return array.astype(np.float64)


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

    There are no edges, so ranges that move while a network trains cannot move the bins. Only values
    whose code would not fit 64 bits, the infinite ones among them, lie outside: they raise by
    default. `outside="cell"` gives those above a cell of their own, the code 2**63 - 1, which no
    other value has, and those below the code -2**63; so does `outside="clip"`, these being the
    nearest codes that there are.

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


@dataclasses.dataclass(frozen=True)
class Levels:
    """Activations of a quantised network: one of `2**bits` evenly spaced levels; the code counts.

    The levels are `low + k (high - low) / (2**bits - 1)`. A value further than a hundredth of a
    step from all of them is an error: it is no quantised activation, or of other levels. Costs a
    look at each value beside the counting.

    Parameters
    ----------
    bits : int
        1 to 16.
    range : (float, float)
        Lowest and highest level.

    Raises
    ------
    TypeError, ValueError
        `bits` is no integer from 1 to 16; the range is not finite and increasing.

    References
    ----------
    Lorenzen, Igel & Nielsen (2022), "Information bottleneck: exact analysis of (quantized) neural
    networks".

    Examples
    --------
    >>> import ibfast
    >>> ibfast.binning.discretise([[0.0], [1 / 3], [1.0]], ibfast.binning.Levels(2, (0, 1)))
    array([[0],
           [1],
           [3]])
    """

    kind: ClassVar[str] = "levels"
    bits: int
    range: Range

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", check_count("bits", self.bits, 1, 16))
        if self.range is None:
            raise ValueError("range: None; expected (low, high), the lowest and highest level")
        object.__setattr__(self, "range", Uniform(2**self.bits - 1, self.range).range)

    @property
    def data_dependent(self) -> bool:
        """Whether the edges come from the data: never."""
        return False

    @property
    def _step(self) -> float:
        return float((self.range[1] - self.range[0]) / (2**self.bits - 1))

    def _compile(self, outside: str, per_unit: bool = False) -> _core.Binning:
        between = self.range[0] + (np.arange(2**self.bits - 1) + 0.5) * self._step
        return _core.Binning("edges", "cell", edges=between)

    def _check(self, acts: Acts) -> None:
        rows = max(1, (1 << 16) // acts.array.shape[-1])
        for first in np.arange(0, acts.n, rows):
            values = as_float64(acts._replace(array=acts.array[..., first : first + rows, :]))
            with np.errstate(over="ignore"):  # what is that far is no level either
                level = np.rint((values - self.range[0]) / self._step).clip(0, 2**self.bits - 1)
                off = np.abs(values - (self.range[0] + level * self._step)) > 0.01 * self._step
            if off.any():
                at = tuple(int(i) for i in np.argwhere(off)[0])
                raise ValueError(
                    f"acts: {values[at]} at row {first + at[-2]}, unit {at[-1]}; expected one of "
                    f"the {2**self.bits} levels from {self.range[0]} to {self.range[1]}"
                )


Binning: TypeAlias = Uniform | Edges | Width | Quantile | Integers | Levels
