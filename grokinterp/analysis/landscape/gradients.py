"""Where the gradient goes, what became of it in the applied update, and how much of it is noise."""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from grokinterp.experiment import Optimization
from grokinterp.experiment.problem import Problem
from grokinterp.losses import exact, example_losses
from grokinterp.models import Model, ReadoutInputs, in_program
from grokinterp.runs.checkpoint import Checkpoint

DRAWN = 512
"""Training examples whose own gradients are taken."""

AT_ONCE = 16
"""Examples whose gradients are in memory together."""


ROUNDING = 1e-24
"""Share of the squared gradient below which there is nothing but rounding, of which signal and noise say nothing."""

AXES = {"part": lambda setting: list(setting.model.parts)}


class GradientFlow(NamedTuple):
    """Which parts of the model are moved, and in which direction.

    gradient_norm_of_layer: L2 norm of the training-loss gradient, per part of the model [nats]
    gradient_share_of_layer: share of the part in the squared norm of the gradient [1]
    update_norm: L2 norm of the applied update, all parameters [1]
    update_norm_of: L2 norm of the applied update, per parameter [1]
    update_radial: length of the applied update along the weights it was applied to, negative if they shrank [1]
    update_tangential: length of the applied update across the weights it was applied to [1]
    weight_decay_share: share of decoupled weight decay in the applied update [1]
    """

    gradient_norm_of_layer: Float[Tensor, "part"]
    gradient_share_of_layer: Float[Tensor, "part"]
    update_norm: Float[Tensor, ""]
    update_norm_of: Float[Tensor, "parameter"]
    update_radial: Float[Tensor, ""]
    update_tangential: Float[Tensor, ""]
    weight_decay_share: Float[Tensor, ""]


class GradientNoise(NamedTuple):
    """How far the training examples agree on where to go.

    gradient_snr: squared norm of the mean gradient over the variance of an example's, per parameter [1]
    gradient_snr_total: squared norm of the mean gradient over the variance of an example's, all parameters [1]
    gradient_noise_scale: batch size at which the mini-batch gradient's variance is its squared mean [examples]
    """

    gradient_snr: Float[Tensor, "parameter"]
    gradient_snr_total: Float[Tensor, ""]
    gradient_noise_scale: Float[Tensor, ""]


class UpdateParts(NamedTuple):
    """The fields of ``GradientFlow`` that are about the applied update, in their order."""

    norm: Float[Tensor, ""]
    norm_of: Float[Tensor, "parameter"]
    radial: Float[Tensor, ""]
    tangential: Float[Tensor, ""]
    decay_share: Float[Tensor, ""]


def gradient_flow(checkpoint: Checkpoint) -> GradientFlow:
    """Return the norm of the gradient in every part of the model, and the components of the applied update.

    With g the gradient of the mean training loss, a part's norm is ‖g_part‖ and its share ‖g_part‖² / ‖g‖²;
    ``Model.parts`` lists the parts. With Δ the update that led here and θ = θ_now - Δ the weights it was
    applied to, all parameters concatenated, the radial part is ⟨Δ, θ⟩ / ‖θ‖ and the tangential one
    ‖Δ - ⟨Δ, θ⟩ θ / ‖θ‖²‖: their squares sum to ‖Δ‖².

    The update of AdamW, and of Muon, is Δ = D + S, decoupled weight decay D = -η λ θ with the rates of
    that step, and the optimizer's own step S. Decay's share is ‖D‖ / (‖D‖ + ‖S‖): 0 without decay, 1
    where nothing else moved the weights, ½ where they pull equally hard, even if that cancels.
    What filters make of the gradient and rescaling to a constrained norm count as S; the gradient
    itself is as the backward pass gives it, of all training examples and before any filter. The share
    is NaN where η λ does not follow from the step (``decay_rate``): SGD, adaptive schedules.

    The update's fields are NaN where there is none (step 0, imported networks), a share of nothing
    too.

    Source: docs/formulas.md, Numerical health and Geometry; Loshchilov and Hutter 2017 (decoupled decay).

    Raises:
        NotDefined: nobody knows which examples were trained on.
    """
    gradients = checkpoint.gradients
    squares = torch.stack([norm_square(gradients, names) for names in checkpoint.model.parts.values()])
    return GradientFlow(squares.sqrt(), squares / squares.sum(), *update_parts(checkpoint))


