"""The training loss as a function of all weights in one vector, with its gradient and Hessian products."""

import copy
from collections.abc import Iterable, Mapping
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call

from grokinterp.errors import NotDefined
from grokinterp.experiment.problem import Part
from grokinterp.losses import exact, example_losses
from grokinterp.models import Readout, ReadoutInputs, ReadoutProgram, in_program
from grokinterp.runs.checkpoint import Checkpoint

BATCH = 1024
"""Number of examples that are differentiated, once or twice, at a time."""

MOST_KEPT = 2**25
"""Largest number of activations of all training examples for which graphs of gradients are kept."""


@final
class LossSurface:
    """The training loss of a run as a function of all weights in one vector.

    Args:
        checkpoint: the checkpoint whose weights are the vector ``start``; its model is not changed.
        analysis: name of the calling analysis, for errors.
        dtype: precision; single precision takes half the time and uses a copy of the model.
        at_once: number of examples differentiated at a time (default: as many as fit into memory).

    Raises:
        NotDefined: the training examples are unknown.
    """

    def __init__(
        self, checkpoint: Checkpoint, analysis: str, *, dtype: torch.dtype = torch.float64, at_once: int = BATCH
    ) -> None:
        if "train" not in checkpoint.problem.parts:
            raise NotDefined(analysis, "the training examples are unknown")
        model = checkpoint.model if dtype == torch.float64 else copy.deepcopy(checkpoint.model).to(dtype)
        self.problem, self.program, self.dtype = checkpoint.problem, ReadoutProgram(model), dtype
        self.at_once = at_once
        names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
        self.has_tied_weights = len(names) > len(list(model.parameters()))
        self.shapes = {name: value.shape for name, value in checkpoint.parameters.items()}
        self.start = self.vector(checkpoint.parameters)
        self.n_train = len(self.problem.parts["train"].target)
        self._slopes: list[tuple[Tensor, Tensor]] = []

    @property
    def batch(self) -> int:
        """The number of examples that are differentiated at a time."""
        return min(self.at_once, self.most_at_once)

    @property
    def most_at_once(self) -> int:
        """The number of examples whose activations fit into memory."""
        return self.program.model.examples_at_once

    @property
    def vectorizes(self) -> bool:
        """Whether ``losses`` runs under vmap."""
        return self.program.model.vectorizes

    def vector(self, parameters: Mapping[str, Tensor]) -> Float[Tensor, "weight"]:
        """Return all parameters as one vector."""
        device = self.problem.tokens.device
        return torch.cat([parameters[name].flatten().to(device, self.dtype) for name in self.shapes])

    def indices(self, names: Iterable[str]) -> Int[Tensor, "chosen"]:
        """Return the indices of the given parameters in the vector."""
        sizes = [shape.numel() for shape in self.shapes.values()]
        place = dict(zip(self.shapes, torch.arange(sum(sizes), device=self.start.device).split(sizes), strict=True))
        return torch.cat([place[name] for name in names])

    def losses(
        self,
        weights: Float[Tensor, "weight"],
        inputs: ReadoutInputs,
        labels: Int[Tensor, "example"] | Float[Tensor, "example output"],
        *,
        differentiable: bool = True,
    ) -> Float[Tensor, "example"]:
        """Return the losses of the given examples at the given weights."""
        parts = weights.split([shape.numel() for shape in self.shapes.values()])
        named = {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}
        program, given = self.program, {"differentiable": differentiable}
        readout: Readout = functional_call(
            program, in_program(program.model, named), (inputs,), given, tie_weights=self.has_tied_weights
        )
        return example_losses(readout.logits, labels, form=exact(self.problem.loss), supervised=readout.supervised)

    def train_losses(
        self, weights: Float[Tensor, "weight"], examples: Int[Tensor, "chosen"]
    ) -> Float[Tensor, "chosen"]:
        """Return the losses of some training examples, given by their indices within the training set."""
        train = self.problem.parts["train"]
        return self.losses(weights, train.inputs.at(examples), train.target[examples])

    def mean(self, weights: Float[Tensor, "weight"], part: Part) -> Float[Tensor, ""]:
        """Return the mean loss of a part of the examples, without gradient."""
        with torch.no_grad():
            return self.losses(weights, part.inputs, part.target, differentiable=False).mean()

    def batches(self) -> list[Int[Tensor, "chosen"]]:
        """Return batches of the training examples that fit into memory in a backward pass."""
        return list(torch.arange(self.n_train, device=self.start.device).split(self.batch))

    @torch.inference_mode(mode=False)  # gradients are needed, even if the caller has disabled them
    def loss_and_gradient(self, weights: Float[Tensor, "weight"]) -> tuple[Tensor, Float[Tensor, "weight"]]:
        """Return the mean training loss and its gradient."""
        weights = weights.detach().clone().requires_grad_()
        loss, gradient = torch.zeros_like(weights[0]).detach(), torch.zeros_like(weights).detach()
        for batch in self.batches():
            part = self.train_losses(weights, batch).sum() / self.n_train
            gradient += torch.autograd.grad(part, weights)[0]
            loss += part.detach()
        return loss, gradient

    @torch.inference_mode(mode=False)
    def hessian_product(self, vector: Float[Tensor, "weight"]) -> Float[Tensor, "weight"]:
        """Return the Hessian of the mean training loss at ``start`` times a vector, the gradient of ⟨gradient, v⟩.

        The graphs of the gradients are kept for the next vector, unless there are too many examples.
        """
        vector = vector.clone()
        product = torch.zeros_like(vector)
        keeps = self.n_train * self.program.model.kept_per_example <= MOST_KEPT
        slopes = self._slopes or (self.slope(batch) for batch in self.batches())
        if keeps and not self._slopes:
            self._slopes = slopes = list(slopes)
        for weights, gradient in slopes:
            product += torch.autograd.grad(gradient @ vector, weights, retain_graph=keeps)[0]
        return product

    def slope(self, batch: Int[Tensor, "chosen"]) -> tuple[Tensor, Float[Tensor, "weight"]]:
        """Return the weights ``start`` and a batch's part of the gradient as a differentiable function of them."""
        weights = self.start.detach().clone().requires_grad_()
        part = self.train_losses(weights, batch).sum() / self.n_train
        return weights, torch.autograd.grad(part, weights, create_graph=True)[0]


def require_true_gradient(checkpoint: Checkpoint, analysis: str) -> None:
    """Raise NotDefined for a model whose backward pass does not compute the gradient of its loss."""
    if not checkpoint.model.has_true_gradient:
        raise NotDefined(analysis, "no gradient flows between supervision steps, so it is not the gradient of the loss")
