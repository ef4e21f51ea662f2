"""Settings that change during a run."""

from collections.abc import Mapping
from typing import Any, Protocol, final, runtime_checkable

from grokinterp.experiment import Optimization, PartSettings
from grokinterp.optim import Evaluation


@runtime_checkable
class Amplifier(Protocol):
    """The filters of a run."""

    @property
    def gain(self) -> float:
        """The factor by which all filters together multiply a constant gradient."""
        ...


@final
class Rates:
    """Learning rate, weight decay and batch size of every step.

    Args:
        optimization: the values, and the schedules that multiply them.
        steps: the planned length of the run.
        filtering: the filters of the optimizer, which know how far λ has been boosted (default: not at all).
    """

    def __init__(self, optimization: Optimization, steps: int, filtering: Amplifier | None = None) -> None:
        self.optimization, self.steps, self.filtering = optimization, steps, filtering
        plan = optimization.schedules
        self.schedules = {"lr": plan.lr, "weight_decay": plan.weight_decay, "batch_size": plan.batch_size}
        self.states = {name: schedule.start() for name, schedule in self.schedules.items()}

    def learning_rate(self, step: int, own: PartSettings | None = None) -> float:
        """Return the learning rate of the update from ``step`` to ``step + 1``, of a part with its own settings."""
        base = None if own is None else own.lr
        return self.optimization.learning_rate(step, self.steps, self.states["lr"], gain=self.gain, base=base)

    def weight_decay(self, step: int, own: PartSettings | None = None) -> float:
        """Return the weight decay of the update from ``step`` to ``step + 1``, of a part with its own settings."""
        decay = self.optimization.weight_decay if own is None or own.weight_decay is None else own.weight_decay
        return decay * self._factor("weight_decay", step)

    def batch_size(self, step: int) -> int | None:
        """Return the size of the batch at ``step``, at least 1; None for all training examples."""
        size = self.optimization.batch_size
        return None if size is None else max(1, round(size * self._factor("batch_size", step)))

    @property
    def gain(self) -> float:
        """The factor by which the filters currently multiply a steady gradient: 1 + λ."""
        return self.optimization.gain if self.filtering is None else self.filtering.gain

    def observe(self, evaluation: Evaluation) -> None:
        """Pass an evaluation to the adaptive schedules."""
        for name, schedule in self.schedules.items():
            self.states[name] = schedule.observe(self.states[name], evaluation)

    @property
    def state(self) -> dict[str, Any]:
        """The changing state, as JSON values."""
        return {"schedules": self.states}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``."""
        self.states = {name: dict(state["schedules"][name]) for name in self.schedules}

    def _factor(self, name: str, step: int) -> float:
        return self.schedules[name].factor(step, self.steps, self.states[name])
