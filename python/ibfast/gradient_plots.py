"""Figures of the statistics of minibatch gradients: axes in, axes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ibfast.gradients import layer_transitions
from ibfast.plots import layer_names, title_of

try:
    from matplotlib import colormaps
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(
        'ibfast.gradient_plots needs matplotlib: pip install "ibfast[plot]"'
    ) from error

if TYPE_CHECKING:
    from ibfast.gradients import Transition

__all__ = ["gradient_figure", "plot_gradients", "plot_snr"]


def plot_gradients(
    plane: xr.Dataset, ax: Axes, transitions: list[Transition | None] | None = None
) -> Axes:
    """Draw mean (solid) and standard deviation (dashed) of gradients against epoch.

    Both are over the norm of the layer's weights and are geometric means over seeds; axes are
    logarithmic, so epoch 0 is left out. The transition of each layer is a dotted line.

    Parameters
    ----------
    plane : xarray.Dataset
        Of an experiment with ``gradients``.
    ax : matplotlib.axes.Axes
        Where to draw.
    transitions : list of Transition or None, optional
        From `ibfast.gradients.layer_transitions`, which is called by default.

    Returns
    -------
    matplotlib.axes.Axes
        The same.

    References
    ----------
    Shwartz-Ziv & Tishby (2017), arXiv:1703.00810, figure 4.
    """
    for name, style in (("gradient_mean", "-"), ("gradient_sd", "--")):
        _curves(plane, name, ax, style)
    _mark(plane, ax, transitions)
    _axes(plane, ax, r"gradient / $\Vert W\Vert$: mean (solid), sd (dashed) [nats]")
    return ax


def plot_snr(
    plane: xr.Dataset, ax: Axes, transitions: list[Transition | None] | None = None
) -> Axes:
    """Draw the mean of gradients over their standard deviation against epoch.

    The transition of each layer is a dotted line, its 95 % interval a band.

    Parameters
    ----------
    plane, ax, transitions
        As in `plot_gradients`.

    Returns
    -------
    matplotlib.axes.Axes
        The same.
    """
    _curves(plane, "gradient_snr", ax, "-")
    _mark(plane, ax, transitions, interval=True)
    _axes(plane, ax, "signal-to-noise ratio of gradients")
    return ax


def gradient_figure(plane: xr.Dataset) -> Figure:
    """Draw mean and standard deviation of gradients, and their ratio, against epoch.

    Parameters
    ----------
    plane : xarray.Dataset
        As for `plot_gradients`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(11.5, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    found = layer_transitions(plane)
    plot_gradients(plane, left, found)
    plot_snr(plane, right, found)
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, title="layer", loc="outside right center", frameon=False)
    figure.suptitle(f"{title_of(plane)}; dotted: SNR falls", fontsize="medium")
    return figure


def _colours(plane: xr.Dataset) -> NDArray[np.float64]:
    return np.asarray(colormaps["plasma"](np.linspace(0.0, 0.88, plane.sizes["layer"])))


def _curves(plane: xr.Dataset, name: str, ax: Axes, style: str) -> None:
    shown = plane[name].where((plane.epoch > 0) & (plane[name] > 0) & np.isfinite(plane[name]))
    mean = xr.apply_ufunc(np.exp, xr.apply_ufunc(np.log, shown).mean("seed"))
    single = "o" if plane.sizes["epoch"] <= 2 else None  # one epoch beside 0 is no line
    for layer, label, colour in zip(
        plane.layer.values, layer_names(plane), _colours(plane), strict=True
    ):
        ax.plot(
            plane.epoch,
            mean.sel(layer=layer),
            color=colour,
            ls=style,
            lw=1.6,
            marker=single,
            label=label if style == "-" else None,
        )


def _mark(
    plane: xr.Dataset,
    ax: Axes,
    transitions: list[Transition | None] | None,
    *,
    interval: bool = False,
) -> None:
    found = layer_transitions(plane) if transitions is None else transitions
    for one, colour in zip(found, _colours(plane), strict=True):
        if one is None or one.epoch is None:
            continue
        ax.axvline(one.epoch, color=colour, ls=":", lw=1.2)
        if interval and one.interval is not None:
            ax.axvspan(*one.interval, color=colour, alpha=0.1, lw=0)


def _axes(plane: xr.Dataset, ax: Axes, label: str) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set(xlabel="epoch", ylabel=label, xlim=(1, max(10, int(plane.epoch[-1]))))
