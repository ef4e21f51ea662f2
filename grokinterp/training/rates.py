"""The settings that change as a run goes on, and what they have been told of it."""

from collections.abc import Mapping
from typing import Any, final

from grokinterp.experiment import Optimization
from grokinterp.optim import Evaluation


@final
class Rates:
    """Learning rate, weight decay and batch size of every step.

    Args:
        optimization: the values, and the schedules that multiply them.
        steps: planned for the run.
    """

    def __init__(self, optimization: Optimization, steps: int) -> None:
        self.optimization, self.steps = optimization, steps
        plan = optimization.schedules
        self.schedules = {"lr": plan.lr, "weight_decay": plan.weight_decay, "batch_size": plan.batch_size}
        self.states = {name: schedule.start() for name, schedule in self.schedules.items()}
        self.boost = 1.0

    def learning_rate(self, step: int) -> float:
        """Of the update from ``step`` to ``step + 1``."""
        return self.optimization.learning_rate(step, self.steps, self.states["lr"], boost=self.boost)

    def weight_decay(self, step: int) -> float:
        """Of the update from ``step`` to ``step + 1``."""
        return self.optimization.weight_decay * self._factor("weight_decay", step)

    def batch_size(self, step: int) -> int | None:
        """Examples of the batch at ``step``, at least one; None for all there are."""
        size = self.optimization.batch_size
        return None if size is None else max(1, round(size * self._factor("batch_size", step)))

    @property
    def amplification(self) -> float | None:
        """λ, all filters together, as they are boosted; None where nothing amplifies."""
        gain = self.optimization.gain(self.boost)
        return gain - 1 if gain > 1 else None

    def observe(self, evaluation: Evaluation) -> None:
        """Tell the adaptive schedules how the run is doing."""
        for name, schedule in self.schedules.items():
            self.states[name] = schedule.observe(self.states[name], evaluation)

    @property
    def state(self) -> dict[str, Any]:
        """Everything that changes, as JSON values."""
        return {"schedules": self.states, "boost": self.boost}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken."""
        self.states = {name: dict(state["schedules"][name]) for name in self.schedules}
        self.boost = float(state["boost"])

    def _factor(self, name: str, step: int) -> float:
        return self.schedules[name].factor(step, self.steps, self.states[name])
