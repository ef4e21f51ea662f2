"""Grafts: replacement of a part of a checkpoint by the same part of another checkpoint."""

import copy
from collections.abc import Mapping

from torch import Tensor

from grokinterp.errors import GrokinterpError, require_choice
from grokinterp.models import Model
from grokinterp.runs.checkpoint import Checkpoint


def graft(checkpoint: Checkpoint, donor: Checkpoint, part: str) -> Checkpoint:
    """Return a checkpoint in which a part of the weights is the donor's, without changing either network.

    Untrained tensors of the part, such as fixed biases, are grafted as well.

    Args:
        checkpoint: the network that receives the part.
        donor: the network that provides it.
        part: one of ``checkpoint.model.parts``: ``embed``, ``blocks.0.mlp``, ….

    Source: Meng et al. 2022, §2.1 (activation patching), with a second checkpoint in place of a second input.

    Raises:
        GrokinterpError: if the part does not exist, or the donor has other shapes.
    """
    model = checkpoint.model
    require_part(model, part)
    own, other = model.state_dict(), donor.model.state_dict()
    names = [name for name in own if model.part_of(name) == part]
    for name in names:
        if name not in other or other[name].shape != own[name].shape:
            raise GrokinterpError(f"donor: has no {name} of shape {tuple(own[name].shape)}")
    return with_weights(checkpoint, {name: other[name] for name in names})


def with_weights(checkpoint: Checkpoint, weights: Mapping[str, Tensor]) -> Checkpoint:
    """Return a checkpoint with other values of some tensors of the model, without changing the network."""
    model = copy.deepcopy(checkpoint.model)
    model.load_state_dict(model.state_dict() | dict(weights))
    return Checkpoint(checkpoint.step, model, checkpoint.problem)


def require_part(model: Model, part: str) -> None:
    """Raise ConfigError unless the model has a part."""
    require_choice("part", part, model.parts)
