"""Keys of rows on the device that holds them: 16 bytes a row go to the host, not the activations.

Nearly all is done in integers, which every device computes alike, flush-to-zero or not. Values
become integers of the same order; where the kernel's codes rise among those is found beforehand,
with the kernel itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ibfast import _core
from ibfast._arrays import check_outside, view_acts
from ibfast.binning._cells import as_binning, compile_binning
from ibfast.binning._kinds import Binning, Edges, Integers, Levels, Uniform, Width

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise ImportError('ibfast._device_keys needs torch: pip install "ibfast[torch]"') from error

from ibfast._device_hash import Packer

__all__ = ["DeviceKeyer"]

_CHUNK = 1 << 18  # values at once: temporaries of some times 2 MiB
_LEAST, _MOST = -(2**63), 2**63 - 1

# Of each dtype the one whose order it is looked up in, and which holds all of its values.
_ORDERS: dict[torch.dtype, type[np.number[Any]]] = {
    **dict.fromkeys((torch.float16, torch.bfloat16, torch.float32), np.float32),
    torch.float64: np.float64,
    **dict.fromkeys((torch.bool, torch.uint8, torch.uint16, torch.uint32), np.int64),
    **dict.fromkeys((torch.int8, torch.int16, torch.int32, torch.int64), np.int64),
    torch.uint64: np.uint64,
}
_INFINITY: dict[type[np.number[Any]], int] = {np.float32: 0x7F8 << 20, np.float64: 0x7FF << 52}
_UNSIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32}

_Bounded: TypeAlias = Uniform | Edges | Levels  # in the number of codes
_Method = Literal["integers", "thresholds", "shift", "float64", "host"]


class _Thresholds(NamedTuple):
    """Where codes rise among ordered values, one row for all units or one for each."""

    rises: Tensor  # (1 or d, m)
    low: Tensor  # the least and the greatest that are valid, (1 or d,)
    high: Tensor


class DeviceKeyer:
    """Codes and keys of activations, computed where they are: those of the kernel, bit for bit.

    Parameters
    ----------
    binning : binning
        As in `ibfast.JointCounts`: nothing that depends on the data.
    outside : {"raise", "clip", "cell"}
        What to do with values outside the range or the edges.

    Raises
    ------
    TypeError, ValueError
        The binning depends on the data, or `outside` is unknown.

    Notes
    -----
    Where codes rise is found once for each device and dtype: in milliseconds, for a million bins in
    seconds. Two things need float64, which MPS lacks: `Levels`, to see how far a value is from its
    level, and `Width`, but for powers of two and at most 32 bits of floating point. There, and for
    uint64, the values go to the host; so do wrong ones, for the kernel to say what is wrong.

    Examples
    --------
    >>> import torch
    >>> import ibfast
    >>> keyer = DeviceKeyer(ibfast.binning.Uniform(4, (0, 1)))
    >>> keyer.codes(torch.tensor([[0.1, 0.9], [1.0, 0.5]]))
    tensor([[0, 3],
            [3, 2]])
    >>> keyer.keys(torch.tensor([[0.1, 0.9], [1.0, 0.5]]))
    tensor([[  0, 768],
            [  0, 515]])
    """

    def __init__(self, binning: Any, outside: str = "raise") -> None:
        self._binning: Binning = as_binning(binning)
        if self._binning.data_dependent:
            raise ValueError(
                f"binning: {self._binning!r} depends on the data; expected bins with a range, "
                "edges, a width, levels or integers"
            )
        self._outside = check_outside(outside)
        self._thresholds: dict[tuple[torch.device, torch.dtype], _Thresholds] = {}
        self._packer = Packer()

    def codes(self, acts: Tensor) -> Tensor:
        """The codes of `ibfast.binning.discretise`.

        Parameters
        ----------
        acts : Tensor, shape (n, d)
            On any device, of any dtype of real numbers; not changed.

        Returns
        -------
        Tensor of int64, shape (n, d)
            On the device of `acts`.

        Raises
        ------
        TypeError, ValueError
            As `ibfast.JointCounts.update`; or the tensor has no values.
        """
        base = _first_code(self._binning, self._outside)
        return self._run(acts, None, lambda codes: codes + base, _core.discretise)

    def keys(self, acts: Tensor) -> Tensor:
        """The keys of `_core.keys`: what `JointCounts._update_keys` counts.

        Parameters
        ----------
        acts : Tensor, shape (n, d)
            As in `codes`.

        Returns
        -------
        Tensor of int64, shape (n, 2)
            The bits of the high word and of the low one, on the device of `acts`.

        Raises
        ------
        TypeError, ValueError
            As `codes`.
        """

        def finish(codes: Tensor) -> Tensor:
            if isinstance(self._binning, _Bounded):
                last = _n_codes(self._binning, self._outside) - 1
                return self._packer.keys(codes, max(1, last.bit_length()))
            signed = isinstance(self._binning, Width) or acts.dtype.is_signed
            return self._packer.keys((codes << 1) ^ (codes >> 63) if signed else codes, 64)

        return self._run(acts, 2, finish, _core.keys)

    def _run(
        self,
        acts: Tensor,
        width: int | None,
        finish: Callable[[Tensor], Tensor],
        kernel: Callable[..., NDArray[Any]],
    ) -> Tensor:
        """`finish` of the codes of each row; where the kernel has to do it, `kernel`."""
        if not isinstance(acts, Tensor):
            raise TypeError(f"acts: {type(acts).__name__}; expected a tensor")
        if acts.ndim != 2 or acts.numel() == 0:
            raise ValueError(
                f"acts: shape {tuple(acts.shape)}; expected (n, d), at least one row and unit"
            )
        if acts.layout is not torch.strided or acts.device.type == "meta":
            raise ValueError(
                f"acts: a tensor on {acts.device}, {acts.layout}; expected one with values, dense"
            )
        acts = acts.detach()
        n, d = acts.shape
        method = _method(self._binning, acts.dtype, acts.device.type)
        if method != "host" and _tables(self._binning) in (1, d):
            out = torch.empty((n, width or d), dtype=torch.int64, device=acts.device)
            wrong = torch.zeros((), dtype=torch.bool, device=acts.device)
            rows = max(1, _CHUNK // d)
            for first in range(0, n, rows):
                codes, outside = self._codes(acts[first : first + rows], method)
                out[first : first + rows] = finish(codes)
                if outside is not None:
                    wrong |= outside.any()
            if not wrong:
                return out
        view = view_acts(acts.cpu())
        compiled = compile_binning(self._binning, view, outside=self._outside)
        return torch.from_numpy(kernel(*view, compiled, 0).view(np.int64)).to(acts.device)

    def _codes(self, acts: Tensor, method: _Method) -> tuple[Tensor, Tensor | None]:
        """Codes, from 0 where they have a bound; and which values are NaN or outside."""
        binning = self._binning
        if isinstance(binning, Width):
            find = _shifted if method == "shift" else _quotients
            codes, fits, nan = find(acts, binning.width)
            return codes, ~fits if self._outside == "raise" else nan
        if not isinstance(binning, _Bounded):
            return _whole(acts), None
        at = acts.device, acts.dtype
        if at not in self._thresholds:
            found = _thresholds(binning, self._outside, _ORDERS[acts.dtype])
            self._thresholds[at] = _Thresholds(
                *(torch.tensor(a, device=acts.device) for a in found)
            )
        rises, low, high = self._thresholds[at]
        values = _ordered(acts)
        wrong = (values < low) | (values > high)
        if len(rises) == 1:
            codes = torch.searchsorted(rises[0], values.contiguous(), right=True)
        else:
            codes = torch.searchsorted(rises, values.T.contiguous(), right=True).T
        if isinstance(binning, Levels):
            wrong |= _off_level(acts, binning)
        return codes, wrong


def _method(binning: Binning, dtype: torch.dtype, device: str) -> _Method:
    """How to find codes of a dtype on a kind of device; "host" where there are none, too."""
    if dtype not in _ORDERS:
        return "host"
    if isinstance(binning, Integers):
        return "host" if dtype.is_floating_point else "integers"
    if (
        isinstance(binning, Width)
        and _ORDERS[dtype] is np.float32
        and math.frexp(binning.width)[0] == 0.5
        and binning.width < 2.0**900  # else quotients of float64 may be 0
    ):
        return "shift"
    if isinstance(binning, Width | Levels) and (device == "mps" or dtype == torch.uint64):
        return "host"
    return "float64" if isinstance(binning, Width) else "thresholds"


def _whole(acts: Tensor) -> Tensor:
    """Integers in int64, those of uint64 by their bits."""
    if acts.dtype == torch.uint64:
        return acts.view(torch.int64)
    if acts.dtype in _UNSIGNED:  # for which little else is defined
        signed = acts.view(_UNSIGNED[acts.dtype]).to(torch.int64)
        return signed & ((1 << 8 * acts.itemsize) - 1)
    return acts.to(torch.int64)


def _bits32(acts: Tensor) -> Tensor:
    """The bits of the float32 that a floating-point value is, with its sign, in int64."""
    if acts.dtype == torch.bfloat16:
        return acts.view(torch.int16).to(torch.int64) << 16
    return acts.to(torch.float32).view(torch.int32).to(torch.int64)


def _ordered(acts: Tensor) -> Tensor:
    """Integers in the order of the values; NaN are beyond the infinities."""
    order = _ORDERS[acts.dtype]
    if order is np.float32:
        bits = _bits32(acts)
        return bits ^ ((bits >> 31) & 0x7FFFFFFF)
    if order is np.float64:
        bits = acts.view(torch.int64)
        return bits ^ ((bits >> 63) & _MOST)
    whole = _whole(acts)
    # The last of 64 bits makes room for thresholds that no value reaches. As a double it is what
    # the one before it is.
    return (whole ^ _LEAST if order is np.uint64 else whole).clamp(max=_MOST - 1)


def _unordered(ordered: NDArray[np.int64], order: type[np.number[Any]]) -> NDArray[Any]:
    """The values again."""
    if order is np.float32:
        return (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).astype(np.int32).view(np.float32)
    if order is np.float64:
        return (ordered ^ ((ordered >> 63) & _MOST)).view(np.float64)
    return (ordered ^ _LEAST).view(np.uint64) if order is np.uint64 else ordered


def _first_code(binning: Binning, outside: str) -> int:
    return -1 if isinstance(binning, Uniform) and outside == "cell" else 0


def _n_codes(binning: _Bounded, outside: str) -> int:
    if isinstance(binning, Uniform):
        return binning.n + 2 * (outside == "cell")
    if isinstance(binning, Levels):
        return int(2**binning.bits)
    return int(binning._array.shape[-1]) + 1


def _tables(binning: Binning) -> int:
    """How many units have edges of their own; 1 where all have the same or none."""
    return len(binning._array) if isinstance(binning, Edges) and binning._array.ndim == 2 else 1


def _thresholds(
    binning: _Bounded, outside: str, order: type[np.number[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The fields of `_Thresholds`."""
    most = _INFINITY.get(order, _MOST)
    if outside != "raise" or isinstance(binning, Levels):
        return _rises(binning, outside, order), np.array([-most - 1]), np.array([most])
    # What is valid lies from the first threshold of outside="cell" to that past the last edge.
    if isinstance(binning, Uniform):
        rises = _rises(binning, "cell", order)
        return rises[:, 1:], rises[:, 0], rises[:, -1] - 1
    last = binning._array[..., -1:]
    past = Edges(np.concatenate([binning._array, np.nextafter(last, np.inf)], axis=-1))
    rises = _rises(past, "cell", order)
    high = np.where(np.isposinf(last).reshape(-1), most, rises[:, -1] - 1)
    return rises[:, :-1], rises[:, 0], high


