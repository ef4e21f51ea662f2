"""Rises of the test accuracy from one plateau to the next, and double descent of the test loss."""

import numpy as np

from grokinterp.phases.course import A_FEW, first_lasting, origin, time_weights, weighted_median
from grokinterp.phases.phase import Event, Transition

LEVELS = np.arange(0.05, 1.0, 0.05)  # accuracies; the steps at which they are reached separate plateaus from rises
PLATEAU = 1.5  # two levels that are reached at steps with this ratio have a plateau between them
RISE = 0.15  # a transition raises the accuracy by at least this much
TURN = 1.5  # a loss has turned when it is this factor away from its last extreme
BIN = 1.1  # ratio of the steps at the ends of a bin for the median loss; a bin has at least a few evaluations


def transitions(steps: np.ndarray, accuracy: np.ndarray) -> tuple[Transition, ...]:
    """Return the rises of an accuracy, each from the first to the last level reached in it.

    A level is reached when the accuracy first stays at or above it for a while (``first_lasting``). Levels reached in
    quick succession belong to the same rise; the accuracy was on a plateau if the next level is reached at more than
    1.5 times the step of the previous level. A rise of less than 0.15 does not count.

    >>> steps = np.arange(0, 10_000, 100)
    >>> [(t.start, t.stop) for t in transitions(steps, np.select([steps < 1000, steps < 5000], [0.02, 0.5], 1.0))]
    [(1000, 1000), (5000, 5000)]
    """
    weight = time_weights(steps)
    reached = [first_lasting(accuracy >= level - 1e-9, steps, weight) for level in LEVELS]
    found = [index for index in reached if index is not None]
    if not found:
        return ()
    at = np.maximum.accumulate(np.array(found))
    since = steps[at] - origin(steps)
    groups = np.split(np.arange(len(at)), np.flatnonzero(since[1:] > PLATEAU * since[:-1]) + 1)
    rises = [(int(at[group[0]]), int(at[group[-1]])) for group in groups]
    stops = [first for first, _ in rises[1:]] + [len(steps)]
    starts = [0] + [last for _, last in rises[:-1]]
    levels = [
        (_plateau(accuracy, weight, start, first), max(_plateau(accuracy, weight, last, stop), LEVELS[group[-1]]))
        for (first, last), group, start, stop in zip(rises, groups, starts, stops, strict=True)
    ]
    return tuple(
        Transition(int(steps[first]), int(steps[last]), low, float(high))
        for (first, last), (low, high) in zip(rises, levels, strict=True)
        if high - low >= RISE
    )


def _plateau(accuracy: np.ndarray, weight: np.ndarray, start: int, stop: int) -> float:
    """Return the median over the evaluations in [start, stop), or at ``start`` if the interval is empty."""
    inside = slice(start, max(stop, start + 1))
    return weighted_median(accuracy[inside], weight[inside])


def double_descent(steps: np.ndarray, loss: np.ndarray) -> Event | None:
    """Return the first fall, rise and second fall of a loss, each by a factor of 1.5, or None.

    The losses are medians over bins of steps, so that spikes do not count.

    >>> steps = np.arange(1, 2000)
    >>> double_descent(steps, np.interp(np.log(steps), [0, 3, 5, 7], [4.0, 2.0, 9.0, 0.1])).kind
    'double descent'
    """
    at, values = _medians(steps, loss)
    turns = _turns(values)
    for (_, first), (low, bottom), (high, top), (_, last) in zip(turns, turns[1:], turns[2:], turns[3:], strict=False):
        if first > bottom < top > last:
            detail = (
                f"test loss fell to {bottom:.2g} by step {at[low]:,}, rose to {top:.2g} by step {at[high]:,} and fell "
                f"again to {last:.2g}"
            )
            return Event("double descent", int(at[low]), detail)
    return None


def _medians(steps: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the median loss in bins of growing length, with the middle step of each bin."""
    known = np.isfinite(loss) & (loss > 0)
    steps, loss = steps[known], loss[known]
    parts, start = [], 0
    for stop in range(A_FEW, len(steps) + 1):
        if stop - start >= A_FEW and steps[stop - 1] - steps[0] >= BIN * (steps[start] - steps[0]):
            parts.append(slice(start, stop))
            start = stop
    middles = np.array([steps[(part.start + part.stop) // 2] for part in parts], dtype=int)
    return middles, np.array([np.median(loss[part]) for part in parts])


def _turns(values: np.ndarray) -> list[tuple[int, float]]:
    """Return the alternating extremes, with indices, between which values change by at least the factor ``TURN``."""
    turns: list[tuple[int, float]] = []
    low = high = 0
    rising: bool | None = None
    for i, value in enumerate(values):
        if rising is not True and value > TURN * values[low]:
            turns.append((low, float(values[low])))
            rising, high = True, i
        elif rising is not False and value < values[high] / TURN:
            turns.append((high, float(values[high])))
            rising, low = False, i
        low = i if value < values[low] else low
        high = i if value > values[high] else high
    if rising is not None:
        last = high if rising else low
        turns.append((last, float(values[last])))
    return turns
