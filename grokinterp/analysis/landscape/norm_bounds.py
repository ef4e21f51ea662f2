"""What the norms of the weights say about the network: products that bound its capacity, and its largest logit."""

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.errors import NotDefined
from grokinterp.maths.spectra import singular
from grokinterp.models import MLP, Model, RecursiveModel, Transformer
from grokinterp.models.layers import LayerNorm, quadratic
from grokinterp.runs.checkpoint import Checkpoint

NORMS = ("L1_inf", "frobenius", "spectral", "path")
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


class Ruler(NamedTuple):
    """A norm as a way to bound what a network computes.

    Args:
        size: the norm of a matrix [in, out]; x @ W is at most size(W) times as large as x.
        through: the bound of x @ W from that of x.
        length: the bound of x from bounds of its entries.
        widest: by how much entries of at most these sizes scale a vector.
    """

    size: Callable[[Tensor], Tensor]
    through: Callable[[Tensor, Tensor], Tensor]
    length: Callable[[Tensor], Tensor]
    widest: Callable[[Tensor], Tensor]


def norm_bounds(checkpoint: Checkpoint) -> NormBounds:
    """Products of norms of the weight matrices, alone and divided by the margin, and bounds on the logits.

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
        matrices = chain(model)
        sizes = [product_of(ruler.size, matrices) for ruler in RULERS[:3]]
        products = torch.stack([*sizes, path_norm(model, matrices)])
        bounds = torch.stack([largest(model, ruler) for ruler in RULERS])
    return NormBounds(
        products.log10(),
        (products / train_margin(checkpoint)).log10(),
        bounds.log10(),
        checkpoint.logits.double().abs().max().log10(),
    )


def product_of(size: Callable[[Tensor], Tensor], matrices: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Product of the norms."""
    return torch.stack([size(matrix) for matrix in matrices]).prod()


def chain(model: Model) -> list[Float[Tensor, "_ _"]]:
    """The matrices [in, out] that an input passes, from its one-hot vectors to the logits."""
    match model:
        case MLP():
            first, *others = (layer.W_in for layer in model.layers)
            one_hot = model.embeds_one_hot
            inputs = input_matrix(torch.eye(model.embed.d_vocab).to(first)[None] if one_hot else model.tables, model)
            found = [*([inputs @ first] if one_hot else [inputs, first]), *others, model.W_U]
        case RecursiveModel():
            found = [model.embed.W_E.flatten(0, 1), model.net.W_in, model.net.W_out, model.W_U]
        case Transformer():
            found = [model.W_E, *(matrix for block in model.blocks for matrix in matrices_of(block)), model.W_U]
        case _:
            raise NotDefined("norm_bounds", model.lacks("the layers"))
    return [matrix.detach().double() for matrix in found]


def matrices_of(block: Any) -> tuple[Tensor, ...]:
    """Values and outputs of all heads side by side, and the two matrices of the MLP."""
    attn, mlp = block.attn, block.mlp
    return attn.W_V.transpose(0, 1).flatten(1), attn.W_O.flatten(0, 1), mlp.W_in, mlp.W_out


def input_matrix(tables: Float[Tensor, "table token feature"], model: MLP) -> Float[Tensor, "_ _"]:
    """From the one-hot vectors of all positions, one behind the other, to what the first layer reads."""
    each = tables.expand(model.n_ctx, -1, -1)
    return each.flatten(0, 1) if model.spec.combine == "sum" else torch.block_diag(*each)


def path_norm(model: Model, matrices: Sequence[Tensor]) -> Float[Tensor, ""]:
    """√ of the sum over all paths from an input to a logit of the product of the squared weights, biases included."""
    if not isinstance(model, MLP) or model.layers[-1].act is quadratic:
        return matrices[0].new_tensor(torch.nan)
    biases = [*(layer.b_in for layer in model.layers), model.unembed.b_U]
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


# bounds on the logits


def scalar(size: Callable[[Tensor], Tensor], length: Callable[[Tensor], Tensor]) -> Ruler:
    """A ruler that bounds a vector by one number."""
    return Ruler(size, lambda bound, W: bound * size(W), length, torch.max)


