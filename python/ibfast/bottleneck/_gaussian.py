"""The information bottleneck of jointly Gaussian variables, in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibfast._arrays import as_finite, check_count, check_units

__all__ = ["GaussianIB", "gaussian_ib", "gaussian_ib_from_samples"]

_NULL = 1e-13  # variances that are less, of the greatest, are none; of standardised variables
_SYMMETRIC = 1e-8  # how far from symmetry a correlation may be
_CONSISTENT = 1e-6  # how far beyond the possible cov_xy may be, of whitened variables
_DETERMINISTIC = 1e-12  # a canonical correlation so near to 1 is 1

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GaussianIB:
    """The information curve of jointly Gaussian X and Y, and its optimal encoders.

    Attributes
    ----------
    betas : ndarray of float64, shape (b,)
    rate, relevance : ndarray of float64, shape (b,)
        I(X;T) and I(T;Y) of the minimiser of I(X;T) - beta I(T;Y), in `units`.
    n_modes : ndarray of int64, shape (b,)
        Dimensions of T.
    correlations : ndarray of float64, shape (modes,)
        Canonical correlations of X and Y, from 0 to 1, decreasing.
    critical_betas : ndarray of float64, shape (modes,)
        Mode i is part of T for beta above critical_betas[i] = 1 / correlations[i]^2.
    i_xy : float
        I(X;Y), in `units`.
    units : {"bits", "nats"}

    Examples
    --------
    >>> from ibfast.bottleneck import gaussian_ib
    >>> gaussian_ib([[1.0]], [[0.9]], [[1.0]], [1.2, 2.0], units="nats").rate.round(7)
    array([0.       , 0.7250051])
    """

    betas: Floats
    rate: Floats
    relevance: Floats
    n_modes: NDArray[np.int64]
    correlations: Floats
    critical_betas: Floats
    i_xy: float
    units: str
    _directions: Floats = field(repr=False)  # (modes, dx), each of unit variance

    def projection(self, i: int) -> Floats:
        """Matrix A `(n_modes[i], dx)` of the optimal T = A X + noise at betas[i].

        The noise is standard normal and independent of X. Any invertible map of T is as good.

        Raises
        ------
        TypeError, ValueError
            `i` is no index of `betas`.
        """
        i = check_count("i", i, -len(self.betas), len(self.betas) - 1)
        rho = self.correlations[: self.n_modes[i]]
        lam = (1 - rho) * (1 + rho)
        gain = np.sqrt((self.betas[i] * rho**2 - 1) / lam)
        return np.asarray(gain[:, None] * self._directions[: len(rho)])

    def relevance_at(self, rate: Any) -> Floats:
        """Relevance of the information curve at rates of any shape, exactly, in `units`.

        Raises
        ------
        TypeError, ValueError
            A rate is no number, negative or not finite.
        """
        unit = check_units(self.units) / math.log(2.0)
        nats = as_finite("rate", rate, least=0.0) / unit
        rho = self.correlations[self.correlations > 0]
        if not len(rho):
            return np.zeros_like(nats)
        return np.asarray(_curve(rho, nats) * unit)


def gaussian_ib(
    cov_x: Any, cov_xy: Any, cov_y: Any, betas: Any, *, units: str = "bits"
) -> GaussianIB:
    """Solve the information bottleneck of jointly Gaussian X and Y.

    Parameters
    ----------
    cov_x : array_like, shape (dx, dx)
    cov_xy : array_like, shape (dx, dy)
    cov_y : array_like, shape (dy, dy)
        Covariances of X, of X with Y, and of Y. Those of X and Y may be singular: directions whose
        variance is below 1e-13 of the greatest, all coordinates being scaled to variance 1, are
        dropped.
    betas : array_like, shape (b,) or ()
        Above 0. Up to the first critical beta T is constant.
    units : {"bits", "nats"}
        Of the result.

    Returns
    -------
    GaussianIB

    Raises
    ------
    TypeError
        An argument holds no real numbers.
    ValueError
        A shape does not fit; values are not finite; `cov_x` or `cov_y` is not symmetric or not
        positive semidefinite; `cov_xy` is impossible with them; a direction of X is a function of Y
        (a canonical correlation of 1), for which every beta above 1 would have infinite rate; a
        beta is not above 0.

    Notes
    -----
    With the canonical correlations rho_i and lambda_i = 1 - rho_i^2, in nats, the sums over the n
    modes with beta > 1 / (1 - lambda_i)::

        I(X;T) = 1/2 sum ln [(beta - 1) (1 - lambda_i) / lambda_i]
        I(T;Y) = I(X;T) - 1/2 sum ln [beta (1 - lambda_i)]

    References
    ----------
    Chechik, Globerson, Tishby & Weiss (2005), J. Mach. Learn. Res. 6:165, theorem 3.1 for the
    projection, section 5 for the curve.

    Examples
    --------
    >>> from ibfast.bottleneck import gaussian_ib
    >>> found = gaussian_ib([[1, 0], [0, 1]], [[0.9], [0.0]], [[1]], betas=2, units="nats")
    >>> found.rate.round(7), found.relevance.round(7), found.critical_betas.round(7)
    (array([0.7250051]), array([0.483792]), array([1.2345679]))
    >>> found.projection(0).shape
    (1, 2)
    """
    unit = check_units(units) / math.log(2.0)
    cov_x, cov_y = _covariance("cov_x", cov_x), _covariance("cov_y", cov_y)
    cov_xy = as_finite("cov_xy", cov_xy, ndim=2)
    if cov_xy.shape != (len(cov_x), len(cov_y)):
        raise ValueError(
            f"cov_xy: shape {cov_xy.shape}; expected {(len(cov_x), len(cov_y))} for cov_x of shape "
            f"{cov_x.shape} and cov_y of shape {cov_y.shape}"
        )
    betas = np.atleast_1d(as_finite("betas", betas))
    if betas.ndim != 1:
        raise ValueError(f"betas: shape {betas.shape}; expected (b,)")
    if not (betas > 0).all():
        raise ValueError(f"betas: {betas[betas <= 0][0]}; expected numbers above 0")
    rho, directions = _canonical(cov_x, cov_xy, cov_y)
    with np.errstate(divide="ignore", over="ignore"):
        critical = 1 / rho**2
    active = betas[:, None] > critical
    lam = (1 - rho) * (1 + rho)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.log((betas[:, None] - 1) * rho**2 / lam)
        lost = np.log(betas[:, None] * rho**2)
    rate, lost = (np.where(active, terms, 0.0).sum(axis=1) / 2 for terms in (rate, lost))
    return GaussianIB(
        betas=betas,
        rate=rate * unit,
        relevance=(rate - lost) * unit,
        n_modes=np.count_nonzero(active, axis=1),
        correlations=rho,
        critical_betas=critical,
        i_xy=float(-np.log(lam).sum() / 2) * unit,
        units=units,
        _directions=directions,
    )


def gaussian_ib_from_samples(x: Any, y: Any, betas: Any, *, units: str = "bits") -> GaussianIB:
    """Solve the information bottleneck of the Gaussian that has the covariances of samples.

    Parameters
    ----------
    x : array_like, shape (n, dx)
    y : array_like, shape (n, dy)
        Rows are samples, more of them than dx + dy.
    betas, units
        As in `gaussian_ib`.

    Returns
    -------
    GaussianIB

    Raises
    ------
    TypeError, ValueError
        As `gaussian_ib`; a shape does not fit or there are too few rows.

    Notes
    -----
    Canonical correlations of samples are biased upwards: those of independent X and Y are not 0 but
    about sqrt(dx / n) + sqrt(dy / n) at the most. Information is overestimated, by about
    dx dy / (2 n) nats of I(X;Y), so n should be far more than dx dy.

    References
    ----------
    As `gaussian_ib`; Muirhead (1982), chapter 11, for the bias.

    Examples
    --------
    >>> import numpy as np
    >>> from ibfast.bottleneck import gaussian_ib_from_samples
    >>> x = np.random.default_rng(0).normal(size=(10_000, 2))
    >>> y = x[:, :1] + np.random.default_rng(1).normal(size=(10_000, 1))
    >>> gaussian_ib_from_samples(x, y, betas=4).correlations.round(2)
    array([0.7])
    """
    x, y = as_finite("x", x, ndim=2), as_finite("y", y, ndim=2)
    if len(x) != len(y) or 0 in x.shape + y.shape:
        raise ValueError(f"x, y: shapes {x.shape}, {y.shape}; expected (n, dx) and (n, dy)")
    dims = x.shape[1] + y.shape[1]
    if len(x) <= dims:
        raise ValueError(f"x: {len(x)} rows; expected more than dx + dy = {dims}")
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    n = len(x)
    return gaussian_ib(x.T @ x / n, x.T @ y / n, y.T @ y / n, betas, units=units)


def _covariance(name: str, value: Any) -> Floats:
    cov = as_finite(name, value, ndim=2)
    if cov.shape[0] != cov.shape[1] or not cov.size:
        raise ValueError(f"{name}: shape {cov.shape}; expected a square matrix")
    variance = np.diagonal(cov)
    if (variance < 0).any():
        raise ValueError(f"{name}: a variance of {variance.min()}; expected none below 0")
    scale = np.sqrt(variance)
    if (np.abs(cov - cov.T) > _SYMMETRIC * np.outer(scale, scale)).any():
        raise ValueError(f"{name}: not symmetric; expected a covariance")
    return cov


def _whitening(name: str, cov: Floats) -> tuple[Floats, Floats]:
    """Columns of unit variance that span X, and those of variance 0 beside them.

    Coordinates are scaled first, so that their units do not decide what counts as no variance.
    """
    deviation = np.sqrt(np.diagonal(cov))
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    variances, vectors = np.linalg.eigh((cov + cov.T) / 2 * np.outer(scale, scale))
    if variances[0] < -_SYMMETRIC * max(1.0, variances[-1]):
        raise ValueError(
            f"{name}: not positive semidefinite; the least eigenvalue is {variances[0]:.3g} of the "
            "correlations; expected a covariance"
        )
    kept = variances > _NULL * variances[-1]
    columns = scale[:, None] * vectors
    return columns[:, kept] / np.sqrt(variances[kept]), columns[:, ~kept]


def _canonical(cov_x: Floats, cov_xy: Floats, cov_y: Floats) -> tuple[Floats, Floats]:
    """Canonical correlations, decreasing, and the directions of X of unit variance (modes, dx)."""
    white_x, null_x = _whitening("cov_x", cov_x)
    white_y, null_y = _whitening("cov_y", cov_y)
    without = [null_x.T @ cov_xy @ white_y, white_x.T @ cov_xy @ null_y]
    without += [cov_xy[np.diagonal(cov_x) == 0], cov_xy[:, np.diagonal(cov_y) == 0]]
    stray = max(float(np.abs(part).max(initial=0.0)) for part in without)
    if stray > _CONSISTENT:
        raise ValueError(
            f"cov_xy: {stray:.3g} in a direction in which cov_x or cov_y has no variance; "
            "expected 0"
        )
    left, rho, _ = np.linalg.svd(white_x.T @ cov_xy @ white_y, full_matrices=False)
    if len(rho) and rho[0] > 1 + _CONSISTENT:
        raise ValueError(
            f"cov_xy: a canonical correlation of {rho[0]:.9g} with cov_x and cov_y; expected at "
            "most 1"
        )
    if len(rho) and rho[0] > 1 - _DETERMINISTIC:
        raise ValueError(
            "cov_xy: a canonical correlation of 1: a direction of X is a function of Y, and the "
            "rate infinite for every beta above 1; expected noise in all"
        )
    return rho, (white_x @ left).T


def _curve(rho: Floats, rate: Floats) -> Floats:
    """Relevance at a rate, in nats.

    With n modes the rate is n/2 ln(beta - 1) + 1/2 sum ln[(1 - lambda_i) / lambda_i]. That gives
    beta, and the relevance 1/2 sum ln[1 / lambda_i] - n/2 ln[1 + 1 / (beta - 1)].
    """
    modes = np.arange(1, len(rho) + 1)
    log_lam = np.log1p(-rho) + np.log1p(rho)
    sums = np.cumsum(2 * np.log(rho) - log_lam)
    # The rate at which mode i starts, beta being 1 / rho_i^2 there: it adds nothing yet.
    onset = (sums + modes * (log_lam - 2 * np.log(rho))) / 2
    last = np.maximum(np.searchsorted(onset, rate, side="right") - 1, 0)
    log_beta_less_1 = (2 * rate - sums[last]) / modes[last]
    full = -np.cumsum(log_lam)[last] / 2
    relevance = full - modes[last] / 2 * np.logaddexp(0.0, -log_beta_less_1)
    return np.where(rate == 0, 0.0, np.maximum(relevance, 0.0))
