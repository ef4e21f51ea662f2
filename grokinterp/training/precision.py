"""The precision that a network is computed in, and the scale of the loss in float16.

float64 is the precision of parameters, moments and computation, as in the released code of Liu et al. 2022 (Omnigrok),
and of all but the learning rate. With float16 and bfloat16 the parameters and moments are float32, since the squared
gradients of Adam are not representable in float16; every product, activation and attention pattern of the network,
forward and backward, is computed from the parameters rounded to the lower precision (Micikevicius et al. 2018, master
weights). The logits are then converted to float32, and the loss has the precision of its form, such as
``loss="float16"`` (Prieto et al. 2025). Evaluations use the same rounded network. Files hold the parameters; analyses
convert them to float64.
"""

import copy
from collections.abc import Mapping
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call

from grokinterp.experiment.optimization import Precision
from grokinterp.models import Answers, AnswersProgram, Model, ReadoutInputs

LOW: Mapping[Precision, torch.dtype] = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""The precisions that only the computation has."""

FIRST_SCALE, SMALLEST_SCALE = 2.0**16, 1.0
"""The factors of the loss at the start and at the least."""

GROWS_AFTER = 2000
"""The number of steps after which the factor of the loss doubles."""


@final
class Network:
    """The network that a run computes: its model, or a copy of it that is rounded to a lower precision.

    Args:
        model: the model with the parameters that are trained.
        precision: the precision of the computation.
    """

    def __init__(self, model: Model, precision: Precision) -> None:
        self.model, self.dtype = model, LOW.get(precision)
        self.computed = model if self.dtype is None else copy.deepcopy(model).to(self.dtype)

    @torch.no_grad()
    def round(self) -> None:
        """Set the rounded parameters and buffers to those that the model has now."""
        if self.dtype is not None:
            for name, value in self.computed.state_dict().items():
                value.copy_(self.model.state_dict()[name])

    def answers(self, inputs: ReadoutInputs) -> Answers:
        """Return the answers at the rounded weights."""
        return wide(self.computed.answers(inputs))

    def answers_at(self, weights: Mapping[str, Tensor], inputs: ReadoutInputs) -> Answers:
        """Return the answers at other weights."""
        named = {f"model.{name}": weight.to(self.dtype or weight.dtype) for name, weight in weights.items()}
        return wide(functional_call(AnswersProgram(self.computed), named, (inputs,)))

    def take_gradients(self, scale: float) -> None:
        """Set the gradients of the model to those of the rounded parameters, divided by the scale of the loss."""
        if self.dtype is None:
            return
        for weight, rounded in zip(self.model.parameters(), self.computed.parameters(), strict=True):
            weight.grad = None if rounded.grad is None else rounded.grad.to(weight.dtype) / scale
            rounded.grad = None


def wide(answers: Answers) -> Answers:
    """Return answers in float32 if they are narrower."""
    logits, supervised = answers
    if logits.dtype not in LOW.values():
        return answers
    return Answers(logits.float(), None if supervised is None else supervised.float())


@final
class LossScale:
    """The factor of the loss in float16, a power of 2 that keeps small gradients from rounding to zero.

    It is halved until the gradient of a step is finite, and the step is computed again: no step is left out, other than
    with ``torch.amp.GradScaler``. After 2,000 steps without it is doubled. Every step waits for the device.

    Source: Micikevicius et al. 2018, §3.2 (dynamic loss scaling).
    """

    def __init__(self) -> None:
        self.value, self.steps = FIRST_SCALE, 0

    def accepts(self, gradient_norm: Float[Tensor, ""]) -> bool:
        """Return whether a step has its gradient; if not, the factor is halved."""
        if self.value <= SMALLEST_SCALE or bool(gradient_norm.isfinite()):
            return True
        self.value, self.steps = self.value / 2, 0
        return False

    def advance(self) -> None:
        """Move on to the next step."""
        self.steps += 1
        if self.steps == GROWS_AFTER:
            self.value, self.steps = self.value * 2, 0

    @property
    def state(self) -> dict[str, Any]:
        """All state on which later steps depend."""
        return {"value": self.value, "steps": self.steps}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``. Raises KeyError if a value is missing."""
        self.value, self.steps = state["value"], state["steps"]
