"""Penalties, clipping, noise, and the forms of weight decay, on the tensors of one run."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

SMALLEST = 1e-6
"""Constant in the denominator of clipping, as in ``torch.nn.utils.clip_grad_norm_``."""


@torch.no_grad()
def penalize(gradients: Sequence[Tensor], weights: Sequence[Tensor], *, l1: float, l2: float) -> None:
    """Add the gradient of l1 Σ |θ| + l2 Σ θ² in place: l1 sign θ + 2 l2 θ, with sign 0 = 0.

    >>> gradient = torch.zeros(3)
    >>> penalize([gradient], [torch.tensor([-2.0, 0.0, 1.0])], l1=0.5, l2=1.0)
    >>> gradient
    tensor([-4.5000,  0.0000,  2.5000])
    """
    if l1:
        torch._foreach_add_(list(gradients), [weight.sign() for weight in weights], alpha=l1)
    if l2:
        torch._foreach_add_(list(gradients), list(weights), alpha=2 * l2)


def clipping(norm: Float[Tensor, "*run"], most: float | Tensor) -> Float[Tensor, "*run"]:
    """Return the factor that clips gradients of a norm: min(1, most / (norm + 1e-6)).

    Source: torch.nn.utils.clip_grad_norm_.

    >>> clipping(torch.tensor([1.0, 8.0]), 4.0)
    tensor([1.0000, 0.5000])
    """
    return (most / (norm + SMALLEST)).clamp(max=1.0)


@torch.no_grad()
def add_noise(weights: Sequence[Tensor], deviation: float | Tensor, generator: torch.Generator) -> None:
    """Add independent numbers from N(0, deviation²) to weights in place."""
    for weight in weights:
        weight.add_(drawn(weight.shape, weight, generator) * deviation)


@torch.no_grad()
def decay_to(weights: Sequence[Tensor], initial: Sequence[Tensor], share: Float[Tensor, ""]) -> None:
    """Move weights in place by a share of the way to their initial values: θ ← θ + share (θ₀ - θ)."""
    torch._foreach_lerp_(list(weights), list(initial), [share.to(weight.dtype) for weight in weights])


@torch.no_grad()
def jiggle(weights: Sequence[Tensor], rate: Float[Tensor, ""], generator: torch.Generator) -> None:
    """Multiply each tensor in place by exp(rate · ε), with one ε ~ N(0, 1) for the tensor.

    Source: the code released with Power et al. 2022 (``weight_decay_form``).
    """
    for weight in weights:
        weight.mul_((rate.to(weight.dtype) * drawn((), weight, generator)).exp())


def drawn(shape: Sequence[int], like: Tensor, generator: torch.Generator) -> Tensor:
    """Return numbers from N(0, 1) in the precision and on the device of a tensor."""
    return torch.randn(tuple(shape), generator=generator, dtype=like.dtype, device=like.device)
