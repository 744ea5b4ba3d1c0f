"""The information bottleneck: the bound, its certificates, and how far a layer lies from it."""

from ibfast.bottleneck._deterministic import DeterministicIB, deterministic_ib
from ibfast.bottleneck._gaussian import GaussianIB, gaussian_ib, gaussian_ib_from_samples
from ibfast.bottleneck._hard import (
    HardEncoders,
    HardFrontier,
    hard_frontier,
    optimal_hard_encoders,
)
from ibfast.bottleneck._source import Source, make_source

__all__ = [
    "DeterministicIB",
    "GaussianIB",
    "HardEncoders",
    "HardFrontier",
    "Source",
    "deterministic_ib",
    "gaussian_ib",
    "gaussian_ib_from_samples",
    "hard_frontier",
    "make_source",
    "optimal_hard_encoders",
]
