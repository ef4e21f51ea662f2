"""The logarithm of a sum of exponentials, at the same speed for all numbers."""

import math

from jaxtyping import Float

from grokinterp.lazy import Tensor, torch


def log_sum_exp(x: Float[Tensor, "*batch term"]) -> Float[Tensor, "*batch"]:
    """Return log Σ exp(x) over the last axis.

    In single precision, the exponentials of numbers below -87 underflow, which takes a processor up to thirty times as
    long. Once a network has learned its task, many logits are that far below the largest. Their terms become e^-86,
    which the rounded sum does not show, and have no gradient.

    >>> log_sum_exp(torch.tensor([[0.0, 0.0], [-1000.0, 5.0]]))
    tensor([0.6931, 5.0000])
    """
    if x.dtype == torch.float64:
        return x.logsumexp(-1)
    numbers = torch.finfo(x.dtype)
    largest = x.detach().amax(-1, keepdim=True).clamp(min=numbers.min)
    terms = (x - largest).clamp(min=1 + math.log(numbers.tiny)).exp()
    return terms.sum(-1).log() + largest.squeeze(-1)
