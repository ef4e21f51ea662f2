"""The read-out and the answers of a model as modules whose parameters ``functional_call`` swaps."""

from collections.abc import Mapping

from torch import Tensor, nn

from grokinterp.models.model import Model
from grokinterp.models.readout import Answers, Readout, ReadoutInputs


def in_program(model: Model, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return parameters by their names for ``functional_call`` in a program that holds this model as ``model``.

    Raises:
        NotDefined: a recorded model without its module, which cannot be called.
    """
    model.require_forward()
    return {f"model.{model.inside}{name}": value for name, value in tensors.items()}


class ReadoutProgram(nn.Module):
    """The ``readout`` of a model as a module, so that ``functional_call`` can swap parameters named ``model.…``."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: ReadoutInputs, *, differentiable: bool = True, by_tables: bool = True) -> Readout:
        """Return the ``readout``, or the ``readout_of_many`` where gradients are not needed."""
        return self.model.readout(inputs) if differentiable else self.model.readout_of_many(inputs, by_tables=by_tables)


class AnswersProgram(nn.Module):
    """The ``functional_answers`` of a model as a module, so that ``functional_call`` can swap its parameters."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: ReadoutInputs) -> Answers:
        """Return the logits of all answers."""
        return self.model.functional_answers(inputs)
