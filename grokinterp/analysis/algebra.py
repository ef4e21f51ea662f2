"""A task's examples as a grid over its operands: by their tokens, and by their exponents in a cyclic group."""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.checkpoint import Checkpoint
from grokinterp.errors import NotDefined
from grokinterp.maths.groups import Algebra
from grokinterp.tasks import BinaryTask, Task


class CyclicGrid(NamedTuple):
    """A binary operation in which everything is an exponent: g^i ∘ g^j = g^(i + j), i, j in 0..n-1.

    The group is C_n. ``token`` is the left operand with each exponent, ``class_of`` the class, and
    ``example`` the example of the pair (i, j), in row-major order. Addition modulo p is this already:
    then all three count from 0. Examples and classes outside the group (those with a 0, under
    multiplication) are left out.
    """

    n: int
    token: Int[Tensor, "exponent"]
    class_of: Int[Tensor, "exponent"]
    example: Int[Tensor, "pair"]
    is_plain: bool

    def examples(self, x: Float[Tensor, "example *rest"]) -> Float[Tensor, "pair *rest"]:
        """Values of the examples, by the pair of exponents."""
        return x if self.is_plain else x[self.example]

    def logits(self, logits: Float[Tensor, "example class"]) -> Float[Tensor, "pair exponent"]:
        """Logits by the exponents of the operands and of the class."""
        return logits if self.is_plain else logits[self.example][:, self.class_of]


def cyclic_grid(checkpoint: Checkpoint, analysis: str) -> CyclicGrid:
    """The exponents of a task whose labels are products in a cyclic group.

    Raises:
        NotDefined: any other task, or a group of fewer than three elements.
    """
    found = grid_of(checkpoint.problem.task, str(checkpoint.problem.tokens.device))
    if isinstance(found, str):
        raise NotDefined(analysis, found)
    return found


def cyclic_order(task: Task) -> int:
    """N of the task's cyclic group C_n, 0 where it has none."""
    found = grid_of(task, "cpu")
    return 0 if isinstance(found, str) else found.n


@lru_cache(maxsize=8)
def grid_of(task: Task, device: str) -> CyclicGrid | str:
    """The task's cyclic grid, or why it has none."""
    algebra = task.algebra
    if algebra is None:
        return f"{task.kind} is not a product in a group"
    logarithm = algebra.group.logarithm
    if logarithm is None or algebra.group.order < 3:
        return f"the group of {task.kind}, {algebra.group.name}, is not cyclic of order 3 or more"
    left, right, answer = exponents(algebra, logarithm)
    n, tokens = algebra.group.order, task.tokens()
    i, j = left[tokens[:, 0]], right[tokens[:, 1]]
    inside = (i >= 0) & (j >= 0)
    example = torch.full((n * n,), -1)
    example[(i * n + j)[inside]] = inside.nonzero().flatten()
    if bool((example < 0).any()):
        return f"{task.kind} lacks {int((example < 0).sum())} of the {n * n} pairs of {algebra.group.name}"
    token, class_of = (positions(found, n) for found in (left, answer))
    is_plain = all(torch.equal(part, torch.arange(len(part))) for part in (token, class_of, example)) and n == len(left)
    is_plain = is_plain and n == len(answer) and n * n == len(tokens)
    return CyclicGrid(n, token.to(device), class_of.to(device), example.to(device), is_plain)


def exponents(algebra: Algebra, logarithm: Int[Tensor, "x"]) -> list[Tensor]:
    """The exponent of every left token, right token and class; -1 outside the group."""
    places = (algebra.left, algebra.right, algebra.answer)
    return [torch.where(place >= 0, logarithm[place.clamp(min=0)], -1) for place in places]


def positions(exponent: Int[Tensor, "token"], n: int) -> Int[Tensor, "exponent"]:
    """Which token has each exponent.

    >>> positions(torch.tensor([-1, 0, 1, 3, 2]), 4).tolist()
    [1, 2, 4, 3]
    """
    inside = (exponent >= 0).nonzero().flatten()
    found = torch.zeros(n, dtype=torch.int64)
    found[exponent[inside]] = inside
    return found


def by_operands(x: Float[Tensor, "example *rest"], task: Task, analysis: str) -> Float[Tensor, "a b *rest"]:
    """Values of a binary task's examples over all pairs (a, b); NaN where the operation is not defined.

    Raises:
        NotDefined: the task has not two operands.
    """
    if not isinstance(task, BinaryTask):
        raise NotDefined(analysis, f"{task.kind} has not two operands")
    n = task.d_vocab
    if task.n_examples == n * n:
        return x.unflatten(0, (n, n))
    with_hole = torch.cat([x, torch.full_like(x[:1], torch.nan)])
    return with_hole[example_of(task, str(x.device))]


@lru_cache(maxsize=8)
def example_of(task: BinaryTask, device: str) -> Int[Tensor, "a b"]:
    """The example of every pair; that after the last where there is none."""
    n, tokens = task.d_vocab, task.tokens()
    table = torch.full((n, n), len(tokens))
    table[tokens[:, 0], tokens[:, 1]] = torch.arange(len(tokens))
    return table.to(device)
