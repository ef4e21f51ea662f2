"""Which characters of the answer a network's outputs are made of, whatever its operands are.

Classes are elements of a group here (``Task.answer_group``): residues under addition, permutations, discrete
logarithms. The operands need no group: a polynomial's are residues that the answer is no product of.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.analysis.structure.cyclic_grid import positions
from grokinterp.analysis.structure.keys import find_keys
from grokinterp.errors import NotDefined
from grokinterp.maths.fourier import by_frequency, real_fourier
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
    """Which representations of the answer's group the network answers with.

    answer_similarity: cosine similarity of the row-centered logits with the character of y·z⁻¹, y the correct class [1]
    answer_similarity_held_out: the same similarity over the held-out examples only [1]
    answer_threshold: held-out similarity above which the representation is key [1]
    is_key_answer: whether the representation's held-out similarity is above the threshold [1]
    is_nearly_key_answer: whether it is above three quarters of the threshold, and the representation not key [1]
    answer_fve: share of the row-centered logits' variance explained by the characters of y·z⁻¹ [1]
    """

    answer_similarity: Float[Tensor, "answer_irrep"]
    answer_similarity_held_out: Float[Tensor, "answer_irrep"]
    answer_threshold: Float[Tensor, "answer_irrep"]
    is_key_answer: Bool[Tensor, "answer_irrep"]
    is_nearly_key_answer: Bool[Tensor, "answer_irrep"]
    answer_fve: Float[Tensor, ""]


class OperandSpectrum(NamedTuple):
    """How what the network reads of each operand is spread over the additive frequencies of the residues.

    operand_power: share of the variance over the residues that the frequency explains [1]
    """

    operand_power: Float[Tensor, "operand residue_frequency"]


class AnswerGrid(NamedTuple):
    """The correct element of every example, and the characters of the group.

    Args:
        names: of the irreducible representations but the trivial one.
        characters: χ_ρ(x) of each of them.
        scale: d/(c·n) of each, by which the class function χ_ρ becomes the projector onto ρ's matrix entries.
        table: the product of every two elements.
        quotient: x·y⁻¹ of every two elements.
        element: the correct element of each example; n where its label is outside the group.
        class_of: the class of each element.
    """

    names: tuple[str, ...]
    characters: Float[Tensor, "irrep element"]
    scale: Float[Tensor, "irrep"]
    table: Int[Tensor, "x y"]
    quotient: Int[Tensor, "x y"]
    element: Int[Tensor, "example"]
    class_of: Int[Tensor, "element"]

    def logits(self, logits: Float[Tensor, "row class"]) -> Float[Tensor, "row element"]:
        """Logits of the elements."""
        every = torch.arange(logits.shape[1], device=logits.device)
        return logits if torch.equal(self.class_of, every) else logits[:, self.class_of]


def answer_spectrum(checkpoint: Checkpoint) -> AnswerSpectrum:
    """Return the similarity of the logits with each character of the answers' group, and which of them are key.

    s_ρ = ⟨L - mean_z L, T_ρ⟩ / (‖L - mean_z L‖ ‖T_ρ‖) for logits L [example, z] and T_ρ[example, z] = χ_ρ(y·z⁻¹), y the
    correct class, for every real irreducible ρ but the trivial one. ‖T_ρ‖² = N Σ_g χ(g)² and the T_ρ are orthogonal,
    however often each y is correct, so that answer_fve = Σ_ρ s_ρ² is a share of variance. Where the task is a product
    in a group and all pairs are examples, T_ρ is the character of the product: this is ``irrep_spectrum``.

    ρ is key when s_ρ over the held-out examples stands out of all that no character explains; see
    ``keys.find_keys``. Outputs that only prefer the commoner classes (a polynomial has such) may have key ones too.

    What is left out: labels and classes outside the group, such as 0 under multiplication modulo a prime.

    Source: Chughtai et al. 2023, §4 (similarity, for products), with y for x·y; docs/formulas.md (which are key).

    Raises:
        NotDefined: the classes are not known to be elements of a group, or of one with fewer than three.
    """
    grid = answer_grid(checkpoint.problem.task, str(checkpoint.problem.tokens.device))
    if isinstance(grid, str):
        raise NotDefined("answer_spectrum", grid)
    return spectrum_of_logits(checkpoint.logits.double(), grid, checkpoint.problem.held_out)


def operand_spectrum(checkpoint: Checkpoint) -> OperandSpectrum:
    """Return the share of variance of each operand's embedding over the residues at every additive frequency.

    The embedding is what the first layer's neurons get of a token in an MLP, else W_E; where both operands share a
    table, both rows are its own. With f̂ along cos and sin of 2πkt/p, operand_power = ‖f̂(k)‖² / Σ_k ‖f̂(k)‖². Structure
    that is not additive, such as x ↦ x² or a discrete logarithm, is spread over all frequencies.

    Source: Nanda et al. 2023, §4.1 (spectrum of the embedding).

    Raises:
        NotDefined: the operands are not the residues modulo p.
    """
    task = checkpoint.problem.task
    if not isinstance(task, ModularTask):
        why = f"the operands of {task.kind} are not the residues modulo p"
        raise NotDefined("operand_spectrum", task.no_operands if isinstance(task, RecordedTask) else why)
    tables = [table[: task.p].double() for table in checkpoint.model.operand_tables]
    power = torch.stack([by_frequency(real_fourier(table).square().sum(-1)) for table in tables])
    return OperandSpectrum(power / power.sum(1, keepdim=True))


def answer_names(task: Task) -> tuple[str, ...]:
    """The irreducible representations of the answer's group but the trivial one; none where there is no group."""
    grid = answer_grid(task, "cpu")
    return () if isinstance(grid, str) else grid.names


