"""What every schedule is: by how much a rate is multiplied at each step of a run."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple


class Evaluation(NamedTuple):
    """What adaptive schedules are told of a run: its curves at one step, NaN where there is no such example."""

    step: int
    train_loss: float
    train_accuracy: float
    held_out_loss: float
    held_out_accuracy: float


class Schedule(ABC):
    """A factor for every step, which multiplies the learning rate, weight decay or batch size of the configuration.

    A schedule itself never changes: what an adaptive one has seen is a state of plain JSON values, which ``start``
    begins, ``observe`` replaces at every evaluation, and ``factor`` reads. So going on from a stored state is going on.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid", "allow_inf_nan": False}

    about: ClassVar[str]
    """What the schedule does, in one line."""

    kind: str

    @property
    def largest(self) -> float:
        """No factor is above it."""
        return 1.0

    def start(self) -> dict[str, Any]:
        """The state before any evaluation; a closed form has none."""
        return {}

    @abstractmethod
    def factor(self, step: int, steps: int, state: Mapping[str, Any]) -> float:
        """Of the update from ``step`` to ``step + 1`` in a run of ``steps``: positive and finite.

        A state that lacks what ``start`` has is taken to be at its start.
        """

    def observe(self, state: Mapping[str, Any], evaluation: Evaluation) -> dict[str, Any]:
        """The state after an evaluation; the one given is not changed."""
        return dict(state)
