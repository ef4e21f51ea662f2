"""Fast exact forms of the models, which compute only what the answer depends on, and nothing twice.

The first layer's output at a position depends only on the (token, position) pair, and a finite task has few such pairs.
If the answer is read at one position, the last query, MLP and unembedding of a transformer are needed only there. Both
savings are exact; ``Model.forward`` is the plain twin.
"""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import embedding, relu

from grokinterp.models.layers import Attention, Block
from grokinterp.models.readout import ReadoutInputs


class LastLayer(NamedTuple):
    """Attention pattern and neurons of the last layer at the read-out position, and the residual stream after it."""

    pattern: Float[Tensor, "example head position"]
    neurons: Float[Tensor, "example neuron"]
    residual: Float[Tensor, "example d_model"]


class WholeBlock(NamedTuple):
    """Attention pattern, neurons, and residual stream at some or all positions of every example, a row for each."""

    pattern: Float[Tensor, "example head query key"]
    neurons: Float[Tensor, "out neuron"]
    residual: Float[Tensor, "out d_model"]


def last_position(blocks: Sequence[Block], x: Float[Tensor, "row d_model"], inputs: ReadoutInputs) -> LastLayer:
    """Compute the last layer at the last position from the embedded rows."""
    row, query_row, query = inputs.row, inputs.query_row, inputs.query
    for block in blocks[:-1]:
        x = whole_block(block, x, row).residual
        row = torch.arange(x.shape[0], device=x.device).view_as(inputs.row)
        query_row, query = row[:, -1], torch.arange(row.shape[0], device=x.device)
    block = blocks[-1]
    pattern, attn_out = attend_from_last(block.attn, block.before(block.ln1, x), row, query_row, query)
    middle = block.after(block.ln1, embedding(query, embedding(query_row, x)) + attn_out)
    mlp = block.mlp
    pre = torch.addmm(mlp.b_in, block.before(block.ln2, middle), mlp.W_in)
    neurons = pre.relu_() if mlp.act is relu else mlp.act(pre)  # in place: the largest array, not used again
    residual = block.after(block.ln2, middle + torch.addmm(mlp.b_out, neurons, mlp.W_out))
    return LastLayer(pattern, neurons, residual)


def all_positions(
    blocks: Sequence[Block], x: Float[Tensor, "row d_model"], inputs: ReadoutInputs, *, last: int | None = None
) -> WholeBlock:
    """Compute the last layer at every position, or only at the ``last`` positions, from the embedded rows."""
    row = inputs.row
    for block in blocks[:-1]:
        x = whole_block(block, x, row).residual
        row = torch.arange(x.shape[0], device=x.device).view_as(inputs.row)
    return whole_block(blocks[-1], x, row, last=last)


def project(x: Float[Tensor, "row d_model"], weight: Tensor, bias: Tensor) -> Float[Tensor, "row head d_head"]:
    """Multiply by the weights of all heads at once: x W + b."""
    heads, d_model, d_head = weight.shape
    flat = weight.transpose(0, 1).reshape(d_model, heads * d_head)
    return torch.addmm(bias.reshape(-1), x, flat).view(-1, heads, d_head)


def attend_from_last(
    attn: Attention,
    x: Float[Tensor, "row d_model"],
    row: Int[Tensor, "example position"],
    query_row: Int[Tensor, "query"],
    query: Int[Tensor, "example"],
) -> tuple[Float[Tensor, "example head position"], Float[Tensor, "example d_model"]]:
    """Return attention pattern and output of the last position, which attends to every position."""
    k, v = project(x, attn.W_K, attn.b_K), project(x, attn.W_V, attn.b_V)
    pattern = pattern_from_last(attn, x, k, row, query_row, query)
    values = (embedding(rows, v.flatten(1)).unflatten(-1, v.shape[1:]) for rows in row.unbind(1))
    z = reduce(torch.add, (weight.unsqueeze(-1) * value for weight, value in zip(pattern, values, strict=True)))
    return pattern.permute(1, 2, 0), torch.addmm(attn.b_O, z.flatten(1), attn.W_O.flatten(0, 1))


