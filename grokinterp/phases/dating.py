"""From curves to dates: the boundaries between the phases of a run."""

from typing import NamedTuple

import numpy as np

from grokinterp.phases.curves import Curves, Measures
from grokinterp.phases.detector import SustainedRule, first_run
from grokinterp.phases.instability import loss_events, relapses
from grokinterp.phases.phase import NAMES, Event, History, Phase, Verdict
from grokinterp.phases.sentence import tell
from grokinterp.phases.signals import Signals, read_signals

A_FEW = 3  # evaluations that memorization has to last
PLATEAU_QUANTILE = 0.75  # of the test loss over the time between memorization and generalization
PLATEAU_FRACTION = 0.5  # the plateau lasts while the test loss is above this fraction of its level
EXCLUDED_RISE = 2.0  # the excluded loss has risen when it is this many times its minimum since memorization
DELAY = 2.0  # grokking takes at least this many times as long as memorization


class Dates(NamedTuple):
    """Indices of evaluations; None where it did not happen.

    Attributes:
        memorized: memorization.
        generalized: the first window of generalizing evaluations.
        grokked: the same after memorization without generalization, the sustained rule.
        cleanup: the end of the plateau of the test loss; `generalized` when there is no such end before it.
    """

    memorized: int | None
    generalized: int | None
    grokked: int | None
    cleanup: int | None


def find_phases(curves: Curves, measures: Measures | None = None, *, rule: SustainedRule | None = None) -> History:
    """Date the phases of a run, list its instabilities and give the verdict.

    * memorization, until the first evaluation with train accuracy >= 0.99 that lasts 3 evaluations;
    * circuit formation, until the plateau of the test loss ends: its level is the upper quartile over time of the test
      loss between memorization and generalization, its end that of the stretch in which the time spent above half
      of that level most exceeds the time below. A few spikes or dips move nothing. With an excluded loss, cleanup
      waits until that has doubled from its minimum: the circuits are there before the memorized solution goes;
    * cleanup, until the first of the 10 consecutive evaluations with test accuracy >= 0.95 of the sustained rule;
    * generalization. Weight norm and test loss may go on falling in it.

    A phase that did not happen, or that holds no evaluation, is left out. What generalizes without delay (test
    accuracy never below 0.5 after memorization, or generalization before twice the time of memorization) has
    memorization and generalization only. A run without (sustained) generalization ends with the phase it is in:
    cleanup when the last 10 evaluations are all below the plateau, and then a measured excluded loss must have risen.
    Evaluating more rarely moves a boundary by at most one of the longer intervals, on curves without dips that short.

    Source: Nanda et al. 2023, §5.2 for the phases; the rules are this package's.

    Raises:
        ConfigError: curves with neither both accuracies nor both losses.
    """
    rule = rule or SustainedRule()
    signals = read_signals(curves, rule)
    dates = _date(curves, measures, signals, rule)
    verdict = _verdict(curves.steps, signals, dates, rule)
    steps = [None if index is None else int(curves.steps[index]) for index in dates]
    return History(
        phases=_phases(curves.steps, dates, delayed=_delayed(curves.steps, dates)),
        events=tuple(sorted(_events(curves, signals, dates, rule), key=lambda event: event.step)),
        verdict=verdict,
        memorized_step=steps[0],
        generalized_step=steps[1],
        grok_step=steps[2],
        sentence=tell(verdict, curves, measures, signals, memorized=dates.memorized, generalized=dates.generalized),
    )


def _date(curves: Curves, measures: Measures | None, signals: Signals, rule: SustainedRule) -> Dates:
    stuck = signals.fitted & signals.failing
    generalized = first_run(signals.generalizes, rule.window)
    grokked = first_run(np.logical_or.accumulate(stuck) & signals.generalizes, rule.window)
    memorized = _lasting(signals.fitted, A_FEW)
    if grokked is not None and (memorized is None or memorized >= grokked):
        memorized = first_run(stuck, 1)
    if memorized is None or (generalized is not None and memorized >= generalized):
        return Dates(memorized, generalized, grokked, None)
    return Dates(memorized, generalized, grokked, _cleanup(curves, measures, memorized, generalized, rule.window))


def _lasting(flags: np.ndarray, few: int) -> int | None:
    """First index from which the flags hold for a few evaluations, or to the end of the run."""
    first = first_run(np.concatenate([flags, np.ones(few - 1, dtype=bool)]), few)
    return None if first is None or first >= len(flags) else first


