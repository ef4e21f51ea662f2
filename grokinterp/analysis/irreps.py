"""Which irreducible representations a network answers with, when its task is a product in a finite group.

Operands and classes are group elements here: a task's token or class stands for the element its algebra gives it, and
what stands for none, such as 0 under multiplication, is left out.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.analysis.algebra import pairs, positions
from grokinterp.analysis.fourier import shuffles
from grokinterp.checkpoint import Checkpoint
from grokinterp.errors import NotDefined
from grokinterp.maths.groups import Group
from grokinterp.maths.representations import irreps
from grokinterp.tasks import Task

ROUNDING = 1e-9
"""A key irrep exceeds the threshold by more than this share of it: some shuffles of a small group change nothing."""


class IrrepSpectrum(NamedTuple):
    """Which irreducible representations the network answers with.

    irrep_similarity: cosine similarity of the row-centered logits with the character of x·y·z⁻¹ [1]
    irrep_threshold: largest similarity of any irreducible representation with shuffled labels [1]
    is_key_irrep: whether the representation's similarity is above the threshold [1]
    irreps_explained: share of the row-centered logits' variance explained by the characters of x·y·z⁻¹ [1]
    """

    irrep_similarity: Float[Tensor, "irrep"]
    irrep_threshold: Float[Tensor, ""]
    is_key_irrep: Bool[Tensor, "irrep"]
    irreps_explained: Float[Tensor, ""]


class GroupGrid(NamedTuple):
    """The examples of all pairs of group elements, and the group's non-trivial characters.

    Args:
        names: of the irreducible representations but the trivial one.
        characters: χ_ρ(x) of each of them.
        table: the product of every two elements.
        by_product: the example of the pair (x, x⁻¹g), row g, column x.
        class_of: the class of each element.
    """

    names: tuple[str, ...]
    characters: Float[Tensor, "irrep element"]
    table: Int[Tensor, "x y"]
    by_product: Int[Tensor, "product x"]
    class_of: Int[Tensor, "element"]


def irrep_spectrum(checkpoint: Checkpoint) -> IrrepSpectrum:
    """How much of the logits each character is, and which irreducible representations are key.

    s_ρ = ⟨L - mean_z L, T_ρ⟩ / (‖L - mean_z L‖ ‖T_ρ‖) for logits L [x, y, z] and T_ρ[x, y, z] = tr ρ(x·y·z⁻¹), for
    every real irreducible ρ but the trivial one, whose s is 0. The T_ρ are orthogonal, so that irreps_explained =
    Σ_ρ s_ρ² is a share of variance. In C_n, T_ρ of freq_k is 2 cos(w_k(a + b - c)), and s_ρ that of ``logit_spectrum``.

    ρ is key when s_ρ exceeds every similarity, with any ρ, that L has after a shuffle of its classes: the same 100
    shuffles as in ``logit_spectrum``. In a group of few elements some shuffle keeps or swaps the two halves that a
    ρ = ±1 tells apart, so that such a ρ may not be key even alone: the sign in S_3, frequency n/2 in C_4 to C_10.

    Everything is NaN and nothing key where the logits are the same for all classes.

    Source: Chughtai et al. 2023, §4 (similarity, share explained; their key representations have s above 0.005).

    Raises:
        NotDefined: no group is known in which the task is the product, it has fewer than three elements, or some
            pair of them is no example.
    """
    grid = grid_of(checkpoint.problem.task, str(checkpoint.problem.tokens.device))
    if isinstance(grid, str):
        raise NotDefined("irrep_spectrum", grid)
    return spectrum_of_logits(checkpoint.logits.double(), grid)


def irrep_names(task: Task) -> tuple[str, ...]:
    """The irreducible representations of a task's group but the trivial one; none where there is no group."""
    grid = grid_of(task, "cpu")
    return () if isinstance(grid, str) else grid.names


@lru_cache(maxsize=8)
def grid_of(task: Task, device: str) -> GroupGrid | str:
    """The examples over the pairs of the task's group, or why there are none."""
    algebra = task.algebra
    if algebra is None:
        return f"no group is known in which {task.kind} is the product"
    group, (a, b) = algebra.group, task.tokens().T
    n = group.order
    if n < 3:
        return f"the group of {task.kind}, {group.name}, has fewer than three elements"
    example = pairs(algebra.left[a], algebra.right[b], n)
    if lacking := int((example < 0).sum()):
        return f"{task.kind} lacks {lacking} of the {n * n} pairs of {group.name}"
    found = irreps(group)[1:]
    characters = torch.stack([rho.character for rho in found])
    parts = [characters, group.table, example[pairs_by_product(group)], positions(algebra.answer, n)]
    return GroupGrid(tuple(rho.name for rho in found), *(part.to(device) for part in parts))


def pairs_by_product(group: Group) -> Int[Tensor, "product x"]:
    """The pairs (x, x⁻¹·g) whose product is g, for every g, ordered by x; (x, y) has the number x·n + y.

    >>> from grokinterp.maths.groups import cyclic
    >>> pairs_by_product(cyclic(3)).tolist()
    [[0, 5, 7], [1, 3, 8], [2, 4, 6]]
    """
    x = torch.arange(group.order)
    return (x[:, None] * group.order + group.table[group.inverse]).T


def spectrum_of_logits(logits: Float[Tensor, "example class"], grid: GroupGrid) -> IrrepSpectrum:
    """``irrep_spectrum`` of logits.

    The mean M[g, z] of the logits over the pairs with x·y = g is all that T_ρ sees: ⟨L, T_ρ⟩ = n Σ_{g,z} M[g, z]
    χ(g·z⁻¹), and ‖T_ρ‖² = n² Σ_g χ(g)². The mean over z is orthogonal to T_ρ.
    """
    n, chi = len(grid.class_of), grid.characters
    rows = logits.index_select(0, grid.by_product.flatten())
    inside = rows if rows.shape[1] == n else rows[:, grid.class_of]
    within_rows = torch.linalg.vector_norm(inside).square() - n * inside.mean(1).square().sum()
    by_product = rows.unflatten(0, (n, n)).mean(1)[:, grid.class_of]
    scale = (chi.square().sum(1) * within_rows).rsqrt()
    similarity = chi @ sums_by_quotient(by_product, grid.table) * scale
    orders = torch.from_numpy(shuffles(n)).argsort(1).to(logits.device)
    shuffled = torch.stack([sums_by_quotient(by_product[:, order], grid.table) for order in orders], 1)
    threshold = (chi @ shuffled * scale[:, None]).amax()
    is_key = similarity > threshold + ROUNDING * threshold.abs()
    return IrrepSpectrum(similarity, threshold, is_key, similarity.square().sum())


def sums_by_quotient(x: Float[Tensor, "g z"], table: Int[Tensor, "h z"]) -> Float[Tensor, "h"]:
    """Σ of x[g, z] over the pairs with g·z⁻¹ = h, that is x[h·z, z], for every h.

    >>> from grokinterp.maths.groups import cyclic
    >>> sums_by_quotient(torch.tensor([[1.0, 2.0], [3.0, 5.0]]), cyclic(2).table).tolist()
    [6.0, 5.0]
    """
    return x.gather(0, table).sum(1)
