"""The interface of schedules: the factor that multiplies a rate at each step of a run."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from grokinterp.specification import Specification


class Evaluation(NamedTuple):
    """The curves of a run at a step, as seen by adaptive schedules; NaN if there are no such examples."""

    step: int
    train_loss: float
    train_accuracy: float
    held_out_loss: float
    held_out_accuracy: float


class Schedule(Specification, ABC):
    """A factor for every step, which multiplies the learning rate, weight decay or batch size of the configuration.

    A schedule is immutable. The state of an adaptive schedule consists of plain JSON values: ``start`` creates it,
    ``observe`` returns a new one at every evaluation, and ``factor`` reads it. Training therefore continues from a
    stored state without difference.
    """

    about: ClassVar[str]
    """A one-line description of the schedule."""

    kind: str

    @property
    def largest(self) -> float:
        """An upper bound of the factor."""
        return 1.0

    @property
    def follows_length(self) -> bool:
        """Whether the factor depends on the planned length of the run."""
        return False

    def start(self) -> dict[str, Any]:
        """Return the state before any evaluation; a closed form has none."""
        return {}

    @abstractmethod
    def factor(self, step: int, steps: int, state: Mapping[str, Any]) -> float:
        """Return the factor of the update from ``step`` to ``step + 1`` in a run of ``steps``, positive and finite.

        Missing entries of the state are taken from its start.
        """

    def observe(self, state: Mapping[str, Any], evaluation: Evaluation) -> dict[str, Any]:
        """Return the state after an evaluation, without changing the given state."""
        return dict(state)
