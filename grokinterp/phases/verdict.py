"""The verdict on a course."""

from typing import NamedTuple

import numpy as np

from grokinterp.phases.course import A_FEW, AGAIN, KEPT, Course, origin
from grokinterp.phases.detector import SustainedRule
from grokinterp.phases.phase import Verdict
from grokinterp.phases.signals import Signals

DELAY = 2.0  # grokking takes at least this many times as long as memorization


class Evidence(NamedTuple):
    """How much of the log speaks for a lasting generalization.

    Attributes:
        evaluations: number of evaluations from generalization to the end of the log.
        sustained: whether they show that it lasts.
    """

    evaluations: int
    sustained: bool


def verdict_of(steps: np.ndarray, signals: Signals, course: Course, rule: SustainedRule) -> Verdict:
    """What the whole course amounts to; `History` says what each verdict means.

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
    """Whether a value of the test measure generalizes."""
    levels = signals.levels
    return level < levels.generalizes if signals.by_loss else level >= levels.generalizes - levels.tolerance


def _generalized(steps: np.ndarray, course: Course, rule: SustainedRule) -> Verdict:
    if not delayed(steps, course):
        return "generalized without delay"
    if not course.stuck:
        return "partly generalized from the start, fully later"
    return "grokked" if evidence(steps, course, rule).sustained else "grokked, not yet sustained"


def delayed(steps: np.ndarray, course: Course) -> bool:
    """Whether generalization took at least twice as long as memorization, counted from the first step.

    Where the network failed on the test set in between, the dates decide. Where it did not, the delay has to be seen:
    at twice the time of memorization it still did not generalize, as both may happen between two evaluations.
    """
    memorized, generalized = course.memorized, course.generalized
    if memorized is None or generalized is None or memorized >= generalized:
        return False
    late, start = generalized if course.stuck else generalized - 1, origin(steps)
    return bool(steps[late] - start >= DELAY * (steps[memorized] - start))


def evidence(steps: np.ndarray, course: Course, rule: SustainedRule) -> Evidence:
    """Whether the log goes on for long enough after generalization.

    It does after as many evaluations as the sustained rule asks for, or, where evaluations are rare, after as many
    steps as it took to generalize and three evaluations.
    """
    if course.generalized is None:
        return Evidence(0, sustained=False)
    left = len(steps) - course.generalized
    as_long = steps[-1] - steps[course.generalized] >= steps[course.generalized] - origin(steps)
    return Evidence(left, sustained=bool(left >= rule.window or (left >= A_FEW and as_long)))
