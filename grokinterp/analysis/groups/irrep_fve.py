"""Irreducible representations in the embedding, neurons, and unembedding of networks that multiply in a group."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.analysis.groups.irreps import group_grid, irrep_names, irrep_rows, power_by_irrep
from grokinterp.runs.checkpoint import Checkpoint

AXES = {"irrep": lambda setting: irrep_names(setting.task)}


class IrrepFVE(NamedTuple):
    """Share of each part of the network explained by the matrix entries of each irreducible representation.

    embedding_fve_left: share of the left operand's embedding that the representation explains [1]
    embedding_fve_right: share of the right operand's embedding that the representation explains [1]
    unembedding_fve: share of the neuron-to-logit map, over its classes, that the representation explains [1]
    hidden_fve_left: share of the last hidden layer's variance that ρ(x) of the left operand explains [1]
    hidden_fve_right: share of the last hidden layer's variance that ρ(y) of the right operand explains [1]
    hidden_fve_product: share of the last hidden layer's variance that ρ(x·y) of the product explains [1]
    hidden_fve: share of the last hidden layer's variance that the key representations explain, all three together [1]
    """

    embedding_fve_left: Float[Tensor, "irrep"]
    embedding_fve_right: Float[Tensor, "irrep"]
    unembedding_fve: Float[Tensor, "irrep"]
    hidden_fve_left: Float[Tensor, "irrep"]
    hidden_fve_right: Float[Tensor, "irrep"]
    hidden_fve_product: Float[Tensor, "irrep"]
    hidden_fve: Float[Tensor, ""]


class GroupPower(NamedTuple):
    """Group Fourier spectrum of the embedding.

    embedding_group_power_left: power of the left operand's embedding at the representation, summed over features [1]
    embedding_group_power_right: power of the right operand's embedding at the representation, summed over features [1]
    """

    embedding_group_power_left: Float[Tensor, "irrep"]
    embedding_group_power_right: Float[Tensor, "irrep"]


def irrep_fve(checkpoint: Checkpoint, *, key_irreps: Int[Tensor, "key_irrep"]) -> IrrepFVE:
    """Return the share of embedding, unembedding, and hidden layer that each irreducible representation explains.

    With Q an orthonormal basis of the functions ρ(x)_ij on the group, the share of W [element, feature] is ‖Qᵀ W‖² /
    ‖W‖², without subtracting the mean. W is the embedding of an operand (in an MLP, its contribution to the first
    layer's pre-activations, embedding times W_in; otherwise W_E) or, over the classes, the neuron-to-logit map W_L.
    For the neurons h [x, y, neuron], centered over all pairs, the functions ρ(x)_ij, ρ(y)_ij and ρ(x·y)_ij explain the
    share ‖Qᵀ M‖² n / ‖h‖², where M is the mean of h over the pairs with the same x, y or x·y. These functions are
    mutually orthogonal, so hidden_fve, the sum of all three over the key representations, is a share of variance: 1
    means that the key representations explain the hidden layer completely.

    The values published for the hidden layer in C_113 are larger by up to 0.008, consistent with a basis from a QR
    decomposition of all four entries of the rotation matrix, which span only two dimensions, so that rounding
    determines the other two. In A_5, the published ρ of dimension 3 are not exact homomorphisms.

    Args:
        checkpoint: of a run whose task is a product in a group.
        key_irreps: rows of the axis ``irrep``.

    Source: Chughtai et al. 2023, §4.2 (hidden and embedding FVE) and its released metrics.
    """
    grid = group_grid(checkpoint, "irrep_fve")
    keys = irrep_rows(key_irreps, grid.answers)
    unembedding = checkpoint.model.W_L.detach()[:, grid.answers.class_of].double().mT
    parts = (*grid.operands(checkpoint.model), unembedding)
    weights = [power_by_irrep(W, grid.answers) / W.square().sum() for W in parts]
    h, n, inside = checkpoint.neurons.double(), grid.group.order, grid.left < grid.group.order
    means = grid.means(h)
    squares = torch.where(inside, torch.linalg.vector_norm(h, dim=1).square(), 0).sum()
    variance = squares - n**2 * means[0].mean(0).square().sum()
    left, right, product = (n * power_by_irrep(mean, grid.answers) / variance for mean in means)
    explained = torch.where(keys, left + right + product, 0).sum()
    return IrrepFVE(*weights, left, right, product, explained)


def group_power(checkpoint: Checkpoint) -> GroupPower:
    """Return the power of the embedding at each irreducible representation ρ.

    The power of the embedding f is d_ρ ‖f̂(ρ)‖²_F / (c_ρ |G|²), summed over features, with f̂(ρ) = Σ_x f(x) ρ(x).
    The factor c is 1, 2 or 4 for ρ of real, complex or quaternionic type and corrects for the multiplicity of complex
    representations in the real representation: the sum over all ρ, including |mean f|² for the trivial representation,
    is Σ_x |f(x)|² / |G|. The embedding is defined as in ``irrep_fve``, whose embedding_fve is this power as a share.

    Source: docs/formulas.md, Groups; Chughtai et al. 2023, Appendix (Fourier transform over a group).
    """
    grid = group_grid(checkpoint, "group_power")
    left, right = (power_by_irrep(f, grid.answers) / grid.group.order for f in grid.operands(checkpoint.model))
    return GroupPower(left, right)