def _rises(binning: _Bounded, outside: str, order: type[np.number[Any]]) -> NDArray[np.int64]:
    """The least ordered values whose codes are at least the second, the third, ...

    By bisection with the kernel, all at once; a row for all units or one for each. _MOST where a
    dtype has no such value.
    """
    compiled = binning._compile(outside)
    codes = np.arange(1, max(2, _n_codes(binning, outside)))[:, None]
    codes += _first_code(binning, outside)
    most = _INFINITY.get(order, _MOST)
    least = np.array([-most - 1]).view(np.uint64)  # counted from it, no difference overflows

    def reached(at: NDArray[np.uint64]) -> NDArray[np.bool_]:
        values = _unordered((at + least).view(np.int64), order)
        return _core.discretise(values, False, compiled, 0) >= codes

    low = np.zeros((len(codes), _tables(binning)), np.uint64)
    high = np.full_like(low, 2 * most + 1)
    while (low < high).any():
        middle = low + (high - low) // 2
        up = reached(middle)
        low = np.where(up | (low == high), low, middle + 1)
        high = np.where(up, middle, high)
    return np.where(reached(low), (low + least).view(np.int64), _MOST).T.copy()


def _as_float64(acts: Tensor) -> Tensor:
    return (acts if acts.is_floating_point() else _whole(acts)).to(torch.float64)


