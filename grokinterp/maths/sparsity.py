"""Measures of the concentration of a vector on few entries."""

import torch
from jaxtyping import Float
from torch import Tensor


def gini(x: Float[Tensor, "*batch entry"]) -> Float[Tensor, "*batch"]:
    """Return the Gini coefficient Σ_i (2i - n - 1) x_i / (n Σx) of non-negative x sorted ascending, i = 1..n.

    It is 0 if all entries are equal, (n - 1)/n if a single entry is nonzero, and NaN for a zero vector.

    Source: Hurley & Rickard 2009; Nanda et al. 2023, §5.

    >>> gini(torch.tensor([0.0, 0.0, 5.0, 0.0]))
    tensor(0.7500)
    """
    n = x.shape[-1]
    rank = torch.arange(1 - n, n, 2, dtype=x.dtype, device=x.device)
    return (x.sort(-1).values * rank).sum(-1) / (n * x.sum(-1))


def effective_rank(singular_values: Float[Tensor, "*batch entry"]) -> Float[Tensor, "*batch"]:
    """Return the exponential of the entropy of the normalized singular values, between 1 and their number.

    Source: Roy & Vetterli 2007.

    >>> effective_rank(torch.tensor([2.0, 2.0, 0.0]))
    tensor(2.)
    """
    share = singular_values / singular_values.sum(-1, keepdim=True)
    return torch.special.entr(share).sum(-1).exp()


def participation_ratio(x: Float[Tensor, "*batch entry"]) -> Float[Tensor, "*batch"]:
    """Return the inverse participation ratio Σ_i (x_i / ‖x‖)⁴ of non-negative x: 1 / n for n equal nonzero entries.

    It is NaN for a zero vector.

    Source: Doshi et al. 2023 (r = 2).

    >>> participation_ratio(torch.tensor([[3.0, 0.0, 0.0, 0.0], [2.0, 2.0, 0.0, 0.0]]))
    tensor([1.0000, 0.5000])
    """
    share = x.square() / x.square().sum(-1, keepdim=True)
    return share.square().sum(-1)
