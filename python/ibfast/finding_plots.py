"""A figure for each finding: what its runs did, and its criteria against their thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ibfast.plots import plot_against_epoch

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(
        'ibfast.finding_plots needs matplotlib: pip install "ibfast[plot]"'
    ) from error

if TYPE_CHECKING:
    import xarray as xr

    from ibfast.experiments.findings import Finding, Value

__all__ = ["finding_figure", "plot_value"]

_COLOURS = {"supported": "tab:green", "not supported": "tab:red", "undecided": "tab:orange"}


def finding_figure(finding: Finding, planes: Mapping[str, xr.Dataset], note: str = "") -> Figure:
    """Draw I(X;T) and I(T;Y) of the claim's runs against epoch, and its criteria below.

    Parameters
    ----------
    finding : Finding
    planes : mapping of str to xarray.Dataset
        By the full name of the variant.
    note : str
        Added to the title.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = finding.claim.variants
    columns = max(2, len(names))
    figure = Figure(
        figsize=(1.5 + 2.9 * columns, 5.6 + 0.75 * len(finding.values)), layout="constrained"
    )
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=[5.6, 0.75 * len(finding.values)])
    top, bottom = parts[:, 0]
    axes = top.subplots(2, columns, squeeze=False, sharex="col")
    for column in range(columns):
        for row, variable in enumerate(("i_xt", "i_ty")):
            ax = axes[row, column]
            if column >= len(names):
                ax.set_axis_off()
                continue
            plot_against_epoch(planes[names[column]], variable, ax)
            if row == 0:
                ax.set_title(names[column], fontsize="medium")
                ax.set_xlabel("")
    # Of the run with most layers.
    widest = max(range(len(names)), key=lambda i: planes[names[i]].sizes["layer"])
    handles, labels = axes[0, widest].get_legend_handles_labels()
    numbers = [label.partition(":")[0] for label in labels]
    top.legend(handles, numbers, title="layer", loc="outside right center", frameon=False)
    for ax, value in zip(
        np.atleast_1d(bottom.subplots(len(finding.values), 1)), finding.values, strict=True
    ):
        plot_value(value, ax)
    top.suptitle(f"{finding.claim.name}: {finding.verdict}{note}", fontsize="medium")
    return figure


def plot_value(value: Value, ax: Axes) -> Axes:
    """Draw a criterion: its value with the 95 % interval, the threshold, the side for the claim.

    Parameters
    ----------
    value : Value
    ax : matplotlib.axes.Axes

    Returns
    -------
    matplotlib.axes.Axes
        The same.
    """
    criterion, colour = value.criterion, _COLOURS[value.verdict]
    known = [x for x in (value.low, value.value, value.high, criterion.threshold) if np.isfinite(x)]
    margin = 0.15 * max(np.ptp(known), 1e-3)
    low, high = min(known) - margin, max(known) + margin
    above = criterion.relation == ">"
    ax.axvspan(
        criterion.threshold if above else low, high if above else criterion.threshold, color="0.93"
    )
    ax.axvline(criterion.threshold, color="0.4", lw=1, ls="--")
    ax.plot(np.clip([value.low, value.high], low, high), [0, 0], color=colour, lw=3)
    ax.plot(value.value, 0, "o", color=colour, ms=7, mec="black", mew=0.6)
    ax.set(xlim=(low, high), ylim=(-1, 1), yticks=[])
    units = "" if criterion.units == "1" else f" [{criterion.units}]"
    ax.set_title(f"{criterion.statistic}{units}: {value.verdict}", fontsize="small", loc="left")
    ax.tick_params(labelsize="small")
    return ax
