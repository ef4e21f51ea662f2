"""Which characters of the answer a network's outputs are made of, whatever its operands are.

Classes are elements of a group here (``Task.answer_group``): residues under addition, permutations, discrete
logarithms. The operands need no group: a polynomial's are residues that the answer is no product of.
"""

from functools import lru_cache
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.analysis.algebra import positions
from grokinterp.checkpoint import Checkpoint
from grokinterp.errors import NotDefined
from grokinterp.maths.fourier import by_frequency, real_fourier
from grokinterp.maths.representations import COMMUTANT, irreps
from grokinterp.models import MLP, Model
from grokinterp.tasks import RecordedTask, Task
from grokinterp.tasks.modular import ModularTask

PUBLISHED_THRESHOLD = 0.005
"""Similarity of a key representation in Chughtai et al. 2023."""

CONFIDENCE = 0.99
"""Share of networks with shuffled outputs in which no representation is key."""


class AnswerSpectrum(NamedTuple):
    """Which representations of the answer's group the network answers with.

    answer_similarity: cosine similarity of the row-centered logits with the character of y·z⁻¹, y the right class [1]
    answer_threshold: similarity that no representation reaches in 99 % of networks with shuffled outputs [1]
    is_key_answer: whether the representation's similarity is above the threshold [1]
    answer_fve: share of the row-centered logits' variance explained by the characters of y·z⁻¹ [1]
    """

    answer_similarity: Float[Tensor, "answer_irrep"]
    answer_threshold: Float[Tensor, ""]
    is_key_answer: Bool[Tensor, "answer_irrep"]
    answer_fve: Float[Tensor, ""]


class OperandSpectrum(NamedTuple):
    """How what the network reads of each operand is spread over the additive frequencies of the residues.

    operand_power: share of the variance over the residues that the frequency explains [1]
    """

    operand_power: Float[Tensor, "operand residue_frequency"]


class AnswerGrid(NamedTuple):
    """The right element of every example, and the characters of the group.

    Args:
        names: of the irreducible representations but the trivial one.
        characters: χ_ρ(x) of each of them.
        scale: d/(c·n) of each, by which the class function χ_ρ becomes the projector onto ρ's matrix entries.
        table: the product of every two elements.
        quotient: x·y⁻¹ of every two elements.
        element: the right element of each example; n where its label is outside the group.
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
    """How much of the logits each character of the answer is, over all examples, whatever the operands are.

    s_ρ = ⟨L - mean_z L, T_ρ⟩ / (‖L - mean_z L‖ ‖T_ρ‖) for logits L [example, z] and T_ρ[example, z] = χ_ρ(y·z⁻¹), y
    the right class, for every real irreducible ρ but the trivial one. ‖T_ρ‖² = N Σ_g χ(g)² and the T_ρ are orthogonal,
    however often each y is right, so that answer_fve = Σ_ρ s_ρ² is a share of variance. Where the task is a product
    in a group and all pairs are examples, T_ρ is the character of the product: this is ``irrep_spectrum``.

    ρ is key when s_ρ exceeds max(0.005, q); see ``threshold`` for q. Outputs that only prefer the commoner classes
    (a polynomial has such) have some s_ρ above it too, and so has a network that only knows its training examples.

    What is left out: labels and classes outside the group, such as 0 under multiplication modulo a prime.

    Source: Chughtai et al. 2023, §4 (similarity, for products), with y for x·y.

    Raises:
        NotDefined: the classes are not known to be elements of a group, or of one with fewer than three.
    """
    grid = answer_grid(checkpoint.problem.task, str(checkpoint.problem.tokens.device))
    if isinstance(grid, str):
        raise NotDefined("answer_spectrum", grid)
    return spectrum_of_logits(checkpoint.logits.double(), grid)


def operand_spectrum(checkpoint: Checkpoint) -> OperandSpectrum:
    """Share of the variance of each operand's embedding over the residues at every additive frequency 1..⌊p/2⌋.

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
    tables = [table[: task.p].double() for table in operand_tables(checkpoint.model)]
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
    """The right element of every example of a task, or why there is none."""
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


