"""The gradient by part of the model, the components of the applied update, and gradient noise."""

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
"""Number of training examples whose individual gradients are computed."""

AT_ONCE = 16
"""Number of examples whose gradients are in memory at a time."""


ROUNDING = 1e-24
"""Share of the squared gradient below which a gradient is rounding error without meaningful signal or noise."""

AXES = {"part": lambda setting: list(setting.model.parts)}


class GradientFlow(NamedTuple):
    """Gradient of each part of the model, and components of the applied update.

    gradient_norm_of_layer: L2 norm of the training-loss gradient, per part of the model [nats]
    gradient_share_of_layer: share of the part in the squared norm of the gradient [1]
    update_norm: L2 norm of the applied update, all parameters [1]
    update_norm_of: L2 norm of the applied update, per parameter [1]
    update_radial: component of the applied update along the weights before it, negative if they shrank [1]
    update_tangential: length of the applied update orthogonal to the weights before it [1]
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
    """Signal and noise of the gradient over the training examples.

    gradient_snr: squared norm of the mean gradient over the variance of example gradients, per parameter [1]
    gradient_snr_total: squared norm of the mean gradient over the variance of example gradients, all parameters [1]
    gradient_noise_scale: batch size at which the mini-batch gradient's variance equals its squared mean [examples]
    """

    gradient_snr: Float[Tensor, "parameter"]
    gradient_snr_total: Float[Tensor, ""]
    gradient_noise_scale: Float[Tensor, ""]


class UpdateParts(NamedTuple):
    """The fields of ``GradientFlow`` for the applied update, in their order."""

    norm: Float[Tensor, ""]
    norm_of: Float[Tensor, "parameter"]
    radial: Float[Tensor, ""]
    tangential: Float[Tensor, ""]
    decay_share: Float[Tensor, ""]


def gradient_flow(checkpoint: Checkpoint) -> GradientFlow:
    """Return the norm of the gradient in every part of the model, and the components of the applied update.

    With g the gradient of the mean training loss, the norm of a part is ‖g_part‖ and its share is ‖g_part‖² / ‖g‖²;
    ``Model.parts`` lists the parts. With Δ the update that led to this checkpoint and θ = θ_now - Δ the weights before
    it, all parameters concatenated, the radial component is ⟨Δ, θ⟩ / ‖θ‖ and the tangential component is
    ‖Δ - ⟨Δ, θ⟩ θ / ‖θ‖²‖; their squares sum to ‖Δ‖².

    The update of AdamW and Muon is Δ = D + S, with decoupled weight decay D = -η λ θ at the rates of this step and the
    optimizer step S. The share of weight decay is ‖D‖ / (‖D‖ + ‖S‖): 0 without decay, 1 if nothing else changed the
    weights, and ½ if both are equally large, even if they cancel. The effects of filters and of rescaling to a
    constrained norm count as S; the gradient g itself is over all training examples and before any filter. The share is
    NaN if η λ is not determined by the step (``decay_rate``), as for SGD and adaptive schedules.

    The fields of the update are NaN if it is unknown (step 0, imported networks), and shares are NaN if the total is 0.

    Source: docs/formulas.md, Numerical health and Geometry; Loshchilov and Hutter 2017 (decoupled decay).

    Raises:
        NotDefined: the training examples are unknown.
    """
    gradients = checkpoint.gradients
    squares = torch.stack([norm_square(gradients, names) for names in checkpoint.model.parts.values()])
    return GradientFlow(squares.sqrt(), squares / squares.sum(), *update_parts(checkpoint))


def update_parts(checkpoint: Checkpoint) -> UpdateParts:
    """Return the measures of the applied update of a checkpoint; NaN without an update."""
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
    """Return η λ of the update that led to a step in a run of ``steps``; NaN if the step does not determine it.

    The step does not determine it if the optimization is unknown, if parts have settings of their own, if decay is not
    decoupled (SGD adds it to the gradient) or not to zero (``weight_decay_form``), or if a rate depends on the course
    of the run, which only the metrics record: an adaptive schedule of the learning rate or weight decay, or a learning
    rate divided by a boosted λ.
    Without weight decay it is 0.

    >>> decay_rate(Optimization(lr=0.1, weight_decay=0.5, warmup_steps=10), 2)
    tensor(0.0100, dtype=torch.float64)
    """
    if optimization is not None and optimization.weight_decay == 0 and not optimization.parts:
        return torch.tensor(0.0, dtype=torch.float64)
    if optimization is None or optimization.parts or not follows_from_the_step(optimization, steps):
        return torch.tensor(torch.nan, dtype=torch.float64)
    if not isinstance(step, Tensor):
        return torch.tensor(_decay_rate(optimization, step - 1, steps), dtype=torch.float64)
    known = decay_rates(optimization, steps).to(step.device)
    return known[(step - 1).clamp(0, len(known) - 1)]  # a step under vmap has no Python value


def follows_from_the_step(optimization: Optimization, steps: int | None) -> bool:
    """Return whether the rate of decoupled decay is determined by the step alone."""
    plans = (optimization.schedules.lr, optimization.schedules.weight_decay)
    planned = steps is not None or all(plan.kind == "constant" for plan in plans)
    adapts = any(plan.start() for plan in plans) or (optimization.lr_normalize and optimization.boost != 1)
    pulls_to_zero = optimization.optimizer != "sgd" and optimization.weight_decay_form == "to_zero"
    return pulls_to_zero and planned and not adapts


@lru_cache(maxsize=4)
def decay_rates(optimization: Optimization, steps: int | None) -> Float[Tensor, "update"]:
    """Return η λ of every update of a run, up to the step from which it is constant."""
    plans = (optimization.schedules.lr, optimization.schedules.weight_decay)
    constant = all(plan.kind == "constant" for plan in plans)
    last = optimization.warmup_steps + 1 if steps is None or constant else steps
    return torch.tensor([_decay_rate(optimization, step, steps) for step in range(last)], dtype=torch.float64)


def _decay_rate(optimization: Optimization, step: int, steps: int | None) -> float:
    """Return η λ of the update from ``step`` to ``step + 1``."""
    length = 1 if steps is None else steps
    factor = optimization.schedules.weight_decay.factor(step, length, {})
    return optimization.learning_rate(step, length) * optimization.weight_decay * factor


def gradient_noise(checkpoint: Checkpoint, *, examples: int = DRAWN) -> GradientNoise:
    """Return signal and noise of the gradient over the training examples.

    With g_i the gradient of the loss of example i and G = E g_i the exact gradient of the mean training loss,

        snr = ‖G‖² / tr Σ,   tr Σ = E ‖g_i - G‖²,   noise scale = tr Σ / ‖G‖²,

    for every parameter and for all parameters together. The gradient of a mini-batch of B examples has variance
    tr Σ / B: below the noise scale it is mostly noise, and far above it larger batches bring little benefit. tr Σ is
    the mean over a fixed random sample of ``examples`` training examples (or all, if there are fewer); because G is
    exact, tr Σ and the noise scale are unbiased. NaN for a parameter whose gradients are rounding error.

    Args:
        checkpoint: the checkpoint.
        examples: number of examples in the sample.

    Source: McCandlish et al. 2018, §2.2 (simple noise scale); Liu et al. 2020 (gradient
    signal-to-noise ratio).

    Raises:
        NotDefined: the training examples are unknown.
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
    """Draw ``size`` training examples (or all, if there are fewer), the same at every call."""
    there = problem.is_train.nonzero().flatten()
    order = torch.randperm(len(there), generator=torch.Generator().manual_seed(0))
    return there[order[:size].to(there.device)]


