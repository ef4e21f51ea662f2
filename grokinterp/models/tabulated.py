"""The read-out of a layer without LayerNorm and without gradients, from tables of its rows.

Without LayerNorm, the residual stream at the read-out position is a sum of terms that each depend on a single (token,
position) pair, a *row*, times an attention weight. Every row has a table entry

    T[h, r] = (x_r W_V,h + b_V,h) W_O,h [W_in | 1],

and the pre-activations and the residual stream before the neurons are a weighted sum of a few entries per example:

    [pre | middle] = B[query] + Σ_{p,h} A[p, h] T[h, row p].

If all examples end in the same token ("="), the weights of its entries follow from the others, because attention sums
to a constant: T[h, "="] is subtracted from every entry and added to B. Neurons are computed for a few examples at a
time, which stay in the processor's cache. ``fast.last_position`` computes the same values without tables, can be
differentiated, and runs under ``torch.func``.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding, embedding_bag

from grokinterp.models.fast import pattern_from_last, project
from grokinterp.models.layers import ATTENTION_FUNCTIONS, Attention, Block
from grokinterp.models.readout import Readout, ReadoutInputs

AT_ONCE = 512
"""Number of examples per thread whose neurons are computed at a time: they fit into the cache of a processor."""

LOOKUP = 4
"""Time of a multiplication by a table entry over that of one in a matrix product (measured in float64: 4.2)."""


def tables_save(block: Block, inputs: ReadoutInputs) -> bool:
    """Return whether tables take less time than a matrix product for every example.

    They save nothing for few examples, and for many positions, each of which is an entry per head.
    """
    heads, d_head, d_model = block.attn.W_O.shape
    rows, (examples, positions) = len(inputs.row_token), inputs.tokens.shape
    columns, width = block.mlp.W_in.shape[1] + d_model, heads * d_head
    entries = heads * (positions - follows(block.attn, inputs)) + 1
    return LOOKUP * examples * entries * columns + rows * width * columns < examples * d_model * (width + columns)


def follows(attn: Attention, inputs: ReadoutInputs) -> bool:
    """Return whether the last position is the same in all examples, and its attention follows from the others."""
    return len(inputs.query_row) == 1 and attn.attention_fn in ATTENTION_FUNCTIONS.values()


@torch.no_grad()
def readout_by_tables(
    block: Block,
    x: Float[Tensor, "row d_model"],
    inputs: ReadoutInputs,
    W_U: Float[Tensor, "d_model class"],
    b_U: Float[Tensor, "class"],
) -> Readout:
    """Return the read-out at the last position from the embedded rows."""
    attn, mlp = block.attn, block.mlp
    k = project(x, attn.W_K, attn.b_K)
    pattern = pattern_from_last(attn, x, k, inputs.row, inputs.query_row, inputs.query)
    table, entry, weight = tables(block, x, inputs, pattern)
    examples, neurons = len(inputs.tokens), mlp.W_in.shape[1]
    found = (x.new_empty(examples, width) for width in (neurons, len(W_U), W_U.shape[1]))
    readout = Readout(pattern.permute(1, 2, 0), *found)
    for some in parts(examples, AT_ONCE * torch.get_num_threads()):
        hidden = embedding_bag(entry[some], table, per_sample_weights=weight[some], mode="sum")
        post = readout.neurons[some].copy_(mlp.act(hidden[:, :neurons]))
        torch.addmm(hidden[:, neurons:], post, mlp.W_out, out=readout.residual[some])
        torch.addmm(b_U, readout.residual[some], W_U, out=readout.logits[some])
    return readout


def terms(
    attn: Attention,
    x: Float[Tensor, "row d_model"],
    inputs: ReadoutInputs,
    pattern: Float[Tensor, "position example _"],
) -> tuple[Float[Tensor, "row head d_head"], Float[Tensor, "query d_model"], Float[Tensor, "attended example _"]]:
    """Return the values of the rows, the residual stream that follows from the query alone, and the attention."""
    values, base = project(x, attn.W_V, attn.b_V), embedding(inputs.query_row, x) + attn.b_O
    if not follows(attn, inputs):
        return values, base, pattern
    last = embedding(inputs.query_row, values.flatten(1))
    base = torch.addmm(base, last, attn.W_O.flatten(0, 1), alpha=attn.total(len(pattern)))
    return values - last.view_as(values[:1]), base, pattern[:-1]


def tables(
    block: Block, x: Float[Tensor, "row d_model"], inputs: ReadoutInputs, pattern: Float[Tensor, "position example _"]
) -> tuple[Float[Tensor, "entry column"], Int[Tensor, "example _"], Float[Tensor, "example _"]]:
    """Return the tables of all heads and of the queries below each other, and entries and weights of every example."""
    attn, mlp, rows, heads = block.attn, block.mlp, len(x), block.attn.W_O.shape[0]
    values, base, pattern = terms(attn, x, inputs, pattern)
    of_rows = torch.bmm(values.transpose(0, 1), attn.W_O).flatten(0, 1)
    table = torch.cat([torch.cat([part @ mlp.W_in, part], 1) for part in (of_rows, base)])
    table[len(of_rows) :] += torch.cat([mlp.b_in, mlp.b_out])
    of_heads = rows * torch.arange(heads, device=x.device)
    entry = (inputs.row[:, : len(pattern), None] + of_heads).flatten(1)
    entry = torch.cat([entry, heads * rows + inputs.query[:, None]], 1)
    weight = pattern.transpose(0, 1).flatten(1)
    return table, entry, torch.cat([weight, weight.new_ones(len(weight), 1)], 1)


def parts(examples: int, most: int) -> Iterator[slice]:
    """Yield slices of at most so many examples.

    >>> list(parts(513, 512))
    [slice(0, 512, None), slice(512, 1024, None)]
    """
    return (slice(start, start + most) for start in range(0, examples, most))
