"""Adaptive schedules: state machines over the evaluations of a run.

Waiting times are counted in steps, so that the evaluation interval affects only the resolution.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, isfinite, isnan, log2
from typing import Any, ClassVar, Literal

from grokinterp.errors import ConfigError
from grokinterp.optim.closed_form import require_share, require_steps
from grokinterp.optim.schedule import Evaluation, Schedule
from grokinterp.phases import SUSTAINED


class Adaptive(Schedule):
    """A schedule whose state holds the factor of the updates until the next evaluation."""

    def factor(self, step: int, steps: int, state: Mapping[str, Any]) -> float:
        return float(self.known(state)["factor"])

    def known(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the state, with missing entries taken from the initial state."""
        return {**self.start(), **state}


@dataclass(frozen=True, kw_only=True)
class Plateau(Adaptive):
    """factor ← max(lowest, by · factor) whenever the training loss has not fallen for ``patience`` steps.

    The loss has fallen if it is below (1 - threshold) times its minimum so far; a loss that is not finite has not
    fallen. After a reduction, ``patience`` steps pass before the next. The training loss of a grokking run is flat long
    before the run generalizes, so that a small patience leaves such a run with small steps.

    Source: the rule of torch.optim.lr_scheduler.ReduceLROnPlateau with threshold_mode="rel", counted in steps.

    Raises:
        ConfigError: if by or threshold is not strictly between 0 and 1, patience is below 1, or lowest is outside (0,
            1].

    >>> schedule = Plateau(by=0.5, patience=10)
    >>> state = schedule.observe(schedule.start(), Evaluation(0, 1.0, 0, 1.0, 0))
    >>> state = schedule.observe(state, Evaluation(10, 1.0, 0, 1.0, 0))
    >>> schedule.factor(10, 100, state)
    0.5
    """

    about: ClassVar[str] = "is multiplied by `by` whenever the training loss has not fallen for `patience` steps"
    kind: Literal["adaptive"] = "adaptive"
    by: float = 0.5
    patience: int = 1000
    threshold: float = 0.01
    lowest: float = 0.01

    def __post_init__(self) -> None:
        for key, value in (("by", self.by), ("threshold", self.threshold)):
            if not 0 < value < 1:
                raise ConfigError(key, value, "must lie strictly between 0 and 1")
        require_steps("patience", self.patience, 1)
        require_share("lowest", self.lowest)

    def start(self) -> dict[str, Any]:
        """Return the factor, the minimum loss so far, and the step from which patience counts."""
        return {"factor": 1.0, "best": None, "since": None}

    def observe(self, state: Mapping[str, Any], evaluation: Evaluation) -> dict[str, Any]:
        now = self.known(state)
        loss, best = evaluation.train_loss, now["best"]
        if isfinite(loss) and (best is None or loss < (1 - self.threshold) * best):
            return now | {"best": float(loss), "since": evaluation.step}
        if now["since"] is None:
            return now | {"since": evaluation.step}
        if evaluation.step - now["since"] < self.patience:
            return now
        return now | {"factor": max(self.lowest, self.by * now["factor"]), "since": evaluation.step}


