"""Matrix norms as bounds on the output of a network."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.maths.spectra import singular


class Ruler(NamedTuple):
    """A matrix norm together with the bounds that it implies.

    Args:
        size: the norm of a matrix [in, out]; x @ W is at most size(W) times as large as x.
        through: the bound of x @ W from the bound of x.
        length: the bound of x from bounds of its entries.
        widest: the factor by which entries of at most these sizes scale a vector.
    """

    size: Callable[[Tensor], Tensor]
    through: Callable[[Tensor, Tensor], Tensor]
    length: Callable[[Tensor], Tensor]
    widest: Callable[[Tensor], Tensor]

    def affine(self, bound: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the bound of x W + b from the bound of x."""
        return self.through(bound, weight.double()) + self.length(bias.double())

    def normalized(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the bound of w x + b for vectors x of length √d, the output of LayerNorm and RMSNorm."""
        return math.sqrt(len(weight)) * self.widest(weight.double().abs()) + self.length(bias.double())


def scalar(size: Callable[[Tensor], Tensor], length: Callable[[Tensor], Tensor]) -> Ruler:
    """Return the ruler that bounds a vector by one number."""
    return Ruler(size, lambda bound, W: bound * size(W), length, torch.max)


def spectral_norm(matrix: Float[Tensor, "m n"]) -> Float[Tensor, ""]:
    """Return the largest singular value, of a matrix with entries of any size; NaN if an entry is NaN.

    >>> spectral_norm(torch.tensor([[3e200, 0.0], [0.0, 4e200]], dtype=torch.float64))
    tensor(4.0000e+200, dtype=torch.float64)
    """
    largest = matrix.abs().max()
    return largest * singular(matrix / largest)[0] if largest.isfinite() and largest > 0 else largest


RULERS = {
    "L1_inf": scalar(lambda W: W.abs().sum(0).max(), lambda x: x.abs().max()),
    "frobenius": scalar(torch.linalg.matrix_norm, torch.linalg.vector_norm),
    "spectral": scalar(spectral_norm, torch.linalg.vector_norm),
    "path": Ruler(torch.abs, lambda bound, W: bound @ W.abs(), torch.abs, torch.abs),
}
"""The norms by name; "path" bounds every entry of a vector by itself."""