def spectral_norm(matrix: Float[Tensor, "m n"]) -> Float[Tensor, ""]:
    """The largest singular value, of a matrix with entries of any size; not a number where an entry is none.

    >>> spectral_norm(torch.tensor([[3e200, 0.0], [0.0, 4e200]], dtype=torch.float64))
    tensor(4.0000e+200, dtype=torch.float64)
    """
    largest = matrix.abs().max()
    return largest * singular(matrix / largest)[0] if largest.isfinite() and largest > 0 else largest


RULERS = (
    scalar(lambda W: W.abs().sum(0).max(), lambda x: x.abs().max()),
    scalar(torch.linalg.matrix_norm, torch.linalg.vector_norm),
    scalar(spectral_norm, torch.linalg.vector_norm),
    Ruler(torch.abs, lambda bound, W: bound @ W.abs(), torch.abs, torch.abs),
)
"""Those of ``NORMS``; path bounds every entry of a vector by itself."""


def largest(model: Model, ruler: Ruler) -> Float[Tensor, ""]:
    """A number that no logit exceeds in size, on any sequence of tokens."""
    match model:
        case MLP():
            bound = through_mlp(model, ruler)
        case RecursiveModel():
            ones = model.W_U.new_ones(model.spec.d_model)
            bound = root_ball(ruler, ones, 0 * ones)
        case Transformer():
            bound = through_transformer(model, ruler)
        case _:
            raise NotDefined("norm_bounds", model.lacks("the layers"))
    return affine(ruler, bound, model.W_U, model.unembed.b_U).max()


def affine(ruler: Ruler, bound: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The bound of x W + b."""
    return ruler.through(bound, weight.double()) + ruler.length(bias.double())


def activated(act: Any, bound: Tensor) -> Tensor:
    """The bound of the activation function's values: |act(x)| ≤ |x|, or x²."""
    return bound.square() if act is quadratic else bound


def through_mlp(model: MLP, ruler: Ruler) -> Tensor:
    """The bound of the last hidden layer."""
    first, *others = model.layers
    rows = model.first_layer_rows.detach().double().abs().amax(1).expand(model.n_ctx, -1).sum(0)
    bound = activated(first.act, ruler.length(rows) + ruler.length(first.b_in.double()))
    for layer in others:
        bound = activated(layer.act, affine(ruler, bound, layer.W_in, layer.b_in))
    return bound


def through_transformer(model: Transformer, ruler: Ruler) -> Tensor:
    """The bound of what the unembedding reads, at any position."""
    bound = ruler.length(model.W_E.double().abs().amax(0)) + ruler.length(model.W_pos.double().abs().amax(0))
    for block in model.blocks:
        for norm, part in ((block.ln1, attended), (block.ln2, fed_forward)):
            read = bound if block.post_norm else normalized(norm, ruler, bound)
            bound = bound + part(block, ruler, read)
            bound = normalized(norm, ruler, bound) if block.post_norm else bound
    return normalized(model.ln_final, ruler, bound)


def attended(block: Any, ruler: Ruler, bound: Tensor) -> Tensor:
    """The bound of what attention adds."""
    attn = block.attn
    weights = attn.rate + (1 - attn.rate) * len(attn.mask)
    heads = zip(attn.W_V, attn.b_V, attn.W_O, strict=True)
    added = (ruler.through(weights * affine(ruler, bound, W_V, b_V), W_O.double()) for W_V, b_V, W_O in heads)
    return sum(added, ruler.length(attn.b_O.double()))


def fed_forward(block: Any, ruler: Ruler, bound: Tensor) -> Tensor:
    """The bound of what the MLP adds."""
    mlp = block.mlp
    return affine(ruler, activated(mlp.act, affine(ruler, bound, mlp.W_in, mlp.b_in)), mlp.W_out, mlp.b_out)


def normalized(norm: Any, ruler: Ruler, bound: Tensor) -> Tensor:
    """The bound after a LayerNorm, whatever it was before; unchanged where there is none."""
    if not isinstance(norm, LayerNorm):
        return bound
    if norm.affine:
        return root_ball(ruler, norm.w, norm.b)
    ones = torch.ones(norm.d_model, device=bound.device)
    return root_ball(ruler, ones, 0 * ones)


def root_ball(ruler: Ruler, weight: Tensor, bias: Tensor) -> Tensor:
    """The bound of w x + b for vectors x of length √d, those that LayerNorm and RMSNorm give."""
    return math.sqrt(len(weight)) * ruler.widest(weight.double().abs()) + ruler.length(bias.double())