def _off_level(acts: Tensor, levels: Levels) -> Tensor:
    """As `Levels._check`; NaN are not told from levels here."""
    values, low = _as_float64(acts), levels.range[0]
    step = values.new_tensor([levels._step])  # a number would be turned into its reciprocal
    level = ((values - low) / step).round().clamp(0, 2**levels.bits - 1)
    return (values - (low + level * step)).abs() > 0.01 * levels._step


def _quotients(acts: Tensor, width: float) -> tuple[Tensor, Tensor, Tensor]:
    """Codes of `Width`, those of 64 bits at the ends; whether they fit; whether they are NaN."""
    values = _as_float64(acts)
    cell = (values / values.new_tensor([width])).floor()  # as in _off_level
    fits = (cell >= -(2.0**63)) & (cell < 2.0**63)
    ends = -(cell < 0).to(torch.int64) ^ _MOST
    return torch.where(fits, torch.where(fits, cell, 0).to(torch.int64), ends), fits, cell.isnan()


def _shifted(acts: Tensor, width: float) -> tuple[Tensor, Tensor, Tensor]:
    """The same for a power of two and at most 32 bits: mantissas, shifted by exponents."""
    bits = _bits32(acts)
    exponent, mantissa = (bits >> 23) & 0xFF, bits & 0x7FFFFF
    infinite = exponent == 0xFF
    nan = infinite & (mantissa != 0)
    mantissa = mantissa | ((exponent > 0).to(torch.int64) << 23)
    mantissa = torch.where(bits < 0, -mantissa, mantissa)
    shift = torch.where(infinite, 1 << 12, exponent.clamp(min=1)) - 149 - math.frexp(width)[1]
    codes = torch.where(
        shift < 0, mantissa >> (-shift).clamp(0, 63), mantissa << shift.clamp(0, 39)
    )
    far = (shift > 39) & (mantissa != 0)
    fits = ~far | ((shift == 40) & (mantissa == -(2**23)))
    return torch.where(far, (mantissa >> 63) ^ _MOST, codes), fits, nan
