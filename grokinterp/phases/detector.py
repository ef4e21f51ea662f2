"""The sustained rule for grokking, applied to a complete curve or online during training."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.phases.curves import Series


@dataclass(frozen=True, kw_only=True)
class SustainedRule:
    """Thresholds for memorization, failure on the test set, and sustained generalization.

    Attributes:
        threshold: test accuracy at which a network generalizes.
        window: number of consecutive evaluations that must reach the threshold.
        memorized: train accuracy at which a network has memorized.
        failing: test accuracy below which a network fails on the test set.
    """

    threshold: float = 0.95
    window: int = 10
    memorized: float = 0.99
    failing: float = 0.5

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ConfigError("window", self.window, "must be an integer >= 1")
        for name in ("threshold", "memorized", "failing"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(name, getattr(self, name), "must be in (0, 1]")
        if self.failing > self.threshold:
            raise ConfigError("failing", self.failing, f"must be at most the threshold, {self.threshold}")


SUSTAINED = SustainedRule()
"""The rule with its usual thresholds, by which the whole package dates memorization and generalization."""


def grok_step(
    steps: Series,
    train_accuracy: Series,
    test_accuracy: Series,
    *,
    threshold: float = SUSTAINED.threshold,
    window: int = SUSTAINED.window,
    memorized: float = SUSTAINED.memorized,
    failing: float = SUSTAINED.failing,
) -> int | None:
    """Return the step at which sustained generalization begins after memorization, or None.

    It is the first step of the first ``window`` consecutive evaluations with test accuracy >= ``threshold``, after an
    evaluation with train accuracy >= ``memorized`` and test accuracy < ``failing``. It is None while too few
    evaluations follow the first good evaluation to fill a window. Evaluating k times less often dates grokking at most
    k evaluations later, never earlier, as long as the test accuracy stays above the threshold, the plateau is longer
    than the new interval and a full window of evaluations remains. Steps must increase. NaN is below every threshold.

    Source: Power et al. 2022 for the phenomenon; docs/formulas.md, "Verdicts on curves" for the rule.

    >>> grok_step(range(0, 60, 10), [0, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1], window=3)
    30
    """
    rule = SustainedRule(threshold=threshold, window=window, memorized=memorized, failing=failing)
    train, test = np.asarray(train_accuracy, dtype=float), np.asarray(test_accuracy, dtype=float)
    if not len(steps) == len(train) == len(test):
        raise ConfigError("test_accuracy", len(test), f"must have one value per step, {len(steps)}, as train_accuracy")
    memorized_before = np.logical_or.accumulate((train >= rule.memorized) & (test < rule.failing))
    first = first_run(memorized_before & (test >= rule.threshold), rule.window)
    return None if first is None else int(steps[first])


def sustained_step(
    steps: Series,
    test_accuracy: Series,
    *,
    threshold: float = SUSTAINED.threshold,
    window: int = SUSTAINED.window,
) -> int | None:
    """Return the first step of the first window of evaluations that all generalize, or None; memorization not required.

    >>> sustained_step(range(0, 50, 10), [0, 1, 0, 1, 1], window=2)
    30
    """
    rule = SustainedRule(threshold=threshold, window=window, failing=min(threshold, SUSTAINED.failing))
    first = first_run(np.asarray(test_accuracy, dtype=float) >= rule.threshold, rule.window)
    return None if first is None else int(steps[first])


def first_run(flags: np.ndarray, length: int) -> int | None:
    """Return the index at which the first run of ``length`` true flags begins, or None.

    >>> first_run(np.array([True, False, True, True]), 2)
    2
    """
    if len(flags) < length:
        return None
    runs = np.lib.stride_tricks.sliding_window_view(flags, length).all(axis=1)
    return int(runs.argmax()) if runs.any() else None


@dataclass
class Detector(ABC):
    """A rule for grokking applied online, one evaluation at a time.

    Attributes:
        rule: the rule with its thresholds.
        last_step: the step of the last evaluation, None before the first evaluation.
        grok_step: the step at which grokking is dated, None until it is detected.
    """

    rule: Any = None
    last_step: int | None = field(default=None, init=False)
    grok_step: int | None = field(default=None, init=False)

    def update(self, step: int, train_accuracy: float | int, test_accuracy: float | int) -> bool:
        """Process an evaluation; return True if it detects grokking, which happens at most once per run.

        Raises:
            ConfigError: if the step does not follow the last step.
        """
        if self.last_step is not None and step <= self.last_step:
            raise ConfigError("step", step, f"must be after the last evaluation, {self.last_step}")
        self.last_step = step
        return self._take(step, train_accuracy, test_accuracy)

    @abstractmethod
    def _take(self, step: int, train_accuracy: float | int, test_accuracy: float | int) -> bool:
        """Apply the rule to an evaluation whose step follows the last step."""

    @property
    def state(self) -> dict[str, Any]:
        """The complete state of the detector as a dict for JSON, so that training can resume."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Detector":
        """Return a detector that continues from ``state``."""
        detector = cls()
        detector.rule = type(detector.rule)(**state["rule"])
        for name in {each.name for each in fields(cls)} - {"rule"}:
            setattr(detector, name, state[name])
        return detector


@dataclass
class SustainedDetector(Detector):
    """The sustained rule online: one ``update`` per evaluation finds the same step as ``grok_step`` afterwards.

    >>> detector = SustainedDetector(SustainedRule(window=2))
    >>> curve = [(0, 0.1, 0.0), (10, 1.0, 0.1), (20, 1.0, 0.96), (30, 1.0, 0.97), (40, 1.0, 1.0)]
    >>> [detector.update(*evaluation) for evaluation in curve], detector.grok_step
    ([False, False, False, True, False], 20)
    """

    rule: SustainedRule = SUSTAINED
    memorized_step: int | None = field(default=None, init=False)
    streak_start: int | None = field(default=None, init=False)
    streak: int = field(default=0, init=False)

    def _take(self, step: int, train_accuracy: float | int, test_accuracy: float | int) -> bool:
        if self.memorized_step is None:
            if train_accuracy >= self.rule.memorized and test_accuracy < self.rule.failing:
                self.memorized_step = step
            return False
        if self.grok_step is not None or not test_accuracy >= self.rule.threshold:
            self.streak, self.streak_start = 0, None
            return False
        self.streak, self.streak_start = self.streak + 1, step if self.streak_start is None else self.streak_start
        if self.streak < self.rule.window:
            return False
        self.grok_step = self.streak_start
        return True
