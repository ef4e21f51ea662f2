"""What the read-out position attends to, and how periodically."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.analysis.fourier import modulus
from grokinterp.checkpoint import Checkpoint
from grokinterp.maths.fourier import squared_norms, waves


class AttentionPattern(NamedTuple):
    """How the last position spreads its attention.

    attention_mean: mean attention of the last position to the position, over all examples [1]
    attention_to_a: attention of the last position to the first, in the last layer [1]
    """

    attention_mean: Float[Tensor, "layer head position"]
    attention_to_a: Float[Tensor, "head a b"]


class AttentionPeriodicity(NamedTuple):
    """Which frequency each last-layer head compares the two residues with.

    attention_frequency: frequency that explains most of the head's attention to the first position, 0 if constant [1]
    attention_fve: share of the variance of that attention which the frequency explains [1]
    """

    attention_frequency: Int[Tensor, "head"]
    attention_fve: Float[Tensor, "head"]


def attention_pattern(checkpoint: Checkpoint) -> AttentionPattern:
    """Attention from the last position: to every position on average, and to a for every pair (a, b).

    Source: Nanda et al. 2023, §4.2.
    """
    p = modulus(checkpoint, "attention_pattern")
    last = checkpoint.readout.pattern.double()
    layers = range(len(checkpoint.model.blocks) - 1)
    earlier = [checkpoint.activation(f"blocks.{layer}.attn.hook_pattern")[:, :, -1].double() for layer in layers]
    mean = torch.stack([pattern.mean(0) for pattern in (*earlier, last)])
    return AttentionPattern(mean, last[:, :, 0].mT.unflatten(1, (p, p)))


def attention_periodicity(checkpoint: Checkpoint) -> AttentionPeriodicity:
    """Fit A(= → a) by ½ + α(cos w_k a - cos w_k b) + β(sin w_k a - sin w_k b), for the best k of each head.

    FVE = the two fitted terms' share of the variance of A [a, b] about its mean, which stands for the ½
    (the mean differs from it by what the head attends to "=").

    Source: Nanda et al. 2023, §4.2.
    """
    p = modulus(checkpoint, "attention_periodicity")
    return periodicity_of(checkpoint.readout.pattern[:, :, 0].double().mT.unflatten(1, (p, p)))


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
