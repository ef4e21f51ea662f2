"""One saved step made ready to look at, and the problem that all steps of a run share."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.func import functional_call, grad

from grokinterp.experiment import Experiment
from grokinterp.losses import cross_entropy
from grokinterp.models import Model, Readout, ReadoutInputs
from grokinterp.tasks import Task


@final
@dataclass(frozen=True, eq=False)
class Problem:
    """Every example of a task, its label, and whether it is trained on."""

    task: Task
    tokens: Int[Tensor, "example position"]
    labels: Int[Tensor, "example"]
    is_train: Bool[Tensor, "example"]

    @classmethod
    def of(cls, experiment: Experiment) -> "Problem":
        """The problem an experiment trains on."""
        task = experiment.task
        return cls(task, experiment.tokens(), task.labels(), experiment.is_train())

    def to(self, device: torch.device | str) -> "Problem":
        """The same on another device."""
        return Problem(self.task, self.tokens.to(device), self.labels.to(device), self.is_train.to(device))

    @cached_property
    def inputs(self) -> ReadoutInputs:
        """All examples, prepared for the fast read-out."""
        return ReadoutInputs.of(self.tokens)

    @cached_property
    def train_inputs(self) -> ReadoutInputs:
        """The training examples, prepared for the fast read-out."""
        return ReadoutInputs.of(self.tokens[self.is_train])

    @cached_property
    def test_inputs(self) -> ReadoutInputs:
        """The held-out examples, prepared for the fast read-out."""
        return ReadoutInputs.of(self.tokens[~self.is_train])

    @property
    def train_labels(self) -> Int[Tensor, "train"]:
        return self.labels[self.is_train]

    @property
    def test_labels(self) -> Int[Tensor, "test"]:
        return self.labels[~self.is_train]


class _ReadoutProgram(nn.Module):
    """``readout`` as a module, so that ``functional_call`` can swap its parameters."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: ReadoutInputs) -> Readout:
        return self.model.readout(inputs)


@final
class Checkpoint:
    """One saved step in float64; everything is computed when first asked for, and once.

    Args:
        step: optimizer steps taken (a scalar tensor under vmap).
        model: the model with this step's weights, in float64.
        problem: what the run is trained on, on the model's device.
        update: the optimizer step that led here, θ_t - θ_{t-1}, per parameter; None where unknown
            (step 0, imported networks).
    """

    def __init__(
        self, step: int | Tensor, model: Model, problem: Problem, update: Mapping[str, Tensor] | None = None
    ) -> None:
        self.step, self.model, self.problem, self.update = step, model, problem, update

    def __repr__(self) -> str:
        return f"Checkpoint(step={self.step}, task={self.problem.task})"

    @cached_property
    def parameters(self) -> dict[str, Tensor]:
        """The trained parameters by their TransformerLens names."""
        return {name: value.detach() for name, value in self.model.named_parameters()}

    @cached_property
    def readout(self) -> Readout:
        """Last-layer activations and logits at the read-out position, for every example."""
        with torch.no_grad():
            return self.model.readout(self.problem.inputs)

    @property
    def logits(self) -> Float[Tensor, "example class"]:
        """The answer's logits for every example."""
        return self.readout.logits

    @cached_property
    def losses(self) -> Float[Tensor, "example"]:
        """Cross-entropy of every example, in nats."""
        return cross_entropy(self.logits, self.problem.labels)

    def activation(self, name: str) -> Float[Tensor, "example ..."]:
        """The activation at a hook, for every example and position: ``activation("blocks.0.mlp.hook_post")``.

        Raises:
            KeyError: no hook of that name; the message lists the hooks there are.
        """
        if name not in self._activations:
            if name not in self.model.hook_dict:
                raise KeyError(f"no hook {name!r}; the model has {', '.join(self.model.hook_dict)}")
            with torch.no_grad():
                _, cache = self.model.run_with_cache(self.problem.tokens, names_filter=name)
            self._activations[name] = cache[name]
        return self._activations[name]

    @cached_property
    def _activations(self) -> dict[str, Any]:
        return {}

    @cached_property
    def gradients(self) -> dict[str, Tensor]:
        """Gradient of the mean training cross-entropy, per parameter."""
        program = _ReadoutProgram(self.model)
        inputs, labels = self.problem.train_inputs, self.problem.train_labels

        def loss(parameters: dict[str, Tensor]) -> Tensor:
            weights = {f"model.{name}": value for name, value in parameters.items()}
            return cross_entropy(functional_call(program, weights, (inputs,)).logits, labels).mean()

        return grad(loss)(self.parameters)
