"""Find where two times over a setting coincide."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from grokinterp.statistics.columns import Column, fitted_scale
from grokinterp.statistics.proportions import Interval

RESAMPLES = 999

LEAST_RUNS = 3
"""Least number of runs at most values for resampling: copies of one or two runs have too little noise."""

LEAST_SHARE = 0.95


class Crossing(NamedTuple):
    """The setting at which the medians of two times coincide.

    Attributes:
        value: the setting; NaN if the medians do not cross.
        interval: the 95 % interval over resampled runs that cross; NaN without a crossing.
        share: the share of resamples in which the medians cross and have the same order at both ends; NaN without a
            crossing, or with too few runs.
        largest: the largest ratio of the second median to the first, infinite if the second is not reached.
        smallest: the smallest ratio.
    """

    value: float
    interval: Interval
    share: float
    largest: float
    smallest: float

    @property
    def is_found(self) -> bool:
        """Whether the medians cross in at least 95 % of the resamples."""
        return self.share >= LEAST_SHARE


def crossing(
    values: Column, first: Sequence[np.ndarray], second: Sequence[np.ndarray], *, log: bool,
    observed: tuple[Sequence[np.ndarray], Sequence[np.ndarray]] | None = None,
) -> Crossing:  # fmt: skip
    """Return the setting at which the median of the second time passes that of the first.

    The medians are those of Kaplan and Meier. The logarithm of their ratio is interpolated between neighboring values;
    next to a value at which a median is not reached, the crossing is in the middle. Runs are resampled within each
    value; the medians of a resample cross if they also have the order of the estimate at both ends. A crossing in fewer
    than 95 % of the resamples (``is_found``) may be noise.

    Args:
        values: the values of the setting in order.
        first: for every value, a time for each run, infinite if it is never reached.
        second: for every value, another time of the same runs.
        log: whether the logarithm of the setting is interpolated.
        observed: whether each of the first and of the second times is known, otherwise it is a bound that the time
            exceeds; by default the finite ones.

    Raises:
        ConfigError: a value is not finite, or not positive if ``log``, or the columns have different lengths.

    >>> times = [np.array([100.0]), np.array([100.0]), np.array([100.0])]
    >>> later = [np.array([50.0]), np.array([200.0]), np.array([np.inf])]
    >>> round(crossing([1, 4, 9], times, later, log=True).value, 2)
    2.0
    """
    z = fitted_scale(values, log=log, first=first, second=second)
    seen = ([np.isfinite(one) for one in side] for side in (first, second)) if observed is None else observed
    runs = list(zip(first, second, *seen, strict=True))
    ratios = np.array([ratios_of(*(one[None] for one in run))[0] for run in runs])
    place, share, crossed = first_zero(z, ratios), math.nan, np.zeros(0)
    sizes = np.array([len(one) for one in first])
    if math.isfinite(place) and np.mean(sizes >= LEAST_RUNS) > 0.5:
        rng = np.random.default_rng(0)
        drawn = [rng.integers(0, size, (RESAMPLES, size)) for size in sizes]
        again = [ratios_of(*(one[i] for one in run)) for run, i in zip(runs, drawn, strict=True)]
        rows = [row for row in np.stack(again, axis=1) if ends_of(row) == ends_of(ratios)]
        crossed = np.array([found for row in rows if math.isfinite(found := first_zero(z, row))])
        share = len(crossed) / RESAMPLES
    low, high = np.quantile(crossed, [0.025, 0.975]) if len(crossed) else (math.nan, math.nan)
    ends = [float(np.exp(end) if log else end) for end in (place, low, high)]
    known = ratios[~np.isnan(ratios)]
    extremes = (float(np.exp(known.max())), float(np.exp(known.min()))) if len(known) else (math.nan, math.nan)
    return Crossing(ends[0], Interval(*ends[1:]), share, *extremes)


def medians_of(times: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return the Kaplan-Meier medians of rows of times; infinite where they are not reached.

    They are those of ``survival.median``, for many samples at once.

    >>> medians_of(np.array([[3.0, 9.0, 5.0], [3.0, 4.0, 5.0]]), np.array([[True] * 3, [True, False, False]])).tolist()
    [5.0, inf]
    """
    order = np.lexsort((~observed, times))
    times, observed = (np.take_along_axis(one, order, axis=1) for one in (times, observed))
    at_risk = np.arange(times.shape[1], 0, -1)
    below = np.cumprod(1 - observed / at_risk, axis=1) <= 0.5 + 1e-12
    return np.where(below.any(axis=1), times[np.arange(len(times)), below.argmax(axis=1)], np.inf)


def ratios_of(first: np.ndarray, second: np.ndarray, seen: np.ndarray, also: np.ndarray) -> np.ndarray:
    """Return the logarithms of the ratios of the medians of rows: infinite if one is not reached, NaN if neither is.

    >>> times = np.array([[1.0], [2.0], [np.inf]]), np.array([[np.e], [np.inf], [np.inf]])
    >>> ratios_of(*times, *map(np.isfinite, times)).tolist()
    [1.0, inf, nan]
    """
    with np.errstate(invalid="ignore"):
        a, b = (np.log(np.maximum(medians_of(*side), 1.0)) for side in ((first, seen), (second, also)))
        return b - a


def ends_of(ratios: np.ndarray) -> tuple[float, float]:
    """Return the signs of the first and of the last ratio that is neither 0 nor unknown.

    >>> ends_of(np.array([0.0, -1.0, np.nan, np.inf, 0.0])), ends_of(np.zeros(2))
    ((-1.0, 1.0), (0.0, 0.0))
    """
    signs = np.sign(ratios[~np.isnan(ratios) & (ratios != 0)])
    return (float(signs[0]), float(signs[-1])) if len(signs) else (0.0, 0.0)


def first_zero(z: np.ndarray, ratios: np.ndarray) -> float:
    """Return where the ratios first change their sign; NaN if they do not.

    Ratios of 0 between values of opposite sign are the crossing, or its middle; others are none.

    >>> [float(first_zero(np.arange(3.0), np.array(one))) for one in ([-1, 3, 4], [-1, 0, 1], [0, 1, 2])]
    [0.25, 1.0, nan]
    """
    known = ~np.isnan(ratios)
    z, ratios = z[known], ratios[known]
    signed = np.flatnonzero(ratios)
    for i, j in pairwise(signed):
        a, b = ratios[i], ratios[j]
        if a * b < 0 and j > i + 1:
            return float((z[i + 1] + z[j - 1]) / 2)
        if a * b < 0:
            part = a / (a - b) if math.isfinite(a) and math.isfinite(b) else 0.5
            return float(z[i] + part * (z[j] - z[i]))
    return math.nan
