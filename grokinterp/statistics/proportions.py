"""Estimate the probability of success from a number of runs."""

import math
from typing import NamedTuple

from grokinterp.errors import require
from grokinterp.statistics.survival import CONFIDENCE


class Interval(NamedTuple):
    """A confidence interval; infinite or NaN where the runs do not bound it."""

    low: float
    high: float


def wilson(successes: int, runs: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Return Wilson's score interval of a probability of success; from 0 to 1 without runs.

    It is the set of probabilities π with |k/n - π| ≤ z √(π(1 - π)/n), so it is never empty or outside [0, 1], and
    remains an interval of positive length if no run or every run succeeds.

    Source: Wilson 1927; computed by ``scipy.stats.binomtest``.

    Raises:
        ConfigError: there are more successes than runs, a number is negative, or ``confidence`` is not within (0, 1).

    >>> [round(edge, 3) for edge in wilson(5, 5)], [round(edge, 3) for edge in wilson(0, 5)]
    ([0.566, 1.0], [0.0, 0.434])
    """
    from scipy.stats import binomtest

    require(runs >= 0, "runs", runs, "must be an integer from 0")
    require(0 <= successes <= runs, "successes", successes, f"must be an integer from 0 to the number of runs, {runs}")
    require(0 < confidence < 1, "confidence", confidence, "must be between 0 and 1")
    if not runs:
        return Interval(0.0, 1.0)
    found = binomtest(successes, runs).proportion_ci(confidence, method="wilson")
    low, high = float(found.low), float(found.high)
    return Interval(0.0 if math.isclose(low, 0, abs_tol=1e-12) else low, 1.0 if math.isclose(high, 1) else high)
