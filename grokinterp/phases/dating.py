"""Dating of the phases of a run from its curves."""

import numpy as np

from grokinterp.errors import require, short
from grokinterp.phases.course import A_FEW, Course, read_course
from grokinterp.phases.curves import Curves, Measures
from grokinterp.phases.detector import SUSTAINED, SustainedRule, first_run
from grokinterp.phases.instability import falls, loss_events
from grokinterp.phases.phase import NAMES, Event, History, Phase
from grokinterp.phases.sentence import sentence_of
from grokinterp.phases.signals import Signals, read_signals
from grokinterp.phases.transitions import double_descent, transitions
from grokinterp.phases.verdict import delayed, verdict_of

PLATEAU_QUANTILE = 0.75  # the plateau's level is this quantile of the test loss between memorization and generalization
PLATEAU_FRACTION = 0.5  # the plateau lasts while the test loss is above this fraction of its level
EXCLUDED_RISE = 2.0  # the excluded loss has risen when it is this many times its minimum since memorization


def find_phases(curves: Curves, measures: Measures | None = None, *, rule: SustainedRule | None = None) -> History:
    """Date the phases of a run, list its transitions and instabilities, and assign a verdict.

    * memorization, until the first evaluation with train accuracy >= 0.99 that lasts for a while (``first_lasting``);
    * circuit formation, until the plateau of the test loss ends. The level of the plateau is the upper quartile, over
      time, of the test loss between memorization and generalization. Its end is the end of the stretch in which the
      time spent above half of that level most exceeds the time spent below. A few spikes or dips have no effect. With
      an excluded loss, cleanup starts only after the excluded loss has doubled from its minimum: the circuits form
      before the memorized solution is removed;
    * cleanup, until the first evaluation with test accuracy >= 0.95 that lasts for a while, or that begins a window of
      the sustained rule. Accuracies have the tolerance implied by the number of test examples (``read_signals``);
    * generalization, during which weight norm and test loss may continue to fall;
    * decline, from the loss of generalization, or of the fit to the training set, until the end.

    A phase that did not happen, or that contains no evaluation, is omitted. A run that generalizes without delay has
    only memorization and generalization. A run without generalization ends in its current phase: in cleanup if the
    last 10 evaluations are all below the plateau and the excluded loss, if measured, has risen. A log with fewer than
    three evaluations has no phases and the verdict "no history".
    Evaluating less often moves a boundary by at most one of the longer intervals, on curves without dips that short.

    Args:
        curves: the curves recorded at evaluations; both accuracies, or both losses.
        measures: progress measures at checkpoints; they date the end of circuit formation.
        rule: thresholds, and the number of consecutive evaluations of the sustained rule, which ``History.grok_step``
            follows exactly. With ``SustainedRule(threshold=0.99, window=1)`` the first good evaluation counts.

    Source: Nanda et al. 2023, §5.2 for the phases; docs/formulas.md, "Verdicts on curves" for the rules.

    Raises:
        ConfigError: if the curves have neither both accuracies nor both losses, or are not ``Curves``.
    """
    require(isinstance(curves, Curves), "curves", short(curves), "must be Curves, as from Curves.from_dataset")
    rule = rule or SUSTAINED
    recorded, curves = curves, curves.evaluated()
    signals = read_signals(curves, rule)
    steps, course = curves.steps, read_course(curves.steps, signals, rule)
    verdict = verdict_of(steps, signals, course, rule)
    known = verdict != "no history"
    memorized = recorded.steps[-1] + 1 if course.memorized is None else steps[course.memorized]
    events = loss_events(recorded, int(np.searchsorted(recorded.steps, memorized))) if known else []
    events += _falls(curves, signals, course) if known else []
    rises = transitions(steps, signals.test) if known and not signals.by_loss else ()
    return History(
        phases=_phases(curves, measures, course, rule, recorded.steps[[0, -1]]) if known else (),
        events=tuple(sorted(events, key=lambda event: event.step)),
        verdict=verdict,
        memorized_step=_step(steps, course.memorized),
        generalized_step=_step(steps, course.generalized),
        grok_step=_step(steps, course.grokked),
        sentence=sentence_of(verdict, curves, measures, signals, course, rule, events=events, rises=rises),
        transitions=rises,
    )