def pattern_from_last(
    attn: Attention,
    x: Float[Tensor, "row d_model"],
    k: Float[Tensor, "row head d_head"],
    row: Int[Tensor, "example position"],
    query_row: Int[Tensor, "query"],
    query: Int[Tensor, "example"],
) -> Float[Tensor, "position example head"]:
    """Return the attention pattern of the last position; positions lead, so that sums over them add whole rows."""
    q = project(embedding(query_row, x), attn.W_Q, attn.b_Q) / attn.scale
    n_rows, at = len(k), row.T
    if q.shape[0] * n_rows <= row.numel():  # all scores between distinct queries and keys, then looked up
        table = torch.einsum("qhe,rhe->qrh", q, k).flatten(0, 1).contiguous()
        return attn.weights(embedding(query * n_rows + at, table), 0)
    return attn.weights(torch.einsum("nhe,pnhe->pnh", q[query], k[at]), 0)


def whole_block(
    block: Block, x: Float[Tensor, "row d_model"], row: Int[Tensor, "example position"], *, last: int | None = None
) -> WholeBlock:
    """Compute a block at every position of every example, with queries, keys and values once per row.

    Args:
        block: the block.
        x: its input, a vector per row.
        row: the row of every position.
        last: compute the output only at so many last positions (default: at all of them).
    """
    attn, mlp, read, length = block.attn, block.mlp, block.before(block.ln1, x), row.shape[1]
    q, k, v = (project(read, getattr(attn, f"W_{name}"), getattr(attn, f"b_{name}"))[row] for name in ("Q", "K", "V"))
    visible = attn.mask[:length, :length]
    if last is not None:
        q, visible, row = q[:, -last:], visible[-last:], row[:, -last:]
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / attn.scale
    pattern = attn.weights(scores.masked_fill(~visible, -torch.inf))
    z = torch.einsum("bhqk,bkhe->bqhe", pattern, v)
    attn_out = torch.einsum("bqhe,hem->bqm", z, attn.W_O) + attn.b_O
    middle = block.after(block.ln1, embedding(row, x) + attn_out).flatten(0, 1)
    neurons = mlp.act(torch.addmm(mlp.b_in, block.before(block.ln2, middle), mlp.W_in))
    residual = block.after(block.ln2, middle + torch.addmm(mlp.b_out, neurons, mlp.W_out))
    return WholeBlock(pattern, neurons, residual)


FEW_TOKENS = 16
"""Largest number of tokens for which multiplying one-hot vectors is faster than gathering rows (on a CPU)."""


def sum_rows(
    tables: Float[Tensor, "table token feature"], tokens: Int[Tensor, "example position"]
) -> Float[Tensor, "example feature"]:
    """Return the sum over positions of each token's row in the table of the position, or in a shared table.

    >>> sum_rows(torch.tensor([[[1.0], [2.0]], [[10.0], [20.0]]]), torch.tensor([[0, 1]]))
    tensor([[21.]])
    """
    n_ctx, d_vocab = tokens.shape[1], tables.shape[1]
    tables = tables.expand(n_ctx, -1, -1)
    if d_vocab > FEW_TOKENS:
        return reduce(torch.add, map(embedding, tokens.unbind(1), tables.unbind(0)))
    return one_hot(tokens, d_vocab).flatten(1).to(tables.dtype) @ tables.flatten(0, 1)


def one_hot(tokens: Int[Tensor, "example position"], d_vocab: int) -> Bool[Tensor, "example position token"]:
    """Return the one-hot vector of the token at each position.

    >>> one_hot(torch.tensor([[2, 0]]), 3).int()
    tensor([[[0, 0, 1], [1, 0, 0]]], dtype=torch.int32)
    """
    return tokens.unsqueeze(-1) == torch.arange(d_vocab, device=tokens.device)
