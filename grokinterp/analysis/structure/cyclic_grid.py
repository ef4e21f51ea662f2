"""The examples of a task as a grid over its operands, indexed by tokens or by exponents in a cyclic group."""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.errors import NotDefined
from grokinterp.maths.groups import positions
from grokinterp.models import Model
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import BinaryTask, Task


class CyclicGrid(NamedTuple):
    """A binary operation in terms of exponents in C_n: g^i ∘ g^j = g^(i + j), i, j in 0..n-1.

    ``left`` and ``right`` are the tokens of each exponent as first and as second operand (under subtraction, b has
    exponent -b), ``class_of`` is the class of each exponent, and ``example`` is the example of each pair (i, j), in
    row-major order. ``by_token`` is the example of the pair of *tokens* with exponents i and j as first operand, for
    components that treat both positions alike; unless the operands ``share_tokens``, it equals ``example``. For
    addition modulo p, exponents and tokens coincide. Examples and classes outside the group (those with a 0, under
    multiplication) are excluded.
    """

    n: int
    left: Int[Tensor, "exponent"]
    right: Int[Tensor, "exponent"]
    class_of: Int[Tensor, "exponent"]
    example: Int[Tensor, "pair"]
    by_token: Int[Tensor, "pair"]
    share_tokens: bool
    is_plain: bool

    def examples(self, x: Float[Tensor, "example *rest"]) -> Float[Tensor, "pair *rest"]:
        """Return the values of the examples, indexed by pairs of exponents."""
        return x if self.is_plain else x[self.example]

    def logits(self, logits: Float[Tensor, "example class"]) -> Float[Tensor, "pair exponent"]:
        """Return the logits, indexed by the exponents of the operands and of the class."""
        return logits if self.is_plain else logits[self.example][:, self.class_of]

    def embedding(self, model: Model) -> Float[Tensor, "exponent feature"]:
        """Return the embedding by exponent; both operands side by side if they have separate tokens or tables."""
        table = model.embedding
        if model.n_tables == 1 and self.share_tokens:
            return table[self.left]
        first, second = (table, table) if model.n_tables == 1 else table.chunk(2, dim=1)
        return torch.cat([first[self.left], second[self.right]], dim=1)

    def embed(self, model: Model, rows: Float[Tensor, "exponent feature"]) -> Float[Tensor, "token _"]:
        """Return ``model.embedding`` with the rows of the operands replaced, in the format of ``embedding``."""
        table = model.embedding.detach().clone()
        if model.n_tables == 1 and self.share_tokens:
            table[self.left] = rows
            return table
        first, second = rows.chunk(2, dim=1)
        width = first.shape[1]
        table[self.left, :width], table[self.right, -width:] = first, second
        return table


def cyclic_grid(checkpoint: Checkpoint, analysis: str) -> CyclicGrid:
    """Return the grid of exponents of a task whose labels are products in a cyclic group.

    Raises:
        NotDefined: the labels are not such products, or the group has fewer than three elements.
    """
    found = grid_of(checkpoint.problem.task, str(checkpoint.problem.tokens.device))
    if isinstance(found, str):
        raise NotDefined(analysis, found)
    return found


@lru_cache(maxsize=8)
def grid_of(task: Task, device: str) -> CyclicGrid | str:
    """Return the cyclic grid of a task, or the reason why it has none."""
    algebra = task.algebra
    if algebra is None:
        return task.no_group
    logarithm = algebra.group.logarithm
    if logarithm is None or algebra.group.order < 3:
        return f"the group of {task.kind}, {algebra.group.name}, is not cyclic of order 3 or more"
    if len(algebra.operands) != 2:
        return f"{task.kind} has {len(algebra.operands)} operands, not two"
    left, right, answer = algebra.exponents(logarithm)
    n, (a, b) = algebra.group.order, task.tokens().T
    share_tokens = torch.equal(left >= 0, right >= 0)
    example = pairs(left[a], right[b], n)
    by_token = pairs(left[a], left[b], n) if share_tokens else example
    lacking = int((example < 0).sum()) or int((by_token < 0).sum())
    if lacking:
        return f"{task.kind} lacks {lacking} of the {n * n} pairs of {algebra.group.name}"
    parts = [*(positions(found, n) for found in (left, right, answer)), example, by_token]
    is_plain = len(a) == n * n and len(answer) == n and all(torch.equal(x, torch.arange(len(x))) for x in parts)
    return CyclicGrid(n, *(part.to(device) for part in parts), share_tokens, is_plain)


def pairs(i: Int[Tensor, "example"], j: Int[Tensor, "example"], n: int) -> Int[Tensor, "pair"]:
    """Return the example of every pair of exponents, in row-major order; -1 if there is none."""
    inside = (i >= 0) & (j >= 0)
    found = torch.full((n * n,), -1)
    found[(i * n + j)[inside]] = inside.nonzero().flatten()
    return found


def by_operands(x: Float[Tensor, "example *rest"], task: Task, analysis: str) -> Float[Tensor, "a b *rest"]:
    """Return the values of a binary task's examples over all pairs (a, b); NaN where the operation is not defined.

    Raises:
        NotDefined: the task does not have two operands.
    """
    if not isinstance(task, BinaryTask):
        raise NotDefined(analysis, task.no_operands)
    n = task.d_vocab
    if task.n_examples == n * n:
        return x.unflatten(0, (n, n))
    with_hole = torch.cat([x, torch.full_like(x[:1], torch.nan)])
    return with_hole[example_of(task, str(x.device))]


@lru_cache(maxsize=8)
def example_of(task: BinaryTask, device: str) -> Int[Tensor, "a b"]:
    """Return the example of every pair; the number of examples for pairs without an example."""
    n, tokens = task.d_vocab, task.tokens()
    table = torch.full((n, n), len(tokens))
    table[tokens[:, 0], tokens[:, 1]] = torch.arange(len(tokens))
    return table.to(device)
