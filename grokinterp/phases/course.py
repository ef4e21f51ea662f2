"""The course of a run: the states that it reaches, keeps and loses, each judged by its share of the steps."""

from typing import NamedTuple

import numpy as np

from grokinterp.phases.detector import SustainedRule, first_run
from grokinterp.phases.signals import Signals

KEPT = 0.75  # a state lasts if it holds for this share of the time, and is kept if it is near for this share
HORIZON = 0.1  # a state is reached if it lasts for a tenth of the time that it took to get there,
A_FEW = 3  # and for this many evaluations
VISITED = 0.1  # a stretch of time belongs to a state that holds for at least a tenth of it
GONE = 0.05  # a state is gone if its absence at the end lasts for this share of the time since it was reached,
LONGER = 2.0  # and this many times as long as any earlier absence from which it recovered
SOON = 0.25  # the level at memorization is measured over this share of the time to memorization, after it
TAIL = 0.1  # the level at the end is the median over this share of the time since a state was reached
AGAIN = 3  # number of separate visits from which a state comes and goes


class Course(NamedTuple):
    """Events of a run as indices of evaluations; None for an event that did not happen.

    Attributes:
        memorized: the network fits the training set, and continues to for a while.
        generalized: the network generalizes to the test set, and continues to for a while.
        stuck: whether the network memorized and failed on the test set before it generalized.
        grokked: the sustained rule of docs/formulas.md, without tolerance.
        visited: first and last evaluation of the interval in which the network generalizes at least occasionally.
        good: share of this interval in which the network generalizes.
        kept: share of this interval in which the network is close to generalizing.
        visits: number of separate stretches of generalization in this interval.
        level: median of the test measure from generalization to the end.
        lost: the first evaluation of a final interval without generalization, after the network generalized.
        unlearned: the first evaluation of a final interval in which the training set is not fit either.
        train_level, test_level: medians over the last tenth of the time since memorization or generalization.
    """

    memorized: int | None
    generalized: int | None
    stuck: bool
    grokked: int | None
    visited: tuple[int, int] | None
    good: float
    kept: float
    visits: int
    level: float
    lost: int | None
    unlearned: int | None
    train_level: float
    test_level: float


def read_course(steps: np.ndarray, signals: Signals, rule: SustainedRule) -> Course:
    """Estimate the states of a run from all evaluations, each weighted by the steps that it represents.

    Shares of time depend neither on the number of evaluations nor on their spacing, and medians are robust to outliers.
    Source: docs/formulas.md, "Verdicts on curves".
    """
    weight = time_weights(steps)
    good = signals.generalizes
    memorized, generalized, grokked = _memorized_and_generalized(steps, weight, signals, rule)
    visited = _visited(good, weight, generalized)
    inside = slice(visited[0], visited[1] + 1) if visited else slice(0)
    since = memorized or 0 if visited is None else visited[0]
    tail = _tail(steps, since)
    after = slice(generalized, None)
    train_level, test_level = (weighted_median(part[tail], weight[tail]) for part in (signals.train, signals.test))
    return Course(
        memorized=memorized,
        generalized=generalized,
        stuck=_stuck(steps, weight, signals, memorized, generalized),
        grokked=grokked,
        visited=visited,
        good=share(good[inside], weight[inside]),
        kept=max(share(~signals.deep[inside], part) for part in (weight[inside], np.ones(len(steps))[inside])),
        visits=int(np.sum(np.diff(good[inside].astype(int), prepend=0) == 1)),
        level=weighted_median(signals.test[after], weight[after]),
        lost=None if visited is None or generalized is None else _gone(signals.deep, steps, weight, *visited),
        unlearned=_unlearned(signals.unlearned, steps, weight, memorized, visited),
        train_level=train_level,
        test_level=test_level,
    )


def origin(steps: np.ndarray) -> int:
    """Return the step at which training began: 0, unless the log begins later than one interval after step 0.

    >>> origin(np.array([50, 100, 150])), origin(np.array([500, 510, 520]))
    (0, 500)
    """
    first = int(steps[0])
    return 0 if len(steps) > 1 and 0 < first <= steps[1] - first else first


def time_weights(steps: np.ndarray) -> np.ndarray:
    """Return the number of steps that each evaluation represents: half the distance to each of its neighbors.

    >>> time_weights(np.array([0, 10, 20, 100])).tolist()
    [5.0, 10.0, 45.0, 40.0]
    """
    if len(steps) == 1:
        return np.ones(1)
    half = np.diff(steps) / 2
    return np.append(half, 0.0) + np.append(0.0, half)


def share(flags: np.ndarray, weight: np.ndarray) -> float:
    """Return the share of the time for which the flags hold, or 0 if no time passes."""
    return float(weight[flags].sum() / weight.sum()) if weight.sum() > 0 else 0.0


def weighted_median(values: np.ndarray, weight: np.ndarray) -> float:
    """Return the time-weighted median of the values that are not NaN, or NaN if all are."""
    known = ~np.isnan(values)
    values, weight = values[known], weight[known]
    if not values.size:
        return float("nan")
    order = np.argsort(values)
    return float(values[order][np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2)])


