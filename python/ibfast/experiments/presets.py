"""Experiments as data: `presets.toml` and the one type that its entries fill."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields, replace
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Experiment", "load_preset", "parse_bins", "preset_names"]


@dataclass(frozen=True)
class Experiment:
    """What to train and how to measure it; the fields are those of `presets.toml`.

    Raises
    ------
    ValueError
        If there are no seeds, or the bins are not understood.
    """

    name: str
    title: str
    source: str
    task: str
    """A function of `ibfast.datasets`."""
    widths: tuple[int, ...]
    activation: str
    optimizer: str
    lr: float
    epochs: int
    train_fraction: float
    seeds: int
    """How many networks."""
    bins: str
    """As `parse_bins` takes it."""
    checkpoints: int
    """How many epochs to measure, evenly spaced in their logarithm."""
    include: tuple[int, ...]
    """Epochs to measure in any case; those after the last are left out."""
    batch_size: int | None = None
    """Rows per update; all of them by default."""
    seed: int = 0
    """Base seed."""
    reference: str | None = None
    """Published results to compare with."""
    information: float | None = None
    """I(X;Y) in bits of soft labels p(y|x), with which layers are compared with the bound."""
    targets: str = "soft"
    """What networks train on where labels are soft: p(y|x) ("soft"), or labels that each draws from
    it ("sampled")."""

    def __post_init__(self) -> None:
        if self.targets not in ("soft", "sampled"):
            raise ValueError(f"targets must be 'soft' or 'sampled'; got {self.targets!r}")
        if self.information is not None and self.task != "spherical_rule":
            raise ValueError(
                f"information must be None for the task {self.task}, which has no soft labels; "
                f"got {self.information}"
            )
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1; got {self.seeds}")
        parse_bins(self.bins)

    def changed(self, **options: Any) -> Experiment:
        """Return the experiment with the options that are not None put in place.

        The comparison with published results and the title that names them are dropped if the
        protocol differs; seeds, epochs and checkpoints are free.
        """
        given = {name: value for name, value in options.items() if value is not None}
        other = replace(self, **given)
        free = {"seeds", "seed", "epochs", "checkpoints"}
        protocol = {f.name for f in fields(self)} - free
        if any(getattr(other, name) != getattr(self, name) for name in protocol):
            widths = "-".join(map(str, other.widths))
            title = f"Information plane, {other.activation} {widths}"
            if other.information is not None:
                title += f", I(X;Y) = {other.information:g}"
            return replace(other, title=title, reference=None)
        return other

    @property
    def layers(self) -> list[str]:
        """Names of the measured layers: hidden ones by their activation, then the softmax."""
        hidden = [f"{self.activation} {width}" for width in self.widths[1:-1]]
        return [*hidden, f"softmax {self.widths[-1]}"]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON takes them."""
        return asdict(self)


def preset_names() -> list[str]:
    """Names of the presets."""
    return list(_presets())


def load_preset(name: str) -> Experiment:
    """Return a preset by its name.

    Raises
    ------
    ValueError
        If there is none of that name.

    Examples
    --------
    >>> load_preset("szt").widths
    (12, 10, 7, 5, 4, 4, 3, 2)
    """
    presets = _presets()
    if name not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}; got {name!r}")
    entry: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in presets[name].items()
    }
    return Experiment(name=name, **entry)


def parse_bins(text: str) -> int | NDArray[np.float64]:
    """Read bins from text: a number of bins, or evenly spaced edges.

    Parameters
    ----------
    text : str
        ``"30"``, equal bins over each layer's own range, or ``"low:high:n"``,
        ``numpy.linspace(low, high, n)`` as `numpy.digitize` takes them.

    Returns
    -------
    int or ndarray of float64
        What `ibfast.layer_information` takes as `bins`.

    Raises
    ------
    ValueError
        If the text is neither.

    Examples
    --------
    >>> parse_bins("-1:1:5")
    array([-1. , -0.5,  0. ,  0.5,  1. ])
    """
    parts = text.split(":")
    try:
        if len(parts) == 1:
            bins = int(text)
            if bins > 0:
                return bins
        else:
            low, high, n = float(parts[0]), float(parts[1]), int(parts[2])
            if len(parts) == 3 and n > 1 and -np.inf < low < high < np.inf:
                return np.linspace(low, high, n)
    except (ValueError, IndexError):
        pass
    raise ValueError(f'bins must be a number such as 30, or edges such as -1:1:50; got "{text}"')


def _presets() -> dict[str, dict[str, Any]]:
    return tomllib.loads((files(__package__) / "presets.toml").read_text(encoding="utf-8"))
