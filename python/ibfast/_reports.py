"""What the command line prints: tables and sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.table import Table

if TYPE_CHECKING:
    import xarray as xr

    from ibfast.experiments import Experiment
    from ibfast.experiments.findings import Finding
    from ibfast.selftest import Outcome


def selftest_table(outcomes: Iterable[Outcome]) -> Table:
    """One line per case."""
    table = Table(box=SIMPLE)
    table.add_column("quantity")
    table.add_column("units")
    for name in ("truth", "value", "error", "tolerance", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("pass")
    for done in outcomes:
        table.add_row(
            done.case.quantity,
            done.case.units,
            f"{done.case.truth:.7f}",
            f"{done.value:.7f}",
            f"{done.error:.1e}",
            f"{done.tolerance:.1e}",
            f"{done.seconds:.2f}",
            "yes" if done.passed else "[bold red]NO[/]",
        )
    return table


def preset_table(presets: Mapping[str, Sequence[Experiment]]) -> Table:
    """One line per preset."""
    table = Table(box=SIMPLE)
    for heading in ("preset", "variants", "tests", "source"):
        table.add_column(heading, overflow="fold")
    table.add_column("minutes", justify="right")
    for name, several in presets.items():
        variants = [one.name.partition("/")[2] for one in several]
        minutes = sum(one.minutes for one in several)
        first = several[0]
        table.add_row(name, " ".join(variants), first.tests, first.source, f"{minutes:.1f}")
    return table


def layer_table(plane: xr.Dataset) -> Table:
    """One line per layer; means and sd over seeds."""
    from ibfast.plane import summary

    last = int(plane.epoch[-1])
    several = plane.sizes["epoch"] > 1
    when = f" at epoch {last}" if several else ""
    table = Table(title=f"Information per layer{when}, bits", box=SIMPLE)
    peak = ("peak at epoch", "compression") if several else ()
    for heading in ("layer", *peak, "I(X;T)", "I(T;Y)"):
        table.add_column(heading, justify="left" if heading == "layer" else "right")
    lines = summary(plane)
    for place, name in enumerate(plane.layer.attrs["names"]):
        line = lines.isel(layer=place)
        peak = ()
        if several:
            epoch = "saturated" if line.saturated else str(int(line.peak_epoch))
            peak = (epoch, f"{float(line.compression):.3f}")
        table.add_row(
            f"{place + 1}: {name}",
            *peak,
            _with_sd(float(line.final_i_xt), float(line.final_i_xt_sd)),
            _with_sd(float(line.final_i_ty), float(line.final_i_ty_sd)),
        )
    return table


def _with_sd(mean: float, sd: float) -> str:
    return f"{mean:.3f}" if np.isnan(sd) else f"{mean:.3f} ± {sd:.3f}"


def saturation(plane: xr.Dataset, *, exhaustive: bool) -> str:
    """Say which layers are saturated and what that means; "" where none is."""
    from ibfast.plane import summary

    lines = summary(plane)
    pinned = lines.layer.values[lines.saturated.values]
    if not pinned.size:
        return ""
    names = f"layer {pinned[0]} is" if pinned.size == 1 else f"layers {_spans(pinned)} are"
    bits = np.log2(plane.attrs["samples"])
    why = (
        "nearly every input has a cell of its own, so there is no peak to speak of"
        if exhaustive
        else "nearly every row has a cell of its own whatever the network does, so these values "
        "say nothing of it: use coarser bins or more rows"
    )
    return f"{names} pinned near {bits:.4g} bits (saturated): {why}."


def _spans(numbers: NDArray[Any]) -> str:
    """Ascending numbers as text: ``1 to 3, 5``."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ", ".join(f"{r[0]} to {r[-1]}" if len(r) > 1 else str(r[0]) for r in runs)


def comparison_tables(comparison: xr.Dataset) -> tuple[Table, Table]:
    """How far the means are from the authors'."""
    return (
        _grid("I(X;T) against the authors' 20 networks: z", comparison.i_xt_z, ".2f"),
        _grid("I(T;Y), ours minus theirs, bits", comparison.i_ty_difference, ".4f"),
    )


def comparison_in_words(comparison: xr.Dataset) -> str:
    """The same in a sentence."""
    z, gap = comparison.i_xt_z.values, abs(comparison.i_ty_difference)
    return (
        f"I(X;T): largest |z| {abs(z).max():.2f} (by chance as large in "
        f"{float(comparison.i_xt_chance):.1%} of such comparisons), mean z^2 {(z**2).mean():.2f} "
        f"over {z.size} cells; I(T;Y) at epoch {int(gap.epoch[-1])} within "
        f"{float(gap.isel(epoch=-1).max()):.4f} bits"
    )