@dataclass(frozen=True, kw_only=True)
class Gap(Adaptive):
    """Weight decay that grows while the run has memorized but not generalized.

    The factor is 2^(m / doubling), at most ``most``. m counts steps: up while the run has memorized (training accuracy
    ≥ .99) and has not generalized (held-out accuracy < .95); down to 0 while it has not memorized, since decay that
    undoes memorization is too strong; and m = 0 at once when it generalizes. The state found at an evaluation holds
    until the next; if an accuracy is unknown (NaN), m does not change.

    Source: Liu et al. 2022 (Omnigrok); Nanda et al. 2023, §5: smaller weights shorten the plateau.

    Raises:
        ConfigError: if doubling is below 1, or most is below 1 or above 10^4.

    >>> schedule = Gap(doubling=100)
    >>> state = schedule.observe(schedule.start(), Evaluation(500, 0.01, 1.0, 9.0, 0.1))
    >>> state = schedule.observe(state, Evaluation(600, 0.01, 1.0, 9.0, 0.1))
    >>> schedule.factor(600, 1000, state)
    2.0
    """

    about: ClassVar[str] = "doubles every `doubling` steps while memorized and not generalizing, then returns to 1"
    kind: Literal["adaptive"] = "adaptive"
    doubling: int = 2000
    most: float = 10.0

    def __post_init__(self) -> None:
        require_steps("doubling", self.doubling, 1)
        if not 1 <= self.most <= 1e4:
            raise ConfigError("most", self.most, "must be from 1 to 10000")

    def start(self) -> dict[str, Any]:
        """Return the factor, m, the direction of m (1, 0 or -1), and the step of the last evaluation."""
        return {"factor": 1.0, "steps_of_growth": 0, "trend": 0, "step": None}

    def observe(self, state: Mapping[str, Any], evaluation: Evaluation) -> dict[str, Any]:
        now = self.known(state)
        passed = 0 if now["step"] is None else max(evaluation.step - now["step"], 0)
        m = max(now["steps_of_growth"] + now["trend"] * passed, 0)
        if evaluation.held_out_accuracy >= SUSTAINED.threshold:
            m = 0
        m = min(m, self._most_steps)
        return {
            "factor": min(2 ** (m / self.doubling), self.largest),
            "steps_of_growth": m,
            "trend": trend(evaluation),
            "step": evaluation.step,
        }

    @property
    def largest(self) -> float:
        return float(self.most)

    @property
    def _most_steps(self) -> int:
        """The m at which the factor reaches ``most``."""
        return ceil(self.doubling * log2(self.largest))


def trend(evaluation: Evaluation) -> int:
    """Return 1 if the run has memorized and not generalized, -1 if it has done neither, 0 otherwise or if unknown."""
    if isnan(evaluation.train_accuracy) or not evaluation.held_out_accuracy < SUSTAINED.threshold:
        return 0
    return 1 if evaluation.train_accuracy >= SUSTAINED.memorized else -1


@dataclass(frozen=True, kw_only=True)
class Mastery(Adaptive):
    """Batch sizes that grow with performance: factor ← min(1, by · factor) when the training examples are mastered.

    They are mastered at a training accuracy of at least ``accuracy``. At least ``hold`` steps lie between two
    increases, so that the larger batch is mastered before the next increase. Batches are small and noisy at first, and
    reach the size in the configuration.

    Source: Smith et al. 2018, Don't decay the learning rate, increase the batch size; by mastery as in curriculum
    learning, Bengio et al. 2009.

    Raises:
        ConfigError: if low or accuracy is outside (0, 1], by is not above 1 and at most 1000, or hold is below 1.

    >>> schedule = Mastery(low=0.25)
    >>> state = schedule.observe(schedule.start(), Evaluation(100, 0.01, 1.0, 9.0, 0.1))
    >>> schedule.factor(100, 1000, state)
    0.5
    """

    about: ClassVar[str] = "starts at `low`, multiplied by `by` each time the training examples are mastered, up to 1"
    kind: Literal["curriculum"] = "curriculum"
    low: float = 0.125
    by: float = 2.0
    accuracy: float = SUSTAINED.memorized
    hold: int = 100

    def __post_init__(self) -> None:
        require_share("low", self.low)
        require_share("accuracy", self.accuracy)
        if not 1 < self.by <= 1000:
            raise ConfigError("by", self.by, "must be above 1 and at most 1000")
        require_steps("hold", self.hold, 1)

    def start(self) -> dict[str, Any]:
        """Return the factor, and the step of its last increase."""
        return {"factor": self.low, "grown": None}

    def observe(self, state: Mapping[str, Any], evaluation: Evaluation) -> dict[str, Any]:
        now = self.known(state)
        waits = now["grown"] is not None and evaluation.step - now["grown"] < self.hold
        if now["factor"] >= 1 or waits or not evaluation.train_accuracy >= self.accuracy:
            return now
        return {"factor": min(1.0, self.by * now["factor"]), "grown": evaluation.step}
