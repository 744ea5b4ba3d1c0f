"""Experiments as data: `presets.toml` and the one type that its entries fill."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields, replace
from importlib.resources import files
from typing import Any

from ibfast.binning import Levels
from ibfast.experiments.measuring import parse_bins, parse_estimator
from ibfast.train import log_checkpoints

__all__ = ["Experiment", "load_preset", "preset_names", "variants"]

_TASKS = ("committee_rule", "digits", "spherical_rule")  # functions of `ibfast.datasets`


@dataclass(frozen=True)
class Experiment:
    """What to train and how to measure it; the fields are those of `presets.toml`.

    Raises
    ------
    ValueError
        If there are no seeds, the task or the targets are unknown, the bins or the estimator are
        not understood or do not go together, a checkpoint lies outside the training, there are no
        hard labels to replace by noise or to estimate with, or gradients are to be measured without
        minibatches.
    """

    name: str
    """``"preset"``, or ``"preset/variant"``."""
    title: str
    source: str
    task: str
    """A function of `ibfast.datasets` that needs no files."""
    widths: tuple[int, ...]
    activation: str
    optimizer: str
    lr: float
    epochs: int
    train_fraction: float
    seeds: int
    """How many networks."""
    bins: str
    """As `parse_bins` takes it; empty where the estimator is not "binned"."""
    checkpoints: int | tuple[int, ...]
    """How many epochs to measure, evenly spaced in their logarithm; or which, and no others."""
    include: tuple[int, ...] = ()
    """Epochs to measure beside a number of them; those after the last are left out."""
    batch_size: int | None = None
    """Rows per update; all of them by default."""
    seed: int = 0
    """Base seed."""
    reference: str | None = None
    """Published results to compare with."""
    information: float | None = None
    """I(X;Y) in bits of soft labels p(y|x), with which layers are compared with the bound."""
    targets: str = "soft"
    """What networks train on: the task's labels or p(y|x) as they are ("soft"), labels that each
    draws from p(y|x) ("sampled"), or uniform ones ("random"). Information is measured about the
    task's own in any case; loss and accuracy are of those trained on."""
    label_noise: float = 0.0
    """Probability with which a label to train on is replaced by another class."""
    init: str = "fan_in"
    """As `ibfast.models.MLP` takes it."""
    momentum: float = 0.0
    """This and the next three as `ibfast.train.Trainer` takes them."""
    weight_decay: float = 0.0
    dropout: float = 0.0
    temperature: float = 0.0
    gradients: bool = False
    """Whether to measure the statistics of minibatch gradients at every checkpoint."""
    estimator: str = "binned"
    """As `parse_estimator` takes it."""
    panel: bool = False
    """Whether to estimate every layer of the first network in every way at the end."""
    tests: str = ""
    """The claim that it tests."""
    minutes: float = 0
    """How long it takes, as CPU time of one thread, measured in a short run and scaled."""

    def __post_init__(self) -> None:
        if self.task not in _TASKS:
            raise ValueError(f"task must be one of {', '.join(_TASKS)}; got {self.task!r}")
        if self.targets not in ("soft", "sampled", "random"):
            raise ValueError(f"targets must be 'soft', 'sampled' or 'random'; got {self.targets!r}")
        if self.label_noise and self.information is not None and self.targets == "soft":
            raise ValueError(
                f"label_noise must be 0 where the targets are soft labels p(y|x), which have none "
                f"to replace; got {self.label_noise}"
            )
        if self.panel and self.information is not None:
            raise ValueError(
                f"panel must be False where labels are soft: it takes classes; got {self.panel}"
            )
        if self.gradients and self.batch_size is None:
            raise ValueError("gradients need minibatches: batch_size must be given; got None")
        self.epochs_to_measure()
        if self.information is not None and self.task != "spherical_rule":
            raise ValueError(
                f"information must be None for the task {self.task}, which has no soft labels; "
                f"got {self.information}"
            )
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1; got {self.seeds}")
        self._check_measurement()

    def _check_measurement(self) -> None:
        if parse_estimator(self.estimator) is None:
            if isinstance(parse_bins(self.bins), Levels) and self.information is not None:
                raise ValueError(
                    "bins must not be levels where layers are held against the bound, the softmax "
                    f'among them; got "{self.bins}"'
                )
            return
        if self.bins:
            raise ValueError(
                f'bins must be empty for the estimator {self.estimator}; got "{self.bins}"'
            )
        if self.information is not None:
            raise ValueError(
                "estimator must be binned where the labels are soft (information is given); "
                f'got "{self.estimator}"'
            )

    def changed(self, **options: Any) -> Experiment:
        """Return the experiment with the options that are not None put in place.

        The comparison with published results and the title that names them are dropped if the
        protocol differs; seeds, epochs, and what is measured beside and when are free. An estimator
        without bins drops those of the experiment.
        """
        given = {name: value for name, value in options.items() if value is not None}
        if given.get("estimator", "binned") != "binned":
            given.setdefault("bins", "")
        other = replace(self, **given)
        free = {"seeds", "seed", "epochs", "checkpoints", "gradients", "panel"}
        protocol = {f.name for f in fields(self)} - free
        if any(getattr(other, name) != getattr(self, name) for name in protocol):
            widths = "-".join(map(str, other.widths))
            title = f"Information plane, {other.activation} {widths}"
            if other.information is not None:
                title += f", I(X;Y) = {other.information:g}"
            return replace(other, title=title, reference=None)
        return other

    def epochs_to_measure(self) -> list[int]:
        """Return the checkpoints, ascending.

        Raises
        ------
        ValueError
            If there are none, or one lies outside the training.
        """
        if isinstance(self.checkpoints, int):
            include = [epoch for epoch in self.include if epoch <= self.epochs]
            return log_checkpoints(self.epochs, self.checkpoints, include)
        epochs = sorted(set(self.checkpoints))
        if not epochs or epochs[0] < 0 or epochs[-1] > self.epochs:
            raise ValueError(
                f"checkpoints must be one or more epochs from 0 to {self.epochs}; got {epochs}"
            )
        return epochs

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


