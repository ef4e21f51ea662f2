"""What the read-out position attends to, and how periodically."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.analysis.structure.cyclic_grid import by_operands, cyclic_grid
from grokinterp.errors import NotDefined
from grokinterp.maths.fourier import squared_norms, waves
from grokinterp.runs.checkpoint import Checkpoint


class AttentionPattern(NamedTuple):
    """How the read-out position spreads its attention.

    attention_mean: mean attention of the read-out position to the position, over all examples [1]
    """

    attention_mean: Float[Tensor, "layer head position"]


class AttentionMap(NamedTuple):
    """How much the read-out position attends to the first operand.

    attention_to_a: attention of the read-out position to the first, in the last layer [1]
    """

    attention_to_a: Float[Tensor, "head a b"]


class AttentionPeriodicity(NamedTuple):
    """Which frequency each last-layer head compares the two residues with.

    attention_frequency: frequency that explains most of the head's attention to the first position, 0 if constant [1]
    attention_fve: share of the variance of that attention which the frequency explains [1]
    """

    attention_frequency: Int[Tensor, "head"]
    attention_fve: Float[Tensor, "head"]


def attention_pattern(checkpoint: Checkpoint) -> AttentionPattern:
    """Return the attention from the read-out position to every position, averaged over the examples, in every layer.

    The read-out position is the last; where positions are pooled, the mean over all of them.

    Source: Nanda et al. 2023, §4.2.
    """
    return AttentionPattern(patterns(checkpoint, "attention_pattern").mean(1))


def attention_map(checkpoint: Checkpoint) -> AttentionMap:
    """Return the last layer's attention from the read-out position to a, for every pair (a, b).

    Pairs for which a ∘ b is not defined are NaN.

    Source: Nanda et al. 2023, §4.2.
    """
    to_a = last_pattern(checkpoint, "attention_map")[:, :, checkpoint.model.first_operand]
    return AttentionMap(by_operands(to_a, checkpoint.problem.task, "attention_map").movedim(-1, 0))


def attention_periodicity(checkpoint: Checkpoint) -> AttentionPeriodicity:
    """Return the best frequency k of each head, and how well waves of that frequency fit its attention to a.

    The fit of A(= → a) is ½ + α(cos w_k a - cos w_k b) + β(sin w_k a - sin w_k b).

    FVE = the two fitted terms' share of the variance of A [a, b] about its mean, which stands for the ½
    (the mean differs from it by what the head attends to "="). a and b are the tokens' exponents in the
    task's cyclic group, the residues themselves for addition: the same function of the token for both, since
    the embedding that the head scores is the same.

    Source: Nanda et al. 2023, §4.2.
    """
    grid = cyclic_grid(checkpoint, "attention_periodicity")
    to_a = last_pattern(checkpoint, "attention_periodicity")[:, :, checkpoint.model.first_operand][grid.by_token]
    return periodicity_of(to_a.mT.unflatten(1, (grid.n, grid.n)))


def patterns(checkpoint: Checkpoint, analysis: str) -> Float[Tensor, "layer example head position"]:
    """Attention from the read-out position in every layer; its mean over positions where those are pooled."""
    last, model = last_pattern(checkpoint, analysis), checkpoint.model
    earlier = (checkpoint.activation(name).double() for name in model.pattern_hooks[:-1])
    return torch.stack([*(model.pattern_at_readout(pattern) for pattern in earlier), last])


def last_pattern(checkpoint: Checkpoint, analysis: str) -> Float[Tensor, "example head position"]:
    """The last layer's attention from the read-out position. Raises NotDefined for a model without attention."""
    pattern = checkpoint.readout.pattern if checkpoint.model.n_heads else None
    if pattern is None:
        raise NotDefined(analysis, checkpoint.model.lacks("attention"))
    return pattern.double()


def periodicity_of(to_a: Float[Tensor, "head a b"]) -> AttentionPeriodicity:
    """``attention_periodicity`` of attention patterns.

    The regressors of a frequency are orthogonal, with squared norm 2p Σ_t cos² each, and see A only
    through its sums over b and over a.
    """
    p = to_a.shape[1]
    difference = to_a.sum(2) - to_a.sum(1)
    cos, sin = waves(p, to_a.device)
    squared = (difference @ cos.mT).square() + (difference @ sin.mT).square()
    explained = squared / (2 * p * squared_norms(p, to_a.device))
    total = (to_a - to_a.mean((1, 2), keepdim=True)).square().sum((1, 2))
    varies = total > 1e-20 * to_a.square().sum((1, 2))
    fve, best = torch.where(varies[:, None], explained / total[:, None], 0).max(1)
    return AttentionPeriodicity(torch.where(varies, best + 1, 0), fve)
