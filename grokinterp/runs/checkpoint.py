"""A saved step of a run with its lazily computed members: parameters, activations, logits, losses, gradients."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call, grad

from grokinterp.display import Facts, html_table, one_line, specification
from grokinterp.errors import NotDefined
from grokinterp.experiment.problem import NUMBERS, Problem
from grokinterp.losses import exact, example_losses
from grokinterp.models import Model, Readout, ReadoutInputs, ReadoutProgram, in_program
from grokinterp.models.readout import joined

PATTERNS = ("hook_pattern", "hook_attn_scores")

COMPUTED = ("readout", "losses", "gradients", "_activations", "_attention", "_features")
"""The members of a checkpoint that are as large as its examples or its weights."""

CELLS_AT_ONCE = 2**25
"""The maximum number of logits in one backward pass; larger batches accumulate the gradients of several passes."""


@final
class Checkpoint:
    """A saved step in float64; each member is computed on first use, at most once.

    Args:
        step: number of optimizer steps taken (a scalar tensor under vmap).
        model: the model with the weights of this step, in float64.
        problem: the examples of the run with one answer (``Problem.at_answer``), on the model's device.
        update: the last optimizer step, θ_t - θ_{t-1}, per parameter; None if unknown (step 0, imported networks).
        previous_update: the same at the previously saved checkpoint.
    """

    def __init__(
        self,
        step: int | Tensor,
        model: Model,
        problem: Problem,
        update: Mapping[str, Tensor] | None = None,
        *,
        previous_update: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.step, self.model, self.problem, self.update = step, model, problem, update
        self.previous_update = previous_update

    def __repr__(self) -> str:
        return one_line("Checkpoint", self._facts())

    def _repr_html_(self) -> str:
        return html_table("Checkpoint", self._facts())

    def _facts(self) -> Facts:
        """Return the step, the task, and the model size, without computing anything from the weights."""
        return {
            "step": lambda: f"step {int(self.step):,}",
            "task": lambda: specification(self.problem.task, sized=True),
            "model": lambda: type(self.model).__name__,
            "parameters": lambda: f"{sum(weight.numel() for weight in self.model.parameters()):,} parameters",
        }

    @property
    def is_vectorized(self) -> bool:
        """Whether the checkpoint stands for several under vmap."""
        return isinstance(self.step, Tensor)

    @cached_property
    def parameters(self) -> dict[str, Tensor]:
        """The trained parameters by their TransformerLens names."""
        return {name: value.detach() for name, value in self.model.named_parameters()}

    @cached_property
    def readout(self) -> Readout:
        """The last-layer activations and logits at the read-out position, for every example."""
        with torch.no_grad():
            return self.model.readout_of_many(self.problem.parts["all"].inputs, by_tables=not self.is_vectorized)

    @property
    def representation(self) -> Float[Tensor, "example d_model"]:
        """The vector from which the answer is computed, for every example.

        Raises:
            NotDefined: the model has no such vector.
        """
        residual = self.readout.residual
        if not residual.shape[1]:
            raise NotDefined("representation", self.model.lacks("a vector for each example before its answer"))
        return residual

    @property
    def neurons(self) -> Float[Tensor, "example neuron"]:
        """The last hidden layer after its activation function, for every example.

        Raises:
            NotDefined: the model has no known hidden layer.
        """
        if not self.model.n_neurons:
            raise NotDefined("neurons", self.model.lacks("the last hidden layer"))
        return self.readout.neurons

    @property
    def logits(self) -> Float[Tensor, "example class"]:
        """The logits of the answer for every example.

        Raises:
            NotDefined: the outputs are those of a regression; ``readout.logits`` holds them.
        """
        if self.problem.is_regression:
            raise NotDefined("logits", NUMBERS)
        return self.readout.logits

    @cached_property
    def losses(self) -> Float[Tensor, "example"]:
        """The loss of every example on its training label, in nats (without a unit for "mse")."""
        return self._losses(self.readout, self.problem.target)

    def activation(self, name: str) -> Float[Tensor, "example ..."]:
        """Return the activation at a hook for every example and position: ``activation("blocks.0.mlp.hook_post")``.

        Raises:
            KeyError: no hook has that name; the message lists all hooks.
        """
        if name not in self._activations:
            if name not in self.model.hook_dict:
                raise KeyError(f"no hook {name!r}; the model has {', '.join(self.model.hook_dict)}")
            self._activations[name] = self._all_caught(name, lambda value: value)
        return self._activations[name]

    def attention(self, hook: str) -> Float[Tensor, "example head position"]:
        """Return the attention pattern at a hook from the position where the answer is read.

        Only this row of each pattern is kept, because a pattern has as many entries as the number of positions squared.
        """
        if hook not in self._attention:
            self._attention[hook] = self._all_caught(
                hook, lambda pattern: self.model.pattern_at_readout(pattern.double())
            )
        return self._attention[hook]

    @torch.no_grad()
    def _all_caught(self, hook: str, kept: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the part of the activation at a hook that ``kept`` selects, for all examples, by forward passes."""
        parts, tokens = [], self.problem.tokens
        for some in tokens.split(self.model.caught_at_once(tokens.shape[1])):
            _, cache = self.model.run_with_cache(some, names_filter=hook)
            parts.append(kept(cache[hook]))
        return joined(parts)

    def features(self, *hooks: str) -> tuple[Float[Tensor, "example feature"], ...]:
        """Return the activation at each hook at the read-out position, as one vector per example.

        ``checkpoint.model.feature_hooks`` lists the usual hooks; any hook works except those of attention patterns.

        Raises:
            KeyError: no hook has that name, or its activation has no vector at a position.
            NotDefined: the model has no hook to read.
        """
        if not hooks:
            raise NotDefined("features", self.model.lacks("a vector for each example"))
        for name in hooks:
            if name not in self.model.hook_dict or name.endswith(PATTERNS):
                raise KeyError(f"no representation at {name!r}; choose from {', '.join(self.model.feature_hooks)}")
        missing = [name for name in dict.fromkeys(hooks) if name not in self._features]
        with torch.no_grad():
            batches = self.problem.tokens.split(self.model.examples_at_once)
            parts = [self._caught(tokens, missing) for tokens in batches] if missing else []
        columns = [list(column) for column in zip(*parts, strict=True)]
        del parts  # each column is freed as soon as it is joined
        self._features.update(zip(missing, map(joined, columns), strict=True))
        return tuple(self._features[name] for name in hooks)

    def _caught(self, tokens: Int[Tensor, "batch position"], hooks: list[str]) -> list[Tensor]:
        """Return the activations of a batch at the given hooks, at the read-out position."""
        _, *found = self.model.catch(tokens, *hooks)
        dtype = next(self.model.parameters()).dtype
        # the answer's position is a view, which would keep all positions of all examples
        return [self.model.at_readout(value).to(dtype).clone() for value in found]

    @cached_property
    def _activations(self) -> dict[str, Any]:
        return {}

    @cached_property
    def _attention(self) -> dict[str, Any]:
        return {}

    @cached_property
    def _features(self) -> dict[str, Any]:
        return {}

    def forget(self) -> None:
        """Remove the computed members, which frees their memory; they are computed again when they are needed."""
        for name in COMPUTED:
            self.__dict__.pop(name, None)

    @cached_property
    def gradients(self) -> dict[str, Tensor]:
        """The gradient of the mean training loss, per parameter.

        Raises:
            NotDefined: the training examples are unknown.
        """
        if "train" not in self.problem.parts:
            raise NotDefined("gradients", "the training examples are unknown")
        program, part = ReadoutProgram(self.model), self.problem.parts["train"]
        inputs, labels = part.inputs, part.target

        def loss(parameters: dict[str, Tensor], inputs: ReadoutInputs, labels: Tensor) -> Tensor:
            weights = in_program(self.model, parameters)
            return self._losses(functional_call(program, weights, (inputs,)), labels).mean()

        at_once = max(1, min(CELLS_AT_ONCE // self.problem.task.n_classes, self.model.evaluated_at_once))
        if self.model.vectorizes and len(labels) <= at_once:
            return grad(loss)(self.parameters, inputs, labels)
        total = {name: torch.zeros_like(value) for name, value in self.parameters.items()}
        some_at_once = min(at_once, self.model.examples_at_once)
        for some in torch.arange(len(labels), device=labels.device).split(some_at_once):
            for name, part in grad(loss)(self.parameters, inputs.at(some), labels[some]).items():
                total[name] += part * (len(some) / len(labels))
        return total

    def _losses(self, readout: Readout, labels: Tensor) -> Float[Tensor, "example"]:
        form = exact(self.problem.loss)
        return example_losses(readout.logits, labels, form=form, supervised=readout.supervised)