def variants(name: str) -> list[str]:
    """Full names of a preset's variants, as `load_preset` takes them.

    Parameters
    ----------
    name : str
        A preset; the full name of a variant gives itself.

    Raises
    ------
    ValueError
        If there is none of that name.

    Examples
    --------
    >>> variants("szt"), variants("phases")
    (['szt'], ['phases/tanh', 'phases/relu', 'phases/linear'])
    """
    presets = _presets()
    preset, _, variant = name.partition("/")
    if preset not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}; got {name!r}")
    names = [f"{preset}/{entry['name']}" for entry in presets[preset].get("variants", [])]
    if not variant:
        return names or [name]
    if name not in names:
        raise ValueError(f"preset must be one of {', '.join(names or [preset])}; got {name!r}")
    return [name]


def load_preset(name: str) -> Experiment:
    """Return a preset by its name, or one of its variants as ``"preset/variant"``.

    Raises
    ------
    ValueError
        If there is none of that name, or there are several variants.

    Examples
    --------
    >>> load_preset("szt").widths
    (12, 10, 7, 5, 4, 4, 3, 2)
    >>> load_preset("phases/relu").activation
    'relu'
    """
    full = variants(name)
    if full != [name]:
        raise ValueError(f"preset {name} has variants: choose one of {', '.join(full)}")
    preset, _, variant = name.partition("/")
    entry = _presets()[preset]
    own = [one for one in entry.pop("variants", []) if one["name"] == variant]
    for one in own:
        entry = {**entry, "title": f"{entry['title']}: {variant}", **one}
    entry["name"] = name
    options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
    return Experiment(**options)


def _presets() -> dict[str, dict[str, Any]]:
    return tomllib.loads((files(__package__) / "presets.toml").read_text(encoding="utf-8"))
