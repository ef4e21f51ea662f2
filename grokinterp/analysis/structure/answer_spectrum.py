"""Decomposition of the logits into characters of the answer, for arbitrary operands.

Classes are elements of a group (``Task.answer_group``): residues under addition, permutations, discrete logarithms.
The operands need not form a group: the value of a polynomial, for example, is not a product of its operands.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.analysis.structure.keys import find_keys
from grokinterp.errors import NotDefined
from grokinterp.maths.fourier import by_frequency, real_fourier
from grokinterp.maths.groups import AnswerGroup, positions
from grokinterp.maths.products import Products, by_product
from grokinterp.maths.representations import COMMUTANT, irreps
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import RecordedTask, Task
from grokinterp.tasks.modular import ModularTask

AXES = {
    "answer_irrep": lambda setting: answer_names(setting.task),
    "operand": ("left", "right"),
    "residue_frequency": lambda setting: residue_frequencies(setting.task),
}


class AnswerSpectrum(NamedTuple):
    """Representations of the answer's group that the network answers with.

    answer_similarity: cosine similarity of the row-centered logits with the character of y·z⁻¹, y the correct class [1]
    answer_similarity_held_out: the same similarity over the held-out examples only [1]
    answer_threshold: held-out similarity above which the representation is key [1]
    is_key_answer: whether the representation's held-out similarity is above the threshold [1]
    is_nearly_key_answer: whether the similarity of a non-key representation exceeds 3/4 of the threshold [1]
    answer_fve: share of the row-centered logits' variance explained by the characters of y·z⁻¹ [1]
    """

    answer_similarity: Float[Tensor, "answer_irrep"]
    answer_similarity_held_out: Float[Tensor, "answer_irrep"]
    answer_threshold: Float[Tensor, "answer_irrep"]
    is_key_answer: Bool[Tensor, "answer_irrep"]
    is_nearly_key_answer: Bool[Tensor, "answer_irrep"]
    answer_fve: Float[Tensor, ""]


class OperandSpectrum(NamedTuple):
    """Distribution of the variance of each operand's embedding over the additive frequencies of the residues.

    operand_power: share of the variance over the residues that the frequency explains [1]
    """

    operand_power: Float[Tensor, "operand residue_frequency"]


class AnswerGrid(NamedTuple):
    """The correct element of every example, and the characters of the group.

    Args:
        names: names of the non-trivial irreducible representations.
        characters: χ_ρ(x) of each representation.
        scale: d/(c·n) of each representation, the factor that makes χ_ρ the projector onto the matrix entries of ρ.
        table: the product of every pair of elements.
        quotient: x·y⁻¹ of every pair of elements.
        element: the correct element of each example; n if its label is outside the group.
        class_of: the class of each element.
        products: the examples of each correct element.
    """

    names: tuple[str, ...]
    characters: Float[Tensor, "irrep element"]
    scale: Float[Tensor, "irrep"]
    table: Int[Tensor, "x y"]
    quotient: Int[Tensor, "x y"]
    element: Int[Tensor, "example"]
    class_of: Int[Tensor, "element"]
    products: Products

    def logits(self, logits: Float[Tensor, "row class"]) -> Float[Tensor, "row element"]:
        """Return the logits of the group elements."""
        every = torch.arange(logits.shape[1], device=logits.device)
        return logits if torch.equal(self.class_of, every) else logits[:, self.class_of]


def answer_spectrum(checkpoint: Checkpoint) -> AnswerSpectrum:
    """Return the similarity of the logits with each character of the answer's group, and which characters are key.

    s_ρ = ⟨L - mean_z L, T_ρ⟩ / (‖L - mean_z L‖ ‖T_ρ‖) for logits L [example, z] and T_ρ[example, z] = χ_ρ(y·z⁻¹), y the
    correct class, for every non-trivial real irreducible ρ. ‖T_ρ‖² = N Σ_g χ(g)², and the T_ρ are orthogonal for any
    frequencies of the classes y, so answer_fve = Σ_ρ s_ρ² is a share of variance: 1 means that the characters explain
    the logits completely. If the task is a product in a group and all pairs are examples, this is ``irrep_spectrum``.

    ρ is key if s_ρ over the held-out examples exceeds the similarity expected from the part of the logits that no
    character explains; see ``keys.find_keys``. Logits that only favor the more frequent classes (as is possible for a
    polynomial) may also have key characters. Labels and classes outside the group, such as 0 under multiplication
    modulo a prime, are excluded.

    Source: Chughtai et al. 2023, §4 (similarity, for products), with y for x·y; docs/formulas.md (which are key).

    Raises:
        NotDefined: the classes are not known to be elements of a group, or the group has fewer than three elements.
    """
    grid = answer_grid(checkpoint.problem.task, str(checkpoint.problem.tokens.device))
    if isinstance(grid, str):
        raise NotDefined("answer_spectrum", grid)
    return spectrum_of_logits(checkpoint.logits.double(), grid, checkpoint.problem.held_out)


def operand_spectrum(checkpoint: Checkpoint) -> OperandSpectrum:
    """Return the share of the variance of each operand's embedding at every additive frequency of the residues.

    With f̂(k) the components of the embedding along cos and sin of 2πkt/p, operand_power = ‖f̂(k)‖² / Σ_k ‖f̂(k)‖²: it is
    1 at the only frequency of a perfect circle. Structure that is not additive, such as x ↦ x² or a discrete logarithm,
    is distributed over all frequencies. The embedding is a token's contribution to the first layer's neurons in an MLP
    and W_E otherwise; operands with a shared table have identical rows.

    Source: Nanda et al. 2023, §4.1 (spectrum of the embedding).

    Raises:
        NotDefined: the operands are not the residues modulo p.
    """
    task = checkpoint.problem.task
    if not isinstance(task, ModularTask):
        why = f"the operands of {task.kind} are not the residues modulo p"
        if len(task.operand_positions) > 2 or task.branches:
            why = f"{task.kind} is not a single operation on two operands"
        raise NotDefined("operand_spectrum", task.no_operands if isinstance(task, RecordedTask) else why)
    tables = [table[: task.p].double() for table in checkpoint.model.operand_tables]
    power = torch.stack([by_frequency(real_fourier(table).square().sum(-1)) for table in tables])
    return OperandSpectrum(power / power.sum(1, keepdim=True))


def answer_names(task: Task) -> tuple[str, ...]:
    """Return the names of the non-trivial irreducible representations of the answer's group; none without a group."""
    grid = answer_grid(task, "cpu")
    return () if isinstance(grid, str) else grid.names


