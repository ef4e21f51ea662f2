"""Alignment of gradients and updates with the weights: an aligned update only rescales them."""

from collections.abc import Mapping
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from grokinterp.maths.cosines import cosines, cosines_with, products
from grokinterp.optim import OrthoGrad
from grokinterp.runs.checkpoint import Checkpoint


class GradientWeightAlignment(NamedTuple):
    """Cosines of the gradient, the projected gradient, and the applied update with the weights.

    gradient_weight_cosine: cosine between training-loss gradient and weights, per parameter [1]
    projected_gradient_cosine: cosine between gradient after OrthoGrad and weights, per parameter [1]
    update_weight_cosine: cosine between applied update and weights, per parameter [1]
    gradient_norm: L2 norm of the training-loss gradient, per parameter [nats]
    gradient_weight_cosine_total: cosine between training-loss gradient and weights, all parameters [1]
    projected_gradient_cosine_total: cosine between gradient after OrthoGrad and weights, all parameters [1]
    update_weight_cosine_total: cosine between applied update and weights, all parameters [1]
    gradient_norm_total: L2 norm of the training-loss gradient, all parameters [nats]
    """

    gradient_weight_cosine: Float[Tensor, "parameter"]
    projected_gradient_cosine: Float[Tensor, "parameter"]
    update_weight_cosine: Float[Tensor, "parameter"]
    gradient_norm: Float[Tensor, "parameter"]
    gradient_weight_cosine_total: Float[Tensor, ""]
    projected_gradient_cosine_total: Float[Tensor, ""]
    update_weight_cosine_total: Float[Tensor, ""]
    gradient_norm_total: Float[Tensor, ""]


def gradient_weight_alignment(checkpoint: Checkpoint) -> GradientWeightAlignment:
    """Return the cosines of the gradient and of the applied update with the weights, per parameter and overall.

    These are cos(g, θ), cos(g⊥, θ) and cos(Δθ, θ): θ are the weights of this checkpoint, g is the gradient of the
    mean training loss at θ, g⊥ is the output of ``OrthoGrad`` for g, and Δθ = θ - θ_before is the update that led to
    this checkpoint, as applied: after filters, preconditioning, and weight decay.

    If cos(g, θ) < 0, descent along -g increases the weight norm; if cos(Δθ, θ) > 0, the update increased it. Descent
    that only scales the logits up has cos(g, θ) → -1; a step of pure weight decay has cos(Δθ, θ) = -1. cos(g⊥, θ) is 0
    except for parameters with a single element, which ``OrthoGrad`` leaves unchanged. If a run trained with
    ``OrthoGrad`` has a large cos(Δθ, θ), the preconditioning of the optimizer has reintroduced the radial component.

    All cosines use the same θ and are therefore comparable. The cosine of the update retains the whole radial
    component of the step: with r = ‖Δθ‖/‖θ‖, log‖θ‖ - log‖θ_before‖ = -½ log1p(-2 r cos + r²) exactly. An update
    orthogonal to θ_before has cosine r / √(1 + r²) with θ, not 0.

    A cosine is NaN if a norm is zero, and for the missing update at step 0.

    Source: Prieto et al. 2025, §4 (naive loss minimization), §5 (⊥Grad); docs/formulas.md, Numerical health.
    """
    weights, gradients = checkpoint.parameters, checkpoint.gradients
    gradient = products(gradients, weights)
    gradient_cosine, gradient_total = cosines(gradient)
    projected_cosine, projected_total = cosines_with(projected(gradients, weights), weights)
    update_cosine, update_total = cosines_with(checkpoint.update, weights)
    return GradientWeightAlignment(
        gradient_weight_cosine=gradient_cosine,
        projected_gradient_cosine=projected_cosine,
        update_weight_cosine=update_cosine,
        gradient_norm=gradient.direction.sqrt(),
        gradient_weight_cosine_total=gradient_total,
        projected_gradient_cosine_total=projected_total,
        update_weight_cosine_total=update_total,
        gradient_norm_total=gradient.direction.sum().sqrt(),
    )


def projected(gradients: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the gradients after ``OrthoGrad``.

    >>> import torch
    >>> projected({"w": torch.tensor([1.0, 1.0])}, {"w": torch.tensor([0.0, 2.0])})["w"]
    tensor([1.4142, 0.0000])
    """
    return {name: OrthoGrad()(gradients[name], weight)[0] for name, weight in weights.items()}
