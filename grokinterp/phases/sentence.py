"""The verdict of a run in one sentence with its numbers."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from grokinterp.phases.course import KEPT, Course, origin
from grokinterp.phases.curves import Curves, Measures
from grokinterp.phases.detector import SustainedRule
from grokinterp.phases.phase import EVENT_KINDS, Event, Transition, Verdict
from grokinterp.phases.signals import Signals
from grokinterp.phases.verdict import delayed, evidence

CLOSE = 0.02  # an accuracy within this of the threshold could pass if the number of test examples were known


def sentence_of(
    verdict: Verdict,
    curves: Curves,
    measures: Measures | None,
    signals: Signals,
    course: Course,
    rule: SustainedRule,
    *,
    events: Sequence[Event],
    rises: Sequence[Transition],
) -> str:
    """Return the verdict in one sentence: dates of memorization and generalization, the final state, instabilities."""
    steps = curves.steps
    if verdict == "no history":
        parts = [_too_few(steps, signals)]
    else:
        parts = [
            _memorization(steps, signals, course),
            *_generalization(verdict, steps, signals, course),
            *_measured(steps, measures, course),
            *_stages(rises, course, steps),
            *_end(verdict, steps, signals, course),
            *_near(curves, signals, course),
            *_instabilities(events),
        ]
    parts += _not_finite(curves)
    heading = f"{verdict[0].upper()}{verdict[1:]}"
    if verdict == "grokked, not yet sustained":
        seen = evidence(steps, course, rule).evaluations
        heading += f": {seen} evaluation{'' if seen == 1 else 's'} of {rule.window}"
    if verdict == "unstable":
        heading += ": generalizes repeatedly without keeping it"
    if verdict == "partly generalized":
        heading += f" ({'test loss ' if signals.by_loss else ''}{course.test_level:.3g})"
    return f"{heading}: {'; '.join(parts)}."


def _too_few(steps: np.ndarray, signals: Signals) -> str:
    at = " and ".join(f"{step:,}" for step in steps)
    last = f"train {signals.measure} was {signals.train[-1]:.3g} and test {signals.measure} {signals.test[-1]:.3g}"
    number = "1 evaluation is" if len(steps) == 1 else f"{len(steps)} evaluations are"
    return f"{number} too few to date phases (step {at}); at the end, {last}"


def _memorization(steps: np.ndarray, signals: Signals, course: Course) -> str:
    if course.memorized is not None:
        reached = "fell below" if signals.by_loss else "reached"
        return f"train {signals.measure} {reached} {signals.levels.fitted:.3g} at step {steps[course.memorized]:,}"
    best = signals.best(signals.train)
    return f"train {signals.measure} reached {best:.3g} at best in the {steps[-1] - steps[0]:,} steps recorded"


def _generalization(verdict: Verdict, steps: np.ndarray, signals: Signals, course: Course) -> list[str]:
    """Describe when the test measure passed its threshold and from which value, or how close it came."""
    memorized, generalized = course.memorized, course.generalized
    if generalized is None:
        best = signals.best(signals.test)
        return [f"test {signals.measure} reached {best:.3g} at best"] if verdict != "partly generalized" else []
    reached = "fell below" if signals.by_loss else "reached"
    text = f"test {signals.measure} {reached} {signals.levels.generalizes:.3g} at step {steps[generalized]:,}"
    if memorized is None or memorized >= generalized:
        return [text]
    start = origin(steps)
    ratio = (steps[generalized] - start) / max(steps[memorized] - start, 1)
    before = f"{signals.test[memorized]:.3g}"
    if verdict == "partly generalized from the start, fully later":
        return [
            f"test {signals.measure} was {before} by then",
            f"full generalization at step {steps[generalized]:,}, after {ratio:.3g} times as many steps",
        ]
    late = steps[memorized] > start and delayed(steps, course)
    times = f", after {ratio:.3g} times as many steps," if late else ","
    return [f"{text}{times} {'down' if signals.by_loss else 'up'} from {before}"]


def _measured(steps: np.ndarray, measures: Measures | None, course: Course) -> list[str]:
    """Describe how the progress measures changed from memorization to generalization, each at its last checkpoint."""
    memorized, generalized = course.memorized, course.generalized
    if measures is None or memorized is None or generalized is None or memorized >= generalized:
        return []
    first, last = np.searchsorted(measures.steps, steps[[memorized, generalized]], side="right") - 1
    if first < 0 or first == last:  # no checkpoint by then, or the same one: nothing was seen to change
        return []
    columns = {"restricted": measures.restricted_loss, "excluded": measures.excluded_loss}
    moves = [
        f"the {name} loss had gone from {loss[first]:.2g} to {loss[last]:.2g}"
        for name, loss in columns.items()
        if loss is not None
    ]
    return [f"by then {' and '.join(moves)}"] if moves else []


def _stages(rises: Sequence[Transition], course: Course, steps: np.ndarray) -> list[str]:
    """Describe the transitions with their levels, unless the date of generalization already says so."""
    since = steps[0] if course.memorized is None else steps[course.memorized]
    late = [rise for rise in rises if rise.stop > since]
    if not late or (len(late) == 1 and course.generalized is not None):
        return []
    texts = [f"from {rise.low:.3g} to {rise.high:.3g} {_when(rise)}" for rise in late]
    stages = f" in {len(late)} stages:" if len(late) > 1 else ""
    return [f"test accuracy rose{stages} {', '.join(texts)}"]


def _when(rise: Transition) -> str:
    return f"at step {rise.start:,}" if rise.start == rise.stop else f"between steps {rise.start:,} and {rise.stop:,}"


def _end(verdict: Verdict, steps: np.ndarray, signals: Signals, course: Course) -> list[str]:
    """Describe the final state of the run and when it began."""
    found, measure = [], signals.measure
    if course.visited is not None and course.visits > 1 and course.good < KEPT:
        first, last = course.visited
        found.append(
            f"it generalized for {course.good:.0%} of the time from step {steps[first]:,} to {steps[last]:,}, in "
            f"{course.visits} stretches"
        )
    if course.lost is not None:
        found.append(f"generalization was lost from step {steps[course.lost]:,} on")
    if course.unlearned is not None:
        side = "above" if signals.by_loss else "below"
        found.append(
            f"train {measure} collapsed too: {side} {signals.levels.unlearned:.2g} from step "
            f"{steps[course.unlearned]:,} on, to {course.train_level:.2g}"
        )
    last, test = steps[-1], signals.test[-1]
    found.append(f"test {measure} was {test:.3g} at the end, step {last:,}")
    return found


def _near(curves: Curves, signals: Signals, course: Course) -> list[str]:
    """Describe the effect of the tolerance if the final accuracy is close to the threshold."""
    levels, level = signals.levels, course.test_level
    if signals.by_loss or not levels.generalizes - max(CLOSE, levels.tolerance) <= level < levels.generalizes:
        return []
    if curves.n_test is None:
        return [f"the threshold {levels.generalizes:.3g} is exact, since the number of test examples is unknown"]
    passes = "is within" if level >= levels.generalizes - levels.tolerance else "is not within"
    return [
        f"{level:.3g} {passes} one standard error, {levels.tolerance:.2g} for {curves.n_test:,} examples, of "
        f"{levels.generalizes:.3g}"
    ]


def _instabilities(events: Sequence[Event]) -> list[str]:
    """Describe double descent, and count the events of each other kind."""
    counts = Counter(event.kind for event in events)
    found = [event.detail for event in events if event.kind == "double descent"][:1]
    named = [f"{counts[kind]} {kind}{'s' * (counts[kind] > 1)}" for kind in EVENT_KINDS[:-1] if counts[kind]]
    return [f"double descent: {detail}" for detail in found] + ([", ".join(named)] if named else [])


def _not_finite(curves: Curves) -> list[str]:
    """Describe when the train loss stopped being finite, if it ends that way."""
    loss = curves.train_loss
    if loss is None or np.isfinite(loss[-1]):
        return []
    finite = curves.steps[np.isfinite(loss)]
    return [f"the train loss is not finite after step {finite[-1]:,}" if finite.size else "no finite loss"]
