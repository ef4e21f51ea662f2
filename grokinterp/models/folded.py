"""The logits of a layer without LayerNorm, from tables that are folded through all its weights, for training.

The tables are those of ``tabulated``, with the direct logits in place of the residual stream: with W_L = W_out W_U,

    T[h, r] = (x_r W_V,h + b_V,h) W_O,h [W_in | W_U],
    [pre | direct] = B[query] + Σ_{p,h} A[p, h] T[h, row p],    logits = direct + act(pre) W_L.

No product with W_O, W_in or W_out is computed per example, and the gradient of the table, too, is a weighted sum of a
few terms per entry. ``fast.last_position`` is the twin with second derivatives, which also runs under ``torch.func``.
"""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag, relu

from grokinterp.models.fast import pattern_from_last, project
from grokinterp.models.layers import Block
from grokinterp.models.readout import ReadoutInputs
from grokinterp.models.tabulated import AT_ONCE, LOOKUP, parts, terms


def folding_saves(block: Block, inputs: ReadoutInputs, classes: int) -> bool:
    """Return whether tables take less time than a product of every example with every matrix.

    Time is counted in multiplications of a forward pass; those of the tables count twice, as they are many small
    products. Tables take longer for few examples, for many positions, and for more classes than about 2 d_model.
    """
    (heads, d_head, d_model), neurons = block.attn.W_O.shape, block.mlp.W_in.shape[1]
    rows, (examples, positions) = len(inputs.row_token), inputs.tokens.shape
    width, columns = heads * d_head, neurons + classes
    products = d_model * (width + 2 * neurons + classes)
    lookups = neurons * classes + LOOKUP * heads * positions * columns
    tables = (rows + d_model) * width * columns + neurons * d_model * classes
    return 2 * tables + examples * lookups < examples * products


def folded_logits(
    block: Block,
    x: Float[Tensor, "row d_model"],
    inputs: ReadoutInputs,
    W_U: Float[Tensor, "d_model class"],
    b_U: Float[Tensor, "class"],
) -> Float[Tensor, "example class"]:
    """Return the logits at the last position of a block without LayerNorm, from the embedded rows.

    They can be differentiated once; a second derivative raises RuntimeError.
    """
    attn, mlp, k = block.attn, block.mlp, project(x, block.attn.W_K, block.attn.b_K)
    pattern = pattern_from_last(attn, x, k, inputs.row, inputs.query_row, inputs.query)
    values, base, pattern = terms(attn, x, inputs, pattern)
    after = torch.cat([mlp.W_in, W_U], 1)
    into = (attn.W_O.flatten(0, 1) @ after).view(*attn.W_O.shape[:2], -1)
    base = torch.addmm(torch.cat([mlp.b_in, mlp.b_out @ W_U + b_U]), base, after)
    at = inputs.row[:, : len(pattern)], inputs.query
    return LogitsOfRows.apply(pattern.permute(1, 2, 0), values, into, base, mlp.W_out @ W_U, *at, mlp.act)


