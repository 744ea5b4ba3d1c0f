"""The layers of an experiment against the information-bottleneck bound."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ibfast import JointCounts, _core, binning, bottleneck
from ibfast.plane import BOUND_VARIABLES

__all__ = ["Bound"]

_RESOLUTION = 1e-4  # of the curve, as a share of I(X;Y)


class Bound:
    """The curve of a source and of its hard encoders, and how far layers lie from both.

    Parameters
    ----------
    p_y_given_x : array_like, shape (n,)
        p(y=1|x) of a binary label, all inputs being equally likely.
    threads : int
        0: all that the process may use.
    """

    def __init__(self, p_y_given_x: ArrayLike, threads: int = 0) -> None:
        self.source = bottleneck.make_source(p_y_given_x)
        self.curve = bottleneck.ib_curve(self.source, resolution=_RESOLUTION, threads=threads)
        self.frontier = bottleneck.hard_frontier(self.source)
        self._inputs = np.arange(len(self.source.class_of))
        self._workers = threads or int(_core.info()["threads"])

    def measure(self, activations: Iterable[NDArray[Any]], bins: Any) -> dict[str, NDArray[Any]]:
        """Measure every layer of every seed at one moment.

        Parameters
        ----------
        activations : iterable of ndarray, shapes (seeds, n, d)
        bins
            As in `ibfast.layer_information`.

        Returns
        -------
        dict of ndarray, shape (seeds, layers)
            By the names of `ibfast.plane.BOUND_VARIABLES`.
        """
        layers = list(activations)
        with ThreadPoolExecutor(self._workers) as pool:
            found = [list(pool.map(lambda a: self._one(a, bins), layer)) for layer in layers]
        return {
            name: np.array([[getattr(one, attribute) for one in layer] for layer in found]).T
            for name, (attribute, _, _) in BOUND_VARIABLES.items()
        }

    def _one(self, acts: NDArray[Any], bins: Any) -> bottleneck.LayerOptimality:
        counts = JointCounts(binning.fix(acts, bins), len(self._inputs), threads=1)
        counts.update(acts, self._inputs)
        return bottleneck.layer_optimality(
            counts, self.source, self.curve, frontier=self.frontier, threads=1
        )

    def lines(self) -> xr.Dataset:
        """The curve and the hull of the hard encoders, to draw them."""
        rate, relevance = self.curve.hull
        bits = {"units": "bits"}
        return xr.Dataset(
            {
                "curve_rate": ("curve_point", rate, {"long_name": "I(X;T) of the bound", **bits}),
                "curve_relevance": (
                    "curve_point",
                    relevance,
                    {"long_name": "I(T;Y) of the bound", **bits},
                ),
                "frontier_rate": (
                    "frontier_point",
                    self.frontier.rate,
                    {"long_name": "H(T) of hard encoders, concave hull", **bits},
                ),
                "frontier_relevance": (
                    "frontier_point",
                    self.frontier.relevance,
                    {"long_name": "I(T;Y) of hard encoders, concave hull", **bits},
                ),
            }
        )
