"""Prediction intervals that hold for any predictor, if the new run is exchangeable with the others: CV+.

A run with a horizon H groks at T ≤ H, or not within its budget. An interval [L, U] of steps contains the outcome if
L ≤ T ≤ U; U is unbounded if the end would lie at H or later, and L is H if all of T ≤ H is excluded. So runs that did
not grok are not left out: that a run did not grok within its budget is itself an outcome, which is observed. A run that
was stopped or is still training has its least favorable outcome, so that it can only widen the intervals.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
from jaxtyping import Float

from grokinterp.sweeps.prediction.early_run import EarlyRun
from grokinterp.sweeps.prediction.predictors import Fitted, Predictor

MOST_FOLDS = 50
"""Largest number of folds; with at most as many groups, every group is a fold."""


class Interval(NamedTuple):
    """A predicted step and an interval around it, in steps.

    Attributes:
        step: the predicted step; infinite if it lies after the horizon.
        low: the lower end; the horizon if the run is predicted not to grok within its budget.
        high: the upper end; infinite if the run may not grok within its budget.
    """

    step: float
    low: float
    high: float

    def contains(self, run: EarlyRun) -> bool | None:
        """Return whether the outcome of a run is inside; None if it is unknown."""
        step = run.outcome.grok_step
        if step is not None:
            return self.low <= step <= self.high
        return self.high == math.inf if run.outcome.known_until >= run.horizon else None


@final
@dataclass(frozen=True)
class Calibrated:
    """A predictor with its intervals, calibrated on runs.

    Attributes:
        fitted: the predictor, fitted to all runs.
        folds: the predictors, each fitted without the runs of a fold.
        fold_of: the fold of every run.
        low: the errors of every run for lower ends; infinite if no lower end is wrong.
        high: the errors of every run for upper ends.
        weights: the weight of every run.
        free: the weight of the new run, for which nothing is known.
    """

    fitted: Fitted
    folds: tuple[Fitted, ...]
    fold_of: tuple[int, ...]
    low: Float[np.ndarray, " run"]
    high: Float[np.ndarray, " run"]
    weights: Float[np.ndarray, " run"]
    free: float

    def interval(self, run: EarlyRun, *, level: float, lower: float | None = None) -> Interval:
        """Return the interval of a run.

        Args:
            run: the run.
            level: the nominal coverage; each end has half of the remaining probability.
            lower: the probability that the lower end is wrong (default: half of the remaining probability).
        """
        side = (1 - level) / 2
        centers = np.array([predict(run) for predict in self.folds])[list(self.fold_of)]
        low = lower_end(centers + self.low, self.weights, self.free, side if lower is None else lower)
        high = -lower_end(-(centers + self.high), self.weights, self.free, side)
        return within(run, self.fitted(run), low, high)


def within(run: EarlyRun, center: float, low: float, high: float) -> Interval:
    """Return an interval of logarithms in steps, restricted to what is possible for the run.

    An end that lies after the horizon only states that the run does not grok before it. The bounds are rounded by less
    than a millionth of a step, in favor of coverage.
    """
    after = run.limit - 1e-9
    lowest = float(run.horizon) if low >= after else max(math.exp(low) * (1 - 1e-9), float(run.earliest))
    highest = math.inf if high >= after else max(math.exp(high) * (1 + 1e-9), float(run.earliest))
    step = math.inf if center >= after else max(math.exp(center), float(run.earliest))
    return Interval(step, lowest, highest)


def lower_end(
    values: Float[np.ndarray, " run"], weights: Float[np.ndarray, " run"], free: float, alpha: float
) -> float:
    """Return the largest value below which, together with the free weight, lies a weight of at most alpha.

    Without such a value it is −∞. For n equal weights it is the ⌊alpha (n + 1)⌋-th smallest value.

    >>> values = np.arange(1.0, 20.0)
    >>> lower_end(values, np.full(19, 0.05), 0.05, 0.05), lower_end(values, np.full(19, 0.05), 0.05, 0.1)
    (1.0, 2.0)
    >>> lower_end(values[1:], np.full(18, 1 / 19), 1 / 19, 0.05)
    -inf
    """
    if free > alpha + 1e-12:
        return -math.inf
    order = np.argsort(values, kind="stable")
    below = free + np.cumsum(weights[order]) - weights[order]
    return float(values[order][np.flatnonzero(below <= alpha + 1e-12)[-1]])


def calibrate(predictor: Predictor, runs: Sequence[EarlyRun], *, seeds: bool) -> Calibrated:
    """Fit a predictor to runs, and measure its errors on runs, or settings, to which it is not fitted.

    Args:
        predictor: the predictor.
        runs: the runs.
        seeds: whether the new run has a setting that was trained with other seeds. If so, the new run is exchangeable
            with the runs whose settings have several seeds, each a group of its own; otherwise its setting is
            exchangeable with the others, and the runs of a setting are a group whose members share its weight.
    """
    members = Counter(run.setting for run in runs)
    named = [run.run_id if seeds else run.setting for run in runs]
    counted = [not seeds or members[run.setting] > 1 for run in runs]
    groups = sorted({name for name, counts in zip(named, counted, strict=True) if counts})
    fold = {name: place % MOST_FOLDS for place, name in enumerate(groups)}
    folds = tuple(
        predictor.fit([run for run, name in zip(runs, named, strict=True) if fold.get(name) != number], seeds=seeds)
        for number in range(min(len(groups), MOST_FOLDS))
    )
    used = [(run, name) for run, name, counts in zip(runs, named, counted, strict=True) if counts]
    fold_of = tuple(fold[name] for _, name in used)
    centers = np.array([folds[number](run) for number, (run, _) in zip(fold_of, used, strict=True)])
    sizes = Counter(name for _, name in used)
    free = 1 / (len(groups) + 1)
    return Calibrated(
        fitted=predictor.fit(runs, seeds=seeds),
        folds=folds,
        fold_of=fold_of,
        low=np.array([lowest_target(run) for run, _ in used]) - centers,
        high=np.array([highest_target(run) for run, _ in used]) - centers,
        weights=np.array([free / sizes[name] for _, name in used]),
        free=free,
    )


def lowest_target(run: EarlyRun) -> float:
    """Return the logarithm of the earliest step at which a run can have grokked; infinite after its horizon."""
    if run.grokked:
        return run.target
    return math.inf if run.outcome.known_until >= run.horizon else run.target


def highest_target(run: EarlyRun) -> float:
    """Return the logarithm of the step at which a run grokked, or else of its horizon."""
    return run.target if run.grokked else run.limit
