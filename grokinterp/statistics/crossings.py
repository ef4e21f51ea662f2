"""Find where two times over a setting coincide."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from grokinterp.statistics.columns import Column
from grokinterp.statistics.proportions import Interval

RESAMPLES = 999


class Crossing(NamedTuple):
    """The setting at which the medians of two times coincide.

    Attributes:
        value: the setting; NaN if the medians do not cross.
        interval: the 95 % interval over resampled runs that cross; NaN without a crossing.
        share: the share of resamples in which the medians cross.
        largest: the largest ratio of the second median to the first, infinite if the second is not reached.
        smallest: the smallest ratio.
    """

    value: float
    interval: Interval
    share: float
    largest: float
    smallest: float


def crossing(values: Column, first: Sequence[np.ndarray], second: Sequence[np.ndarray], *, log: bool) -> Crossing:
    """Return the setting at which the median of the second time passes that of the first.

    The logarithm of the ratio of the medians is interpolated between neighboring values; next to a value at which a
    median is not reached, the crossing is in the middle. Runs are resampled within each value.

    Args:
        values: the values of the setting in order.
        first: for every value, a time for each run, infinite if it is not reached.
        second: for every value, another time of the same runs.
        log: whether the logarithm of the setting is interpolated.

    >>> times = [np.array([100.0]), np.array([100.0]), np.array([100.0])]
    >>> later = [np.array([50.0]), np.array([200.0]), np.array([np.inf])]
    >>> round(crossing([1, 4, 9], times, later, log=True).value, 2)
    2.0
    """
    z = np.log(np.asarray(values, dtype=float)) if log else np.asarray(values, dtype=float)
    ratios = np.array([ratios_of(a[None], b[None])[0] for a, b in zip(first, second, strict=True)])
    place, rng = first_zero(z, ratios), np.random.default_rng(0)
    crossed = np.zeros(0)
    if math.isfinite(place):
        drawn = [rng.integers(0, len(a), (RESAMPLES, len(a))) for a in first]
        again = np.stack([ratios_of(a[i], b[i]) for a, b, i in zip(first, second, drawn, strict=True)], axis=1)
        found = np.array([first_zero(z, row) for row in again])
        crossed = found[np.isfinite(found)]
    low, high = np.quantile(crossed, [0.025, 0.975]) if len(crossed) else (math.nan, math.nan)
    ends = [float(np.exp(end) if log else end) for end in (place, low, high)]
    known = ratios[~np.isnan(ratios)]
    extremes = (float(np.exp(known.max())), float(np.exp(known.min()))) if len(known) else (math.nan, math.nan)
    return Crossing(ends[0], Interval(*ends[1:]), len(crossed) / RESAMPLES, *extremes)


def ratios_of(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the logarithms of the ratios of the medians of rows: infinite if one is not reached, NaN if neither is.

    >>> ratios_of(np.array([[1.0], [2.0], [np.inf]]), np.array([[np.e], [np.inf], [np.inf]])).tolist()
    [1.0, inf, nan]
    """
    with np.errstate(invalid="ignore"):
        a, b = (np.log(np.maximum(np.median(times, axis=1), 1.0)) for times in (first, second))
        return b - a


def first_zero(z: np.ndarray, ratios: np.ndarray) -> float:
    """Return where the ratios first change their sign; NaN if they do not.

    >>> float(first_zero(np.array([0.0, 1.0]), np.array([-1.0, 3.0])))
    0.25
    """
    known = ~np.isnan(ratios)
    z, ratios = z[known], ratios[known]
    for i in range(len(z) - 1):
        a, b = ratios[i], ratios[i + 1]
        if a * b < 0 or (a == 0 and b != 0 and i == 0):
            part = a / (a - b) if math.isfinite(a) and math.isfinite(b) else 0.5
            return float(z[i] + part * (z[i + 1] - z[i]))
    return math.nan
