"""Figures of an information plane: axes in, axes out."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

try:
    import matplotlib
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
except ImportError as error:
    raise ImportError('ibfast.plots needs matplotlib: pip install "ibfast[plot]"') from error

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "panel_figure",
    "plane_figure",
    "plot_against_epoch",
    "plot_information_plane",
    "plot_panel",
    "save_figures",
]

_MARKERS = "os^DvP*Xh<>pd"
_GREY = "0.45"
_LINE = 0.21  # inches of a line of a legend
_MOST_LIMITS = 3  # lines of saturation, where layers have unlike numbers of rows


def plot_information_plane(
    plane: xr.Dataset, ax: Axes, *, legend: bool = True, colour_bar: bool = True
) -> Axes:
    """Draw each layer's path through the plane of I(X;T) and I(T;Y), coloured by epoch.

    The paths are means over seeds and end in a marker; the seeds' own are faint behind them.

    Parameters
    ----------
    plane : xarray.Dataset
        From `ibfast.plane.information_plane`, or one split and one set of labels from
        `ibfast.Recorder.plane`. Epochs at which a layer was not measured are passed over.
    ax : matplotlib.axes.Axes
        Where to draw.
    legend, colour_bar : bool
        Whether to add them: below and beside it.

    Returns
    -------
    matplotlib.axes.Axes
        The same.
    """
    epochs = np.maximum(plane.epoch.values, 1)  # epoch 0 has no place on a log scale
    norm = LogNorm(1, max(10, epochs[-1]))
    colours = matplotlib.colormaps["viridis"]
    for place in range(plane.sizes["layer"]):
        layer = plane.isel(layer=place)
        seeds = np.stack([layer.i_xt, layer.i_ty], axis=-1)
        measured = np.isfinite(seeds).all(axis=(0, 2))
        seeds, when = seeds[:, measured], epochs[measured]
        if not len(when):
            continue
        if len(seeds) > 1:
            ax.add_collection(LineCollection(list(seeds), colors="0.6", lw=0.4, alpha=0.35))
        path = seeds.mean(axis=0)
        steps = np.stack([path[:-1], path[1:]], axis=1)
        lines = LineCollection(list(steps), cmap=colours, norm=norm, lw=2.2, capstyle="round")
        lines.set_array(when[1:])
        ax.add_collection(lines)
        ax.plot(
            *path[-1],
            marker=_MARKERS[place % len(_MARKERS)],
            ms=max(6, 11 - 2 * place),  # layers pinned to the same corner show as one in another
            color=colours(norm(when[-1])),
            mec="black",
            mew=0.8,
            zorder=3,
            clip_on=False,
        )

    rows = _rows(plane)
    top = np.log2(rows[-1])
    for n in rows if len(rows) <= _MOST_LIMITS else rows[-1:]:
        ax.axvline(np.log2(n), color=_GREY, lw=0.8, ls="--", zorder=0)
        ax.annotate(
            f"saturation: log$_2$ {n} = {np.log2(n):.4g} bits",
            (np.log2(n), 0.03),
            (-3, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="bottom",
            color=_GREY,
            fontsize="small",
        )
    ax.set(
        xlabel=_axis_label(plane.i_xt),
        ylabel=_axis_label(plane.i_ty),
        xlim=(0, 1.03 * top),
        ylim=(0, 1.05 * max(float(plane.i_ty.max()), 1e-3)),
    )
    if legend:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), **_legend(plane))
    if colour_bar:
        mappable = matplotlib.cm.ScalarMappable(norm, colours)
        ax.figure.colorbar(mappable, ax=ax, label="epoch", pad=0.02)
    return ax


def plot_against_epoch(plane: xr.Dataset, name: str, ax: Axes, *, log: bool = False) -> Axes:
    """Draw one variable of every layer against epoch: mean over seeds, band of one sd.

    Seeds where it is NaN are left out of the mean. I(T;Y) of shuffled labels, where the plane has
    it, is dotted.

    Parameters
    ----------
    plane : xarray.Dataset
        From `ibfast.plane.information_plane`.
    name : str
        A variable with dims (seed, epoch, layer), such as ``"i_xt"``.
    ax : matplotlib.axes.Axes
        Where to draw.
    log : bool
        Whether the variable has a logarithmic axis, mean and sd then being those of its logarithm.

    Returns
    -------
    matplotlib.axes.Axes
        The same.
    """
    values = plane[name]
    if log:
        values = values.copy(data=np.log(values.values))
    colours = matplotlib.colormaps["plasma"](np.linspace(0.0, 0.88, plane.sizes["layer"]))
    for place, (label, colour) in enumerate(zip(layer_names(plane), colours, strict=True)):
        layer = values.isel(layer=place).dropna("epoch", how="all")
        mean, sd = layer.mean("seed"), layer.std("seed")
        low, high = mean - sd, mean + sd
        if log:
            mean, low, high = (x.copy(data=np.exp(x.values)) for x in (mean, low, high))
        ax.fill_between(layer.epoch, low, high, color=colour, alpha=0.18, lw=0)
        marker = "o" if layer.sizes["epoch"] == 1 else None  # it may lie on the frame
        ax.plot(
            layer.epoch, mean, color=colour, lw=1.6, marker=marker, clip_on=not marker, label=label
        )
        if name == "i_ty" and "i_ty_null" in plane:
            null = plane.i_ty_null.isel(layer=place).mean("seed").dropna("epoch")
            ax.plot(null.epoch, null, color=colour, lw=1.2, ls=":")
    top = max(float(values.max()), 1e-3)
    if name == "i_xt":
        top = np.log2(_rows(plane)[-1])
        ax.axhline(top, color=_GREY, lw=0.8, ls="--", zorder=0)
        ax.annotate(
            f"saturation, {top:.4g} bits",
            (0.99, top),
            (0, 2),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            va="bottom",
            color=_GREY,
            fontsize="small",
        )
    # Linear from 0 to 1, so that the state before training is there too.
    ax.set_xscale("symlog", linthresh=1, linscale=0.4)
    ax.set(xlabel="epoch", ylabel=_axis_label(values), xlim=(0, max(10, plane.epoch[-1])))
    if log:
        ax.set_yscale("log")
    else:
        ax.set_ylim(0, 1.08 * top)
    return ax


def plot_panel(panel: xr.Dataset, name: str, axes: tuple[Axes, Axes]) -> tuple[Axes, Axes]:
    """Draw every estimate of one quantity: against the number of bins, and against the noise.

    Hollow markers have a verdict against them. Estimates that need neither bins nor noise stand
    at the right edge.

    Parameters
    ----------
    panel : xarray.Dataset
        From `ibfast.panel`.
    name : {"i_xt", "i_ty"}
        Which quantity.
    axes : tuple of two matplotlib.axes.Axes
        For bins and for noise.

    Returns
    -------
    tuple of two matplotlib.axes.Axes
        The same.
    """
    kinds = panel.estimator.values + np.where(panel.correction == "", "", ", ") + panel.correction
    for place, kind in enumerate(dict.fromkeys(kinds.values.tolist())):
        part = panel.isel(estimate=np.flatnonzero(kinds == kind))
        values, doubtful = part[name].values, part[f"{name}_verdict"].values != ""
        if np.isnan(values).all():
            continue
        colour, marker = matplotlib.colormaps["tab20"](place % 20), _MARKERS[place % len(_MARKERS)]
        style: dict[str, Any] = {"color": colour, "marker": marker, "ms": 5}
        with_noise = np.isfinite(part.noise.values[0])
        x = part.noise.values if with_noise else part.bins.values
        ax = axes[1] if with_noise else axes[0]
        if np.isnan(x).all():
            ax.plot(
                1.03,
                values[0],
                transform=ax.get_yaxis_transform(),
                clip_on=False,
                label=kind,
                ls="",
                mfc="white" if doubtful[0] else colour,
                **style,
            )
            continue
        ax.plot(x, values, lw=1.2, label=kind, **style)
        ax.plot(x[doubtful], values[doubtful], **style, mfc="white", ls="")
        low, high = part[f"{name}_low"].values, part[f"{name}_high"].values
        ax.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
    most = panel.attrs["h_y"] if name == "i_ty" else np.log2(panel.attrs["n"])
    for ax, label in zip(axes, ("bins", "sd of the noise"), strict=True):
        ax.axhline(most, color=_GREY, lw=0.8, ls="--", zorder=0)
        text = "$H(Y)$" if name == "i_ty" else f"log$_2$ {panel.attrs['n']}"
        ax.annotate(
            text,
            (0.01, most),
            (0, 2),
            xycoords=ax.get_yaxis_transform(),
            textcoords="offset points",
            color=_GREY,
            fontsize="small",
        )
        ax.set_xscale("log", base=2 if label == "bins" else 10)
        ax.set(xlabel=label, ylabel=f"{'$I(X;T)$' if name == 'i_xt' else '$I(T;Y)$'} [bits]")
    axes[0].xaxis.set_major_formatter("{x:g}")
    return axes


def panel_figure(panel: xr.Dataset) -> Figure:
    """Draw a panel: both quantities, against bins and against noise.

    Parameters
    ----------
    panel : xarray.Dataset
        From `ibfast.panel`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(10.5, 7.5), layout="constrained")
    grid = figure.subplots(2, 2, sharey="row", squeeze=True)
    handles: dict[str, Artist] = {}
    for row, name in zip(grid, ("i_xt", "i_ty"), strict=True):
        for ax in plot_panel(panel, name, tuple(row)):
            lines, labels = ax.get_legend_handles_labels()
            handles |= dict(zip(labels, lines, strict=True))
    figure.legend(list(handles.values()), list(handles), loc="outside right center", frameon=False)
    figure.suptitle(
        "Every estimate of one layer; hollow: pinned, biased or impossible", fontsize="medium"
    )
    return figure