def residue_frequencies(task: Task) -> range:
    """1..⌊p/2⌋ where the operands are the residues modulo p; empty elsewhere."""
    return range(1, task.p // 2 + 1) if isinstance(task, ModularTask) else range(0)


@lru_cache(maxsize=8)
def answer_grid(task: Task, device: str) -> AnswerGrid | str:
    """The correct element of every example of a task, or why there is none."""
    if task.answer_group is None:
        why = f"the classes of {task.kind} are not known to be elements of a group"
        return task.no_group if isinstance(task, RecordedTask) else why
    group, element = task.answer_group
    n = group.order
    if n < 3:
        return f"the group of {task.kind}, {group.name}, has fewer than three elements"
    found, right = irreps(group)[1:], element[task.labels()]
    characters = torch.stack([rho.character for rho in found])
    scale = torch.tensor([rho.dimension / COMMUTANT[rho.type] / n for rho in found], dtype=torch.float64)
    quotient, places = group.table[:, group.inverse], torch.where(right < 0, n, right)
    parts = (characters, scale, group.table, quotient, places, positions(element, n))
    return AnswerGrid(tuple(rho.name for rho in found), *(part.to(device) for part in parts))


def spectrum_of_logits(
    logits: Float[Tensor, "example class"], grid: AnswerGrid, held_out: Bool[Tensor, "example"] | None = None
) -> AnswerSpectrum:
    """``answer_spectrum`` of logits; all examples decide unless some are held out."""
    decide = torch.ones_like(grid.element, dtype=torch.bool) if held_out is None else held_out
    found = find_keys(grid.logits(logits), grid.element, decide, grid.characters, grid.table)
    return AnswerSpectrum(*found, found.similarity.square().sum())


def sums_by_element(
    x: Float[Tensor, "example feature"], element: Int[Tensor, "example"], n: int
) -> Float[Tensor, "element feature"]:
    """Sum of the rows of each element; those of element n, which is none, are left out.

    >>> sums_by_element(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([1, 2, 1]), 2).tolist()
    [[0.0], [5.0]]
    """
    return x.new_zeros(n + 1, x.shape[1]).index_add(0, element, x)[:n]
