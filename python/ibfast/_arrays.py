"""The one place where arguments are validated and viewed."""

import math
import operator
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Units = Literal["bits", "nats"]
Outside = Literal["raise", "clip", "cell"]

_SUM_TOLERANCE = {2: 2e-2, 4: 1e-5, 8: 1e-8}  # of a row of soft labels, by item size


class SaturationWarning(UserWarning):
    """At least nine in ten rows are alone in their cells, so the estimate only counts rows."""


class Acts(NamedTuple):
    """A view of activations, `(n, d)` or `(repeats, n, d)`; bfloat16 as its bits in int16."""

    array: npt.NDArray[Any]
    bfloat16: bool

    @property
    def n(self) -> int:
        """Rows."""
        return int(self.array.shape[-2])

    @property
    def repeats(self) -> int | None:
        """Length of the leading axis, None where there is none."""
        return int(self.array.shape[0]) if self.array.ndim == 3 else None


class Labels(NamedTuple):
    """Labels as classes (integers) or as rows of probabilities (float64), one of them None."""

    hard: npt.NDArray[Any] | None
    soft: npt.NDArray[np.float64] | None


def _view(value: Any, is_tensor: bool) -> tuple[npt.NDArray[Any], bool]:
    if is_tensor:
        tensor = value.detach()
        if str(tensor.dtype) == "torch.bfloat16":
            return tensor.view(sys.modules["torch"].int16).numpy(), True
        return tensor.numpy(), False
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return np.from_dlpack(value), False
    return np.asarray(value), False


