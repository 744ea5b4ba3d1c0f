"""How the activations of a layer become cells: bins that are fixed for the whole run."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ibfast import _core
from ibfast._arrays import check_count, view_acts
from ibfast._device_keys import DeviceKeyer
from ibfast.binning import Edges, Integers, Uniform, Width, from_dict, to_dict
from ibfast.binning._cells import as_binning, compile_binning
from ibfast.binning._kinds import Binning, Range
from ibfast.recorder._layers import RESHAPING

__all__ = ["Cells", "Extent", "Keys", "bounds_of", "check_bins", "check_dims"]

_BOUNDS: dict[type[nn.Module], Range] = {
    nn.Hardsigmoid: (0.0, 1.0),
    nn.Sigmoid: (0.0, 1.0),
    nn.Softmax: (0.0, 1.0),
    nn.Softmax2d: (0.0, 1.0),
    nn.Softmin: (0.0, 1.0),
    nn.Softsign: (-1.0, 1.0),
    nn.Tanh: (-1.0, 1.0),
}
_RESOLUTION = 24  # bits of an activation that is projected, at its largest when it was calibrated
_LEAST_POWER = -1074  # of two in float64
_LARGEST = 2.0**31  # in that resolution: 128 times as large
_MOST_PROJECTED = 1 << 21  # units, so that sums are exact in float64


class Keys(NamedTuple):
    """The cells of a batch, and what a table must know of them."""

    keys: NDArray[np.uint64]  # (rows, 2), or (rows * units, 2) where each unit has cells of its own
    units: int
    kind: str  # of the dtype: "f", "i", "u" or "b"
    outside: int  # values outside the bins, in cells of their own
    values: int
    repeats: int  # keys a row
    least: float  # of the activations, before a projection
    greatest: float

    def samples(self, positions: int) -> int:
        """Of how many samples they are, each of so many rows."""
        return len(self.keys) // (positions * self.repeats)


def bounds_of(module: nn.Module) -> Range | None:
    """Between which values the outputs of a module lie, where its activation function says so."""
    if isinstance(module, nn.Sequential):
        last = [child for child in module if not isinstance(child, RESHAPING)][-1:]
        return bounds_of(last[0]) if last else None
    if isinstance(module, nn.Hardtanh):  # ReLU6 is one
        return float(module.min_val), float(module.max_val)
    return next((b for kind, b in _BOUNDS.items() if isinstance(module, kind)), None)


def check_bins(bins: Any) -> int | Binning:
    """A number of bins, for a layer's own range, or a binning that does not depend on the data.

    Raises
    ------
    TypeError, ValueError
        It is neither.
    """
    binning = as_binning(bins)
    if isinstance(binning, Uniform) and binning.range is None:
        return binning.n
    if binning.data_dependent:
        raise ValueError(
            f"bins: {binning!r} depends on the data, but a layer's bins are fixed for the whole "
            "run; expected a number, edges, Uniform with a range, Width, Integers or Levels"
        )
    return binning


def check_dims(dims: Any) -> int | str:
    """Return `dims` if it is "joint", "per_unit" or a positive integer.

    Raises
    ------
    TypeError, ValueError
        It is not.
    """
    if isinstance(dims, str):
        if dims in ("joint", "per_unit"):
            return dims
        raise ValueError(f"dims: {dims!r}; expected 'joint', 'per_unit' or an integer")
    return check_count("dims", dims, 1, 1 << 16)


class Extent(NamedTuple):
    """What was seen of the values of a layer."""

    low: float
    high: float
    rows: int
    whole: bool  # integers


class Cells:
    """The cells of one layer: the same at every epoch, once they are `ready`."""

    def __init__(
        self, bins: int | Binning, dims: int | str, bounds: Range | None, seed: int, threads: int
    ) -> None:
        self.dims = dims
        self.note = ""
        self.pooled = ""  # "mean" or "max"
        self.span: float | None = None  # of the values for which a width was chosen
        self._binning: Binning | None = None
        self._n_bins = 0
        self._seed = seed
        self._threads = threads
        self._exponent: int | None = None  # of the largest activation, for a projection
        self._keyer: DeviceKeyer | None = None
        self._signs: dict[tuple[int, torch.device], Tensor] = {}
        if not isinstance(bins, int):
            self._binning = bins
        elif bounds is not None and not self._projects:
            self._binning = Uniform(bins, bounds)
            self.note = "range of the activation function"
        else:
            self._n_bins = bins

    @property
    def _projects(self) -> bool:
        return isinstance(self.dims, int)

    @property
    def ready(self) -> bool:
        """Whether nothing is left that would depend on the data."""
        return self._binning is not None and not (self._projects and self._exponent is None)

    @property
    def binning(self) -> Binning:
        """The bins of each unit, or of each dimension of the projection; once it is ready."""
        return self._binning  # type: ignore[return-value]

    def observe(self, values: Tensor) -> Extent:
        """Look at a batch (n, d), for `settle`."""
        if self._exponent is not None:
            values, _ = self._project(values, self._exponent)
        low, high = _extremes(values)
        if math.isnan(low):
            raise _not_a_number(values)
        if math.isinf(low) or math.isinf(high):
            finite = values[torch.isfinite(values)]
            low, high = _extremes(finite) if len(finite) else (math.inf, -math.inf)
        return Extent(low, high, len(values), not values.is_floating_point())

    def settle(self, extents: Sequence[Extent], when: str) -> None:
        """Fix what can be fixed from the extents of all batches, whatever their order."""
        low, high = min(e.low for e in extents), max(e.high for e in extents)
        if low > high:  # no finite value
            low = high = 0.0
        if self._projects and self._exponent is None:
            largest = math.frexp(max(abs(low), abs(high)) or 1.0)[1]
            self._exponent = max(largest, _LEAST_POWER + _RESOLUTION + 128)
        elif self._binning is None and extents[0].whole:
            self._binning = Integers()
            self.note = "integers are their own cells"
        elif self._binning is None:
            self.span = min(high - low or max(abs(low), abs(high)) or 1.0, sys.float_info.max)
            power = round(math.log2(self.span) - math.log2(self._n_bins))
            self._binning = Width(2.0 ** max(power, _LEAST_POWER))
            self.note = (
                f"width chosen for about {self._n_bins} bins between {low:.4g} and {high:.4g}, the "
                f"extent of {sum(e.rows for e in extents)} rows {when}"
            )

    def samples(self, values: Tensor) -> Tensor:
        """What an estimator of values, not of cells, is given: projected where cells are."""
        return values if self._exponent is None else self._project(values, self._exponent)[0]

    def keys(self, values: Tensor) -> Keys:
        """The keys of a batch (n, d).

        Raises
        ------
        TypeError, ValueError
            NaN; or the dtype does not fit the bins.
        """
        binning, units, outside = self.binning, values.shape[1], 0
        least, greatest = _extremes(values)
        if self._exponent is not None:
            values, outside = self._project(values, self._exponent)
        rows, dims = values.shape
        per_unit = self.dims == "per_unit"
        if _in_main_memory(values):
            view = view_acts(values)
            compiled = compile_binning(binning, view, outside="cell")
            compute = _core.discretise if per_unit else _core.keys
            out: Any = compute(view.array, view.bfloat16, compiled, self._threads)
        else:
            if self._keyer is None:
                self._keyer = DeviceKeyer(binning, "cell")
            tensor = self._keyer.codes(values) if per_unit else self._keyer.keys(values)
            out = tensor.cpu().numpy()
        if self._exponent is None:
            outside = _outside(values, binning, least, greatest)
        if per_unit:
            codes = np.ascontiguousarray(out).view(np.uint64).ravel()
            out = np.stack([np.tile(np.arange(dims, dtype=np.uint64), rows), codes], axis=1)
        return Keys(
            out.view(np.uint64),
            units,
            _kind_of(values.dtype),
            outside,
            rows * units,
            dims if per_unit else 1,
            least,
            greatest,
        )

    def _project(self, values: Tensor, exponent: int) -> tuple[Tensor, int]:
        """Random signed sums (Achlioptas 2003), exact: the same for a row in any batch."""
        if values.device.type == "mps":
            values = values.cpu()  # there is no float64
        units, dims = values.shape[1], int(self.dims)
        if units < dims:
            raise ValueError(f"dims: {dims}; expected at most {units}, the units of the layer")
        if units > _MOST_PROJECTED:
            raise ValueError(f"dims: {units} units; expected at most {_MOST_PROJECTED} to project")
        place = units, values.device
        if place not in self._signs:
            rng = np.random.default_rng([self._seed, units, dims])
            signs = rng.integers(0, 2, (units, dims)) * 2.0 - 1.0
            self._signs = {place: torch.as_tensor(signs, device=values.device)}
        # Whole numbers below 2^53 at each step, so that no order of summation matters.
        whole = values.to(torch.float64, copy=True)
        whole.mul_(2.0 ** (_RESOLUTION - exponent)).round_()
        if torch.isnan(whole).any():
            raise _not_a_number(whole)
        outside = int((whole.abs() > _LARGEST).sum())
        sums = whole.clamp_(-_LARGEST, _LARGEST) @ self._signs[place]
        return sums.mul_(2.0 ** (exponent - _RESOLUTION) / math.sqrt(units)), outside

    def state(self) -> dict[str, Any]:
        """What `restore` needs, as plain data."""
        return {
            "binning": None if self._binning is None else to_dict(self._binning),
            "exponent": self._exponent,
            "dims": self.dims,
            "seed": self._seed,
            "note": self.note,
            "span": self.span,
            "pooled": self.pooled,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        binning = state["binning"]
        self._binning = None if binning is None else from_dict(binning)
        self._exponent, self.dims = state["exponent"], state["dims"]
        self._seed, self.note, self.span = state["seed"], state["note"], state["span"]
        self.pooled = state.get("pooled", self.pooled)
        self._keyer = None

    def describe(self) -> str:
        """The bins in words."""
        text = repr(self.binning)
        return text if len(text) < 100 else json.dumps(to_dict(self.binning))


def _in_main_memory(values: Tensor) -> bool:
    return values.device.type == "cpu"


def _not_a_number(values: Tensor) -> ValueError:
    row, unit = (int(i) for i in torch.argwhere(torch.isnan(values))[0])
    return ValueError(f"acts: NaN at row {row}, unit {unit}: every activation must be a number")


def _kind_of(dtype: torch.dtype) -> str:
    if dtype.is_floating_point:
        return "f"
    return "b" if dtype == torch.bool else "i" if dtype.is_signed else "u"


def _extremes(values: Tensor) -> tuple[float, float]:
    """Least and greatest value; NaN where there is one."""
    if values.dtype in (torch.uint16, torch.uint32, torch.uint64):
        values = values.double()  # of these torch has neither
    least, greatest = torch.aminmax(values)
    return float(least), float(greatest)


def _outside(values: Tensor, binning: Binning, least: float, greatest: float) -> int:
    """How many values lie outside the range, or beyond the first and last edge."""
    if isinstance(binning, Uniform) and binning.range is not None:
        low, high = (np.asarray(end) for end in binning.range)
    elif isinstance(binning, Edges):
        low, high = binning._array[..., 0], binning._array[..., -1]
    else:
        return 0
    if least >= low.max() and greatest <= high.min():
        return 0
    wide = values.to("cpu", torch.float64).numpy()
    return int(((wide < low) | (wide > high)).sum())
