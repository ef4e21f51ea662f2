"""The course of a run: which states it reaches, keeps and loses, each judged by its share of the steps."""

from typing import NamedTuple

import numpy as np

from grokinterp.phases.detector import SustainedRule, first_run
from grokinterp.phases.signals import Signals

KEPT = 0.75  # share of the time for which a state holds where it is said to last, and is not far where it is kept
HORIZON = 0.1  # a state is reached where it holds for a tenth of the time that it took to get there,
A_FEW = 3  # and for this many evaluations
VISITED = 0.1  # a stretch of time belongs to a state that holds for at least a tenth of it
GONE = 0.05  # share of the time since a state was reached that its absence at the end has to last,
LONGER = 2.0  # and how much longer than any absence before, from which it came back
SOON = 0.25  # of the time of memorization: what the test measure is there is its level at memorization
TAIL = 0.1  # share of that time whose median is the level at the end
AGAIN = 3  # separate visits that are "again and again"


class Course(NamedTuple):
    """What happened when, as indices of evaluations; None where it did not happen.

    Attributes:
        memorized: the training set is learned, and stays so for a while.
        generalized: the test set is answered, and stays so for a while.
        stuck: an evaluation before that had memorized and failed on the test set.
        grokked: the documents' sustained rule, without tolerance.
        visited: first and last evaluation of the time in which the network generalizes at least now and then.
        good: share of that time in which it does.
        kept: share of that time in which it is not far from it.
        visits: number of separate visits in it.
        level: median of the test measure from generalization to the end.
        lost: the first evaluation of a final time without generalization, after there was some.
        unlearned: the first evaluation of a final time in which the training set is not answered either.
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
    """Estimate the states of a run from all evaluations, each weighted by the steps that it stands for.

    Shares of time depend neither on the number of evaluations nor on their spacing, and a few outliers move no median.
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
    """The step at which training began: 0, unless the log begins later than one interval after it.

    >>> origin(np.array([50, 100, 150])), origin(np.array([500, 510, 520]))
    (0, 500)
    """
    first = int(steps[0])
    return 0 if len(steps) > 1 and 0 < first <= steps[1] - first else first


def time_weights(steps: np.ndarray) -> np.ndarray:
    """The steps that each evaluation stands for: half of the way to each of its neighbors.

    >>> time_weights(np.array([0, 10, 20, 100])).tolist()
    [5.0, 10.0, 45.0, 40.0]
    """
    if len(steps) == 1:
        return np.ones(1)
    half = np.diff(steps) / 2
    return np.append(half, 0.0) + np.append(0.0, half)


def share(flags: np.ndarray, weight: np.ndarray) -> float:
    """Share of the time for which the flags hold; 0 of no time."""
    return float(weight[flags].sum() / weight.sum()) if weight.sum() > 0 else 0.0


def weighted_median(values: np.ndarray, weight: np.ndarray) -> float:
    """The value that half of the time is at or below; NaN of nothing but NaN."""
    known = ~np.isnan(values)
    values, weight = values[known], weight[known]
    if not values.size:
        return float("nan")
    order = np.argsort(values)
    return float(values[order][np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2)])


def first_lasting(flags: np.ndarray, steps: np.ndarray, weight: np.ndarray) -> int | None:
    """Index of the first true flag from which the flags hold for a while, or to the end of the log.

    A while is a tenth of the steps that it took to get there and at least three evaluations; to hold is to be true
    for three quarters of the time.

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
    """The first evaluation that fits the training set, if the run then fails on it for good: an early collapse."""
    first = first_run(signals.fitted, 1)
    levels, train = signals.levels, signals.train
    failing = train > levels.failing if signals.by_loss else train < levels.failing
    return None if first is None or _gone(failing, steps, weight, first, first) is None else first


def _visited(good: np.ndarray, weight: np.ndarray, generalized: int | None) -> tuple[int, int] | None:
    """The time around `generalized`, or the longest, in which at least a tenth of the time generalizes.

    Its ends maximize the sum over its evaluations of weight x (1 if good, else 0, minus a tenth).
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
    """Whether the network failed on the test set soon after memorization, or for a while before it generalized."""
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
    """From where the training set is not answered, later than memorization and the last good time of the test set."""
    if memorized is None:
        return None
    return _gone(unlearned, steps, weight, memorized, memorized if visited is None else max(memorized, visited[1]))


def _gone(bad: np.ndarray, steps: np.ndarray, weight: np.ndarray, reached: int, held: int) -> int | None:
    """The first evaluation of a final time in which a state, reached and held until then, is gone; None without one.

    Most of the last tenth of the time since the state was reached is bad, and so is the later half of that; the final
    time has two evaluations at least, a twentieth of the time, and twice the length of any earlier absence.
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
    """The longest time from before to after a run of bad evaluations that ended; 0 without one."""
    edges = np.flatnonzero(np.diff(bad.astype(int), prepend=0, append=0))
    starts, stops = edges[::2], edges[1::2]
    ended = stops < len(bad)
    return float(max((steps[stops[ended]] - steps[np.maximum(starts[ended] - 1, 0)]), default=0))


def _tail(steps: np.ndarray, since: int) -> slice:
    """The last tenth of the time from index `since` on, and at least two evaluations."""
    start = steps[-1] - TAIL * (steps[-1] - steps[since])
    return slice(max(min(int(np.searchsorted(steps, start)), len(steps) - 2), 0), len(steps))