def _step(steps: np.ndarray, index: int | None) -> int | None:
    return None if index is None else int(steps[index])


def _cleanup(
    curves: Curves, measures: Measures | None, memorized: int, generalized: int | None, window: int
) -> int | None:
    """Return the index at which cleanup begins: ``generalized`` if the plateau lasts until then, None if not begun."""
    stop = len(curves.steps) if generalized is None else generalized
    end = _plateau_end(curves, memorized, stop, window if generalized is None else 1)
    risen = _excluded_risen(curves.steps, measures, memorized, stop)
    if generalized is None:
        return None if end is None or risen is None else max(end, risen)
    return generalized if end is None else max(end, risen or 0)


def _plateau_end(curves: Curves, start: int, stop: int, least: int) -> int | None:
    """Return the index of the first evaluation after the plateau of the test loss in [start, stop), or None.

    The last ``least`` evaluations must lie below the plateau. Let w_i be the steps until the next evaluation, and
    s_i = +w_i above half of the plateau and -w_i below. The plateau ends with the stretch that has the largest sum of
    s, which is robust to spikes and to a test loss that has to rise first.
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
    """Return the first evaluation from which the excluded loss stays doubled; ``start`` if it was not measured."""
    if measures is None or measures.excluded_loss is None:
        return start
    last = steps[stop - 1]
    inside = (measures.steps >= steps[start]) & (measures.steps <= last) & ~np.isnan(measures.excluded_loss)
    excluded = measures.excluded_loss[inside]
    if not excluded.size:
        return start
    risen = _lasting(excluded / EXCLUDED_RISE >= np.minimum.accumulate(excluded))
    return None if risen is None else int(np.searchsorted(steps, measures.steps[inside][risen]))


def _lasting(flags: np.ndarray) -> int | None:
    """Return the first index from which the flags hold for a few checkpoints, or to the end of the run."""
    first = first_run(np.append(flags, np.ones(A_FEW - 1, dtype=bool)), A_FEW)
    return None if first is None or first >= len(flags) else first


def _phases(
    curves: Curves, measures: Measures | None, course: Course, rule: SustainedRule, ends: np.ndarray
) -> tuple[Phase, ...]:
    """Return the phases with at least one evaluation, between the first and last recorded steps, ``ends``."""
    steps, memorized, generalized = curves.steps, course.memorized, course.generalized
    late = generalized is None or delayed(steps, course)
    gone = [index for index in (course.lost, course.unlearned) if index is not None]
    decline = max(min(gone), generalized or 0) if gone else None
    cleanup = None
    if late and memorized is not None and (generalized is not None or decline is None):
        cleanup = _cleanup(curves, measures, memorized, generalized, rule.window)
    starts = [0, memorized if late else None, cleanup, generalized, decline]
    begun = [(name, int(steps[index])) for name, index in zip(NAMES, starts, strict=True) if index is not None]
    begun[0] = begun[0][0], int(ends[0])
    stops = [start for _, start in begun[1:]] + [int(ends[1]) + 1]
    return tuple(Phase(name, start, stop) for (name, start), stop in zip(begun, stops, strict=True) if start < stop)


def _falls(curves: Curves, signals: Signals, course: Course) -> list[Event]:
    """Return dips, relapses and double descent; a permanent drop is a decline, not an event."""
    steps, events = curves.steps, []
    if course.generalized is not None:
        stop = len(steps) if course.lost is None else course.lost
        events = falls(steps[:stop], signals, course.generalized)
    descent = None if curves.test_loss is None else double_descent(steps, curves.test_loss)
    if descent is not None and (course.generalized is None or descent.step < steps[course.generalized]):
        events.append(descent)
    return events
