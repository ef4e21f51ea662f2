"""Grafts: replacement of a part of a checkpoint by the same part of another checkpoint."""

import copy

from grokinterp.errors import GrokinterpError
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
    if part not in model.parts:
        raise GrokinterpError(f"part={part}: must be among {', '.join(model.parts)}")
    own, other = model.state_dict(), donor.model.state_dict()
    names = [name for name in own if model.part_of(name) == part]
    for name in names:
        if name not in other or other[name].shape != own[name].shape:
            raise GrokinterpError(f"donor: has no {name} of shape {tuple(own[name].shape)}")
    grafted = copy.deepcopy(model)
    grafted.load_state_dict(own | {name: other[name] for name in names})
    return Checkpoint(checkpoint.step, grafted, checkpoint.problem)
