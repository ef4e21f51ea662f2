"""The exact fast form of a transformer read at its last position.

The last layer's query, MLP and unembedding matter at that position only, and what the first layer
computes per position depends on the (token, position) pair alone, of which a finite task has few.
Using both changes no number; ``readout_by_hooks`` is the plain twin, and runs by itself whenever
hooks are attached to the model.
"""

from functools import reduce
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding, relu

from grokinterp.models.hooked import HookPoint
from grokinterp.models.transformer import Attention, Block, Transformer


class Readout(NamedTuple):
    """What the last layer holds at the read-out position, for every example."""

    pattern: Float[Tensor, "example head position"]
    neurons: Float[Tensor, "example neuron"]
    residual: Float[Tensor, "example d_model"]
    logits: Float[Tensor, "example class"]


class ReadoutInputs(NamedTuple):
    """Examples with their distinct (token, position) pairs, the *rows*, listed once.

    ``row`` says which row each position of each example is; ``query_row`` lists the distinct rows
    of the last position and ``query`` which of them each example has.
    """

    tokens: Int[Tensor, "example position"]
    row_token: Int[Tensor, "row"]
    row_position: Int[Tensor, "row"]
    row: Int[Tensor, "example position"]
    query_row: Int[Tensor, "query"]
    query: Int[Tensor, "example"]

    @classmethod
    def of(cls, tokens: Int[Tensor, "example position"]) -> "ReadoutInputs":
        """List the distinct pairs, ordered by position, then token."""
        d_vocab = int(tokens.max()) + 1
        pair = tokens + d_vocab * torch.arange(tokens.shape[1], device=tokens.device)
        distinct, row = pair.unique(return_inverse=True)
        query_row, query = row[:, -1].unique(return_inverse=True)
        return cls(tokens, distinct % d_vocab, distinct // d_vocab, row, query_row, query)

    def to(self, device: torch.device | str) -> "ReadoutInputs":
        """The same on another device."""
        return ReadoutInputs(*(part.to(device) for part in self))


def readout(model: Transformer, inputs: ReadoutInputs) -> Readout:
    """Logits and last-layer activations at the read-out position, equal to the plain module's.

    Source: shared arithmetic of ``Transformer``; measured in benchmarks/.
    """
    if any(point.has_hooks() for point in model.hook_points()):
        return readout_by_hooks(model, inputs.tokens)
    x = embedding(inputs.row_token, model.W_E) + embedding(inputs.row_position, model.W_pos)
    row, query_row, query = inputs.row, inputs.query_row, inputs.query
    for block in model.blocks[:-1]:
        x = whole_block(block, x, row)
        row = torch.arange(x.shape[0], device=x.device).view_as(inputs.row)
        query_row, query = row[:, -1], torch.arange(row.shape[0], device=x.device)
    block = model.blocks[-1]
    pattern, attn_out = attend_from_last(block.attn, block.ln1(x), row, query_row, query)
    middle = x[query_row][query] + attn_out
    mlp = block.mlp
    pre = torch.addmm(mlp.b_in, block.ln2(middle), mlp.W_in)
    neurons = pre.relu_() if mlp.act is relu else mlp.act(pre)  # in place: the largest array, and nobody reads it again
    residual = middle + torch.addmm(mlp.b_out, neurons, mlp.W_out)
    logits = torch.addmm(model.b_U, model.ln_final(residual), model.W_U)
    return Readout(pattern, neurons, residual, logits)


def readout_by_hooks(model: Transformer, tokens: Int[Tensor, "example position"]) -> Readout:
    """The naive twin of ``readout``: the plain module, all positions, activations caught by hooks."""
    last = f"blocks.{model.spec.n_layers - 1}"
    kept: dict[str, Tensor] = {}

    def keep(value: Tensor, *, hook: HookPoint) -> None:
        kept[str(hook.name)] = value

    names = [f"{last}.attn.hook_pattern", f"{last}.mlp.hook_post", f"{last}.hook_resid_post"]
    with model.hooks(fwd_hooks=[(name, keep) for name in names]):
        logits = model(tokens)[:, -1]
    pattern, neurons, residual = (kept[name] for name in names)
    return Readout(pattern[:, :, -1], neurons[:, -1], residual[:, -1], logits)


def project(x: Float[Tensor, "row d_model"], weight: Tensor, bias: Tensor) -> Float[Tensor, "row head d_head"]:
    """Multiply by every head's weight at once: x W + b."""
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
    """Attention pattern and output of the last position, which sees every position."""
    k, v = project(x, attn.W_K, attn.b_K), project(x, attn.W_V, attn.b_V)
    q = project(x[query_row], attn.W_Q, attn.b_Q) / attn.scale
    n_rows, heads, d_head = k.shape
    at = row.T  # positions lead, so that softmax and sum over them run along whole rows
    if q.shape[0] * n_rows <= row.numel():  # all scores between distinct queries and keys, then looked up
        table = torch.einsum("qhe,rhe->qrh", q, k).flatten(0, 1)
        scores = embedding(query * n_rows + at, table)
    else:
        scores = torch.einsum("nhe,pnhe->pnh", q[query], k[at])
    pattern = scores.softmax(0)
    values = (embedding(rows, v.flatten(1)).unflatten(-1, (heads, d_head)) for rows in at.unbind(0))
    z = reduce(torch.add, (weight.unsqueeze(-1) * value for weight, value in zip(pattern, values, strict=True)))
    return pattern.permute(1, 2, 0), torch.addmm(attn.b_O, z.flatten(1), attn.W_O.flatten(0, 1))


def whole_block(
    block: Block, x: Float[Tensor, "row d_model"], row: Int[Tensor, "example position"]
) -> Float[Tensor, "out d_model"]:
    """One block at every position of every example; queries, keys and values once per row."""
    attn, normalized = block.attn, block.ln1(x)
    q, k, v = (
        project(normalized, getattr(attn, f"W_{name}"), getattr(attn, f"b_{name}"))[row] for name in ("Q", "K", "V")
    )
    visible = attn.mask[: row.shape[1], : row.shape[1]]
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / attn.scale
    pattern = scores.masked_fill(~visible, -torch.inf).softmax(-1)
    z = torch.einsum("bhqk,bkhe->bqhe", pattern, v)
    middle = x[row] + torch.einsum("bqhe,hem->bqm", z, attn.W_O) + attn.b_O
    return (middle + block.mlp(block.ln2(middle))).flatten(0, 1)
