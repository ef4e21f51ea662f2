"""Penalties, clipping, noise, and the forms of weight decay, on the tensors of one run."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Group = Mapping[str, Any]
"""A group of parameters of an optimizer, with its learning rate ``rate`` and their product ``decay``."""

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


@contextmanager
def noisy(weights: Sequence[Tensor], deviation: float, generator: torch.Generator) -> Generator[None]:
    """Add independent numbers from N(0, deviation²) to weights in the block, and restore the weights after it."""
    kept = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        for weight in weights:
            weight.add_(drawn(weight.shape, weight, generator), alpha=deviation)
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(list(weights), kept)


@torch.no_grad()
def decay_to_start(groups: Sequence[Group], start: Mapping[Tensor, Tensor], keep: Float[Tensor, ""]) -> None:
    """Move weights in place toward their initial values: θ ← θ + share (θ₀ - θ).

    Args:
        groups: groups of weights with their share ``decay``, the learning rate times the weight decay.
        start: the initial values of every weight.
        keep: 1, or 0 to leave the weights as they are.
    """
    for group in groups:
        weights = group["params"]
        shares = [(keep * group["decay"]).to(weight.dtype) for weight in weights]
        torch._foreach_lerp_(weights, [start[weight] for weight in weights], shares)


@torch.no_grad()
def jiggle(groups: Sequence[Group], keep: Float[Tensor, ""], generator: torch.Generator) -> None:
    """Multiply each tensor of groups in place by exp(decay · ε), with one ε ~ N(0, 1) for the tensor.

    Source: the code released with Power et al. 2022 (``weight_decay_form``).
    """
    for group in groups:
        for weight in group["params"]:
            weight.mul_(((keep * group["decay"]).to(weight.dtype) * drawn((), weight, generator)).exp())


@torch.no_grad()
def add_update_noise(
    groups: Sequence[Group], deviation: float, keep: Float[Tensor, ""], generator: torch.Generator
) -> None:
    """Add independent numbers from N(0, (rate · deviation)²) to the weights of groups in place."""
    for group in groups:
        for weight in group["params"]:
            size = (keep * (group["rate"] * deviation)).to(weight.dtype)
            weight.add_(drawn(weight.shape, weight, generator) * size)


def drawn(shape: Sequence[int], like: Tensor, generator: torch.Generator) -> Tensor:
    """Return numbers from N(0, 1) in the precision and on the device of a tensor."""
    return torch.randn(tuple(shape), generator=generator, dtype=like.dtype, device=like.device)
