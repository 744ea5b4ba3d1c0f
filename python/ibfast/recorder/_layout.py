"""What is recorded of a model: its layers, how their outputs become rows, and these cells."""

from __future__ import annotations

from typing import Any

from torch import nn

from ibfast._arrays import check_count, check_threads
from ibfast.recorder._cells import Cells, bounds_of, check_bins, check_dims
from ibfast.recorder._counting import LayerCounts
from ibfast.recorder._layers import Layers, check_option, choose, module_name, option_of, unwrap
from ibfast.recorder._pooling import check_pool
from ibfast.recorder._samples import Reservoir

__all__ = ["Layout"]


class Layout:
    """The layers of a model, with their options and cells; `cells` grows as layers run."""

    def __init__(
        self,
        model: nn.Module,
        layers: Layers,
        *,
        bins: Any,
        pool: Any,
        channels: Any,
        dims: Any,
        reservoir: int,
        seed: int,
        threads: int,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model: {type(model).__name__}; expected a torch.nn.Module")
        self.model = unwrap(model)
        on_meta = [name for name, p in self.model.named_parameters() if p.device.type == "meta"]
        if on_meta:
            raise ValueError(
                f"model: its parameters, such as {on_meta[0]!r}, are on the meta device, where "
                "tensors have no values; expected a model with weights: model.to_empty() and "
                "initialise it"
            )
        self.modules, self.named = choose(self.model, layers)
        self.automatic = isinstance(layers, str) and layers == "auto"
        self.bins = check_option("bins", bins, self.modules, check_bins)
        self.pool = check_option("pool", pool, self.modules, check_pool)
        self.channels = check_option("channels", channels, self.modules, _check_channels)
        self.dims = check_option("dims", dims, self.modules, check_dims)
        self.cells: dict[str, Cells] = {}
        self.seed = check_count("seed", seed, 0, 2**31)
        self._reservoir = reservoir
        self._threads = check_threads(threads)

    def pooling_of(self, name: str) -> tuple[Any, int | str]:
        """The pool of a layer and where its channels are."""
        return self._option(self.pool, name, "flatten"), self._option(self.channels, name, "auto")

    def options_of(self, name: str) -> dict[str, Any]:
        """What a layer's numbers depend on beside its bins, as plain data."""
        pool, channels = self.pooling_of(name)
        return {
            "pool": pool if isinstance(pool, str) else "a function",
            "channels": channels,
            "dims": self._option(self.dims, name, "joint"),
            "seed": self.seed,
        }

    def _option(self, option: Any, name: str, default: Any) -> Any:
        return option_of(option, name, module_name(name, self.modules), default)

    def cells_of(self, name: str) -> Cells:
        """The cells of a layer, which are made when it first runs."""
        if name not in self.cells:
            module = self.modules[module_name(name, self.modules)]
            pooled_by_name = isinstance(self.pooling_of(name)[0], str)
            self.cells[name] = Cells(
                self._option(self.bins, name, 30),
                self._option(self.dims, name, "joint"),
                bounds_of(module) if pooled_by_name else None,
                self.seed,
                self._threads,
            )
        return self.cells[name]

    def counts_of(self, cells: Cells) -> LayerCounts:
        """Empty counts for a layer of these cells."""
        return LayerCounts(
            cells.binning,
            per_unit=cells.dims == "per_unit",
            sample=Reservoir(self._reservoir) if self._reservoir else None,
        )


def _check_channels(channels: Any) -> int | str:
    if isinstance(channels, str) and channels == "auto":
        return channels
    if isinstance(channels, str):
        raise ValueError(f"channels: {channels!r}; expected 'auto' or a dimension")
    return check_count("channels", channels, -8, 8)
