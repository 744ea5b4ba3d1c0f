"""Any torch model in the user's own training loop: hooks, counts, an information plane."""

try:
    import torch  # noqa: F401
except ImportError as error:
    raise ImportError('ibfast.Recorder needs torch: pip install "ibfast[torch]"') from error

from ibfast.recorder._batches import Batch
from ibfast.recorder._recorder import Recorder
from ibfast.recorder._result import Measurement

__all__ = ["Batch", "Measurement", "Recorder"]
