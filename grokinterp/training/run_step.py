"""The part of a step that belongs to one run: what is evaluated, saved, and restored."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from grokinterp.models import Model
from grokinterp.optim import Evaluation
from grokinterp.training.packing import Packed
from grokinterp.training.rates import Rates
from grokinterp.training.sampler import Sampler


@runtime_checkable
class RunStep(Protocol):
    """One run between ``gradients`` and ``apply``: a ``Step``, or a run of a ``Stack``."""

    model: Model
    names: list[str]
    rates: Rates
    sampler: Sampler

    @property
    def together(self) -> int | None:
        """The number of runs that are computed together; None for a run that is computed alone."""
        ...

    @property
    def averaged(self) -> list[Tensor] | None:
        """The moving average of each parameter, if there is one."""
        ...

    @property
    def applied(self) -> Float[Tensor, ""]:
        """The number of applied updates."""
        ...

    def observe(self, evaluation: Evaluation) -> None:
        """Pass the state of the run at the current weights to the adaptive schedules."""
        ...

    def boost(self, factor: float) -> None:
        """Multiply every λ of the filters by a factor from now on."""
        ...

    def freeze(self) -> None:
        """Keep the weights and moments of this run from now on."""
        ...

    def measured(self) -> dict[str, Any]:
        """Return the metrics at the current weights, as numbers."""
        ...

    def last_update(self) -> list[Tensor]:
        """Return the change of each parameter by the last ``apply``."""
        ...

    def finite(self) -> Bool[Tensor, ""]:
        """Return whether the loss and its gradient are finite at the current weights."""
        ...

    def state(self) -> Packed:
        """Return all state besides the weights on which later steps depend."""
        ...

    def load_state(self, plan: Any, tensors: dict[str, Tensor], step: int) -> None:
        """Continue at ``step`` from ``state``. Raises KeyError if a tensor or a value is missing."""
        ...
