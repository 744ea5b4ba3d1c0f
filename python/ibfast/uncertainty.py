"""How sure an estimate is: bootstrap intervals and permutation nulls."""

import dataclasses
import numbers
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from ibfast._arrays import check_count, check_threads, check_units
from ibfast._resampling import (
    Statistic,
    bootstrap_statistic,
    check_options,
    draw_seed,
    joint_of,
    permutation_statistic,
    shuffled_information,
    summaries,
)
from ibfast.measures import _saturated, warn_saturated

__all__ = ["Bootstrap", "LayerBootstrap", "PermutationTest", "bootstrap", "permutation_test"]

_METHODS = ("normal", "basic", "percentile")
_TIE = 1e-12  # values that are nearer differ by rounding


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """A statistic, and how it varies where the rows are drawn again.

    Attributes
    ----------
    value : float
        Of the rows themselves.
    bias : float
        Mean of `distribution` less `value`.
    standard_error : float
        Standard deviation of `distribution`.
    interval : (float, float)
        Confidence interval.
    level : float
        Its nominal coverage.
    resamples : int
    method : {"normal", "basic", "percentile"}
        How the interval was made.
    units : str
    distribution : ndarray of float64, shape (resamples,)

    Examples
    --------
    >>> import numpy as np
    >>> import ibfast
    >>> mean = ibfast.uncertainty.bootstrap(np.arange(10.0), statistic=np.mean, rng=0)
    >>> mean.value, mean.distribution.shape
    (4.5, (1000,))
    """

    value: float
    bias: float
    standard_error: float
    interval: tuple[float, float]
    level: float
    resamples: int
    method: str
    units: str
    distribution: npt.NDArray[np.float64] = dataclasses.field(repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class LayerBootstrap:
    """Both coordinates of a layer in the information plane, bootstrapped together.

    Attributes
    ----------
    i_xt : Bootstrap
        Of I(X;T) = H(T): every row a distinct input of a deterministic layer.
    i_ty : Bootstrap
        Of I(T;Y). Resample b is the same in both distributions.
    n : int
        Rows.
    n_cells, n_singletons : ndarray of int64, shape (resamples,)
        Occupied cells of each resample, and those with one row.

    Examples
    --------
    >>> import ibfast
    >>> ibfast.uncertainty.bootstrap([[0.0], [0.0], [1.0]] * 9, [0, 0, 1] * 9, bins=2, rng=0).n
    27
    """

    i_xt: Bootstrap
    i_ty: Bootstrap
    n: int
    n_cells: npt.NDArray[np.int64] = dataclasses.field(repr=False, compare=False)
    n_singletons: npt.NDArray[np.int64] = dataclasses.field(repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class PermutationTest:
    """A statistic of activations and labels against its values where the labels are shuffled.

    Attributes
    ----------
    value : float
        Of the labels as they are.
    p_value : float
        (1 + b) / (1 + resamples) for the b shuffles that give at least `value`.
    resamples : int
    units : str
    null : ndarray of float64, shape (resamples,)
        The values of the shuffles. For a plug-in estimate their mean is about its bias where
        activations and labels are independent.

    Examples
    --------
    >>> import ibfast
    >>> ibfast.uncertainty.permutation_test([[0.0], [0.0], [1.0]], [1, 1, 1], bins=2).p_value
    1.0
    """

    value: float
    p_value: float
    resamples: int
    units: str
    null: npt.NDArray[np.float64] = dataclasses.field(repr=False, compare=False)


@overload
def bootstrap(
    acts: Any,
    labels: Any = None,
    *,
    statistic: None = None,
    resamples: int = 1000,
    level: float = 0.95,
    method: str = "normal",
    units: str = "bits",
    rng: Any = None,
    threads: int = 0,
    **binning: Any,
) -> LayerBootstrap: ...


@overload
def bootstrap(
    acts: Any,
    labels: Any = None,
    *,
    statistic: Statistic,
    resamples: int = 1000,
    level: float = 0.95,
    method: str = "normal",
    units: str = "bits",
    rng: Any = None,
    threads: int = 0,
) -> Bootstrap: ...


def bootstrap(
    acts: Any,
    labels: Any = None,
    *,
    statistic: Statistic | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    method: str = "normal",
    units: str = "bits",
    rng: Any = None,
    threads: int = 0,
    **binning: Any,
) -> LayerBootstrap | Bootstrap:
    """Confidence intervals of I(X;T) and I(T;Y), or of any statistic, by resampling rows.

    A resample draws as many rows as there are, with replacement. For the plug-in estimates that is
    a multinomial draw of the counts, so the activations are counted once.

    Parameters
    ----------
    acts : array_like, shape (n, d), or JointCounts
        Activations; or counts of rows, not of weights.
    labels : array_like of int, shape (n,), optional
        Classes; none with a JointCounts. With a `statistic` any array of n rows, or none.
    statistic : callable, optional
        Of the resampled rows, `statistic(acts, labels)`, or `statistic(acts)` without labels; of
        resampled counts, `statistic(joint)`, where `joint` has the arrays `cell`, `label` and
        `total` of `JointCounts.joint_counts`. Returns one number, in `units`.
    resamples : int
        How many, at least 2.
    level : float
        Nominal coverage of the interval, between 0 and 1.
    method : {"normal", "basic", "percentile"}
        The value less its bootstrap bias, give or take standard errors; quantiles of the
        distribution, reflected at the value; or the quantiles themselves.
    units : {"bits", "nats"}
        Of the result.
    rng : None, int or numpy.random.Generator
        As for `numpy.random.default_rng`.
    threads : int
        0: all that the process may use. No result depends on it.
    bins, range, per_unit, outside
        As in `ibfast.mutual_info`, for activations without a `statistic`.

    Returns
    -------
    LayerBootstrap
        Without a `statistic`.
    Bootstrap
        Of the `statistic`.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type, shape or value, there are fewer than two rows, rows are
        weighted, or the statistic returns anything but a finite number.

    Warns
    -----
    SaturationWarning
        Without a `statistic`, where at least 0.9 n rows are alone in their cells.

    Notes
    -----
    The plug-in entropy of a resample is biased once more, for it has fewer cells. "normal" and
    "basic" take that second bias off the value, so that they hold the truth where percentiles miss
    it twice over; where the bias is large the value itself lies outside. No interval is cut at 0.
    Measured coverage is in docs/uncertainty.md.

    Nothing depends on the order of the rows, but for a `statistic` of rows. Rows come in the
    multiplicity of the draw, so a statistic that is spoilt by equal rows, as one of nearest
    neighbours, is spoilt here.

    References
    ----------
    Efron (1979), Ann. Statist. 7:1; Davison & Hinkley (1997), chapter 5, for the intervals.

    Examples
    --------
    >>> import numpy as np
    >>> import ibfast
    >>> acts = np.array([[-1.0], [-0.5], [0.5], [1.0]] * 50)
    >>> labels = np.array([0, 0, 1, 1, 0, 1, 0, 1] * 25)
    >>> i_ty = ibfast.uncertainty.bootstrap(acts, labels, bins=2, rng=0).i_ty
    >>> round(i_ty.value, 3), round(i_ty.standard_error, 2)
    (0.189, 0.05)

    A statistic of the rows, here the share of those that agree with their label:

    >>> def accuracy(acts, labels):
    ...     return np.mean((acts[:, 0] > 0) == labels)
    >>> ibfast.uncertainty.bootstrap(acts, labels, statistic=accuracy, rng=0).value
    0.75
    """
    scale = check_units(units)
    resamples = check_count("resamples", resamples, 2, 2**31)
    if not (isinstance(level, numbers.Real) and 0 < level < 1):
        raise ValueError(f"level: {level!r}; expected a number between 0 and 1, as 0.95")
    if method not in _METHODS:
        raise ValueError(f"method: {method!r}; expected one of {', '.join(_METHODS)}")
    threads = check_threads(threads)
    check_options(binning, acts, statistic)
    seed = draw_seed(rng)
    if statistic is not None:
        values = bootstrap_statistic(acts, labels, statistic, resamples, seed)
        return _bootstrap(values, level, method, units)
    joint = joint_of(acts, labels, threads=threads, **binning)
    n = int(joint.total.sum())
    found = summaries(joint, resamples, seed, threads)
    if _saturated(n, found.n_singletons[0]):
        warn_saturated(2)
    return LayerBootstrap(
        i_xt=_bootstrap(found.h_t * scale, level, method, units),
        i_ty=_bootstrap(found.i_ty * scale, level, method, units),
        n=n,
        n_cells=found.n_cells[1:],
        n_singletons=found.n_singletons[1:],
    )


def _bootstrap(values: npt.NDArray[np.float64], level: float, method: str, units: str) -> Bootstrap:
    value, distribution = float(values[0]), values[1:]
    mean, error = float(distribution.mean()), float(distribution.std(ddof=1))
    low, high = np.quantile(distribution, [(1 - level) / 2, (1 + level) / 2]).tolist()
    if method == "basic":
        low, high = 2 * value - high, 2 * value - low
    elif method == "normal":
        from statistics import NormalDist  # here, for it is slow to import

        half = NormalDist().inv_cdf((1 + level) / 2) * error
        low, high = 2 * value - mean - half, 2 * value - mean + half
    return Bootstrap(
        value=value,
        bias=mean - value,
        standard_error=error,
        interval=(low, high),
        level=level,
        resamples=len(distribution),
        method=method,
        units=units,
        distribution=distribution,
    )


def permutation_test(
    acts: Any,
    labels: Any = None,
    *,
    statistic: Statistic | None = None,
    resamples: int = 999,
    units: str = "bits",
    rng: Any = None,
    threads: int = 0,
    **binning: Any,
) -> PermutationTest:
    """Test whether activations and labels are independent: I(T;Y) where labels are shuffled.

    Parameters
    ----------
    acts : array_like, shape (n, d), or JointCounts
        Activations; or counts of rows, not of weights.
    labels : array_like of int, shape (n,), optional
        Classes; none with a JointCounts. With a `statistic` any array of n rows.
    statistic : callable, optional
        What to test in place of the plug-in I(T;Y), greater where the dependence is stronger:
        `statistic(acts, labels)`, or of counts `statistic(joint)`, as in `bootstrap`. Returns one
        number, in `units`.
    resamples : int
        Shuffles, at least 1; the least p-value is 1 / (1 + resamples).
    units, rng, threads, bins, range, per_unit, outside
        As in `bootstrap`.

    Returns
    -------
    PermutationTest
        Values that differ by 1e-12 or less, as rounding may, count as equal. Where the statistic
        has ties p is conservative.

    Raises
    ------
    TypeError, ValueError
        As `bootstrap`; or there are 2^32 rows or more.

    Warns
    -----
    SaturationWarning
        As `bootstrap`. Shuffled labels then seem to be known nearly as well, and where all rows are
        alone p is 1; the test remains valid.

    References
    ----------
    Phipson & Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9:39, for (1 + b) / (1 + B).

    Examples
    --------
    >>> import numpy as np
    >>> import ibfast
    >>> labels = np.arange(100) % 2
    >>> test = ibfast.uncertainty.permutation_test(labels[:, None], labels, bins=2, rng=0)
    >>> test.value, test.p_value
    (1.0, 0.001)
    """
    scale = check_units(units)
    resamples = check_count("resamples", resamples, 1, 2**31)
    threads = check_threads(threads)
    check_options(binning, acts, statistic)
    seed = draw_seed(rng)
    if statistic is not None:
        values = permutation_statistic(acts, labels, statistic, resamples, seed)
    else:
        joint = joint_of(acts, labels, threads=threads, **binning)
        observed = summaries(joint, 0, seed, threads)
        if _saturated(joint.total.sum(), observed.n_singletons[0]):
            warn_saturated(2)
        null = shuffled_information(joint, observed.h_t, observed.h_y, resamples, seed, threads)
        values = np.concatenate([observed.i_ty, null]) * scale
    value, null = float(values[0]), values[1:]
    as_great = int(np.count_nonzero(null >= value - _TIE * max(1.0, abs(value))))
    return PermutationTest(value, (1 + as_great) / (1 + resamples), resamples, units, null)
