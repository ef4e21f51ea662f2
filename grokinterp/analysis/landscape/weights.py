"""Geometry of the weights: norms, singular values, and effective rank."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from grokinterp.maths.sparsity import effective_rank
from grokinterp.maths.spectra import singular
from grokinterp.models import Model
from grokinterp.runs.checkpoint import Checkpoint

RANKS = 16

AXES = {"matrix": lambda setting: matrix_names(setting.model), "rank": range(1, RANKS + 1)}


class WeightNorms(NamedTuple):
    """Norms of the weights.

    weight_norm: sum of squares of all parameters [1]
    parameter_norm: L2 norm of all parameters, the square root of the sum of squares [1]
    weight_norm_of: sum of squares of the parameter [1]
    """

    weight_norm: Float[Tensor, ""]
    parameter_norm: Float[Tensor, ""]
    weight_norm_of: Float[Tensor, "parameter"]


class SingularValues(NamedTuple):
    """Singular values and effective rank of the weight matrices.

    singular_value: singular values of the matrix, largest first [1]
    effective_rank: exponential of the entropy of the matrix's normalized singular values [1]
    """

    singular_value: Float[Tensor, "matrix rank"]
    effective_rank: Float[Tensor, "matrix"]


def weight_norms(checkpoint: Checkpoint) -> WeightNorms:
    """Return the sum of squared weights Σθ² of each parameter and in total, and the root of the total.

    Source: docs/formulas.md, Geometry (weight norm Σθ²); Nanda et al. 2023, §5 (sum of squared weights).
    """
    squares = torch.stack([weight.double().square().sum() for weight in checkpoint.parameters.values()])
    return WeightNorms(squares.sum(), squares.sum().sqrt(), squares)


def singular_values(checkpoint: Checkpoint) -> SingularValues:
    """Return the largest singular values and the effective rank of the weight matrices.

    The effective rank is exp(-Σ_i q_i log q_i), q_i = σ_i / Σσ, over all singular values σ: 1 for a matrix of rank 1,
    and the full rank if all singular values are equal. The 16 largest singular values of every matrix are stored, with
    NaN for a matrix with fewer. They are the roots of the eigenvalues of the smaller Gram matrix, A Aᵀ or Aᵀ A, which
    are accurate within 1e-6 of the largest singular value.

    The matrices are listed by ``matrix_names``: W_L = W_out W_U is the neuron-to-logit map, and QK.h = W_Q W_Kᵀ and
    OV.h = W_V W_O are the circuits of head h, all in the last layer.

    Source: Roy and Vetterli 2007 (effective rank); Elhage et al. 2021 (QK and OV circuits).
    """
    spectra = [*dense_spectra(checkpoint.model).values(), *head_spectra(checkpoint.model).values()]
    kept = [pad(values[..., :RANKS], (0, max(0, RANKS - values.shape[-1])), value=torch.nan) for values in spectra]
    ranks = [effective_rank(values).reshape(-1) for values in spectra]
    return SingularValues(torch.cat([values.view(-1, RANKS) for values in kept]), torch.cat(ranks))


def matrix_names(model: Model) -> list[str]:
    """Return the ``matrix`` coordinate of ``singular_values``: dense matrices, then QK.0, QK.1, …, OV.0, …."""
    return [*model.dense_matrices, *(f"{name}.{head}" for name in model.head_circuits for head in range(model.n_heads))]


def dense_spectra(model: Model) -> dict[str, Float[Tensor, "_"]]:
    """Return the singular values of the dense matrices by name."""
    return {name: singular(matrix.detach().double()) for name, matrix in model.dense_matrices.items()}


def head_spectra(model: Model) -> dict[str, Float[Tensor, "head _"]]:
    """Return the singular values of the circuits of every head, from the R factors of its two thin matrices."""
    sides = {name: (a.detach().double(), b.detach().double()) for name, (a, b) in model.head_circuits.items()}
    return {name: product_singular(a, b) for name, (a, b) in sides.items()}


def product_singular(
    left: Float[Tensor, "*batch m k"], right: Float[Tensor, "*batch n k"]
) -> Float[Tensor, "*batch _"]:
    """Return the singular values of left · rightᵀ, largest first, from the small product of their R factors.

    >>> product_singular(torch.tensor([[2.0], [0.0]]), torch.tensor([[0.0], [3.0]]))
    tensor([6.])
    """
    a, b = (torch.linalg.qr(side, mode="r").R for side in (left, right))
    return singular(a @ b.mT)
