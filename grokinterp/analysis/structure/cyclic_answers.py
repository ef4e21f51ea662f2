"""The answers of a task as products in a cyclic group, for any number of operands."""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.analysis.engine.coordinates import Setting
from grokinterp.analysis.structure.answer_spectrum import product_grid
from grokinterp.errors import NotDefined
from grokinterp.maths.groups import positions
from grokinterp.maths.products import Products
from grokinterp.models import Model
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import Task


class CyclicAnswers(NamedTuple):
    """Examples whose labels are products g^i · g^j · … = g^s of their operands in C_n, in terms of the exponents s.

    Measures of the logits as functions of s do not depend on the number of operands, and not on which examples there
    are. For addition modulo p, exponents and residues coincide.

    Args:
        n: the order of the group.
        exponent: the exponent s of the correct answer of each example; n if the label is outside the group.
        class_of: the class of each exponent.
        products: the examples of each exponent.
        operands: the token of each exponent as each operand; empty if an operand does not have a token for each.
        at: the positions of the operands in the token sequence.
        share_tokens: whether the same tokens are elements as every operand.
    """

    n: int
    exponent: Int[Tensor, "example"]
    class_of: Int[Tensor, "exponent"]
    products: Products
    operands: tuple[Int[Tensor, "exponent"], ...]
    at: tuple[int, ...]
    share_tokens: bool

    def logits(self, logits: Float[Tensor, "example class"]) -> Float[Tensor, "example exponent"]:
        """Return the logits, indexed by the exponent of the class."""
        every = torch.arange(logits.shape[1], device=logits.device)
        return logits if torch.equal(self.class_of, every) else logits[:, self.class_of]

    def embedding(self, model: Model, analysis: str) -> Float[Tensor, "exponent feature"]:
        """Return the embedding by exponent; the operands side by side if they have separate tokens or tables.

        Raises:
            NotDefined: an operand does not have a token for each exponent.
        """
        if not self.operands:
            raise NotDefined(analysis, f"not every element of C{self.n} is the value of a token as each operand")
        table = model.embedding
        if model.n_tables == 1 and self.share_tokens:
            return table[self.operands[0]]
        tables = table.chunk(model.n_tables, dim=1)
        return torch.cat(
            [tables[min(at, len(tables) - 1)][order] for at, order in zip(self.at, self.operands, strict=True)], dim=1
        )


def cyclic_answers(checkpoint: Checkpoint, analysis: str) -> CyclicAnswers:
    """Return the answers of a task whose labels are products of its operands in a cyclic group.

    Raises:
        NotDefined: the labels are not such products, or the group has fewer than three elements.
    """
    found = answers_of(checkpoint.problem.task, str(checkpoint.problem.tokens.device))
    if isinstance(found, str):
        raise NotDefined(analysis, found)
    return found


def cyclic_order(task: Task) -> int:
    """Return the order of the cyclic group of a task, or 0 without such a group."""
    found = answers_of(task, "cpu")
    return 0 if isinstance(found, str) else found.n


def frequencies(setting: Setting) -> range:
    """Return the frequencies 1 to ⌊n/2⌋ of the cyclic group of the task; empty without such a group."""
    return range(1, cyclic_order(setting.task) // 2 + 1)


@lru_cache(maxsize=8)
def answers_of(task: Task, device: str) -> CyclicAnswers | str:
    """Return the answers of a task by exponents, or the reason why they have none."""
    product = task.product_group
    if product is None:
        return task.no_group
    group, n, logarithm = product.group, product.group.order, product.group.logarithm
    if logarithm is None or n < 3:
        return f"the group of {task.kind}, {group.name}, is not cyclic of order 3 or more"
    found = product_grid(task, "cpu")
    if isinstance(found, str):
        return found
    power = torch.cat([logarithm, torch.tensor([n])])
    elements = logarithm.argsort()
    algebra = task.operand_algebra
    tokens, share_tokens = (), True
    if algebra is not None:
        exponents = algebra.exponents(logarithm)[:-1]
        share_tokens = all(torch.equal(exponents[0] >= 0, each >= 0) for each in exponents)
        complete = all(len(each[each >= 0].unique()) == n for each in exponents)
        tokens = tuple(positions(each, n) for each in exponents) if complete else ()
    products = Products(found.products.example[elements], found.products.present[elements])
    return CyclicAnswers(
        n,
        power[found.element].to(device),
        found.class_of[elements].to(device),
        products.to(device),
        tuple(order.to(device) for order in tokens),
        task.operand_positions,
        share_tokens,
    )