def update_parts(checkpoint: Checkpoint) -> UpdateParts:
    """The applied update of a checkpoint, measured; NaN without one."""
    now, update, problem = checkpoint.parameters, checkpoint.update, checkpoint.problem
    if update is None:
        unknown = torch.full((len(now),), torch.nan, dtype=torch.float64, device=problem.tokens.device)
        return UpdateParts(unknown.sum(), unknown, *3 * [unknown.sum()])
    norm_of = torch.stack([update[name].double().square().sum().sqrt() for name in now])
    moved = torch.cat([update[name].double().flatten() for name in now])
    before = torch.cat([weight.double().flatten() for weight in now.values()]) - moved
    size = norm(before)
    radial = (moved @ before) / size
    tangential = norm(moved - radial / size * before)
    decay = decay_rate(problem.optimization, checkpoint.step, problem.steps).to(size.device)
    pull, rest = decay * size, norm(moved + decay * before)
    return UpdateParts(norm(moved), norm_of, radial, tangential, pull / (pull + rest))


def decay_rate(optimization: Optimization | None, step: int | Tensor, steps: int | None = None) -> Float[Tensor, ""]:
    """η λ of the update that led to a step in a run of ``steps``; NaN where a checkpoint does not tell.

    It does not where the optimization is unknown; where decay is not decoupled (SGD adds it to the gradient); where a
    rate answers to how the run goes, whose course is in the metrics alone: an adaptive schedule of the learning rate
    or weight decay, or a learning rate divided by a λ that is boosted. Without weight decay it is 0.

    >>> decay_rate(Optimization(lr=0.1, weight_decay=0.5, warmup_steps=10), 2)
    tensor(0.0100, dtype=torch.float64)
    """
    if optimization is not None and optimization.weight_decay == 0:
        return torch.tensor(0.0, dtype=torch.float64)
    if optimization is None or not follows_from_the_step(optimization, steps):
        return torch.tensor(torch.nan, dtype=torch.float64)
    if not isinstance(step, Tensor):
        return torch.tensor(_decay_rate(optimization, step - 1, steps), dtype=torch.float64)
    known = decay_rates(optimization, steps).to(step.device)
    return known[(step - 1).clamp(0, len(known) - 1)]  # a step under vmap has no Python value


def follows_from_the_step(optimization: Optimization, steps: int | None) -> bool:
    """Whether decoupled decay has a rate that is known from the step alone."""
    plans = (optimization.schedules.lr, optimization.schedules.weight_decay)
    planned = steps is not None or all(plan.kind == "constant" for plan in plans)
    adapts = any(plan.start() for plan in plans) or (optimization.lr_normalize and optimization.boost != 1)
    return optimization.optimizer != "sgd" and planned and not adapts


@lru_cache(maxsize=4)
def decay_rates(optimization: Optimization, steps: int | None) -> Float[Tensor, "update"]:
    """η λ of every update of a run, up to where it stays as it is."""
    plans = (optimization.schedules.lr, optimization.schedules.weight_decay)
    constant = all(plan.kind == "constant" for plan in plans)
    last = optimization.warmup_steps + 1 if steps is None or constant else steps
    return torch.tensor([_decay_rate(optimization, step, steps) for step in range(last)], dtype=torch.float64)


def _decay_rate(optimization: Optimization, step: int, steps: int | None) -> float:
    """η λ of the update from ``step`` to ``step + 1``."""
    length = 1 if steps is None else steps
    factor = optimization.schedules.weight_decay.factor(step, length, {})
    return optimization.learning_rate(step, length) * optimization.weight_decay * factor


