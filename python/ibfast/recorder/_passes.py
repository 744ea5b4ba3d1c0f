"""Hooks on the layers of a model while a pass runs, and what they see."""

from __future__ import annotations

import random
import sys
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.backends import mha

from ibfast._arrays import errors_name
from ibfast.recorder._cells import Cells, Extent, Keys
from ibfast.recorder._counting import LayerCounts, Targets
from ibfast.recorder._layout import Layout
from ibfast.recorder._pooling import Rows, pool_output
from ibfast.recorder._samples import as_numpy, priorities

__all__ = ["CalibrationPass", "CountingPass", "as_it_is", "device_of"]


@contextmanager
def as_it_is(model: nn.Module) -> Iterator[None]:
    """Evaluate a model, and leave its modes, its gradients and all random numbers untouched."""
    modes = {module: module.training for module in model.modules()}
    device = device_of(model)
    cuda = [device] if device is not None and device.type == "cuda" else []
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  (of data sets)
    try:
        model.eval()
        with torch.no_grad(), torch.random.fork_rng(cuda), eager():
            yield
    finally:
        # By the methods first, which may do more, as to merge weights for evaluation.
        for module, training in modes.items():
            if module.training != training:
                module.train(training)
        for module, training in modes.items():
            module.training = training
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


class _Unfused:
    """No fused attention while any thread is inside, then as it was before."""

    def __init__(self) -> None:
        self._lock, self._inside, self._before = threading.Lock(), 0, True

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = mha.get_fastpath_enabled()
                mha.set_fastpath_enabled(False)
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                mha.set_fastpath_enabled(self._before)


_UNFUSED = _Unfused()


@contextmanager
def eager() -> Iterator[None]:
    """Run models as they are written: compiled ones, and fused attention, do not call hooks.

    Fused layers of transformers hand over nested tensors, which layers with hooks cannot take.
    """
    with ExitStack() as stack:
        stack.enter_context(_UNFUSED)
        # Its compiler takes seconds to import, and where nobody has, nothing is compiled.
        if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):  # torch 2.6
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


def device_of(model: nn.Module) -> torch.device | None:
    """The device of its first parameter or buffer; None where it has neither."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return None


def _in_backward() -> bool:
    """Whether autograd runs now, and so layers only as gradient checkpoints run them again."""
    return bool(torch._C._current_graph_task_id() != -1)


class _Pass(ABC):
    """While it is entered, `see` is called with the rows of each layer that runs.

    A layer that runs more than once in a batch is as many layers: ``name``, ``name:2``, ...
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._calls: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self.batches = 0
        self.ran: set[str] = set()

    def __enter__(self) -> Any:
        with ExitStack() as stack:
            stack.enter_context(eager())
            before = self._before_hook()
            stack.callback(self._layout.model.register_forward_pre_hook(before).remove)
            for name, module in self._layout.modules.items():
                stack.callback(module.register_forward_hook(self._hook(name, module)).remove)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _before_hook(self) -> Callable[[nn.Module, Any], None]:
        def before(module: nn.Module, args: Any) -> None:
            if self._calls and module is self._layout.model:
                raise ValueError(
                    f"labels: missing for batch {self.batches}: after the model has run on a "
                    "batch, hand over its labels before it runs on the next"
                )

        return before  # a function, which a copy of the model shares, as it does the hooks below

    def _hook(self, name: str, registered: nn.Module) -> Callable[[nn.Module, Any, Any], None]:
        pool, channels = self._layout.pooling_of(name)

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if getattr(module, "_is_replica", False):
                raise RuntimeError(
                    "a replica of the model runs, as DataParallel makes them: listen to "
                    "model.module, or use measure()"
                )
            if module is not registered or _in_backward():  # a copy of the model; a checkpoint
                return
            with self._lock:
                self._calls[name] += 1
                call = self._calls[name]
            full = name if call == 1 else f"{name}:{call}"
            with (
                torch.no_grad(),
                errors_name(f"layer {full!r}, batch {self.batches}"),
            ):
                rows = pool_output(output, module, pool, channels)
                self.see(full, module, rows)
            self.ran.add(name)

        return hook

    @abstractmethod
    def see(self, name: str, module: nn.Module, rows: Rows) -> None:
        """Take the rows of a layer."""

    def end_batch(self) -> None:
        """Expect the next batch."""
        self.batches += 1
        self._calls.clear()


class CalibrationPass(_Pass):
    """Observes the layers whose cells are not fixed yet."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.extents: dict[str, Extent] = {}

    def see(self, name: str, module: nn.Module, rows: Rows) -> None:
        """Observe it, unless its cells are fixed."""
        cells = self._layout.cells_of(name)
        if cells.ready:
            return
        extent = cells.observe(rows.values)
        known = self.extents.get(name, extent._replace(rows=0))
        self.extents[name] = Extent(
            min(known.low, extent.low),
            max(known.high, extent.high),
            known.rows + extent.rows,
            extent.whole,
        )


class _Seen(NamedTuple):
    keys: Keys
    positions: int
    sample: dict[str, Any] | None


class CountingPass(_Pass):
    """Counts the cells of every layer, batch by batch; `counts` has them."""

    def __init__(self, layout: Layout, seed: int) -> None:
        super().__init__(layout)
        self._seed = seed
        self._pending: dict[str, _Seen] = {}
        self._rows: Counter[str] = Counter()
        self._half = False  # an error came while a batch was counted
        self.counts: dict[str, LayerCounts] = {}
        self.shared: set[str] = set()  # one row for all samples, as embeddings of positions have

    def see(self, name: str, module: nn.Module, rows: Rows) -> None:
        cells = self._layout.cells_of(name)
        while not cells.ready:
            cells.settle([cells.observe(rows.values)], "of its first batch")
        if name not in self.counts:
            self.counts[name] = self._layout.counts_of(cells)
        cells.pooled = rows.pooled
        sample = self._sample(name, cells, rows.values)
        self._pending[name] = _Seen(cells.keys(rows.values), rows.positions, sample)

    def _sample(self, name: str, cells: Cells, values: Tensor) -> dict[str, Any] | None:
        reservoir = self.counts[name].sample
        if reservoir is None:
            return None
        priority = priorities(self._rows[name], len(values), self._seed)
        self._rows[name] += len(values)
        chosen = reservoir.choose(priority)
        rows = cells.samples(values[torch.as_tensor(chosen, device=values.device)])
        return {"chosen": chosen, "priority": priority[chosen], "acts": as_numpy(rows)}

    def add(self, targets: Targets) -> None:
        """Count what the layers have shown since the last time, with the labels that belong to it.

        Raises
        ------
        ValueError
            No layer has run, or rows and labels do not fit.
        """
        if not self._pending:
            raise ValueError(
                f"labels: of batch {self.batches}, but none of the layers "
                f"{', '.join(map(repr, self._layout.modules))} has run since the last labels"
            )
        self._check_whole()
        self._half = True
        for name, seen in self._pending.items():
            if self._layout.automatic and seen.keys.samples(seen.positions) == 1 < targets.n:
                self.shared.add(name)
            if name in self.shared:
                continue
            with errors_name(f"layer {name!r}, batch {self.batches}"):
                self.counts[name].add(seen.keys, seen.positions, targets, seen.sample)
        self._half = False
        self._pending.clear()
        self.end_batch()

    def _check_whole(self) -> None:
        if self._half:
            raise ValueError(f"batch {self.batches}: counted in part only, for an error came then")

    def check_complete(self) -> None:
        """Raise unless every batch has had its labels."""
        self._check_whole()
        if self._pending:
            raise ValueError(f"labels: missing for batch {self.batches}, the last")
