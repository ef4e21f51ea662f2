"""Irreducible representations that a network answers with when its task is a product in a finite group.

Operands and classes are identified with group elements by the algebra of the task. Tokens and classes outside the
group, such as 0 under multiplication, are excluded.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.analysis.structure.answer_spectrum import (
    AnswerGrid,
    product_answers,
    product_grid,
    spectrum_of_logits,
    sums_by_element,
)
from grokinterp.analysis.structure.cyclic_grid import pairs
from grokinterp.analysis.structure.keys import sums_by_quotient
from grokinterp.errors import GrokinterpError, NotDefined
from grokinterp.maths.groups import Group, positions
from grokinterp.models import Model
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import Task

AXES = {"irrep": lambda setting: irrep_names(setting.task)}


class IrrepSpectrum(NamedTuple):
    """Irreducible representations that the network answers with.

    irrep_similarity: cosine similarity of the row-centered logits with the character of x·y·z⁻¹ [1]
    irrep_similarity_held_out: the same similarity over the held-out pairs only [1]
    irrep_threshold: held-out similarity above which the representation is key [1]
    is_key_irrep: whether the representation's held-out similarity is above the threshold [1]
    is_nearly_key_irrep: whether the similarity of a non-key representation exceeds 3/4 of the threshold [1]
    irreps_explained: share of the row-centered logits' variance explained by the characters of x·y·z⁻¹ [1]
    """

    irrep_similarity: Float[Tensor, "irrep"]
    irrep_similarity_held_out: Float[Tensor, "irrep"]
    irrep_threshold: Float[Tensor, "irrep"]
    is_key_irrep: Bool[Tensor, "irrep"]
    is_nearly_key_irrep: Bool[Tensor, "irrep"]
    irreps_explained: Float[Tensor, ""]


class GroupGrid(NamedTuple):
    """The examples of all pairs of group elements.

    Args:
        group: the group of the task, on the CPU.
        answers: the product of each example, and the non-trivial characters of the group.
        left, right: the operands of each example as elements; n for operands outside the group.
        left_token, right_token: the token that represents each element as first and as second operand.
    """

    group: Group
    answers: AnswerGrid
    left: Int[Tensor, "example"]
    right: Int[Tensor, "example"]
    left_token: Int[Tensor, "element"]
    right_token: Int[Tensor, "element"]

    def operands(self, model: Model) -> tuple[Float[Tensor, "element feature"], Float[Tensor, "element feature"]]:
        """Return the embedding of each element as first and as second operand."""
        left, right = (table.detach().double() for table in model.operand_tables)
        return left[self.left_token], right[self.right_token]

    def means(self, x: Float[Tensor, "example feature"]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the means over the pairs with the same x, the same y, and the same x·y, each [element, feature]."""
        n = self.group.order
        first, second, product = (sums_by_element(x, of, n) / n for of in (self.left, self.right, self.answers.element))
        return first, second, product


def irrep_spectrum(checkpoint: Checkpoint) -> IrrepSpectrum:
    """Return the similarity of the logits with each character, and which irreducible representations are key.

    s_ρ = ⟨L - mean_z L, T_ρ⟩ / (‖L - mean_z L‖ ‖T_ρ‖) for logits L [x, y, z] and T_ρ[x, y, z] = tr ρ(x·y·z⁻¹), for
    every real irreducible ρ except the trivial representation, whose s is 0. The T_ρ are orthogonal, so
    irreps_explained = Σ_ρ s_ρ² is a share of variance: 1 means that the characters explain the logits completely. In
    C_n, T_ρ of freq_k is 2 cos(w_k(a + b - c)), and s_ρ is the similarity of ``logit_spectrum``.

    ρ is key by the rule of ``logit_spectrum``, with characters in place of cosines; see ``keys.find_keys``. If the
    logits are the same for all classes, the similarities are NaN and no representation is key.

    Source: Chughtai et al. 2023, §4 (similarity, share explained; their key representations have s above 0.005);
        docs/formulas.md (which are key).

    Raises:
        NotDefined: the labels are not products in a known group, the group has fewer than three elements, or some
            element is the answer to no example.
    """
    answers = product_answers(checkpoint, "irrep_spectrum")
    held_out = checkpoint.problem.held_out
    return IrrepSpectrum(*spectrum_of_logits(checkpoint.logits.double(), answers, held_out))


def irrep_names(task: Task) -> tuple[str, ...]:
    """Return the names of the non-trivial irreducible representations of a task's group; none without a group."""
    answers = product_grid(task, "cpu")
    return () if isinstance(answers, str) else answers.names


def group_grid(checkpoint: Checkpoint, analysis: str) -> GroupGrid:
    """Return the grid of all pairs of elements of the group in which the task is the product.

    Raises:
        NotDefined: no such group is known, it has fewer than three elements, or a pair is not an example.
    """
    found = grid_of(checkpoint.problem.task, str(checkpoint.problem.tokens.device))
    if isinstance(found, str):
        raise NotDefined(analysis, found)
    return found


@lru_cache(maxsize=8)
def grid_of(task: Task, device: str) -> GroupGrid | str:
    """Return the examples over the pairs of the task's group, or the reason why the grid is not defined."""
    algebra = task.algebra
    if algebra is None:
        return task.no_group
    answers = product_grid(task, device)
    if isinstance(answers, str):
        return answers
    if len(algebra.operands) != 2:
        return f"{task.kind} has {len(algebra.operands)} operands, not two"
    group, (a, b) = algebra.group, task.tokens().T
    n, left, right = group.order, algebra.left[a], algebra.right[b]
    if lacking := int((pairs(left, right, n) < 0).sum()):
        return f"{task.kind} lacks {lacking} of the {n * n} pairs of {group.name}"
    inside = (left >= 0) & (right >= 0)
    examples = (torch.where(inside, left, n), torch.where(inside, right, n))
    parts = (*examples, positions(algebra.left, n), positions(algebra.right, n))
    return GroupGrid(group, answers, *(part.to(device) for part in parts))


def irrep_rows(key_irreps: Int[Tensor, "key_irrep"], grid: AnswerGrid) -> Bool[Tensor, "irrep"]:
    """Return the key representations as a mask over all. Raises GrokinterpError for a row out of range."""
    mask = torch.zeros(len(grid.names), dtype=torch.bool, device=grid.table.device)
    for row in key_irreps.tolist():
        if not 0 <= row < len(mask):
            raise GrokinterpError(f"key_irreps={row}: must be integers from 0 to {len(mask) - 1}, rows of {grid.names}")
        mask[row] = True
    return mask


def power_by_irrep(f: Float[Tensor, "element feature"], grid: AnswerGrid) -> Float[Tensor, "irrep"]:
    """Return ‖P_ρ f‖² summed over features, where P_ρ projects onto the span of the matrix entries of ρ.

    P_ρ is convolution with (d/(c·n)) χ_ρ, c = 1, 2, 4 for the real, complex and quaternionic type, so ‖P_ρ f‖² =
    (d/(c·n)) Σ_h χ_ρ(h) A(h) with the autocorrelation A(h) = Σ_y ⟨f(h·y), f(y)⟩. Including the trivial part,
    n ‖mean f‖², the sum over all ρ is ‖f‖².
    """
    power = grid.characters @ sums_by_quotient(f @ f.T, grid.table)
    return (grid.scale * power).clamp(min=0)
