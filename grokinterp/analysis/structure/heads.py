"""Entropy of the attention heads, and similarity between heads."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.analysis.structure.attention import patterns
from grokinterp.runs.checkpoint import Checkpoint

CONSTANT = 1e-20
"""Share of a pattern's mean square below which its variation over the examples is rounding error."""


class HeadPatterns(NamedTuple):
    """Entropy and similarity of the heads' attention patterns.

    attention_entropy: entropy of the head's attention from the read-out position, mean over the examples [nats]
    head_similarity: cosine between the attention patterns of two heads of a layer [1]
    head_correlation: cosine between the patterns of two heads after subtracting their means over the examples [1]
    """

    attention_entropy: Float[Tensor, "layer head"]
    head_similarity: Float[Tensor, "layer head other_head"]
    head_correlation: Float[Tensor, "layer head other_head"]


def head_patterns(checkpoint: Checkpoint) -> HeadPatterns:
    """Return the entropy of every head's attention, and cosines and correlations between the heads of a layer.

        entropy = mean over examples of -Σ_j A_j log A_j,  A_j the attention to position j divided by its sum.

    The entropy ranges from 0 (attention to one position) to log n (equal attention to n positions). The cosine of two
    heads compares their patterns as vectors over examples and positions. Attention is never negative, so the cosine is
    near 1 for any two diffuse heads; the correlation, which subtracts each position's mean over the examples, measures
    whether the heads depend on the examples alike. It is NaN for a head with the same attention on every example.

    Attention is taken at the position from which the answer is read; if positions are pooled, it is their mean.

    Source: Clark et al. 2019 (entropy of heads, distances between heads).

    Raises:
        NotDefined: the model has no attention.
    """
    attention = patterns(checkpoint, "head_patterns").transpose(1, 2)
    share = attention / attention.sum(-1, keepdim=True)
    entropy = torch.special.entr(share).sum(-1).mean(-1)
    centered = attention - attention.mean(2, keepdim=True)
    size = attention.square().sum((2, 3))
    varies = centered.square().sum((2, 3)) > CONSTANT * size
    correlation = torch.where(varies[:, :, None] & varies[:, None, :], cosines(centered), torch.nan)
    return HeadPatterns(entropy, cosines(attention), correlation)


def cosines(x: Float[Tensor, "layer head example position"]) -> Float[Tensor, "layer head other_head"]:
    """Return the cosines between the heads of every layer.

    >>> cosines(torch.tensor([[[[1.0, 0.0]], [[1.0, 1.0]]]]))
    tensor([[[1.0000, 0.7071],
             [0.7071, 1.0000]]])
    """
    flat = x.flatten(2)
    unit = flat / torch.linalg.vector_norm(flat, dim=-1, keepdim=True)
    return unit @ unit.mT
