"""Optimizers of several runs at once, on buffers with a leading run axis, with the arithmetic of torch's optimizers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.experiment import Optimization
from grokinterp.training.flat_weights import FlatWeights
from grokinterp.training.host_copy import pinned

PerRun = Float[Tensor, "run 1"]
"""A setting of every run, as a column."""


class FlatOptimizer(ABC):
    """An optimizer whose settings are columns [run, 1] and whose moments have the shape of the weights."""

    moments: ClassVar[tuple[str, ...]]
    """The names of the moments, as in the state of torch's optimizer."""

    counts: ClassVar[bool]
    """Whether that state contains the number of steps."""

    def __init__(self, weights: FlatWeights, columns: dict[str, PerRun]) -> None:
        self.weights, self.columns = weights, columns
        self.state = {name: torch.zeros_like(weights.values) for name in self.moments}
        self.steps = torch.zeros(len(weights.values), 1, dtype=weights.values.dtype, device=weights.values.device)

    @property
    def order(self) -> Sequence[int]:
        """The positions of the parameters in the order of the state of torch's optimizer."""
        return self.weights.places

    def keep(self, rows: Int[Tensor, "kept"], weights: FlatWeights) -> None:
        """Keep the settings and moments of some of the runs, whose weights are now in another buffer."""
        self.weights, self.steps = weights, self.steps[rows]
        self.columns = {name: values[rows] for name, values in self.columns.items()}
        self.state = {name: moment[rows] for name, moment in self.state.items()}

    @abstractmethod
    def step(
        self, gradient: Float[Tensor, "run weight"], lr: PerRun, weight_decay: PerRun, frozen: Bool[Tensor, "run 1"]
    ) -> None:
        """Update the weights and moments of every run that is not frozen.

        Args:
            gradient: the filtered gradients, 0 for runs that are frozen.
            lr: the learning rates, in float64.
            weight_decay: the weight decays, in the precision of the weights.
            frozen: the runs that keep their weights and moments.
        """

    def moments_of(self, place: int) -> Mapping[str, str]:
        """Return the moments of a parameter: the name in the state of torch's optimizer, and the name here."""
        return {name: name for name in self.state}

    def counts_of(self, place: int) -> bool:
        """Return whether the state of a parameter contains the number of steps."""
        return self.counts

    def saved(self, run: int) -> dict[int, dict[str, Tensor]]:
        """Return the state of a run by parameter, as torch's optimizer saves it."""
        moments = {name: self.weights.split(moment[run]) for name, moment in self.state.items()}
        found: dict[int, dict[str, Tensor]] = {}
        for i, place in enumerate(self.order):
            count = {"step": self.steps[run, 0].float()} if self.counts_of(place) else {}
            found[i] = {name: moments[own][place].clone() for name, own in self.moments_of(place).items()} | count
        return found

    def load(self, run: int, saved: Mapping[int, Mapping[str, Tensor]], step: int) -> None:
        """Restore the state of a run at a step. Raises KeyError if a moment is missing."""
        moments = {name: self.weights.split(moment[run]) for name, moment in self.state.items()}
        for i, place in enumerate(self.order):
            for name, own in self.moments_of(place).items():
                moments[own][place].copy_(saved[i][name])
        self.steps[run] = step


@final
class FlatAdam(FlatOptimizer):
    """Adam, with decoupled weight decay (AdamW) or with weight decay added to the gradient.

    Source: torch.optim.AdamW; Loshchilov and Hutter 2017 (AdamW).
    """

    moments = ("exp_avg", "exp_avg_sq")
    counts = True

    def __init__(self, weights: FlatWeights, of: Sequence[Optimization]) -> None:
        super().__init__(weights, adam_columns(of, weights.values))
        self.decoupled = of[0].optimizer == "adamw"

    def step(
        self, gradient: Float[Tensor, "run weight"], lr: PerRun, weight_decay: PerRun, frozen: Bool[Tensor, "run 1"]
    ) -> None:
        weights, lr = self.weights.values, lr.float()  # as the learning rate of a fused optimizer
        self.steps += ~frozen
        if not self.decoupled:
            gradient, weight_decay = gradient + weight_decay * weights, torch.zeros_like(weight_decay)
        moments = [self.state[name] for name in self.moments]
        adam_step(weights, gradient, moments, self.steps, self.columns, lr, weight_decay, frozen)


def adam_columns(of: Sequence[Optimization], like: Tensor) -> dict[str, PerRun]:
    """Return the coefficients of Adam's moments and the constant in its denominator."""
    betas = {f"beta{i + 1}": column([one.betas[i] for one in of], like) for i in (0, 1)}
    return betas | {"eps": column([one.eps for one in of], like)}


def adam_step(
    weights: Float[Tensor, "run weight"],
    gradient: Float[Tensor, "run weight"],
    moments: Sequence[Float[Tensor, "run weight"]],
    steps: PerRun,
    columns: Mapping[str, PerRun],
    lr: PerRun,
    weight_decay: PerRun,
    frozen: Bool[Tensor, "run 1"],
) -> None:
    """Update weights and both moments of Adam in place, with decoupled weight decay.

    Args:
        weights: the weights, or some columns of them.
        gradient: their gradients.
        moments: their moments.
        steps: the numbers of steps, this one included.
        columns: ``adam_columns``.
        lr: the learning rates.
        weight_decay: the weight decays.
        frozen: the runs that keep their weights and moments.
    """
    (mean, square), beta1, beta2, eps = moments, *(columns[name] for name in ("beta1", "beta2", "eps"))
    mean.lerp_(gradient, torch.where(frozen, 0.0, 1 - beta1).expand_as(gradient))
    square.lerp_(gradient * gradient, torch.where(frozen, 0.0, 1 - beta2).expand_as(gradient))
    weights.mul_(torch.where(frozen, 1.0, 1 - lr * weight_decay))
    root = (square / (1 - beta2**steps)).sqrt_().add_(eps)
    length = torch.where(frozen, 0.0, lr / (1 - beta1**steps))
    weights.sub_(torch.where(frozen, 0.0, length * mean / root))


@final
class FlatSGD(FlatOptimizer):
    """Stochastic gradient descent with momentum, and weight decay added to the gradient.

    Source: torch.optim.SGD.
    """

    moments = ("momentum_buffer",)
    counts = False

    def __init__(self, weights: FlatWeights, of: Sequence[Optimization]) -> None:
        super().__init__(weights, {"momentum": column([one.momentum for one in of], weights.values)})
        if not any(one.momentum for one in of):
            self.state = {}

    def step(
        self, gradient: Float[Tensor, "run weight"], lr: PerRun, weight_decay: PerRun, frozen: Bool[Tensor, "run 1"]
    ) -> None:
        weights = self.weights.values
        gradient = gradient + weight_decay * weights
        for moment in self.state.values():
            gradient = moment.copy_(torch.where(frozen, moment, self.columns["momentum"] * moment + gradient))
        self.steps += ~frozen
        weights.sub_(torch.where(frozen, 0.0, lr.float() * gradient))


def column(values: Sequence[float], like: Tensor) -> PerRun:
    """Return a number of every run as a column, in the precision and on the device of a tensor."""
    return pinned(torch.tensor(values, dtype=like.dtype).unsqueeze(1), like.device).to(like.device, non_blocking=True)
