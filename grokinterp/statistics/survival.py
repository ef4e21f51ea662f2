"""Analyze the time to generalization as a survival time; runs that have not generalized are censored."""

import math
import warnings
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.stats import CensoredData, ecdf, logrank

from grokinterp.shared import WARNING_FILTERS

CONFIDENCE = 0.95

MOST_SPLITS = 20_000
"""Maximum number of permutations of the runs of two methods that the exact test enumerates."""


class Times(NamedTuple):
    """The time of each run, and whether the event was observed then or the run was censored without it.

    >>> Times((5.0, 9.0), (True, False)).solved
    1
    """

    times: tuple[float, ...]
    observed: tuple[bool, ...]

    @property
    def solved(self) -> int:
        """The number of runs with an observed event."""
        return sum(self.observed)

    def data(self) -> CensoredData:
        """Return the times as right-censored data for SciPy."""
        return CensoredData.right_censored(self.times, [not seen for seen in self.observed])


class Curve(NamedTuple):
    """A Kaplan-Meier curve with its confidence band: the share of runs without the event from each time on."""

    times: tuple[float, ...]
    share: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Median(NamedTuple):
    """The median time with a confidence interval: infinite where the runs do not bound it, NaN if it does not exist."""

    value: float
    low: float
    high: float


def kaplan_meier(runs: Times) -> Curve:
    """Return Ŝ(t) = Π_{tᵢ ≤ t} (1 - dᵢ/nᵢ) with the log-log band exp(-exp(log(-log Ŝ) ± z σ / log Ŝ)), σ by Greenwood.

    Where the band is undefined (before the first event, and where no runs remain), it is [Ŝ, Ŝ].

    Source: Kaplan and Meier 1958; Kalbfleisch and Prentice 1980 for the band; computed by ``scipy.stats.ecdf``.

    >>> kaplan_meier(Times((3.0, 5.0, 5.0, 8.0), (True, True, False, False))).share
    (0.75, 0.5, 0.5)
    """
    if not runs.times:
        return Curve((), (), (), ())
    survival = ecdf(runs.data()).sf
    share = np.asarray(survival.probabilities)
    with WARNING_FILTERS.held():
        warnings.simplefilter("ignore", RuntimeWarning)  # warns that the band is not defined everywhere
        band = survival.confidence_interval(CONFIDENCE, method="log-log")
    low, high = (np.where(np.isnan(edge.probabilities), share, edge.probabilities) for edge in (band.low, band.high))
    columns = (np.asarray(survival.quantiles), share, low, high)
    return Curve(*(tuple(map(float, column)) for column in columns))


def median(runs: Times) -> Median:
    """Return the first times at which Ŝ and the edges of its band are at most 1/2.

    The interval is Brookmeyer and Crowley's, from the log-log band: all times that the band does not exclude as the
    median. With few runs, its upper end is infinite even if every run has the event. The interval does not exist if the
    curve has no value strictly between 0 and 1, as for a single run.

    Source: Brookmeyer and Crowley 1982.

    >>> median(Times((100.0, 200.0, 300.0), (True, True, True)))
    Median(value=200.0, low=100.0, high=inf)
    """
    curve = kaplan_meier(runs)
    defined = [0 < share < 1 for share in curve.share]
    low, high = (
        [edge for edge, known in zip(edges, defined, strict=True) if known] for edges in (curve.low, curve.high)
    )
    times = [time for time, known in zip(curve.times, defined, strict=True) if known]
    ends = (_first(times, low), _first(times, high)) if times else (math.nan, math.nan)
    return Median(_first(curve.times, curve.share), *ends)


def _first(times: Sequence[float], shares: Sequence[float]) -> float:
    """Return the first time with a share of at most 1/2, up to rounding; infinite if there is none."""
    return next((time for time, share in zip(times, shares, strict=True) if share <= 0.5 + 1e-12), math.inf)


def log_rank(runs: Times, others: Times) -> float:
    """Return the two-sided p-value of the log-rank test for equal distributions; NaN without an event.

    Source: Mantel 1966; computed by ``scipy.stats.logrank``. Its normal approximation is poor for few runs.
    """
    if not (runs.times and others.times and runs.solved + others.solved):
        return math.nan
    with WARNING_FILTERS.held(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # 0 / 0 where all events come at once
        return float(logrank(runs.data(), others.data()).pvalue)


def exact_log_rank(runs: Times, others: Times) -> float:
    """Return the p-value of the permutation test with the log-rank statistic.

    The test is exact for any number of runs; with 3 runs per method, its p-value is at least 2/20. It is NaN without an
    event, or with more than 20,000 permutations.
    """
    n, m = len(runs.times), len(others.times)
    if not n or not m or not runs.solved + others.solved or math.comb(n + m, n) > MOST_SPLITS:
        return math.nan
    times, observed = np.array(runs.times + others.times), np.array(runs.observed + others.observed)
    excess, variance = (
        np.array(part)
        for part in zip(
            *(_excess(times, observed, np.array(chosen)) for chosen in combinations(range(n + m), n)), strict=True
        )
    )
    statistic = np.abs(excess) / np.sqrt(np.where(variance > 0, variance, 1))
    return float(np.mean(statistic >= statistic[0] - 1e-9))


def _excess(times: np.ndarray, observed: np.ndarray, chosen: np.ndarray) -> tuple[float, float]:
    """Return the events of the chosen runs beyond the expected number, and its hypergeometric variance."""
    excess = variance = 0.0
    ours = np.isin(np.arange(len(times)), chosen)
    for time in np.unique(times[observed]):
        at_risk, events = times >= time, (times == time) & observed
        n, n_ours, d = at_risk.sum(), (at_risk & ours).sum(), events.sum()
        excess += (events & ours).sum() - d * n_ours / n
        if n > 1:
            variance += d * (n_ours / n) * (1 - n_ours / n) * (n - d) / (n - 1)
    return float(excess), float(variance)
