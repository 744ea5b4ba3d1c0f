"""What the layers of a neural network know: fast, exact, honest information planes."""

import importlib
from typing import TYPE_CHECKING, Any

try:
    from ibfast import _core
except ImportError as error:  # pragma: no cover - a broken installation
    raise ImportError(
        f"the compiled core of ibfast cannot be loaded ({error}): was the extension built? "
        "Install with `pip install .` from the source folder"
    ) from error

from ibfast import binning, datasets
from ibfast._arrays import SaturationWarning
from ibfast.counts import JointCounts
from ibfast.measures import (
    LayerInformation,
    entropy,
    information,
    layer_information,
    mutual_info,
)

if TYPE_CHECKING:
    from ibfast import bottleneck, corrections, estimators, selftest, uncertainty
    from ibfast.estimators import panel
    from ibfast.recorder import Recorder

__version__: str = _core.info()["version"]

__all__ = [
    "JointCounts",
    "LayerInformation",
    "Recorder",
    "SaturationWarning",
    "__version__",
    "binning",
    "bottleneck",
    "corrections",
    "datasets",
    "entropy",
    "estimators",
    "information",
    "layer_information",
    "mutual_info",
    "panel",
    "selftest",
    "uncertainty",
]


_HOMES = {"Recorder": "ibfast.recorder", "panel": "ibfast.estimators"}
_LAZY = ("bottleneck", "corrections", "estimators", "selftest", "uncertainty")


def __getattr__(name: str) -> Any:  # `import ibfast` is to be quick
    if name in _LAZY:
        return importlib.import_module(f"ibfast.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ibfast' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
