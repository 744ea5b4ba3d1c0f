"""The authors' own numbers, five checkpoints of 20 networks, and how far ours are from them."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import xarray as xr

from ibfast.plane import over_seeds_sd

__all__ = ["authors_results", "compare_with_authors"]

_NETWORKS = 20
_SD_FLOOR = 0.01


def authors_results() -> xr.Dataset:
    """Return the results of 20 networks 12-10-7-5-4-4-3-2 (tanh, Adam 2e-4, 50 edges).

    Returns
    -------
    xarray.Dataset
        Dims ``(epoch, layer)``: ``i_xt``, ``i_ty`` and their ``_sd`` over networks, in bits, and
        ``test_accuracy``, dim ``epoch``.

    References
    ----------
    Shwartz-Ziv & Tishby's published code, https://github.com/ravidziv/IDNNs (the file
    ``szt_authors.csv`` says which of its results).
    """
    text = (files(__package__) / "szt_authors.csv").read_text(encoding="utf-8")
    names, *rows = [line.split(",") for line in text.splitlines() if not line.startswith("#")]
    table = dict(zip(names, np.array(rows, dtype=float).T, strict=True))
    layers = range(1, 8)
    variables = {
        f"{ours}{suffix}": (
            ("epoch", "layer"),
            np.stack([table[f"{theirs}{layer}_{column}"] for layer in layers], axis=1),
            {"units": "bits"},
        )
        for ours, theirs in (("i_xt", "IX"), ("i_ty", "IY"))
        for suffix, column in (("", "mean"), ("_sd", "sd"))
    }
    return xr.Dataset(
        {**variables, "test_accuracy": ("epoch", table["test_accuracy"], {"units": "1"})},
        coords={"epoch": table["epoch"].astype(int), "layer": layers},
    )


def compare_with_authors(plane: xr.Dataset) -> xr.Dataset:
    """Compare a plane with the authors' results, where it has their epochs.

    ``z = (ours - theirs) / sqrt(sd_ours^2 / seeds + sd_theirs^2 / 20)`` of the means over seeds,
    each sd taken as 0.01 bit at least.

    Parameters
    ----------
    plane : xarray.Dataset
        Of two seeds or more of the same network.

    Returns
    -------
    xarray.Dataset
        Dims ``(epoch, layer)``: ``i_xt_z``, ``i_ty_z``, and ``i_xt_difference``,
        ``i_ty_difference`` (ours minus theirs, bits).

    Raises
    ------
    ValueError
        If the plane has one seed, another number of layers, or none of the authors' epochs.
    """
    theirs = authors_results()
    if plane.sizes["seed"] < 2:
        raise ValueError("the comparison needs at least two seeds; the plane has one")
    if plane.sizes["layer"] != theirs.sizes["layer"]:
        raise ValueError(
            f"the authors' network has {theirs.sizes['layer']} layers; "
            f"the plane has {plane.sizes['layer']}"
        )
    epochs = np.intersect1d(plane.epoch, theirs.epoch)
    if not epochs.size:
        raise ValueError(
            f"the plane has none of the authors' epochs {theirs.epoch.values.tolist()}"
        )
    ours, theirs = plane.sel(epoch=epochs), theirs.sel(epoch=epochs)
    result = xr.Dataset()
    for name in ("i_xt", "i_ty"):
        variance = (
            over_seeds_sd(ours[name]).clip(_SD_FLOOR) ** 2 / ours.sizes["seed"]
            + theirs[f"{name}_sd"].clip(_SD_FLOOR) ** 2 / _NETWORKS
        )
        difference = ours[name].mean("seed") - theirs[name]
        result[f"{name}_difference"] = difference.assign_attrs(units="bits")
        result[f"{name}_z"] = (difference / np.sqrt(variance)).assign_attrs(units="1")
    return result