def _grid(title: str, values: xr.DataArray, form: str) -> Table:
    table = Table(title=title, box=SIMPLE)
    table.add_column("epoch", justify="right")
    for layer in values.layer.values:
        table.add_column(f"layer {layer}", justify="right")
    for row in values:
        table.add_row(str(int(row.epoch)), *(format(float(v), form) for v in row))
    return table


def bound_tables(plane: xr.Dataset) -> tuple[Table, Table]:
    """Layers against the bound at the last epoch; means over seeds and their 95 % intervals."""
    last = plane.isel(epoch=-1)
    distances = Table(
        title=f"Distance from the bound at epoch {int(last.epoch)}, bits, 95 % over networks",
        box=SIMPLE,
    )
    equations = Table(title="The nearest encoder of the bottleneck's equations", box=SIMPLE)
    for table, headings in (
        (distances, ("I(T;Y) below bound", "below hard encoders", "I(X;T) too much")),
        (equations, ("beta* (networks)", "KL to it, bits", "p(t|x) off", "p(y|t) off")),
    ):
        table.add_column("layer")
        for heading in headings:
            table.add_column(heading, justify="right")
    equations.caption = (
        "beta*: median, and in how many networks it is identified; off: total variation"
    )
    for place, name in enumerate(plane.layer.attrs["names"]):
        layer = last.isel(layer=place)
        known = layer.identified.values
        betas = layer.beta_star.values[known]
        beta = f"{np.median(betas):.3g}" if known.any() else "none"
        distances.add_row(
            f"{place + 1}: {name}",
            *(_with_interval(layer[v].values) for v in ("gap", "hard_gap", "rate_gap")),
        )
        equations.add_row(
            f"{place + 1}: {name}",
            f"{beta} ({known.sum()}/{known.size})",
            *(
                _with_interval(layer[v].values)
                for v in ("divergence", "encoder_residual", "decoder_residual")
            ),
        )
    return distances, equations


def bound_in_words(plane: xr.Dataset) -> str:
    """What the comparison with the bound says of the paper's claims."""
    from ibfast.experiments.statistics import beta_falls

    last = plane.isel(epoch=-1)
    share = _with_interval(100 * last.gap_share.max("layer").values, 1)
    falls = int(np.nansum(beta_falls(plane)))
    least = last.divergence.min("layer")
    return (
        f"The layer farthest from the bound lacks {share} % of it. beta* falls with depth "
        f"in {falls} of {plane.sizes['seed']} networks (layers where it is identified). The layer "
        f"nearest to an encoder of the equations is {_with_interval(least.values)} bits of KL from "
        "it: 0 would be a solution."
    )


def gradient_table(plane: xr.Dataset) -> Table:
    """Where the signal-to-noise ratio of gradients falls, per layer."""
    from ibfast.gradients import layer_transitions

    table = Table(title="Drift, then diffusion: where the gradients' SNR falls", box=SIMPLE)
    table.add_column("layer")
    for heading in ("epoch", "95 % interval", "by a factor", "in networks"):
        table.add_column(heading, justify="right")
    for place, found in enumerate(layer_transitions(plane)):
        name = f"{place + 1}: {plane.layer.attrs['names'][place]}"
        if found is None:
            table.add_row(name, "not measured", "", "", "")
            continue
        own = f"{np.isfinite(found.seed_epochs).sum()} of {found.seed_epochs.size}"
        if found.epoch is None:
            table.add_row(name, "does not fall", "", "", own)
            continue
        low_high = "" if found.interval is None else "{:.3g} to {:.3g}".format(*found.interval)
        table.add_row(name, f"{found.epoch:.3g}", low_high, f"{found.factor:.3g}", own)
    table.caption = "of the mean curve; bootstrap over networks"
    return table


def _with_interval(values: NDArray[Any], digits: int = 3) -> str:
    """Mean and half the width of its 95 % interval, of Student's t."""
    from ibfast.experiments.statistics import t_interval

    mean, _, high = t_interval(np.asarray(values, dtype=np.float64))
    text = f"{round(mean, digits) + 0.0:.{digits}f}"
    return text if np.isinf(high) else f"{text} ± {high - mean:.{digits}f}"


def findings_table(findings: Iterable[Finding], *, quick: bool) -> Table:
    """One line per criterion, and the verdict of each claim."""
    mark = " (quick)" if quick else ""
    table = Table(title=f"Findings{mark}", box=SIMPLE)
    table.add_column("claim: statistic", overflow="fold")
    for name in ("value", "95 % interval", "claim says", "verdict"):
        table.add_column(name, justify="right")
    for finding in findings:
        name = f"[bold]{finding.claim.name}[/]"
        table.add_row(name, "", "", "", f"[bold]{finding.verdict}[/]{mark}")
        for v in finding.values:
            table.add_row(
                f"  {v.criterion.statistic}",
                f"{v.value:.3g}",
                f"{v.low:.3g} to {v.high:.3g}",
                f"{v.criterion.relation} {v.criterion.threshold:g}",
                f"{v.verdict}{mark}",
            )
    return table
