"""Cosines between two sets of named tensors, per pair and for their concatenations."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Products(NamedTuple):
    """⟨v, θ⟩, ‖v‖² and ‖θ‖² of each parameter, for directions v."""

    dot: Float[Tensor, "parameter"]
    direction: Float[Tensor, "parameter"]
    weight: Float[Tensor, "parameter"]


def cosines_with(
    directions: Mapping[str, Tensor] | None, weights: Mapping[str, Tensor]
) -> tuple[Float[Tensor, "parameter"], Float[Tensor, ""]]:
    """Return ``cosines`` of directions with weights, per parameter and in total; NaN if the directions are unknown."""
    if directions is None:
        unknown = torch.stack([torch.full_like(weight.sum().double(), torch.nan) for weight in weights.values()])
        return unknown, unknown.sum()
    return cosines(products(directions, weights))


def products(directions: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Products:
    """Return the inner products of every parameter with its direction, in the order of the weights."""
    pairs = [(directions[name].double(), weight.double()) for name, weight in weights.items()]
    return Products(
        dot=torch.stack([(v * w).sum() for v, w in pairs]),
        direction=torch.stack([v.square().sum() for v, _ in pairs]),
        weight=torch.stack([w.square().sum() for _, w in pairs]),
    )


def cosines(of: Products) -> tuple[Float[Tensor, "parameter"], Float[Tensor, ""]]:
    """Return the cosine per parameter, and of the concatenations; 0 / 0 is NaN.

    >>> cosines(Products(torch.tensor([3.0, 0.0]), torch.tensor([1.0, 0.0]), torch.tensor([25.0, 0.0])))
    (tensor([0.6000,    nan]), tensor(0.6000))
    """
    each = of.dot / (of.direction.sqrt() * of.weight.sqrt())
    return each, of.dot.sum() / (of.direction.sum().sqrt() * of.weight.sum().sqrt())
