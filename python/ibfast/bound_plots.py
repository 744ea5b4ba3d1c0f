"""Figures of layers against the information-bottleneck bound: axes in, axes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ibfast.plots import layer_names, plot_against_epoch, title_of

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError('ibfast.bound_plots needs matplotlib: pip install "ibfast[plot]"') from error

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["bound_figure", "plot_bound"]


def plot_bound(plane: xr.Dataset, ax: Axes) -> Axes:
    """Draw the bound, the hull of the hard encoders, and the layers at the last epoch.

    Each layer is named with the median of its beta* over the seeds in which it is identified.

    Parameters
    ----------
    plane : xarray.Dataset
        Of an experiment with soft labels: with ``curve_rate`` and the like.
    ax : matplotlib.axes.Axes
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The same.
    """
    from matplotlib import colormaps

    last = plane.isel(epoch=-1)
    end = 1.03 * np.log2(plane.attrs["samples"])
    rate = np.append(plane.curve_rate, end)
    relevance = np.append(plane.curve_relevance, plane.curve_relevance[-1])
    ax.plot(rate, relevance, color="black", lw=1.4, label="bound")
    ax.fill_between(rate, relevance, 2, color="0.92", lw=0)
    ax.plot(
        np.append(plane.frontier_rate, end),
        np.append(plane.frontier_relevance, plane.frontier_relevance[-1]),
        color="black",
        lw=1,
        ls=":",
        label="hard encoders (hull)",
    )
    colours = colormaps["plasma"](np.linspace(0.0, 0.88, plane.sizes["layer"]))
    for place, (name, colour) in enumerate(zip(layer_names(plane), colours, strict=True)):
        layer = last.isel(layer=place)
        betas = layer.beta_star.values[layer.identified.values]
        few = len(betas) < plane.sizes["seed"]
        share = f" ({len(betas)} of {plane.sizes['seed']})" if few else ""
        beta = f"{np.median(betas):.3g}{share}" if len(betas) else "not identified"
        ax.plot(
            layer.i_xt,
            layer.i_ty,
            ls="",
            marker="o",
            ms=4.5,
            color=colour,
            mec="white",
            mew=0.4,
            label=rf"{name}: $\beta^*$ {beta}",
            clip_on=False,
        )
    top = 1.06 * float(plane.curve_relevance[-1])
    ax.set(xlabel="$I(X;T)$ [bits]", ylabel="$I(T;Y)$ [bits]", xlim=(0, end), ylim=(0, top))
    ax.legend(loc="lower right", frameon=False, fontsize="small")
    return ax


def bound_figure(plane: xr.Dataset) -> Figure:
    """Draw the layers against the bound, and distance, beta* and divergence against epoch.

    Parameters
    ----------
    plane : xarray.Dataset
        As for `plot_bound`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(11.5, 8), layout="constrained")
    (top_left, top_right), (bottom_left, bottom_right) = figure.subplots(2, 2)
    plot_bound(plane, top_left)
    top_left.set_title(f"at epoch {int(plane.epoch[-1])}", fontsize="medium")
    plot_against_epoch(plane, "gap", top_right)
    # Where beta* is not identified it is no number.
    betas = plane.beta_star.where(plane.identified)
    with np.errstate(invalid="ignore"):
        shown = plane.assign(beta_star=betas.assign_attrs(plane.beta_star.attrs))
    plot_against_epoch(shown, "beta_star", bottom_left, log=True)
    bottom_left.set_ylabel(r"$\beta^*$ (where identified)")
    plot_against_epoch(plane, "divergence", bottom_right)
    handles, labels = top_right.get_legend_handles_labels()
    figure.legend(handles, labels, title="layer", loc="outside right center", frameon=False)
    figure.suptitle(title_of(plane), fontsize="medium")
    return figure
