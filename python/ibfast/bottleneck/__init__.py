"""The information bottleneck: the bound, its certificates, and how far a layer lies from it."""

from ibfast.bottleneck._critical import CriticalBetas, critical_betas
from ibfast.bottleneck._curve import IBCurve, ib_curve
from ibfast.bottleneck._deterministic import DeterministicIB, deterministic_ib
from ibfast.bottleneck._gaussian import GaussianIB, gaussian_ib, gaussian_ib_from_samples
from ibfast.bottleneck._hard import (
    HardEncoders,
    HardFrontier,
    hard_frontier,
    optimal_hard_encoders,
)
from ibfast.bottleneck._optimality import LayerOptimality, layer_optimality
from ibfast.bottleneck._source import Source, make_source
from ibfast.bottleneck._squared import SquaredIB, squared_ib

__all__ = [
    "CriticalBetas",
    "DeterministicIB",
    "GaussianIB",
    "HardEncoders",
    "HardFrontier",
    "IBCurve",
    "LayerOptimality",
    "Source",
    "SquaredIB",
    "critical_betas",
    "deterministic_ib",
    "gaussian_ib",
    "gaussian_ib_from_samples",
    "hard_frontier",
    "ib_curve",
    "layer_optimality",
    "make_source",
    "optimal_hard_encoders",
    "squared_ib",
]