def each_gradient(checkpoint: Checkpoint, drawn: Int[Tensor, "drawn"]) -> Iterator[dict[str, Tensor]]:
    """Yield the gradients of the examples' losses in chunks: every parameter with a leading axis."""
    model, problem = checkpoint.model, checkpoint.problem
    program = OneLoss(model, problem)
    weights = in_program(model, checkpoint.parameters)

    def loss(parameters: dict[str, Tensor], tokens: Int[Tensor, "position"], label: Tensor) -> Tensor:
        return functional_call(program, parameters, (tokens, label))

    of_each = vmap(grad(loss), in_dims=(None, 0, 0)) if model.vectorizes else one_by_one(grad(loss))
    for some in drawn.split(AT_ONCE):
        found = of_each(weights, problem.tokens[some], problem.target[some])
        yield dict(zip(checkpoint.parameters, found.values(), strict=True))


def one_by_one(gradient: Callable[..., dict[str, Tensor]]) -> Callable[..., dict[str, Tensor]]:
    """Return a loop over examples that is equivalent to ``vmap``."""

    def of_each(weights: dict[str, Tensor], tokens: Int[Tensor, "some position"], labels: Tensor) -> dict[str, Tensor]:
        found = [gradient(weights, *example) for example in zip(tokens, labels, strict=True)]
        return {name: torch.stack([one[name] for one in found]) for name in weights}

    return of_each


class OneLoss(nn.Module):
    """The training loss of one example as a module, so that ``functional_call`` can swap the model's parameters."""

    def __init__(self, model: Model, problem: Problem) -> None:
        super().__init__()
        self.model, self.form = model, exact(problem.loss)

    def forward(self, tokens: Int[Tensor, "position"], label: Tensor) -> Float[Tensor, ""]:
        readout = self.model.readout(alone(tokens))
        losses = example_losses(readout.logits, label[None], form=self.form, supervised=readout.supervised)
        return losses.squeeze(0)


def alone(tokens: Int[Tensor, "position"]) -> ReadoutInputs:
    """Return one example as ``ReadoutInputs`` with a row per position, since ``ReadoutInputs.of`` cannot be vmapped."""
    positions = torch.arange(len(tokens), device=tokens.device)
    return ReadoutInputs(
        tokens[None], tokens, positions, positions[None], positions[-1:], torch.zeros_like(positions[:1])
    )


def norm_square(gradients: Mapping[str, Tensor], names: tuple[str, ...]) -> Float[Tensor, ""]:
    """Return the sum of squares over some parameters."""
    return torch.stack([gradients[name].double().square().sum() for name in names]).sum()


def norm(x: Float[Tensor, "element"]) -> Float[Tensor, ""]:
    """Return the L2 norm."""
    return x.square().sum().sqrt()
