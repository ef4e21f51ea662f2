"""Test whether success differs among ordered groups, at equal values of another setting."""

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from grokinterp.statistics.columns import Column


class Shift(NamedTuple):
    """A trend of success over ordered groups: its standardized size, positive if later groups succeed more, and p."""

    z: float
    p_value: float


def stratified_trend(strata: Column, groups: Column, succeeded: Column) -> Shift:
    """Return Mantel's test of a trend of success over the ordered groups, within strata; NaN if nothing varies.

    In every stratum, the sum of the groups of the successful runs is compared with its hypergeometric mean and
    variance; the sums over the strata give a normal statistic. For two groups it is the test of Mantel and Haenszel.

    Source: Mantel 1963.

    >>> round(stratified_trend([0] * 8, [0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 1, 1]).z, 2)
    2.05
    """
    excess = variance = 0.0
    all_groups, all_successes = np.asarray(groups, dtype=float), np.asarray(succeeded, dtype=float)
    for stratum in np.unique(np.asarray(strata)):
        inside = np.asarray(strata) == stratum
        score, y = all_groups[inside], all_successes[inside]
        n, k = len(y), y.sum()
        if n > 1:
            excess += float(score @ y - k * score.mean())
            variance += float(k * (n - k) / (n - 1) * score.var())
    if variance <= 0:
        return Shift(math.nan, math.nan)
    z = excess / math.sqrt(variance)
    return Shift(z, float(2 * norm.sf(abs(z))))
