"""The weight trajectory: the distance from its endpoints, and whether it is straight."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.maths.cosines import cosines_with
from grokinterp.runs.checkpoint import Checkpoint


class WeightPath(NamedTuple):
    """Where the weights are between the first and the last checkpoint.

    distance_from_initial: L2 distance of all parameters from the first checkpoint [1]
    distance_from_initial_of: L2 distance of the parameter from the first checkpoint [1]
    distance_to_final: L2 distance of all parameters to the last checkpoint [1]
    cosine_to_initial: cosine between the weights and those of the first checkpoint, all parameters [1]
    successive_update_cosine: cosine between the last updates before this and before the previous checkpoint [1]
    """

    distance_from_initial: Float[Tensor, ""]
    distance_from_initial_of: Float[Tensor, "parameter"]
    distance_to_final: Float[Tensor, ""]
    cosine_to_initial: Float[Tensor, ""]
    successive_update_cosine: Float[Tensor, ""]


def weight_path(
    checkpoint: Checkpoint, *, initial_weights: Mapping[str, Tensor], final_weights: Mapping[str, Tensor]
) -> WeightPath:
    """Return the distances of the weights from the first and to the last checkpoint, and the direction of their path.

    These are ‖θ - θ_first‖, ‖θ - θ_last‖, cos(θ, θ_first) and cos(Δ, Δ_before), over all parameters together.

    Δ is the optimizer step that led to this checkpoint, Δ_before the one that led to the checkpoint
    saved before: near 1 where the weights move on straight, near 0 where directions are
    forgotten between two checkpoints, below 0 where they swing. They are successive steps only
    where every step is saved. NaN where one is unknown or has no length, as for the first
    checkpoints.

    Args:
        checkpoint: where.
        initial_weights: the parameters of the run's first checkpoint.
        final_weights: those of its last.

    Source: docs/formulas.md, Geometry.
    """
    weights, update, previous = checkpoint.parameters, checkpoint.update, checkpoint.previous_update
    first, last = (on_device_of(weights, others) for others in (initial_weights, final_weights))
    from_initial = square_distances(weights, first)
    _, to_initial = cosines_with(first, weights)
    _, straight = cosines_with(previous, update) if update is not None else cosines_with(None, weights)
    return WeightPath(
        distance_from_initial=from_initial.sum().sqrt(),
        distance_from_initial_of=from_initial.sqrt(),
        distance_to_final=square_distances(weights, last).sum().sqrt(),
        cosine_to_initial=to_initial,
        successive_update_cosine=straight,
    )


def on_device_of(weights: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The others where the weights are."""
    return {name: others[name].to(weight.device) for name, weight in weights.items()}


def square_distances(weights: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> Float[Tensor, "parameter"]:
    """Σ of squared differences, of each parameter.

    >>> square_distances({"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([1.0, 5.0])})
    tensor([9.], dtype=torch.float64)
    """
    return torch.stack([(weight.double() - others[name].double()).square().sum() for name, weight in weights.items()])
