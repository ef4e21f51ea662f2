"""Attention of the read-out position: its pattern, its map over the operands, and its periodicity."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.analysis.structure.cyclic_grid import by_operands, cyclic_grid
from grokinterp.errors import NotDefined
from grokinterp.maths.fourier import squared_norms, waves
from grokinterp.runs.checkpoint import Checkpoint


class AttentionPattern(NamedTuple):
    """Distribution of the read-out position's attention.

    attention_mean: mean attention from the read-out position to the position, over all examples [1]
    """

    attention_mean: Float[Tensor, "layer head position"]


class AttentionMap(NamedTuple):
    """Attention from the read-out position to the first operand.

    attention_to_a: attention from the read-out position to the first position, in the last layer [1]
    """

    attention_to_a: Float[Tensor, "head a b"]


class AttentionPeriodicity(NamedTuple):
    """Frequency at which each last-layer head compares the two residues.

    attention_frequency: frequency that explains most of the head's attention to the first position, 0 if constant [1]
    attention_fve: share of the variance of that attention which the frequency explains [1]
    """

    attention_frequency: Int[Tensor, "head"]
    attention_fve: Float[Tensor, "head"]


def attention_pattern(checkpoint: Checkpoint) -> AttentionPattern:
    """Return the attention from the read-out position to every position, averaged over the examples, in every layer.

    The read-out position is the last; if positions are pooled, the mean over all positions is taken. The values are the
    attention weights: 1 means that a head attends to this position only.

    Source: Nanda et al. 2023, §4.2.
    """
    return AttentionPattern(patterns(checkpoint, "attention_pattern").mean(1))


def attention_map(checkpoint: Checkpoint) -> AttentionMap:
    """Return the attention from the read-out position to operand a in the last layer, for every pair (a, b).

    The values are attention weights, from 0 (no attention to a) to 1 (attention to a only). Pairs for which a ∘ b is
    not defined are NaN.

    Source: Nanda et al. 2023, §4.2.
    """
    to_a = last_pattern(checkpoint, "attention_map")[:, :, checkpoint.model.first_operand]
    return AttentionMap(by_operands(to_a, checkpoint.problem.task, "attention_map").movedim(-1, 0))


def attention_periodicity(checkpoint: Checkpoint) -> AttentionPeriodicity:
    """Return the best frequency k of each head, and how well waves of that frequency fit its attention to a.

    The attention A(= → a) is fitted by ½ + α(cos w_k a - cos w_k b) + β(sin w_k a - sin w_k b). FVE is the share of the
    variance of A [a, b] about its mean that the two terms explain: 1 for a head that is exactly periodic, 0 for a head
    without this frequency. The mean replaces the ½, from which it differs by the attention to "=".

    a and b are the exponents of the tokens in the cyclic group of the task (for addition, the residues themselves).
    Both are the same function of the token, because the head reads both from the same embedding.

    Source: Nanda et al. 2023, §4.2.
    """
    grid = cyclic_grid(checkpoint, "attention_periodicity")
    to_a = last_pattern(checkpoint, "attention_periodicity")[:, :, checkpoint.model.first_operand][grid.by_token]
    return periodicity_of(to_a.mT.unflatten(1, (grid.n, grid.n)))


def patterns(checkpoint: Checkpoint, analysis: str) -> Float[Tensor, "layer example head position"]:
    """Return the attention from the read-out position in every layer; if positions are pooled, the mean over them."""
    last, model = last_pattern(checkpoint, analysis), checkpoint.model
    return torch.stack([*(checkpoint.attention(name) for name in model.pattern_hooks[:-1]), last])


def last_pattern(checkpoint: Checkpoint, analysis: str) -> Float[Tensor, "example head position"]:
    """Return the last layer's attention from the read-out position. Raises NotDefined for a model without attention."""
    pattern = checkpoint.readout.pattern if checkpoint.model.n_heads else None
    if pattern is None:
        raise NotDefined(analysis, checkpoint.model.lacks("attention"))
    return pattern.double()


def periodicity_of(to_a: Float[Tensor, "head a b"]) -> AttentionPeriodicity:
    """Return the ``attention_periodicity`` of attention patterns.

    The regressors of a frequency are orthogonal, with squared norm 2p Σ_t cos² each, and depend on A only through its
    sums over b and over a.
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
