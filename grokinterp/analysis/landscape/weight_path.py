"""The weight trajectory: distances from its endpoints, and directions."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.maths.cosines import cosines_with
from grokinterp.runs.checkpoint import Checkpoint


class WeightPath(NamedTuple):
    """Position of the weights between the first and the last checkpoint.

    distance_from_initial: L2 distance of all parameters from the first checkpoint [1]
    distance_from_initial_of: L2 distance of the parameter from the first checkpoint [1]
    distance_to_final: L2 distance of all parameters to the last checkpoint [1]
    cosine_to_initial: cosine between the weights and the weights of the first checkpoint, all parameters [1]
    successive_update_cosine: cosine between the updates that led to this and to the previous checkpoint [1]
    """

    distance_from_initial: Float[Tensor, ""]
    distance_from_initial_of: Float[Tensor, "parameter"]
    distance_to_final: Float[Tensor, ""]
    cosine_to_initial: Float[Tensor, ""]
    successive_update_cosine: Float[Tensor, ""]


def weight_path(
    checkpoint: Checkpoint, *, initial_weights: Mapping[str, Tensor], final_weights: Mapping[str, Tensor]
) -> WeightPath:
    """Return the distances of the weights from the first and last checkpoints, and the directions of their trajectory.

    These are ‖θ - θ_first‖, ‖θ - θ_last‖, cos(θ, θ_first) and cos(Δ, Δ_before), over all parameters together, where Δ
    is the optimizer step that led to this checkpoint and Δ_before the step that led to the previous checkpoint. The
    last cosine is near 1 if the weights move in a straight line, near 0 if directions are uncorrelated between
    checkpoints, and negative if the weights oscillate. The two steps are consecutive only if every step is saved. NaN
    if a step is unknown or zero, as for the first checkpoints.

    Args:
        checkpoint: the checkpoint.
        initial_weights: the parameters of the first checkpoint of the run.
        final_weights: the parameters of the last checkpoint of the run.

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
    """Return the other weights on the device of the weights."""
    return {name: others[name].to(weight.device) for name, weight in weights.items()}


def square_distances(weights: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> Float[Tensor, "parameter"]:
    """Return the sum of squared differences for each parameter.

    >>> square_distances({"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([1.0, 5.0])})
    tensor([9.], dtype=torch.float64)
    """
    return torch.stack([(weight.double() - others[name].double()).square().sum() for name, weight in weights.items()])