def widen_bfloat16(bits: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The values of bfloat16 from their bits in int16."""
    return (bits.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)


def as_array(name: str, value: Any) -> tuple[npt.NDArray[Any], bool]:
    """View `value` as a NumPy array of numbers, without a copy where that is possible.

    Parameters
    ----------
    name : str
        The argument's name, for errors.
    value : array_like
        NumPy array, torch tensor in main memory, object with the buffer protocol, `__array__`
        or DLPack, or (copied) nested sequence of numbers.

    Returns
    -------
    array : ndarray
        The view. A byte order other than the machine's is the one thing that copies an array.
    bfloat16 : bool
        Whether the int16 of `array` are the bits of bfloat16.

    Raises
    ------
    TypeError
        The dtype is not one of real numbers of at most 64 bits, or the array is masked.
    ValueError
        A tensor is not in main memory, a sequence is ragged.
    """
    if isinstance(value, np.ndarray):
        array, bfloat16 = value, False
    else:
        is_tensor = "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor)
        if is_tensor and value.device.type != "cpu":
            raise ValueError(
                f"{name}: a tensor on {value.device}; expected one in main memory: "
                f"pass {name}.cpu()"
            )
        try:
            array, bfloat16 = _view(value, is_tensor)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{name}: it cannot be viewed as an array: {error}") from error
    if "numpy.ma" in sys.modules and isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name}: a masked array; expected one without a mask: drop or fill")
    dtype = array.dtype
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        raise TypeError(
            f"{name}: dtype {dtype}; expected floating point of 16, 32 or 64 bits, integers or bool"
        )
    if not dtype.isnative:
        array = array.astype(dtype.newbyteorder("="))
    return array, bfloat16


def as_values(name: str, value: Any) -> npt.NDArray[Any]:
    """As `as_array`, with bfloat16 widened to float32."""
    array, bfloat16 = as_array(name, value)
    return widen_bfloat16(array) if bfloat16 else array


def as_finite(
    name: str, value: Any, ndim: int | None = None, least: float = -math.inf
) -> npt.NDArray[np.float64]:
    """As `as_values`, in float64, all of them finite and none below `least`.

    Raises
    ------
    TypeError, ValueError
        As `as_array`; or there are other values, or dimensions other than `ndim`.
    """
    array = as_values(name, value).astype(np.float64)
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name}: shape {array.shape}; expected {ndim} dimensions")
    wrong = ~(np.isfinite(array) & (array >= least))
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        place = f" at {at[0] if len(at) == 1 else at}" if at else ""
        expected = "finite values" if least == -math.inf else f"finite values from {least:g}"
        raise ValueError(f"{name}: {array[at]}{place}; expected {expected}")
    return array


def view_acts(acts: Any) -> Acts:
    """View activations as `(n, d)` or `(repeats, n, d)`, none of them zero.

    Raises
    ------
    TypeError, ValueError
        As `as_array`; or the shape is another.
    """
    array, bfloat16 = as_array("acts", acts)
    if array.ndim not in (2, 3):
        hint = "; a single unit is acts[:, None]" if array.ndim == 1 else ""
        raise ValueError(
            f"acts: shape {array.shape}; expected (n, d) or (repeats, n, d), rows first{hint}"
        )
    if 0 in array.shape:
        raise ValueError(f"acts: shape {array.shape} is empty; expected at least one row and unit")
    return Acts(array, bfloat16)


def _shape_error(name: str, array: npt.NDArray[Any], expected: str, acts: Acts) -> ValueError:
    return ValueError(
        f"{name}: shape {array.shape}; expected {expected} for acts of shape {acts.array.shape}"
    )


def view_classes(name: str, value: Any, acts: Acts) -> npt.NDArray[Any]:
    """View integer classes `(n,)`, or `(repeats, n)` for batched activations.

    Raises
    ------
    ValueError
        The shape does not fit, or floating-point classes are not whole numbers. (That none is
        negative is checked where they are read.)
    """
    array = as_values(name, value)
    shapes = {(acts.n,)} if acts.repeats is None else {(acts.n,), (acts.repeats, acts.n)}
    if array.shape not in shapes:
        expected = "(n,)" if acts.repeats is None else "(n,) or (repeats, n)"
        raise _shape_error(name, array, expected, acts)
    if array.dtype.kind == "f":
        wide = array.astype(np.float64, copy=False)  # float16 has no 2**63
        with np.errstate(invalid="ignore"):  # NaN and what 64 bits cannot hold are refused below
            whole = wide.astype(np.int64)
        if not (np.isfinite(wide) & (np.abs(wide) < 2.0**63) & (whole == wide)).all():
            raise ValueError(f"{name}: fractional values; expected classes 0, 1, 2, ...")
        return whole
    if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"{name}: {array.max()}; expected classes below 2**63")
    return array


def view_labels(labels: Any, acts: Acts) -> Labels:
    """View labels: classes as `view_classes`, or rows p(y|x) `(n, k)` or `(repeats, n, k)`.

    Two or more dimensions of floating point are rows of probabilities; all else are classes.

    Raises
    ------
    ValueError
        The shape does not fit; probabilities are negative, not finite or do not sum to 1.
    """
    array, bfloat16 = as_array("labels", labels)
    itemsize = array.dtype.itemsize
    if bfloat16:
        array = widen_bfloat16(array)
    if array.dtype.kind != "f" or array.ndim < 2:
        return Labels(view_classes("labels", array, acts), None)
    rows = (acts.n,) if acts.repeats is None else (acts.repeats, acts.n)
    if array.shape[:-1] not in {(acts.n,), rows} or array.shape[-1] == 0:
        expected = "(n,) or (n, k)" if acts.repeats is None else "(n, k) or (repeats, n, k)"
        raise _shape_error("labels", array, expected, acts)
    return Labels(None, as_distributions("labels", array, itemsize))


def as_distributions(
    name: str, array: npt.NDArray[Any], itemsize: int | None = None
) -> npt.NDArray[np.float64]:
    """Return distributions along the last axis as contiguous float64.

    Parameters
    ----------
    name : str
        The argument's name, for errors.
    array : ndarray
        From `as_values`.
    itemsize : int, optional
        Of the numbers as they came, which says how near to 1 their sums must be.

    Raises
    ------
    ValueError
        Some are negative or not finite, or do not sum to 1.
    """
    rows = np.ascontiguousarray(array, dtype=np.float64)
    tolerance = _SUM_TOLERANCE[max(2, itemsize or array.dtype.itemsize)]
    with np.errstate(over="ignore", invalid="ignore"):
        sums = rows.sum(axis=-1)
        # Written so that NaN is wrong too.
        right = (rows >= 0).all(axis=-1) & (np.abs(sums - 1.0) <= tolerance)
    if not right.all():
        at = tuple(int(i) for i in np.argwhere(~right)[0])
        place = f"row {at[0] if len(at) == 1 else at} is {rows[at]}, which" if at else f"{rows},"
        raise ValueError(
            f"{name}: {place} sums to {sums[at]}; expected probabilities: not negative, with sum 1"
        )
    return rows


def view_weights(weights: Any, acts: Acts) -> npt.NDArray[np.float64]:
    """View weights `(n,)`, or `(repeats, n)`, as contiguous float64.

    Raises
    ------
    ValueError
        The shape does not fit; some are negative or not finite, or all are zero.
    """
    array = as_values("weights", weights)
    shapes = {(acts.n,)} if acts.repeats is None else {(acts.n,), (acts.repeats, acts.n)}
    if array.shape not in shapes:
        raise _shape_error("weights", array, "(n,)", acts)
    array = np.ascontiguousarray(array, dtype=np.float64)
    if not (np.isfinite(array) & (array >= 0)).all():
        at = int(np.argmin(np.isfinite(array) & (array >= 0)))
        raise ValueError(
            f"weights: {array.flat[at]} at row {at % acts.n}; expected finite values, none negative"
        )
    if not (array > 0).any(axis=-1).all():
        raise ValueError("weights: all are zero; expected p(x), some of it positive")
    return array


@contextmanager
def errors_name(place: str) -> Iterator[None]:
    """Put the place before the text of a TypeError or ValueError."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{place}: {error}") from error


def check_units(units: str) -> float:
    """Size of a bit in `units`: 1 for "bits", ln 2 for "nats"; else a ValueError."""
    if units == "bits":
        return 1.0
    if units == "nats":
        return math.log(2.0)
    raise ValueError(f"units: {units!r}; expected 'bits' or 'nats'")


def check_outside(outside: str) -> Outside:
    """Return `outside` if it is "raise", "clip" or "cell"; else raise ValueError."""
    if outside not in ("raise", "clip", "cell"):
        raise ValueError(f"outside: {outside!r}; expected 'raise', 'clip' or 'cell'")
    return outside  # type: ignore[return-value]


def check_count(name: str, value: Any, least: int, most: int) -> int:
    """Return `value` as an int of [least, most].

    Raises
    ------
    TypeError
        It is no integer.
    ValueError
        It is out of range.
    """
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name}: {value!r} of type {type(value).__name__}; expected an integer"
        ) from None
    if not least <= count <= most:
        raise ValueError(f"{name}: {count}; expected an integer from {least} to {most}")
    return count


def check_rng(rng: Any) -> np.random.Generator:
    """Return `numpy.random.default_rng(rng)`, or raise an error that names `rng`."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"rng: {rng!r}; expected None, an integer from 0 or a Generator") from error


def check_threads(threads: Any) -> int:
    """Return the number of threads: 0 for all that the process may use, at most 1024."""
    return check_count("threads", threads, 0, 1024)