def spectrum_of_logits(logits: Float[Tensor, "example class"], grid: AnswerGrid) -> AnswerSpectrum:
    """``answer_spectrum`` of logits.

    The sum M[g, z] of the logits over the examples with right element g is all that T_ρ sees: ⟨L, T_ρ⟩ = Σ_{g,z}
    M[g, z] χ(g·z⁻¹). The mean over z is orthogonal to T_ρ.
    """
    n, chi, inside = len(grid.class_of), grid.characters, grid.element < len(grid.class_of)
    rows = grid.logits(logits)
    squares = torch.linalg.vector_norm(rows, dim=1).square() - n * rows.mean(1).square()
    count = int(inside.sum())
    norms = (count * chi.square().sum(1) * torch.where(inside, squares, 0).sum()).sqrt()
    similarity = chi @ sums_by_quotient(sums_by_element(rows, grid.element, n), grid.table) / norms
    limit = torch.full_like(similarity[0], threshold(count, n, len(chi)))
    return AnswerSpectrum(similarity, limit, similarity > limit, similarity.square().sum())


def threshold(examples: int, order: int, representations: int) -> float:
    """max(0.005, q), q the 99 % quantile of the largest of all s_ρ when every example's classes are shuffled by chance.

    Shuffled, a row l with mean 0 has ⟨πl, t⟩ of mean 0 and variance ‖l‖²‖t‖²/(n - 1) with any t of mean 0. Over N
    independent rows with ‖t‖² = Σχ² each, s_ρ has exactly mean 0 and variance 1/(N(n - 1)), N = n² for all pairs of a
    group, and the s_ρ of different ρ are uncorrelated. As sums of many rows they are nearly normal, so that the
    largest of m stays below q = Φ⁻¹(0.99^{1/m}) / √(N(n - 1)) in 99 % of the cases. 0.005 is the published rule,
    which alone is within noise in groups of fewer than about 70 elements.

    Source: the rule s_ρ > 0.005: Chughtai et al. 2023, §4.

    >>> round(threshold(36, 6, 2), 3), threshold(120**2, 120, 6)  # S_3, S_5
    (0.192, 0.005)
    """
    quantile = NormalDist().inv_cdf(CONFIDENCE ** (1 / representations))
    return max(PUBLISHED_THRESHOLD, quantile / sqrt(examples * (order - 1)))


def sums_by_element(
    x: Float[Tensor, "example feature"], element: Int[Tensor, "example"], n: int
) -> Float[Tensor, "element feature"]:
    """Sum of the rows of each element; those of element n, which is none, are left out.

    >>> sums_by_element(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([1, 2, 1]), 2).tolist()
    [[0.0], [5.0]]
    """
    return x.new_zeros(n + 1, x.shape[1]).index_add(0, element, x)[:n]


def sums_by_quotient(x: Float[Tensor, "g z"], table: Int[Tensor, "h z"]) -> Float[Tensor, "h"]:
    """Σ of x[g, z] over the pairs with g·z⁻¹ = h, that is x[h·z, z], for every h.

    >>> from grokinterp.maths.groups import cyclic
    >>> sums_by_quotient(torch.tensor([[1.0, 2.0], [3.0, 5.0]]), cyclic(2).table).tolist()
    [6.0, 5.0]
    """
    return x.gather(0, table).sum(1)


def operand_tables(model: Model) -> tuple[Float[Tensor, "token feature"], Float[Tensor, "token feature"]]:
    """What the network gets of a token as first and as second operand.

    In an MLP it is what the first layer's neurons add up, embedding times W_in; else the embedding. The same twice
    where both positions share it.
    """
    if isinstance(model, MLP):
        return model.first_layer_rows[0], model.first_layer_rows[-1]
    tables = model.embedding.chunk(model.n_tables, dim=1)
    return tables[0], tables[-1]
