"""Follow a training run evaluation by evaluation: its gap, grokking, convergence, and when it may stop."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from grokinterp.errors import ConfigError, require, short
from grokinterp.named_values import NamedValues
from grokinterp.phases.detector import SUSTAINED, Detector, SustainedDetector, SustainedRule
from grokinterp.phases.jump import JumpDetector, JumpRule
from grokinterp.specification import require_integer, require_type


@dataclass(frozen=True)
class GrokkingStatus(NamedValues):
    """The state of a training run after an evaluation; True as a condition if it is this one that detects grokking.

    Attributes:
        step: number of training steps at the evaluation.
        train_acc: accuracy on the training examples.
        eval_acc: accuracy on the held-out examples.
        gap: train_acc - eval_acc.
        current_gap: mean gap over the last ``window_size`` evaluations.
        grokking_detected: whether grokking was detected at this evaluation or earlier.
        newly_detected: whether it was detected at this evaluation.
        grokking_step: the step to which grokking is dated: the first of the evaluations that established it; or None.
        converged: whether the gap has closed after memorization.
        should_stop: whether the patience after the detection is exhausted.
    """

    step: int
    train_acc: float
    eval_acc: float
    gap: float
    current_gap: float
    grokking_detected: bool
    newly_detected: bool
    grokking_step: int | None
    converged: bool
    should_stop: bool

    def __bool__(self) -> bool:
        return self.newly_detected


@dataclass
class GrokkingDetector:
    """The history of a training run's accuracies, and what follows from it.

    Grokking is detected by a rule, by default the sustained rule. Only ``patience`` training steps after the detection
    suggest stopping, because a network that will grok looks finished and overfitted for most of its training.
    Everything here requires memorization first, with the thresholds of the rule: an evaluation with train accuracy >=
    0.99 and held-out accuracy < 0.5. At initialization, both accuracies are at chance and their gap is 0, which is no
    convergence.

    Args:
        window_size: number of evaluations over which the gap is averaged.
        gap_threshold: mean gap below which the run has converged. The ``window_size`` evaluations must follow
            memorization, and their mean held-out accuracy must reach the threshold of the rule, since a collapsed
            network has no gap either.
        jump_threshold: rise of the held-out accuracy between consecutive evaluations, after memorization, to which
            ``jump_step`` is dated. It depends on the interval between evaluations, and thus detects nothing itself.
        patience: number of training steps from the evaluation that detects grokking until ``should_stop``; None for
            never.
        rule: the criterion for grokking: the sustained rule, the legacy ``JumpRule``, which requires no memorization
            and is kept for comparison, or None to detect nothing.

    Attributes:
        step_history: the step of every evaluation, like the other histories.
        train_acc_history: accuracies on the training examples.
        eval_acc_history: accuracies on the held-out examples.
        memorized_step: first evaluation with memorization, or None.
        jump_step: first evaluation after memorization with a jump, or None; the onset of a sudden transition.
        detected_step: the evaluation that detected grokking, or None.

    Source: docs/formulas.md, "Verdicts on curves".

    Raises:
        ConfigError: an argument is invalid.

    >>> detector = GrokkingDetector(window_size=2, patience=20, rule=SustainedRule(window=2))
    >>> curve = [(0, 0.1, 0.0), (10, 1.0, 0.1), (20, 1.0, 0.96), (30, 1.0, 0.98), (40, 1.0, 1.0), (50, 1.0, 1.0)]
    >>> found = [detector.update(*evaluation) for evaluation in curve]
    >>> [status["grokking_detected"] for status in found], detector.grokking_step, detector.jump_step
    ([False, False, False, True, True, True], 20, 20)
    >>> round(detector.current_gap, 2), detector.converged, detector.should_stop
    (0.0, True, True)
    """

    window_size: int = 50
    gap_threshold: float | int = 0.05
    jump_threshold: float | int = 0.10
    patience: int | None = 200
    rule: SustainedRule | JumpRule | None = field(default=SUSTAINED, kw_only=True)
    step_history: list[int] = field(default_factory=list, init=False)
    train_acc_history: list[float] = field(default_factory=list, init=False)
    eval_acc_history: list[float] = field(default_factory=list, init=False)
    memorized_step: int | None = field(default=None, init=False)
    jump_step: int | None = field(default=None, init=False)
    detected_step: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        require_integer("window_size", self.window_size, 1)
        if self.patience is not None:
            require_integer("patience", self.patience, 0)
        for name in ("gap_threshold", "jump_threshold"):
            value = getattr(self, name)
            require_type(name, value, float)
            if not 0 < value < 1:
                raise ConfigError(name, value, "must be in (0, 1)")
        self._online = detector_of(self.rule)
        self._thresholds = self.rule if isinstance(self.rule, SustainedRule) else SUSTAINED

    def update(self, step: int, train_acc: float | int, eval_acc: float | int) -> GrokkingStatus:
        """Process an evaluation after ``step`` training steps, and return what is known after it.

        Raises:
            ConfigError: the step is not an integer that follows the last step, or an accuracy is not a share.
        """
        require_integer("step", step, 0)
        require_share("train_acc", train_acc)
        require_share("eval_acc", eval_acc)
        if self.step_history and step <= self.step_history[-1]:
            raise ConfigError("step", step, f"must be after the last evaluation, {self.step_history[-1]}")
        step, train, held_out = int(step), float(train_acc), float(eval_acc)
        if self.memorized_step is not None and self.jump_step is None:
            rise = held_out - self.eval_acc_history[-1]
            self.jump_step = step if rise > self.jump_threshold else None
        if self.memorized_step is None and train >= self._thresholds.memorized and held_out < self._thresholds.failing:
            self.memorized_step = step
        self.step_history.append(step)
        self.train_acc_history.append(train)
        self.eval_acc_history.append(held_out)
        newly_detected = self._online is not None and self._online.update(step, train, held_out)
        if newly_detected:
            self.detected_step = step
        return self._status(newly_detected=newly_detected)

    def _status(self, *, newly_detected: bool) -> GrokkingStatus:
        train, held_out = self.train_acc_history[-1], self.eval_acc_history[-1]
        return GrokkingStatus(
            step=self.step_history[-1],
            train_acc=train,
            eval_acc=held_out,
            gap=train - held_out,
            current_gap=self.current_gap,
            grokking_detected=self.grokking_detected,
            newly_detected=newly_detected,
            grokking_step=self.grokking_step,
            converged=self.converged,
            should_stop=self.should_stop,
        )

    @property
    def gap_history(self) -> list[float]:
        """The gap, train accuracy - held-out accuracy, of every evaluation."""
        return [train - held_out for train, held_out in zip(self.train_acc_history, self.eval_acc_history, strict=True)]

    @property
    def current_gap(self) -> float:
        """The mean gap over the last ``window_size`` evaluations, or over all if there are fewer; NaN before any."""
        train, held_out = (history[-self.window_size :] for history in (self.train_acc_history, self.eval_acc_history))
        return float(np.mean(train) - np.mean(held_out)) if train else float("nan")

    @property
    def grokking_detected(self) -> bool:
        """Whether grokking was detected."""
        return self.detected_step is not None

    @property
    def grokking_step(self) -> int | None:
        """The step to which grokking is dated: the first of the evaluations that established it."""
        return None if self._online is None else self._online.grok_step

    @property
    def converged(self) -> bool:
        """Whether the mean gap of ``window_size`` evaluations after memorization is below ``gap_threshold``."""
        if self.memorized_step is None or len(self.step_history) < self.window_size:
            return False
        follows = self.step_history[-self.window_size] > self.memorized_step
        generalizes = float(np.mean(self.eval_acc_history[-self.window_size :])) >= self._thresholds.threshold
        return follows and generalizes and self.current_gap < self.gap_threshold

    @property
    def should_stop(self) -> bool:
        """Whether the last evaluation is at least ``patience`` training steps after the one that detected grokking."""
        if self.detected_step is None or self.patience is None:
            return False
        return self.step_history[-1] - self.detected_step >= self.patience

    @property
    def state(self) -> dict[str, Any]:
        """The rule and the histories as plain values for JSON; everything else follows from them."""
        rule = None if self.rule is None else {"kind": type(self.rule).__name__, **asdict(self.rule)}
        histories = {name: list(getattr(self, name)) for name in HISTORIES}
        return {"rule": rule, **histories}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of a detector with the same rule; earlier evaluations of this detector are dropped.

        Raises:
            ConfigError: the state was saved with another rule.
        """
        self.require_rule_of(state)
        for name in HISTORIES:
            getattr(self, name).clear()
        self.memorized_step = self.jump_step = self.detected_step = None
        self._online = detector_of(self.rule)
        for evaluation in zip(*(state[name] for name in HISTORIES), strict=True):
            self.update(*evaluation)

    def require_rule_of(self, state: Mapping[str, Any]) -> None:
        """Raise ConfigError if a state was saved with another rule."""
        if state["rule"] != self.state["rule"]:
            name = "None" if self.rule is None else type(self.rule).__name__
            raise ConfigError("rule", name, f"the state was saved with another rule: {short(state['rule'])}")


ROUNDING = 1e-5
"""Largest error of rounding by which an accuracy may be outside 0 to 1."""

HISTORIES = ("step_history", "train_acc_history", "eval_acc_history")
"""The histories of a detector, in the order of the arguments of ``update``."""


def require_share(name: str, accuracy: float | int) -> None:
    """Raise ConfigError for an accuracy outside 0 to 1, such as a percentage; NaN, of no labels, is none."""
    outside = accuracy < -ROUNDING or accuracy > 1 + ROUNDING
    require(not outside, name, accuracy, "must be from 0 to 1: a share, not a percentage")


def detector_of(rule: SustainedRule | JumpRule | None) -> Detector | None:
    """Return the online form of a rule."""
    if rule is None:
        return None
    return JumpDetector(rule) if isinstance(rule, JumpRule) else SustainedDetector(rule)