def gradient_noise(checkpoint: Checkpoint, *, examples: int = DRAWN) -> GradientNoise:
    """Return signal and noise of the gradient over the training examples.

    With g_i the gradient of example i's loss and G = E g_i that of the mean training loss, exact,

        snr = ‖G‖² / tr Σ,   tr Σ = E ‖g_i - G‖²,   noise scale = tr Σ / ‖G‖²,

    for every parameter and for all together. A mini-batch of B examples has the variance tr Σ / B:
    below the noise scale it is mostly noise, far above it larger batches bring little. tr Σ is the
    mean over ``examples`` training examples, always the same random ones, or over all where there
    are fewer; since G is known exactly it is unbiased, and the noise scale with it. NaN for a
    parameter that no example has a gradient for but by rounding.

    Args:
        checkpoint: where.
        examples: how many examples' gradients to take.

    Source: McCandlish et al. 2018, §2.2 (simple noise scale); Liu et al. 2020 (gradient
    signal-to-noise ratio).

    Raises:
        NotDefined: nobody knows which examples were trained on.
    """
    whole = checkpoint.gradients
    drawn = training_sample(checkpoint.problem, examples)
    noise = torch.zeros(len(whole), dtype=torch.float64, device=drawn.device)
    for gradients in each_gradient(checkpoint, drawn):
        away = [(gradients[name] - mean).double().square().sum() for name, mean in whole.items()]
        noise += torch.stack(away) / len(drawn)
    signal = torch.stack([mean.double().square().sum() for mean in whole.values()])
    both = signal + noise
    snr = torch.where(both > ROUNDING * both.sum(), signal / noise, torch.nan)
    return GradientNoise(snr, signal.sum() / noise.sum(), noise.sum() / signal.sum())


def training_sample(problem: Problem, size: int) -> Int[Tensor, "drawn"]:
    """So many of the training examples, or all, the same at every call."""
    there = problem.is_train.nonzero().flatten()
    order = torch.randperm(len(there), generator=torch.Generator().manual_seed(0))
    return there[order[:size].to(there.device)]


def each_gradient(checkpoint: Checkpoint, drawn: Int[Tensor, "drawn"]) -> Iterator[dict[str, Tensor]]:
    """The gradients of examples' losses, some examples at a time: every parameter with a leading axis."""
    model, problem = checkpoint.model, checkpoint.problem
    program = OneLoss(model, problem)
    weights = in_program(model, checkpoint.parameters)

    def loss(parameters: dict[str, Tensor], tokens: Int[Tensor, "position"], label: Int[Tensor, ""]) -> Tensor:
        return functional_call(program, parameters, (tokens, label))

    of_each = vmap(grad(loss), in_dims=(None, 0, 0)) if model.vectorizes else one_by_one(grad(loss))
    for some in drawn.split(AT_ONCE):
        found = of_each(weights, problem.tokens[some], problem.trained_labels[some])
        yield dict(zip(checkpoint.parameters, found.values(), strict=True))


def one_by_one(gradient: Callable[..., dict[str, Tensor]]) -> Callable[..., dict[str, Tensor]]:
    """``vmap`` over examples, in a loop."""

    def of_each(
        weights: dict[str, Tensor], tokens: Int[Tensor, "some position"], labels: Int[Tensor, "some"]
    ) -> dict[str, Tensor]:
        found = [gradient(weights, *example) for example in zip(tokens, labels, strict=True)]
        return {name: torch.stack([one[name] for one in found]) for name in weights}

    return of_each


class OneLoss(nn.Module):
    """The training loss of one example as a module, so that ``functional_call`` can swap the model's parameters."""

    def __init__(self, model: Model, problem: Problem) -> None:
        super().__init__()
        self.model, self.form = model, exact(problem.loss)

    def forward(self, tokens: Int[Tensor, "position"], label: Int[Tensor, ""]) -> Float[Tensor, ""]:
        readout = self.model.readout(alone(tokens))
        losses = example_losses(readout.logits, label[None], form=self.form, supervised=readout.supervised)
        return losses.squeeze(0)


def alone(tokens: Int[Tensor, "position"]) -> ReadoutInputs:
    """One example as ``ReadoutInputs``, every position a row of its own; ``ReadoutInputs.of`` cannot be vmapped."""
    positions = torch.arange(len(tokens), device=tokens.device)
    return ReadoutInputs(
        tokens[None], tokens, positions, positions[None], positions[-1:], torch.zeros_like(positions[:1])
    )


def norm_square(gradients: Mapping[str, Tensor], names: tuple[str, ...]) -> Float[Tensor, ""]:
    """Σ of squares over some parameters."""
    return torch.stack([gradients[name].double().square().sum() for name in names]).sum()


def norm(x: Float[Tensor, "element"]) -> Float[Tensor, ""]:
    """L2 norm."""
    return x.square().sum().sqrt()
