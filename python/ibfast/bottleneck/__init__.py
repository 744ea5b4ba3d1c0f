"""The information bottleneck: the bound, its certificates, and how far a layer lies from it."""

from ibfast.bottleneck._critical import CriticalBetas, critical_betas
from ibfast.bottleneck._curve import IBCurve, ib_curve
from ibfast.bottleneck._source import Source, make_source

__all__ = ["CriticalBetas", "IBCurve", "Source", "critical_betas", "ib_curve", "make_source"]
