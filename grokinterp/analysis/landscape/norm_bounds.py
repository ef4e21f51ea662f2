"""Products of weight norms, which bound the capacity of the network and its largest logit."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.maths.matrix_norms import RULERS
from grokinterp.models import Model
from grokinterp.runs.checkpoint import Checkpoint

NORMS = tuple(RULERS)
MARGIN_QUANTILE = 0.1

AXES = {"norm": NORMS}


class NormBounds(NamedTuple):
    """Products of the norms of all weight matrices, and bounds on the logits, as decimal logarithms.

    norm_product: log10 of the product of the matrices' norms; of the L2 path norm for path [1]
    product_per_margin: log10 of the norm product divided by the margin that 90 % of training examples exceed [1]
    logit_bound: log10 of an upper bound on the absolute logits for any input, by this norm [1]
    largest_logit: log10 of the largest absolute logit on the examples [1]
    """

    norm_product: Float[Tensor, "norm"]
    product_per_margin: Float[Tensor, "norm"]
    logit_bound: Float[Tensor, "norm"]
    largest_logit: Float[Tensor, ""]


def norm_bounds(checkpoint: Checkpoint) -> NormBounds:
    """Return products of norms of the weight matrices, alone and divided by the margin, and bounds on the logits.

    The norms of a matrix W [in, out] are L1_inf, the largest Σ_i |W_ij| over outputs j; frobenius; and spectral, the
    largest singular value. norm_product multiplies them over the embedding, the hidden layers, and the unembedding; in
    a transformer over W_E, W_V and W_O (all heads concatenated), W_in, W_out and W_U, because queries and keys only
    determine averages; a recursive model counts the shared network once. For path it is the L2 path norm
    √(Σ_paths Π w²) of an MLP, and NaN for other models and for the quadratic activation, for which weights do not
    multiply along paths. Bounds on the generalization gap increase with product / margin; they are vacuous at these
    sizes, so only their change over training is informative.

    logit_bound propagates a bound through the network: an affine map multiplies it by the norm and adds the norm of the
    bias; sums and residual streams add; ReLU, GELU and SiLU do not increase it, and the quadratic activation squares
    it; attention averages, with weights that sum to 1 (or to rate + (1 - rate) n); LayerNorm and RMSNorm reset it to
    √d. path does this entry by entry, with |W|, and never exceeds L1_inf. |logit| ≤ bound holds for every input, up to
    rounding; compare it with largest_logit.

    Source: Bartlett and Mendelson 2002 (L1_inf); Neyshabur et al. 2015 (path and Frobenius norms); Bartlett et al.
    2017 (spectral norms, margin); Jiang et al. 2020 (as measures over training); docs/formulas.md, "Sparse structure
    and bounds".

    Raises:
        NotDefined: the layers of the model are unknown.
    """
    model = checkpoint.model
    with torch.no_grad():
        matrices = [matrix.detach().double() for matrix in model.weight_chain]
        sizes = [product_of(RULERS[norm].size, matrices) for norm in NORMS[:3]]
        products = torch.stack([*sizes, path_norm(model, matrices)])
        bounds = torch.stack([model.logit_bound(RULERS[norm]).max() for norm in NORMS])
    return NormBounds(
        products.log10(),
        (products / train_margin(checkpoint)).log10(),
        bounds.log10(),
        checkpoint.logits.double().abs().max().log10(),
    )


def product_of(size: Callable[[Tensor], Tensor], matrices: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Return the product of the norms."""
    return torch.stack([size(matrix) for matrix in matrices]).prod()


def path_norm(model: Model, matrices: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Return the root of the sum, over all paths from input to logit, of the product of squared weights and biases."""
    biases = model.chain_biases
    if biases is None:
        return matrices[0].new_tensor(torch.nan)
    *embedding, _ = matrices[: len(matrices) - len(biases) + 1]
    paths = reduce(lambda x, W: x @ W.square(), embedding, matrices[0].new_ones(len(matrices[0])))
    for matrix, bias in zip(matrices[-len(biases) :], biases, strict=True):
        paths = paths @ matrix.square() + bias.double().square()
    return paths.sum().sqrt()


def train_margin(checkpoint: Checkpoint) -> Float[Tensor, ""]:
    """Return the margin that 90 % of the training examples exceed; NaN if it is not positive or without examples."""
    is_train, labels = checkpoint.problem.is_train, checkpoint.problem.trained_label
    if not is_train.any():
        return checkpoint.logits.new_tensor(torch.nan).double()
    logits, labels = checkpoint.logits[is_train].double(), labels[is_train].unsqueeze(1)
    margins = logits.gather(1, labels).squeeze(1) - logits.scatter(1, labels, -torch.inf).amax(1)
    ranked = margins.sort().values
    found = ranked[int(MARGIN_QUANTILE * (len(ranked) - 1))]
    return torch.where(found > 0, found, torch.nan)
