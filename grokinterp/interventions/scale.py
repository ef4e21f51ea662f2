"""Scaling: multiplication of the weights of a network by a factor."""

from grokinterp.interventions.graft import require_part, with_weights
from grokinterp.runs.checkpoint import Checkpoint


def scaled(checkpoint: Checkpoint, factor: float, part: str | None = None) -> Checkpoint:
    """Return a checkpoint whose trained weights are multiplied by a factor, without changing the network.

    Args:
        checkpoint: the network.
        factor: the factor, by which the norm of the weights is multiplied.
        part: one of ``checkpoint.model.parts`` (default: all).

    Source: Liu et al. 2022, Omnigrok, §3 (the norm of the weights controls grokking).

    Raises:
        ConfigError: if the part does not exist.
    """
    parts = checkpoint.model.parts
    if part is not None:
        require_part(checkpoint.model, part)
        parts = {part: parts[part]}
    weights = checkpoint.parameters
    return with_weights(checkpoint, {name: factor * weights[name] for names in parts.values() for name in names})
