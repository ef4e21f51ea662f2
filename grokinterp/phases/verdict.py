"""The verdict on the course of a run."""

from typing import NamedTuple

import numpy as np

from grokinterp.phases.course import A_FEW, AGAIN, KEPT, Course, origin
from grokinterp.phases.detector import SustainedRule
from grokinterp.phases.phase import Verdict
from grokinterp.phases.signals import Signals

DELAY = 2.0  # grokking takes at least this many times as long as memorization


class Evidence(NamedTuple):
    """Evidence in the log that generalization lasts.

    Attributes:
        evaluations: number of evaluations from generalization to the end of the log.
        sustained: whether these evaluations show that it lasts.
    """

    evaluations: int
    sustained: bool


def verdict_of(steps: np.ndarray, signals: Signals, course: Course, rule: SustainedRule) -> Verdict:
    """Return the verdict on a course; ``History`` defines each verdict.

    Source: docs/formulas.md, "Verdicts on curves".
    """
    if len(steps) < A_FEW:
        return "no history"
    if course.unlearned is not None:
        return "collapsed"
    if course.lost is not None:
        return "generalized and lost it again"
    if course.kept < KEPT and course.visits >= AGAIN:
        return "unstable"
    level = course.level if course.kept >= KEPT else course.test_level
    if course.generalized is not None and passes(signals, level):
        return _generalized(steps, course, rule)
    if course.memorized is None:
        return "never memorized"
    level, failing = course.test_level, signals.levels.failing
    partly = level <= failing if signals.by_loss else level >= failing
    return "partly generalized" if partly else "memorized, did not generalize within the run"


def passes(signals: Signals, level: float) -> bool:
    """Return whether a value of the test measure generalizes."""
    levels = signals.levels
    return level < levels.generalizes if signals.by_loss else level >= levels.generalizes - levels.tolerance


def _generalized(steps: np.ndarray, course: Course, rule: SustainedRule) -> Verdict:
    if not delayed(steps, course):
        return "generalized without delay"
    if not course.stuck:
        return "partly generalized from the start, fully later"
    return "grokked" if evidence(steps, course, rule).sustained else "grokked, not yet sustained"


def delayed(steps: np.ndarray, course: Course) -> bool:
    """Return whether generalization took at least twice as long as memorization, counted from the start of training.

    If the network failed on the test set in between, the dates decide. Otherwise the delay must be observed: the
    last evaluation before generalization is at least at twice the time of memorization, since both events may fall
    between two evaluations.
    """
    memorized, generalized = course.memorized, course.generalized
    if memorized is None or generalized is None or memorized >= generalized:
        return False
    late, start = generalized if course.stuck else generalized - 1, origin(steps)
    return bool(steps[late] - start >= DELAY * (steps[memorized] - start))


def evidence(steps: np.ndarray, course: Course, rule: SustainedRule) -> Evidence:
    """Return whether the log continues for long enough after generalization.

    It does if it has as many evaluations as the sustained rule requires or, if evaluations are rare, as many steps as
    it took to generalize and at least three evaluations.
    """
    if course.generalized is None:
        return Evidence(0, sustained=False)
    left = len(steps) - course.generalized
    as_long = steps[-1] - steps[course.generalized] >= steps[course.generalized] - origin(steps)
    return Evidence(left, sustained=bool(left >= rule.window or (left >= A_FEW and as_long)))
