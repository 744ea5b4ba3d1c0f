"""The information bottleneck: the bound, its certificates, and how far a layer lies from it."""

from ibfast.bottleneck._source import Source, make_source

__all__ = ["Source", "make_source"]