def first_lasting(flags: np.ndarray, steps: np.ndarray, weight: np.ndarray) -> int | None:
    """Return the index of the first true flag from which the flags hold for a while, or to the end of the log.

    "For a while" means a tenth of the steps taken to get there, and at least three evaluations; the flags "hold" if
    they are true for three quarters of that time.

    >>> flags, steps = np.array([False, True, False, False, True, True, False, True]), np.arange(0, 80, 10)
    >>> first_lasting(flags, steps, time_weights(steps))
    7
    """
    first = np.arange(len(steps))
    stop = np.searchsorted(steps, steps + HORIZON * (steps - origin(steps)), side="right")
    stop = np.minimum(np.maximum(stop, first + A_FEW), len(steps))
    true, total = (np.append(0.0, np.cumsum(part)) for part in (weight * flags, weight))
    lasting = flags & (true[stop] - true[first] >= (KEPT - 1e-9) * (total[stop] - total[first]))
    return int(lasting.argmax()) if lasting.any() else None


def _memorized_and_generalized(
    steps: np.ndarray, weight: np.ndarray, signals: Signals, rule: SustainedRule
) -> tuple[int | None, int | None, int | None]:
    stuck = signals.fitted & signals.failing
    grokked = first_run(np.logical_or.accumulate(stuck) & signals.exact, rule.window)
    dates = first_lasting(signals.generalizes, steps, weight), first_run(signals.generalizes, rule.window)
    generalized = min((date for date in dates if date is not None), default=None)
    memorized = first_lasting(signals.fitted, steps, weight)
    if grokked is not None and (memorized is None or memorized >= grokked):
        memorized = first_run(stuck, 1)
    if memorized is None:
        memorized = _fitted_once(steps, weight, signals)
    return memorized, generalized, grokked


def _fitted_once(steps: np.ndarray, weight: np.ndarray, signals: Signals) -> int | None:
    """Return the first evaluation that fits the training set, if the run then fails on it permanently."""
    first = first_run(signals.fitted, 1)
    levels, train = signals.levels, signals.train
    failing = train > levels.failing if signals.by_loss else train < levels.failing
    return None if first is None or _gone(failing, steps, weight, first, first) is None else first


def _visited(good: np.ndarray, weight: np.ndarray, generalized: int | None) -> tuple[int, int] | None:
    """Return the interval around ``generalized``, or the longest interval, that generalizes for a tenth of its time.

    The ends maximize the sum of weight x (good - 0.1) over the evaluations of the interval.
    """
    if not good.any():
        return None
    gain = np.append(0.0, np.cumsum(weight * (good - VISITED)))
    if generalized is None:
        last = int(np.argmax(gain[1:] - np.minimum.accumulate(gain[:-1])))
        return int(np.argmin(gain[: last + 1])), last
    return int(np.argmin(gain[: generalized + 1])), generalized + int(np.argmax(gain[generalized + 1 :]))


def _stuck(
    steps: np.ndarray, weight: np.ndarray, signals: Signals, memorized: int | None, generalized: int | None
) -> bool:
    """Return whether the network failed on the test set soon after memorization, or for a while before generalizing."""
    if memorized is None or generalized == 0:
        return False
    soon = steps[memorized] + SOON * (steps[memorized] - origin(steps))
    first = slice(memorized, min(int(np.searchsorted(steps, soon, side="right")), generalized or len(steps)))
    stuck, before = signals.fitted & signals.failing, slice(generalized)
    at_first = share(signals.failing[first], weight[first]) > 0.5
    return at_first or first_lasting(stuck[before], steps[before], weight[before]) is not None


def _unlearned(
    unlearned: np.ndarray, steps: np.ndarray, weight: np.ndarray, memorized: int | None, visited: tuple[int, int] | None
) -> int | None:
    """Return the evaluation, after memorization and all generalization, from which the training set is not fit."""
    if memorized is None:
        return None
    return _gone(unlearned, steps, weight, memorized, memorized if visited is None else max(memorized, visited[1]))


def _gone(bad: np.ndarray, steps: np.ndarray, weight: np.ndarray, reached: int, held: int) -> int | None:
    """Return the first evaluation of the final interval in which a state that was reached is gone, or None.

    Most of the last tenth of the time since the state was reached is bad, and so is the later half of that tenth. The
    final interval has at least two evaluations, a twentieth of the time, and twice the length of any earlier absence.
    """
    tail = _tail(steps, reached)
    late = slice((tail.start + len(steps)) // 2, len(steps))
    if held + 1 >= len(steps) or any(share(bad[part], weight[part]) < 0.5 for part in (tail, late)):
        return None
    excess = np.cumsum((weight * (bad - 0.5))[::-1])[::-1]
    first = held + 1 + int(np.argmax(excess[held + 1 :]))
    absent = steps[-1] - steps[first - 1]
    long_enough = absent >= GONE * (steps[-1] - steps[reached]) and len(steps) - first >= 2
    return first if long_enough and absent > LONGER * _longest(bad[reached:first], steps[reached : first + 1]) else None


def _longest(bad: np.ndarray, steps: np.ndarray) -> float:
    """Return the longest time from before to after a run of bad evaluations that ended, or 0 without such a run."""
    edges = np.flatnonzero(np.diff(bad.astype(int), prepend=0, append=0))
    starts, stops = edges[::2], edges[1::2]
    ended = stops < len(bad)
    return float(max((steps[stops[ended]] - steps[np.maximum(starts[ended] - 1, 0)]), default=0))


def _tail(steps: np.ndarray, since: int) -> slice:
    """Return the slice of the last tenth of the time since index ``since``, with at least two evaluations."""
    start = steps[-1] - TAIL * (steps[-1] - steps[since])
    return slice(max(min(int(np.searchsorted(steps, start)), len(steps) - 2), 0), len(steps))
