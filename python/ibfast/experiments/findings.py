"""Verdicts on the claims of the paper and of its critics."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from ibfast import store
from ibfast.experiments.claims import CLAIMS, Claim, Criterion
from ibfast.experiments.folders import run_variants
from ibfast.experiments.presets import Experiment, load_preset
from ibfast.experiments.runner import versions
from ibfast.experiments.statistics import t_interval
from ibfast.finding_plots import finding_figure

__all__ = [
    "Finding",
    "Value",
    "experiments_for",
    "judge",
    "needed_variants",
    "run_findings",
    "seconds_of",
    "to_json",
    "to_markdown",
]

_QUICK = {"seeds": 4, "epochs": 1000, "checkpoints": 40}

Verdict = Literal["supported", "not supported", "mixed"]
Outcome = Literal["supported", "not supported", "undecided"]


@dataclass(frozen=True)
class Value:
    """A criterion's number, its 95 % interval over networks, and what follows."""

    criterion: Criterion
    value: float
    low: float
    high: float

    @property
    def verdict(self) -> Outcome:
        """Supported or not where the whole interval lies on one side of the threshold."""
        above = self.criterion.relation == ">"
        inner, outer = (self.low, self.high) if above else (-self.high, -self.low)
        threshold = self.criterion.threshold if above else -self.criterion.threshold
        if inner > threshold:
            return "supported"
        return "not supported" if outer <= threshold else "undecided"


@dataclass(frozen=True)
class Finding:
    """A claim and what was found."""

    claim: Claim
    values: tuple[Value, ...]

    @property
    def verdict(self) -> Verdict:
        """That of all criteria where they agree, else mixed."""
        outcomes = {value.verdict for value in self.values}
        if outcomes == {"supported"}:
            return "supported"
        return "not supported" if outcomes == {"not supported"} else "mixed"


def needed_variants(claims: Iterable[Claim] = CLAIMS) -> list[str]:
    """Full names of the variants that the claims need, each once."""
    return list(dict.fromkeys(name for claim in claims for name in claim.variants))


def judge(planes: Mapping[str, xr.Dataset], claims: Iterable[Claim] = CLAIMS) -> list[Finding]:
    """Measure every criterion of the claims.

    Parameters
    ----------
    planes : mapping of str to xarray.Dataset
        By the full name of the variant, all that the claims need.
    claims : iterable of Claim

    Returns
    -------
    list of Finding

    Raises
    ------
    ValueError
        A variant is missing.
    """
    claims = list(claims)
    missing = [name for name in needed_variants(claims) if name not in planes]
    if missing:
        raise ValueError(f"planes: {', '.join(missing)} missing; expected all that the claims need")
    return [
        Finding(claim, tuple(_value(criterion, planes) for criterion in claim.criteria))
        for claim in claims
    ]


def seconds_of(folder: Path) -> str:
    """What each preset took, from a folder that `run_findings` has written."""
    text: str = json.loads((folder / "findings.json").read_text(encoding="utf-8"))["seconds"]
    return text


def _value(criterion: Criterion, planes: Mapping[str, xr.Dataset]) -> Value:
    found = criterion.measure(planes)
    value, low, high = found if isinstance(found, tuple) else t_interval(np.asarray(found))
    return Value(criterion, float(value), float(low), float(high))


def to_json(findings: Iterable[Finding], about: Mapping[str, Any], *, quick: bool) -> str:
    """Everything as JSON; numbers that are not finite are null."""

    def number(x: float) -> float | None:
        return x if np.isfinite(x) else None

    entries = [
        {
            "claim": f.claim.name,
            "statement": f.claim.statement,
            "source": f.claim.source,
            "verdict": f.verdict,
            "variants": list(f.claim.variants),
            "criteria": [
                {
                    "statistic": v.criterion.statistic,
                    "units": v.criterion.units,
                    "threshold": f"{v.criterion.relation} {v.criterion.threshold:g}",
                    "value": number(v.value),
                    "low": number(v.low),
                    "high": number(v.high),
                    "verdict": v.verdict,
                }
                for v in f.values
            ],
            "what_would_change_it": f.claim.change,
        }
        for f in findings
    ]
    return (
        json.dumps({"quick": quick, **about, "findings": entries}, indent=2, allow_nan=False) + "\n"
    )


