"""The legacy jump rule, kept for comparison with detections of earlier trainers."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.phases.curves import Series
from grokinterp.phases.detector import Detector


class JumpDates(NamedTuple):
    """Steps that the jump rule finds.

    Attributes:
        jumped: first evaluation whose test accuracy exceeds its predecessor's by more than ``jump``, or None.
        converged: first evaluation with |train - test accuracy| < ``gap``, or None.
    """

    jumped: int | None
    converged: int | None


def jump_rule(
    steps: Series, train_accuracy: Series, test_accuracy: Series, *, jump: float = 0.10, gap: float = 0.05
) -> JumpDates:
    """Date grokking by a rise of test accuracy by more than ``jump`` between consecutive evaluations.

    ``grok_step`` replaces this legacy rule because of its defects: an untrained network has "converged" at step 0,
    since both accuracies are at chance; a slow transition never jumps if evaluated often, but does if evaluated rarely;
    memorization with mirror leakage and every recovery from a spike count as jumps; and the jump need not last.

    >>> jump_rule([0, 100, 200], [0.0, 1.0, 1.0], [0.0, 0.0, 0.9])
    JumpDates(jumped=200, converged=0)
    """
    train, test = np.asarray(train_accuracy, dtype=float), np.asarray(test_accuracy, dtype=float)
    if not len(steps) == len(train) == len(test):
        raise ConfigError("test_accuracy", len(test), f"must have one value per step, {len(steps)}, as train_accuracy")
    jumps = np.flatnonzero(np.diff(test) > jump) + 1
    close = np.flatnonzero(np.abs(train - test) < gap)
    return JumpDates(*(int(steps[found[0]]) if found.size else None for found in (jumps, close)))


@dataclass(frozen=True, kw_only=True)
class JumpRule:
    """Size of a jump: a rise of test accuracy by more than ``jump`` between consecutive evaluations."""

    jump: float = 0.10

    def __post_init__(self) -> None:
        if not 0 < self.jump < 1:
            raise ConfigError("jump", self.jump, "must be in (0, 1)")


@dataclass
class JumpDetector(Detector):
    """The jump rule online, a drop-in for ``SustainedDetector``, with all defects of ``jump_rule``, for comparison.

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