def _cleanup(
    curves: Curves, measures: Measures | None, memorized: int, generalized: int | None, window: int
) -> int | None:
    """Index at which cleanup begins, `generalized` if the plateau lasts until then, None without any cleanup yet."""
    stop = len(curves.steps) if generalized is None else generalized
    end = _plateau_end(curves, memorized, stop, window if generalized is None else 1)
    risen = _excluded_risen(curves.steps, measures, memorized, stop)
    if generalized is None:
        return None if end is None or risen is None else max(end, risen)
    return generalized if end is None else max(end, risen or 0)


def _plateau_end(curves: Curves, start: int, stop: int, least: int) -> int | None:
    """Index of the first evaluation after the plateau of the test loss in [start, stop), followed by `least` below.

    With w_i the steps until the next evaluation, s_i = +w_i above half of the plateau and -w_i below, it is the end of
    the stretch with the largest sum of s: robust to spikes, and to a test loss that first has to rise.
    """
    if curves.test_loss is None:
        return None
    loss = curves.test_loss[start:stop]
    weight = np.diff(curves.steps[start : stop + 1], append=curves.steps[-1:] if stop == len(curves.steps) else [])
    known = ~np.isnan(loss)
    loss, weight = loss[known], weight[known]
    if not weight.sum() > 0:
        return None
    above = loss >= PLATEAU_FRACTION * _quantile_over_time(loss, weight, PLATEAU_QUANTILE)
    excess = np.concatenate([[0], np.cumsum(np.where(above, weight, -weight))])
    end = int(np.argmax(excess - np.minimum.accumulate(excess)))
    if len(loss) - end < least or above[end:][-least:].any():
        return None
    return start + int(np.flatnonzero(known)[end])


def _quantile_over_time(values: np.ndarray, weight: np.ndarray, quantile: float) -> float:
    order = np.argsort(values)
    share = np.cumsum(weight[order]) / weight.sum()
    return float(values[order][np.searchsorted(share, quantile)])


def _excluded_risen(steps: np.ndarray, measures: Measures | None, start: int, stop: int) -> int | None:
    """Index of the first evaluation at or after the excluded loss has doubled for good; `start` if not measured."""
    if measures is None or measures.excluded_loss is None:
        return start
    last = steps[stop - 1]
    inside = (measures.steps >= steps[start]) & (measures.steps <= last) & ~np.isnan(measures.excluded_loss)
    excluded = measures.excluded_loss[inside]
    if not excluded.size:
        return start
    risen = _lasting(excluded / EXCLUDED_RISE >= np.minimum.accumulate(excluded), A_FEW)
    return None if risen is None else int(np.searchsorted(steps, measures.steps[inside][risen]))


def _delayed(steps: np.ndarray, dates: Dates) -> bool:
    """Whether generalization came late: after memorization without it, and twice as long after the start."""
    memorized, generalized, grokked, _ = dates
    if memorized is None or generalized is None or grokked != generalized:
        return False
    return bool(steps[generalized] - steps[0] >= DELAY * (steps[memorized] - steps[0]))


def _verdict(steps: np.ndarray, signals: Signals, dates: Dates, rule: SustainedRule) -> Verdict:
    if dates.generalized is None:
        memorized = dates.memorized is not None
        return "memorized, did not generalize within the run" if memorized else "never memorized"
    if _lost(signals.generalizes[dates.generalized :], rule.window):
        return "generalized and lost it again"
    return "grokked" if _delayed(steps, dates) else "generalized without delay"


def _lost(generalizes: np.ndarray, window: int) -> bool:
    """Whether the run ends below the threshold: the last evaluation, and most of the last window."""
    return not generalizes[-1] and bool(np.mean(generalizes[-window:]) < 0.5)


def _phases(steps: np.ndarray, dates: Dates, *, delayed: bool) -> tuple[Phase, ...]:
    """The phases that hold at least one evaluation."""
    late = delayed or dates.generalized is None
    starts = [0, dates.memorized if late else None, dates.cleanup if late else None, dates.generalized]
    begun = [(name, int(steps[index])) for name, index in zip(NAMES, starts, strict=True) if index is not None]
    stops = [start for _, start in begun[1:]] + [int(steps[-1]) + 1]
    return tuple(Phase(name, start, stop) for (name, start), stop in zip(begun, stops, strict=True) if start < stop)


def _events(curves: Curves, signals: Signals, dates: Dates, rule: SustainedRule) -> list[Event]:
    events = loss_events(curves, len(curves.steps) if dates.memorized is None else dates.memorized)
    if dates.generalized is not None:
        events += relapses(curves.steps, signals, dates.generalized, rule.window)
    return events
