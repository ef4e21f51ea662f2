"""Optimizers of several runs at once, on buffers with a leading run axis, with the arithmetic of torch's optimizers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.experiment import Optimization

PerRun = Float[Tensor, "run 1"]
"""A setting of every run, as a column."""


class FlatOptimizer(ABC):
    """An optimizer whose settings are columns [run, 1] and whose moments have the shape of the weights."""

    moments: ClassVar[tuple[str, ...]]
    """The names of the moments, as in the state of torch's optimizer."""

    counts: ClassVar[bool]
    """Whether that state contains the number of steps."""

    def __init__(self, weights: Float[Tensor, "run weight"], columns: dict[str, PerRun]) -> None:
        self.weights, self.columns = weights, columns
        self.state = {name: torch.zeros_like(weights) for name in self.moments}
        self.steps = torch.zeros(len(weights), 1, dtype=weights.dtype, device=weights.device)

    def keep(self, rows: Int[Tensor, "kept"], weights: Float[Tensor, "kept weight"]) -> None:
        """Keep the settings and moments of some of the runs, whose weights are now in another buffer."""
        self.weights, self.steps = weights, self.steps[rows]
        self.columns = {name: values[rows] for name, values in self.columns.items()}
        self.state = {name: moment[rows] for name, moment in self.state.items()}

    @abstractmethod
    def step(
        self, gradient: Float[Tensor, "run weight"], lr: PerRun, weight_decay: PerRun, frozen: Bool[Tensor, "run 1"]
    ) -> None:
        """Update the weights and moments of every run that is not frozen."""


@final
class FlatAdam(FlatOptimizer):
    """Adam, with decoupled weight decay (AdamW) or with weight decay added to the gradient.

    Source: torch.optim.AdamW; Loshchilov and Hutter 2017 (AdamW).
    """

    moments = ("exp_avg", "exp_avg_sq")
    counts = True

    def __init__(self, weights: Float[Tensor, "run weight"], of: Sequence[Optimization]) -> None:
        betas = {f"beta{i + 1}": column([one.betas[i] for one in of], weights) for i in (0, 1)}
        super().__init__(weights, betas | {"eps": column([one.eps for one in of], weights)})
        self.decoupled = of[0].optimizer == "adamw"

    def step(
        self, gradient: Float[Tensor, "run weight"], lr: PerRun, weight_decay: PerRun, frozen: Bool[Tensor, "run 1"]
    ) -> None:
        if not self.decoupled:
            gradient = gradient + weight_decay * self.weights
        mean, square = self.state["exp_avg"], self.state["exp_avg_sq"]
        beta1, beta2, eps = (self.columns[name] for name in ("beta1", "beta2", "eps"))
        mean.lerp_(gradient, torch.where(frozen, 0.0, 1 - beta1).expand_as(gradient))
        square.lerp_(gradient * gradient, torch.where(frozen, 0.0, 1 - beta2).expand_as(gradient))
        self.steps += ~frozen
        if self.decoupled:
            self.weights.mul_(torch.where(frozen, 1.0, 1 - lr * weight_decay))
        root = (square / (1 - beta2**self.steps)).sqrt_().add_(eps)
        length = torch.where(frozen, 0.0, lr / (1 - beta1**self.steps))
        self.weights.sub_(torch.where(frozen, 0.0, length * mean / root))


@final
class FlatSGD(FlatOptimizer):
    """Stochastic gradient descent with momentum, and weight decay added to the gradient.

    Source: torch.optim.SGD.
    """

    moments = ("momentum_buffer",)
    counts = False

    def __init__(self, weights: Float[Tensor, "run weight"], of: Sequence[Optimization]) -> None:
        super().__init__(weights, {"momentum": column([one.momentum for one in of], weights)})
        if not any(one.momentum for one in of):
            self.state = {}

    def step(
        self, gradient: Float[Tensor, "run weight"], lr: PerRun, weight_decay: PerRun, frozen: Bool[Tensor, "run 1"]
    ) -> None:
        gradient = gradient + weight_decay * self.weights
        for moment in self.state.values():
            gradient = moment.copy_(torch.where(frozen, moment, self.columns["momentum"] * moment + gradient))
        self.steps += ~frozen
        self.weights.sub_(torch.where(frozen, 0.0, lr * gradient))


def flat_optimizer(of: Sequence[Optimization], weights: Float[Tensor, "run weight"]) -> FlatOptimizer:
    """Return the optimizer of several runs that differ only in its settings."""
    return (FlatSGD if of[0].optimizer == "sgd" else FlatAdam)(weights, of)


def column(values: Sequence[float], like: Tensor) -> PerRun:
    """Return a number of every run as a column, in the precision and on the device of a tensor."""
    return torch.tensor(values, dtype=like.dtype, device=like.device).unsqueeze(1)
