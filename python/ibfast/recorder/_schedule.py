"""At which epochs to measure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from numbers import Integral
from typing import Any

from ibfast._arrays import check_count

__all__ = ["schedule"]

_A_DECADE = 20
_EXPECTED = "'log', 'every', the last epoch, several epochs or a function of them"


def schedule(when: Any) -> Callable[[int], bool]:
    """Whether an epoch is due, as a function.

    Parameters
    ----------
    when : "log", int, "every", iterable of int, or callable
        About 20 epochs in each power of ten and each of the first ten; the same up to this, which
        is the last; every epoch; these; or a function of the epoch.

    Raises
    ------
    TypeError, ValueError
        It is none of these.
    """
    if isinstance(when, str):
        if when == "log":
            return _log_due
        if when == "every":
            return lambda epoch: True
        raise ValueError(f"when: {when!r}; expected {_EXPECTED}")
    if isinstance(when, Integral) and not isinstance(when, bool):
        last = check_count("when", when, 0, 2**62)
        return lambda epoch: epoch == last or (epoch < last and _log_due(epoch))
    if callable(when):
        return lambda epoch: bool(when(epoch))
    if not isinstance(when, Iterable):
        raise TypeError(f"when: {when!r} of type {type(when).__name__}; expected {_EXPECTED}")
    epochs = {check_count("when", epoch, 0, 2**62) for epoch in when}
    return lambda epoch: epoch in epochs


def _log_due(epoch: int) -> bool:
    if epoch < 1:
        return True
    step = round(_A_DECADE * math.log10(epoch))
    return any(round(10 ** (s / _A_DECADE)) == epoch for s in (step - 1, step, step + 1))
