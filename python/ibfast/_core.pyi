"""The compiled kernel. Arguments are checked by `_arrays`, `binning` and `counts`, not here."""

from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[Any]
_Doubles = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint64]
_Places = npt.NDArray[np.int64]

PAIR_BLOCK: int

class _Info(TypedDict):
    version: str
    simd: str
    threads: int
    openmp: bool
    compiler: str

class Binning:
    def __init__(
        self,
        kind: str,
        outside: str,
        bins: int = 0,
        width: float = 0.0,
        edges: _Doubles | None = None,
        per_unit: bool = False,
    ) -> None: ...

class CountTable:
    n: int
    n_cells: int
    weight: float
    def update(
        self,
        acts: _Array,
        bfloat16: bool,
        binning: Binning,
        labels: _Array | None,
        soft: _Doubles | None,
        weights: _Doubles | None,
        n_classes: int,
        threads: int,
    ) -> None: ...
    def update_keys(
        self,
        keys: _Words,
        labels: _Array | None,
        soft: _Doubles | None,
        weights: _Doubles | None,
        n_classes: int,
        threads: int,
    ) -> None: ...
    def merge(self, other: CountTable) -> None: ...
    def summary(self) -> tuple[int, int, int, float, float, float]: ...
    def arrays(self) -> tuple[_Words, _Words, _Words, _Words, _Words]: ...
    @staticmethod
    def restore(
        keys: _Words, rows: _Words, cell: _Words, label: _Words, amount: _Words
    ) -> CountTable: ...

class WeightTable(CountTable): ...

def summarise(
    acts: _Array,
    bfloat16: bool,
    binning: Binning,
    labels: _Array | None,
    soft: _Doubles | None,
    weights: _Doubles | None,
    inputs: _Array | None,
    threads: int,
) -> _Doubles: ...
def discretise(acts: _Array, bfloat16: bool, binning: Binning, threads: int) -> _Integers: ...
def keys(acts: _Array, bfloat16: bool, binning: Binning, threads: int) -> _Words: ...
def bootstrap_summaries(
    cell: _Integers,
    label: _Integers,
    total: _Integers,
    classes: int,
    resamples: int,
    seed: int,
    threads: int,
) -> _Doubles: ...
def bootstrap_counts(total: _Integers, seed: int, resample: int) -> _Integers: ...
def permutation_entropies(
    sizes: _Integers, label: _Integers, resamples: int, seed: int, threads: int
) -> _Doubles: ...
def permutation(n: int, seed: int, resample: int) -> _Integers: ...
def add_kernel_pairs(
    values: _Array, first: _Places, last: _Places, scale: float, sums: _Doubles, threads: int
) -> None: ...
def add_kernel_cross(
    values: _Array,
    offset: _Doubles,
    first: _Places,
    last: _Places,
    centres: _Array,
    n_centres: int,
    scale: float,
    sums: _Doubles,
    threads: int,
) -> None: ...
def add_kernel_products(
    products: _Array,
    row_norms: _Doubles,
    column_norms: _Doubles,
    first_column: int,
    offset: _Doubles | None,
    first: _Places,
    last: _Places,
    scale: float,
    row_sums: _Doubles,
    column_sums: _Doubles | None,
    threads: int,
) -> None: ...
def bottleneck_climb(
    p: _Doubles,
    weight: _Doubles,
    log_q: _Doubles,
    log_r: _Doubles,
    beta: float,
    tolerance: float,
    most: int,
    threads: int,
) -> tuple[_Doubles, _Doubles, float, float, int]: ...
def bottleneck_climb_gains(
    p: _Doubles, weight: _Doubles, decoders: _Doubles, log_sum: _Doubles, beta: float, threads: int
) -> tuple[_Doubles, _Doubles]: ...
def bottleneck_encode(
    p: _Doubles, weight: _Doubles, log_q: _Doubles, log_r: _Doubles, beta: float, threads: int
) -> tuple[_Doubles, _Doubles, _Doubles, float]: ...
def bottleneck_gains(
    p: _Doubles, weight: _Doubles, log_r: _Doubles, log_sum: _Doubles, beta: float, threads: int
) -> _Doubles: ...
def bottleneck_nearest(
    p: _Doubles,
    weight: _Doubles,
    log_q: _Doubles,
    log_r: _Doubles,
    slope: float,
    low: float,
    high: float,
    threads: int,
) -> tuple[float, float, float, float, bool]: ...
def info() -> _Info: ...