class LogitsOfRows(torch.autograd.Function):
    """The logits as a function of the attention, the values of rows, and the matrices after them.

    The arrays with a column per neuron and class are computed for ``AT_ONCE`` examples per thread at a time.
    """

    @staticmethod
    def forward(
        ctx: Any,
        pattern: Float[Tensor, "example head position"],
        values: Float[Tensor, "row head d_head"],
        into: Float[Tensor, "head d_head column"],
        base: Float[Tensor, "query column"],
        W_L: Float[Tensor, "neuron class"],
        row: Int[Tensor, "example position"],
        query: Int[Tensor, "example"],
        act: Callable[[Tensor], Tensor],
    ) -> Float[Tensor, "example class"]:
        """Return the logits; the tables of all heads, and ``base``, are one table, with an entry per term."""
        (rows, heads, _), (queries, columns) = values.shape, base.shape
        table = values.new_empty(heads * rows + queries, columns)
        torch.bmm(values.transpose(0, 1), into, out=table[: heads * rows].view(heads, rows, columns))
        table[heads * rows :] = base
        of_heads = row.unsqueeze(1) + rows * torch.arange(heads, device=row.device).unsqueeze(1)
        entry = torch.cat([of_heads.flatten(1), query.unsqueeze(1) + heads * rows], 1)
        weight = torch.cat([pattern.flatten(1), pattern.new_ones(len(query), 1)], 1)
        logits, kept = values.new_empty(len(query), W_L.shape[1]), []
        ctx.at_once = AT_ONCE * torch.get_num_threads()
        for some in parts(len(query), ctx.at_once):
            hidden = weighted_sum(table, entry[some], weight[some])
            pre, direct = hidden.split(W_L.shape, 1)
            post = pre.relu_() if act is relu else act(pre)  # in place: ``before_activation`` needs the neurons only
            torch.addmm(direct, post, W_L, out=logits[some])
            if any(ctx.needs_input_grad):
                kept.append(hidden)
        ctx.save_for_backward(values, into, W_L, row, table, entry, weight, *kept)
        ctx.act = act
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Float[Tensor, "example class"]) -> tuple[Tensor | None, ...]:
        """Return the gradients; the gradient of the table is a weighted sum, too: of the examples of each entry."""
        values, into, W_L, row, table, entry, weight, *kept = ctx.saved_tensors
        (gradient,), (rows, heads, _), (neurons, _) = gradients, values.shape, W_L.shape
        of_hidden = values.new_empty(len(entry), table.shape[1])
        of_classes = torch.zeros_like(W_L.T, memory_format=torch.contiguous_format)
        for some, hidden in zip(parts(len(entry), ctx.at_once), kept, strict=True):
            of_pre, of_direct = of_hidden[some].split(W_L.shape, 1)
            torch.mm(gradient[some], W_L.T, out=of_pre)
            post = before_activation(ctx.act, hidden[:, :neurons], of_pre)
            of_classes.addmm_(gradient[some].T, post)
            of_direct.copy_(gradient[some])
        of_pattern = inner_products(of_hidden, table, entry[:, :-1]).view(len(entry), heads, row.shape[1])
        sorted_entry, order = entry.flatten().sort(stable=True)
        starts = torch.searchsorted(sorted_entry, torch.arange(len(table), device=entry.device))
        of_table = weighted_sum(of_hidden, order // entry.shape[1], weight.flatten()[order], starts)
        of_rows = of_table[: heads * rows].view(heads, rows, -1)
        of_values, of_into = (of_rows @ into.mT).transpose(0, 1), values.permute(1, 2, 0) @ of_rows
        return of_pattern, of_values, of_into, of_table[heads * rows :], of_classes.T, None, None, None


def before_activation(act: Callable[[Tensor], Tensor], pre: Tensor, gradient: Tensor) -> Tensor:
    """Turn the gradient of an activation into the gradient of its argument, in place, and return the activation.

    For the ReLU, ``pre`` may be the activation already.
    """
    if act is relu:
        gradient.mul_(pre.sign())
        return pre
    with torch.enable_grad():
        argument = pre.detach().requires_grad_()
        post = act(argument)
    gradient.copy_(torch.autograd.grad(post, argument, gradient)[0])
    return post.detach()


def weighted_sum(
    table: Float[Tensor, "entry column"],
    entry: Int[Tensor, "*term"],
    weight: Float[Tensor, "*term"],
    starts: Int[Tensor, "sum"] | None = None,
) -> Float[Tensor, "sum column"]:
    """Return weighted sums of entries of a table: one per row of ``entry``, or one per start in a flat ``entry``.

    >>> weighted_sum(torch.tensor([[1.0], [10.0]]), torch.tensor([[0, 1]]), torch.tensor([[2.0, 3.0]]))
    tensor([[32.]])
    """
    return embedding_bag(entry, table, starts, per_sample_weights=weight, mode="sum")


def inner_products(
    x: Float[Tensor, "example column"], table: Float[Tensor, "entry column"], entry: Int[Tensor, "example term"]
) -> Float[Tensor, "example term"]:
    """Return the inner products of every row of x with some entries of a table, whose numbers ascend in every row.

    >>> inner_products(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 1.0], [3.0, 4.0]]), torch.tensor([[0, 1]]))
    tensor([[ 2., 11.]])
    """
    announce_sparse_tensors()
    (examples, terms), zeros = entry.shape, x.new_zeros(entry.numel())
    starts = terms * torch.arange(examples + 1, device=entry.device)
    chosen = torch.sparse_csr_tensor(starts, entry.flatten(), zeros, (examples, len(table)), check_invariants=False)
    return torch.sparse.sampled_addmm(chosen, x, table.T).values().view_as(entry)


@cache
def announce_sparse_tensors() -> None:
    """Make a sparse tensor, for which PyTorch warns once in a process that they are in beta state, without warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.eye(1).to_sparse_csr()