def to_markdown(findings: Iterable[Finding], about: Mapping[str, Any], *, quick: bool) -> str:
    """A section for each claim, with a table of its criteria."""
    mark = " (quick)" if quick else ""
    lines = [f"# Findings{mark}", ""]
    lines += [f"- {key}: {value}" for key, value in about.items()]
    findings = list(findings)
    lines += ["", "| claim | verdict |", "| --- | --- |"]
    lines += [f"| {f.claim.statement} | {f.verdict}{mark} |" for f in findings]
    for f in findings:
        lines += [
            "",
            f"## {f.claim.name}: {f.verdict}{mark}",
            "",
            f"{f.claim.statement} *({f.claim.source})*",
            "",
            "| statistic | value | 95 % interval | supported if | verdict |",
            "| --- | ---: | ---: | ---: | --- |",
        ]
        for v in f.values:
            c = v.criterion
            units = "" if c.units == "1" else f" {c.units}"
            lines.append(
                f"| {c.statistic} | {v.value:.3g}{units} | {v.low:.3g} to {v.high:.3g} "
                f"| {c.relation} {c.threshold:g} | {v.verdict}{mark} |"
            )
        lines += ["", f"What would change it: {f.claim.change}"]
        lines += ["", f"![{f.claim.name}](figures/{f.claim.name}.png)"]
    return "\n".join(lines) + "\n"


def experiments_for(claims: Iterable[Claim], *, quick: bool) -> dict[str, list[Experiment]]:
    """The experiments that the claims need, by preset; short ones of few networks if `quick`."""
    by_preset: dict[str, list[Experiment]] = {}
    for name in needed_variants(claims):
        experiment = load_preset(name)
        if quick:
            experiment = experiment.changed(
                seeds=min(experiment.seeds, _QUICK["seeds"]),
                epochs=min(experiment.epochs, _QUICK["epochs"]),
                checkpoints=_QUICK["checkpoints"],
            )
        by_preset.setdefault(name.partition("/")[0], []).append(experiment)
    return by_preset


def run_findings(
    folder: Path,
    *,
    quick: bool = False,
    claims: Iterable[Claim] = CLAIMS,
    threads: int = 0,
    on_start: Callable[[Experiment], object] | None = None,
    on_epoch: Callable[[int], object] | None = None,
) -> list[Finding]:
    """Run what the claims need and write verdicts, numbers and figures.

    Runs that are complete in ``folder/runs`` are kept, so that an interrupted call goes on where it
    stopped.

    Parameters
    ----------
    folder : Path
        Gets ``findings.json``, ``findings.md``, ``figures/`` and ``runs/``.
    quick : bool
        At most 4 networks and 1000 epochs: to see that all works, not to judge.
    claims : iterable of Claim
    threads : int
        As in `run_experiment`.
    on_start, on_epoch : callable, optional
        As in `run_variants`.

    Returns
    -------
    list of Finding

    Raises
    ------
    ValueError, OSError, KeyboardInterrupt
        As `run_variants`; `FileExistsError` where a folder has another run.
    """
    claims = list(claims)
    planes: dict[str, xr.Dataset] = {}
    seconds: dict[str, float] = {}
    for preset, experiments in experiments_for(claims, quick=quick).items():
        paths = run_variants(
            experiments,
            folder / "runs" / preset,
            threads=threads,
            on_start=on_start,
            on_epoch=on_epoch,
        )
        seconds[preset] = 0.0
        for name, path in paths.items():
            planes[name], info = store.open_run(path)
            seconds[preset] += info["seconds_training"] + info["seconds_measuring"]
    findings = judge(planes, claims)
    about = {
        "date": datetime.date.today().isoformat(),
        "versions": ", ".join(f"{k} {v}" for k, v in versions().items()),
        "configuration": "the presets of this version (ibfast list), base seed 0",
        "networks": ", ".join(f"{name}: {planes[name].sizes['seed']}" for name in planes),
        "seconds": ", ".join(f"{name}: {t:.0f}" for name, t in seconds.items()),
    }
    mark = " (quick)" if quick else ""
    for finding in findings:
        path = folder / "figures" / f"{finding.claim.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        finding_figure(finding, planes, mark).savefig(path, dpi=110)
    (folder / "findings.json").write_text(to_json(findings, about, quick=quick), encoding="utf-8")
    text = to_markdown(findings, about, quick=quick)
    (folder / "findings.md").write_text(text, encoding="utf-8")
    return findings