def residue_frequencies(task: Task) -> range:
    """Return 1..⌊p/2⌋ if the operands are the residues modulo p; otherwise an empty range."""
    return range(1, task.p // 2 + 1) if isinstance(task, ModularTask) else range(0)


@lru_cache(maxsize=8)
def answer_grid(task: Task, device: str) -> AnswerGrid | str:
    """Return the correct element of every example of a task, or the reason why it is not defined."""
    if task.answer_group is None:
        why = f"the classes of {task.kind} are not known to be elements of a group"
        return task.no_group if isinstance(task, RecordedTask) else why
    group = task.answer_group.group
    if group.order < 3:
        return f"the group of {task.kind}, {group.name}, has fewer than three elements"
    return grid_of(task.answer_group, task.answer_group.element[task.label()], device)


def grid_of(answers: AnswerGroup, correct: Int[Tensor, "example"], device: str) -> AnswerGrid:
    """Return the grid of a group of three or more elements from the correct element of every example, -1 outside."""
    group, element = answers
    n, found = group.order, irreps(group)[1:]
    characters = torch.stack([rho.character for rho in found])
    scale = torch.tensor([rho.dimension / COMMUTANT[rho.type] / n for rho in found], dtype=torch.float64)
    quotient, places = group.table[:, group.inverse], torch.where(correct < 0, n, correct)
    parts = (characters, scale, group.table, quotient, places, positions(element, n))
    names, products = tuple(rho.name for rho in found), by_product(places, n)
    return AnswerGrid(names, *(part.to(device) for part in parts), products.to(device))


def product_answers(checkpoint: Checkpoint, analysis: str) -> AnswerGrid:
    """Return the answers of a task whose labels are products of its operands in a known group.

    Raises:
        NotDefined: no such group is known, it has fewer than three elements, or no example has some product.
    """
    found = product_grid(checkpoint.problem.task, str(checkpoint.problem.tokens.device))
    if isinstance(found, str):
        raise NotDefined(analysis, found)
    return found


def product_grid(task: Task, device: str) -> AnswerGrid | str:
    """Return the correct element of every example of a task whose labels are products, or why it is not defined."""
    if task.product_group is None:
        return task.no_group
    found = answer_grid(task, device)
    if isinstance(found, str):
        return found
    lacking = int((found.products.counts == 0).sum())
    n = len(found.class_of)
    return f"no example of {task.kind} has {lacking} of the {n} elements as its answer" if lacking else found


def spectrum_of_logits(
    logits: Float[Tensor, "example class"], grid: AnswerGrid, held_out: Bool[Tensor, "example"] | None = None
) -> AnswerSpectrum:
    """Return the ``answer_spectrum`` of logits; without held-out examples, all examples decide which keys there are."""
    decide = torch.ones_like(grid.element, dtype=torch.bool) if held_out is None else held_out
    found = find_keys(grid.logits(logits), grid.element, decide, grid.characters, grid.table)
    return AnswerSpectrum(*found, found.similarity.square().sum())


def sums_by_element(
    x: Float[Tensor, "example feature"], element: Int[Tensor, "example"], n: int
) -> Float[Tensor, "element feature"]:
    """Return the sum of the rows of each element, without the rows of index n, which stands for no element.

    >>> sums_by_element(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([1, 2, 1]), 2).tolist()
    [[0.0], [5.0]]
    """
    return x.new_zeros(n + 1, x.shape[1]).index_add(0, element, x)[:n]
