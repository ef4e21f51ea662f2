"""Singular values of matrices."""

import torch
from jaxtyping import Float
from torch import Tensor


def singular(matrix: Float[Tensor, "*batch m n"]) -> Float[Tensor, "*batch _"]:
    """Return all min(m, n) singular values, largest first, from the smaller Gram matrix.

    >>> singular(torch.tensor([[3.0, 0.0, 0.0], [0.0, 4.0, 0.0]]))
    tensor([4., 3.])
    """
    gram = matrix @ matrix.mT if matrix.shape[-2] <= matrix.shape[-1] else matrix.mT @ matrix
    return torch.linalg.eigvalsh(gram).flip(-1).clamp(min=0).sqrt()
