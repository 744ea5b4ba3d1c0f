"""The information bottleneck: the bound, its certificates, and how far a layer lies from it."""

from ibfast.bottleneck._hard import (
    HardEncoders,
    HardFrontier,
    hard_frontier,
    optimal_hard_encoders,
)
from ibfast.bottleneck._source import Source, make_source

__all__ = [
    "HardEncoders",
    "HardFrontier",
    "Source",
    "hard_frontier",
    "make_source",
    "optimal_hard_encoders",
]
