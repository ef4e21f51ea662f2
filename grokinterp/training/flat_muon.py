"""Muon for the hidden matrices of several runs at once, and AdamW for their other parameters."""

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from grokinterp.experiment import Optimization
from grokinterp.training.flat_optimizers import FlatOptimizer, PerRun, adam_columns, adam_step, column
from grokinterp.training.flat_weights import FlatWeights
from grokinterp.training.optimizers import is_hidden

DEFAULTS = {name: one.default for name, one in inspect.signature(torch.optim.Muon).parameters.items()}
"""The coefficients of the Newton-Schulz iteration, their number of iterations, and the smallest norm."""


@final
class FlatMuon(FlatOptimizer):
    """The arithmetic of ``optim.Muon`` for all runs.

    The momentum of a matrix is stored where AdamW has its first moment. Matrices are orthogonalized one at a time,
    because PyTorch does not round batched products in bfloat16 as it rounds single ones.

    Source: torch.optim.Muon; Jordan et al. 2024 (Muon); Liu et al. 2025, §2.2 (match_rms_adamw).
    """

    moments = ("exp_avg", "exp_avg_sq")
    counts = True

    def __init__(self, weights: FlatWeights, of: Sequence[Optimization]) -> None:
        columns = adam_columns(of, weights.values)
        super().__init__(weights, columns | {"momentum": column([one.momentum for one in of], weights.values)})
        hidden = [is_hidden(name) for name in weights.names]
        self.is_matrix = [there and len(shape) > 1 for there, shape in zip(hidden, weights.shapes, strict=True)]
        self.given = sorted(weights.places, key=lambda place: not hidden[place])

    @property
    def order(self) -> Sequence[int]:
        return self.given

    def step(
        self, gradient: Float[Tensor, "run weight"], lr: PerRun, weight_decay: PerRun, frozen: Bool[Tensor, "run 1"]
    ) -> None:
        self.steps += ~frozen
        lr = lr.to(gradient.dtype)
        flat = (self.weights.values, gradient, *(self.state[name] for name in self.moments))
        sizes = [shape.numel() for shape in self.weights.shapes]
        for place, parts in enumerate(zip(*(tensor.split(sizes, dim=1) for tensor in flat), strict=True)):
            if self.is_matrix[place]:
                self.step_of_matrix(place, *parts[:3], lr, weight_decay, frozen)
            else:
                adam_step(*parts[:2], parts[2:], self.steps, self.columns, lr, weight_decay, frozen)

    def step_of_matrix(
        self,
        place: int,
        weights: Float[Tensor, "run part"],
        gradient: Float[Tensor, "run part"],
        moment: Float[Tensor, "run part"],
        lr: PerRun,
        weight_decay: PerRun,
        frozen: Bool[Tensor, "run 1"],
    ) -> None:
        """Update a parameter and its momentum in place."""
        shape, momentum = self.weights.shapes[place], self.columns["momentum"]
        moment.lerp_(gradient, torch.where(frozen, 0.0, 1 - momentum).expand_as(gradient))
        mixed = gradient.lerp(moment, momentum.expand_as(gradient)).unflatten(1, shape)
        update = orthogonalized(mixed).flatten(1)
        length = 0.2 * math.sqrt(max(shape[-2:])) * lr
        weights.mul_(torch.where(frozen, 1.0, 1 - lr * weight_decay))
        weights.sub_(torch.where(frozen, 0.0, length * update))

    def moments_of(self, place: int) -> Mapping[str, str]:
        return {"momentum_buffer": "exp_avg"} if self.is_matrix[place] else super().moments_of(place)

    def counts_of(self, place: int) -> bool:
        return not self.is_matrix[place]


def orthogonalized(matrices: Float[Tensor, "*batch row column"]) -> Float[Tensor, "*batch row column"]:
    """Return matrices with all singular values near one, by a Newton-Schulz iteration in bfloat16.

    Source: Jordan et al. 2024 (Muon); the iteration of torch.optim.Muon.
    """
    found = [orthogonalized_one(one) for one in matrices.flatten(0, -3)]
    return torch.stack(found).unflatten(0, matrices.shape[:-2])


def orthogonalized_one(matrix: Float[Tensor, "row column"]) -> Float[Tensor, "row column"]:
    """Return one matrix of ``orthogonalized``; products of single matrices are rounded as in a single run."""
    a, b, c = DEFAULTS["ns_coefficients"]
    tall, wide = matrix.shape[0] > matrix.shape[1], matrix.bfloat16()
    wide = wide.T if tall else wide
    wide = wide / wide.norm().clamp(min=DEFAULTS["eps"])
    for _ in range(DEFAULTS["ns_steps"]):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.T if tall else wide
