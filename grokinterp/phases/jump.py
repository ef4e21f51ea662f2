"""The legacy jump rule, kept to compare with: what earlier trainers called a detected grok."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.phases.curves import Series
from grokinterp.phases.detector import Detector


class JumpDates(NamedTuple):
    """Steps that the jump rule finds.

    Attributes:
        jumped: first evaluation with a test accuracy more than `jump` above the one before, None without one.
        converged: first evaluation with |train - test accuracy| < `gap`, None without one.
    """

    jumped: int | None
    converged: int | None


def jump_rule(
    steps: Series, train_accuracy: Series, test_accuracy: Series, *, jump: float = 0.10, gap: float = 0.05
) -> JumpDates:
    """Legacy rule: grokking is a rise of test accuracy by more than `jump` from one evaluation to the next.

    Its defects, and why `grok_step` replaces it: an untrained network has "converged" at step 0, as both accuracies
    are at chance; a slow transition evaluated often never jumps, and the same one evaluated rarely does; memorization
    with mirror leakage and every recovery from a spike jump as well; nothing has to last.

    >>> jump_rule([0, 100, 200], [0.0, 1.0, 1.0], [0.0, 0.0, 0.9])
    JumpDates(jumped=200, converged=0)
    """
    train, test = np.asarray(train_accuracy, dtype=float), np.asarray(test_accuracy, dtype=float)
    if not len(steps) == len(train) == len(test):
        raise ConfigError("test_accuracy", len(test), f"must be one value a step, {len(steps)}, as train_accuracy")
    jumps = np.flatnonzero(np.diff(test) > jump) + 1
    close = np.flatnonzero(np.abs(train - test) < gap)
    return JumpDates(*(int(steps[found[0]]) if found.size else None for found in (jumps, close)))


@dataclass(frozen=True, kw_only=True)
class JumpRule:
    """What counts as a jump: a rise of test accuracy by more than ``jump`` from one evaluation to the next."""

    jump: float = 0.10

    def __post_init__(self) -> None:
        if not 0 < self.jump < 1:
            raise ConfigError("jump", self.jump, "must be in (0, 1)")


@dataclass
class JumpDetector(Detector):
    """The jump rule online, in the place of ``GrokkingDetector``, to compare with; it has all defects of ``jump_rule``.

    >>> detector = JumpDetector(JumpRule())
    >>> [detector.update(step, 1.0, test) for step, test in ((0, 0.0), (10, 0.05), (20, 0.3), (30, 0.9))]
    [False, False, True, False]
    """

    rule: JumpRule = JumpRule()
    last_accuracy: float | None = field(default=None, init=False)

    def _take(self, step: int, train_accuracy: float | int, test_accuracy: float | int) -> bool:
        before, self.last_accuracy = self.last_accuracy, float(test_accuracy)
        if self.grok_step is not None or before is None or not test_accuracy - before > self.rule.jump:
            return False
        self.grok_step = step
        return True