def save_figures(plane: xr.Dataset, folder: Path) -> list[Path]:
    """Draw the information plane and the curves against epoch, each as PNG and SVG.

    Splits of the data are side by side; sets of labels have figures of their own. Where the plane
    has the information-bottleneck bound, the layers against it are one more figure; and so are the
    statistics of gradients.

    Parameters
    ----------
    plane : xarray.Dataset
        From `ibfast.plane.information_plane` or `ibfast.Recorder.plane`.
    folder : Path
        Made if it is not there.

    Returns
    -------
    list of Path
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = {}
    for labels in plane.labels.values.tolist() if "labels" in plane.dims else [None]:
        part = plane if labels is None else plane.sel(labels=labels)
        suffix = "" if labels is None else "_" + re.sub(r"\W", "-", labels)
        figures[f"information_plane{suffix}"] = plane_figure(part)
        figures[f"information_against_epoch{suffix}"] = _epoch_figure(part)
    if "curve_rate" in plane:
        from ibfast.bound_plots import bound_figure

        figures["bound"] = bound_figure(plane)
    if "gradient_snr" in plane:
        from ibfast.gradient_plots import gradient_figure

        figures["gradients"] = gradient_figure(plane)
    files = []
    # Text stays text in the SVG; the salt makes the same plane the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ibfast"}):
        for name, figure in figures.items():
            for suffix, metadata in (("png", {}), ("svg", {"Date": None})):
                files.append(folder / f"{name}.{suffix}")
                figure.savefig(files[-1], dpi=200, metadata=metadata)
    return files


def plane_figure(plane: xr.Dataset) -> Figure:
    """Draw the information plane, that of each split beside the others.

    Parameters
    ----------
    plane : xarray.Dataset
        As for `save_figures`, of one set of labels.

    Returns
    -------
    matplotlib.figure.Figure
    """
    parts = _splits(plane)
    lines = -(-plane.sizes["layer"] // _legend(plane, len(parts))["ncols"])
    size = 1.6 + 5.6 * len(parts), 5.8 + _LINE * max(0, lines - 3)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(parts), sharex=True, sharey=True, squeeze=False)[0]
    for ax, (split, part) in zip(axes, parts, strict=True):
        last = ax is axes[-1]
        plot_information_plane(part, ax, legend=len(parts) == 1, colour_bar=last)
        ax.set_title(split or title_of(plane), fontsize="medium")
    if len(parts) > 1:
        axes[0].set_xlim(0, 1.03 * np.log2(_rows(plane)[-1]))
        axes[0].set_ylim(0, 1.05 * max(float(plane.i_ty.max()), 1e-3))
        for ax in axes[1:]:
            ax.set_ylabel("")
        figure.legend(loc="outside lower center", **_legend(plane, len(parts)))
        figure.suptitle(title_of(plane), fontsize="medium")
    return figure


def _epoch_figure(plane: xr.Dataset) -> Figure:
    parts = _splits(plane)
    height = max(0.6 + 3.8 * len(parts), 0.8 + _LINE * plane.sizes["layer"])
    longest = max(map(len, layer_names(plane)))
    width = 9.6 + 0.085 * max(0, longest - 14)  # the legend is beside the curves
    figure = Figure(figsize=(width, height), layout="constrained")
    rows = figure.subplots(len(parts), 2, squeeze=False, sharey="col")
    for (left, right), (split, part) in zip(rows, parts, strict=True):
        plot_against_epoch(part, "i_xt", left)
        plot_against_epoch(part, "i_ty", right)
        left.set_title(split, fontsize="medium", loc="left")
    if len(parts) > 1:
        rows[0][0].set_ylim(0, 1.08 * np.log2(_rows(plane)[-1]))
        rows[0][1].set_ylim(0, 1.08 * max(float(plane.i_ty.max()), 1e-3))
    handles, labels = rows[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, title="layer", loc="outside right center", frameon=False)
    dotted = "; dotted: labels shuffled" if "i_ty_null" in plane else ""
    figure.suptitle(title_of(plane) + _band(plane) + dotted, fontsize="medium")
    return figure


def _splits(plane: xr.Dataset) -> list[tuple[str, xr.Dataset]]:
    """Each split of the data by its name; the plane itself, without one, where there are none.

    Splits without these labels have nothing to show.
    """
    if "split" not in plane.dims:
        return [("", plane)]
    parts = [(name, plane.sel(split=name)) for name in plane.split.values.tolist()]
    return [(name, part) for name, part in parts if part.i_ty.notnull().any()]


def _rows(plane: xr.Dataset) -> list[int]:
    """The numbers of rows that layers have at most, in order."""
    if "n" not in plane:
        return [int(plane.attrs["samples"])]
    most = plane.n.max([dim for dim in plane.n.dims if dim != "layer"])
    return sorted({int(n) for n in most.values[np.isfinite(most.values)]})


def _legend(plane: xr.Dataset, width: int = 1) -> dict[str, Any]:
    """Markers and names of the layers, in as many columns as have room in so many panels."""
    names = layer_names(plane)
    return {
        "handles": [
            Line2D([], [], marker=marker, ls="", color="white", mec="black", label=name)
            for marker, name in zip(itertools.cycle(_MARKERS), names, strict=False)
        ],
        "title": "layer, marked at the last epoch",
        "ncols": max(1, min(4 * width, 72 * width // (max(map(len, names)) + 5))),
        "frameon": False,
    }


def layer_names(plane: xr.Dataset) -> list[str]:
    """Numbers and names of the layers."""
    names = plane.layer.attrs["names"]
    return [
        f"{n}: {f'module {name}' if name.isdigit() else name}"
        for n, name in zip(plane.layer.values, names, strict=True)
    ]


def _axis_label(values: xr.DataArray) -> str:
    symbols = {"I(X;T)": "$I(X;T)$", "I(T;Y)": "$I(T;Y)$", "H(T)": "$H(T)$"}
    name = values.attrs["long_name"]
    return f"{symbols.get(name, name)} [{values.attrs['units']}]"


def title_of(plane: xr.Dataset) -> str:
    """Title of the experiment, and over how many networks means are taken."""
    seeds = plane.sizes["seed"]
    parts = [plane.attrs.get("title", "Information plane")]
    if "labels" in plane.coords:  # one of several sets
        parts[0] += f", Y: {plane.labels.item()}"
    if seeds > 1:
        parts.append(f"mean of {seeds} networks")
    return "; ".join(parts)


def _band(plane: xr.Dataset) -> str:
    return ", band: one sd" if plane.sizes["seed"] > 1 else ""
