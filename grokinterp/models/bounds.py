"""Bounds of the layers of a network: upper bounds on absolute activations for any sequence of tokens."""

from typing import Any

import torch
from torch import Tensor

from grokinterp.maths.matrix_norms import Ruler
from grokinterp.models.layers import Block, LayerNorm, quadratic
from grokinterp.models.training_mode import BatchNorm


def activated(act: Any, bound: Tensor) -> Tensor:
    """Return the bound after an activation function: |act(x)| ≤ |x|, or x²."""
    return bound.square() if act is quadratic else bound


def through_layers(layers: Any, ruler: Ruler, bound: Tensor) -> Tensor:
    """Return the bound after several hidden layers, given the bound of their input."""
    for layer in layers:
        bound = normalized(layer.norm, ruler, ruler.affine(bound, layer.W_in, layer.b_in))
        bound = activated(layer.act, bound)
    return bound


def through_block(block: Block, ruler: Ruler, bound: Tensor) -> Tensor:
    """Return the bound of the residual stream after a block."""
    for norm, part in ((block.ln1, attended), (block.ln2, fed_forward)):
        read = bound if block.post_norm else normalized(norm, ruler, bound)
        bound = bound + part(block, ruler, read)
        bound = normalized(norm, ruler, bound) if block.post_norm else bound
    return bound


def attended(block: Block, ruler: Ruler, bound: Tensor) -> Tensor:
    """Return the bound of the output of attention."""
    attn = block.attn
    weights = attn.rate + (1 - attn.rate) * len(attn.mask)
    heads = zip(attn.W_V, attn.b_V, attn.W_O, strict=True)
    added = (ruler.through(weights * ruler.affine(bound, W_V, b_V), W_O.double()) for W_V, b_V, W_O in heads)
    return sum(added, ruler.length(attn.b_O.double()))


def fed_forward(block: Block, ruler: Ruler, bound: Tensor) -> Tensor:
    """Return the bound of the output of the MLP."""
    mlp = block.mlp
    neurons = activated(mlp.act, ruler.affine(bound, mlp.W_in, mlp.b_in))
    return ruler.affine(neurons, mlp.W_out, mlp.b_out)


def normalized(norm: Any, ruler: Ruler, bound: Tensor) -> Tensor:
    """Return the bound after a LayerNorm, which is independent of its input, or BatchNorm; unchanged without them."""
    if isinstance(norm, BatchNorm):
        return ruler.affine(bound, norm.scale.diag(), norm.shift)
    if not isinstance(norm, LayerNorm):
        return bound
    if norm.affine:
        return ruler.normalized(norm.w, norm.b)
    ones = torch.ones(norm.d_model, device=bound.device)
    return ruler.normalized(ones, 0 * ones)
