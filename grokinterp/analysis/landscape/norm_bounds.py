"""What the norms of the weights say about the network: products that bound its capacity, and its largest logit."""

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
    """Norms of all weight matrices together, as decimal logarithms.

    norm_product: log10 of the product of the matrices' norms; of the L2 path norm for path [1]
    product_per_margin: log10 of that product divided by the margin that 90 % of training examples exceed [1]
    logit_bound: log10 of the size that no logit exceeds on any input, by this norm [1]
    largest_logit: log10 of the largest size of a logit on the examples [1]
    """

    norm_product: Float[Tensor, "norm"]
    product_per_margin: Float[Tensor, "norm"]
    logit_bound: Float[Tensor, "norm"]
    largest_logit: Float[Tensor, ""]


def norm_bounds(checkpoint: Checkpoint) -> NormBounds:
    """Return products of norms of the weight matrices, alone and divided by the margin, and bounds on the logits.

    Norms of a matrix W [in, out]: L1_inf, the largest Σ_i |W_ij| of an output j; frobenius; spectral, the largest
    singular value. norm_product multiplies them over the embedding, the hidden layers and the unembedding; in a
    transformer over W_E, W_V and W_O (all heads side by side), W_in, W_out and W_U, since queries and keys only weigh;
    in a recursive model with the shared network once. For path it is the L2 path norm √(Σ_paths Π w²) of an MLP, NaN
    elsewhere and for the quadratic activation, along whose paths weights do not multiply. Bounds on the generalization
    gap grow with product / margin; they are vacuous at these sizes, and it is their course over training that is read.

    logit_bound follows one input through the network: an affine map multiplies the bound by the norm and adds the
    bias's; sums and residual streams add; ReLU, GELU and SiLU do not enlarge, the quadratic activation squares;
    attention averages, its weights summing to 1 (or to rate + (1 - rate) n); a LayerNorm and an RMSNorm restart at √d.
    path does so entry by entry, with |W|, and is never above L1_inf. |logit| ≤ bound on every input, proven up to
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
    """Product of the norms."""
    return torch.stack([size(matrix) for matrix in matrices]).prod()


def path_norm(model: Model, matrices: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Return √ of the sum over all paths from an input to a logit of the product of the squared weights and biases."""
    biases = model.chain_biases
    if biases is None:
        return matrices[0].new_tensor(torch.nan)
    *embedding, _ = matrices[: len(matrices) - len(biases) + 1]
    paths = reduce(lambda x, W: x @ W.square(), embedding, matrices[0].new_ones(len(matrices[0])))
    for matrix, bias in zip(matrices[-len(biases) :], biases, strict=True):
        paths = paths @ matrix.square() + bias.double().square()
    return paths.sum().sqrt()


def train_margin(checkpoint: Checkpoint) -> Float[Tensor, ""]:
    """The margin that 90 % of the training examples exceed; NaN where it is not positive or nothing was trained on."""
    is_train, labels = checkpoint.problem.is_train, checkpoint.problem.trained_labels
    if not is_train.any():
        return checkpoint.logits.new_tensor(torch.nan).double()
    logits, labels = checkpoint.logits[is_train].double(), labels[is_train].unsqueeze(1)
    margins = logits.gather(1, labels).squeeze(1) - logits.scatter(1, labels, -torch.inf).amax(1)
    ranked = margins.sort().values
    found = ranked[int(MARGIN_QUANTILE * (len(ranked) - 1))]
    return torch.where(found > 0, found, torch.nan)
