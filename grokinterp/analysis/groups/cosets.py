"""Coset concentration: which neurons depend on an operand only through its coset of a subgroup."""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.analysis.groups.irreps import GroupGrid, group_grid
from grokinterp.errors import NotDefined
from grokinterp.maths.groups import Group
from grokinterp.maths.subgroups import conjugate_subgroups, left_cosets, right_cosets, subgroups
from grokinterp.runs.checkpoint import Checkpoint

CONCENTRATED = 0.1
"""Score below which a neuron counts as a function of cosets: at most a tenth of its variance is within cosets."""

NOTHING = 1e-24
"""Share of its mean square below which the variance of a neuron is rounding."""


class CosetScores(NamedTuple):
    """Concentration of each neuron, as a function of an operand, on the cosets of a subgroup.

    coset_score_left: smallest share of the variance over the left operand within right cosets of a subgroup [1]
    coset_score_right: smallest share of the variance over the right operand within left cosets of a subgroup [1]
    coset_order_left: order of the largest subgroup with a score below 0.1 for the left operand, 1 if none [1]
    coset_order_right: order of the largest subgroup with a score below 0.1 for the right operand, 1 if none [1]
    coset_share: share of neurons with both scores below 0.1 [1]
    """

    coset_score_left: Float[Tensor, "neuron"]
    coset_score_right: Float[Tensor, "neuron"]
    coset_order_left: Int[Tensor, "neuron"]
    coset_order_right: Int[Tensor, "neuron"]
    coset_share: Float[Tensor, ""]


class Cosets(NamedTuple):
    """The cosets of one subgroup of order ``order``: the coset index of each element."""

    order: int
    left: Int[Tensor, "element"]
    right: Int[Tensor, "element"]


def coset_scores(checkpoint: Checkpoint) -> CosetScores:
    """Return the coset concentration of each neuron for both operands, at the best subgroup.

    score_H(f) is the mean over the cosets of H of the variance of f within the coset, divided by the variance of f
    over the group (both population variances). It lies in [0, 1] and is 0 if f is constant on every coset. f is the
    neuron as a function of one operand: the operand's part of the pre-activation in an MLP with one hidden layer,
    otherwise the mean of the neuron over the other operand. The cosets are H·x for the left operand and y·H for the
    right operand, so that x·y is in H·x·y·H'. H ranges over all subgroups, including each conjugate, except the
    trivial group, whose score is always 0, and the whole group, whose score is always 1.

    The score cannot increase when H is replaced by a subgroup of H. The smallest score therefore occurs at a subgroup
    of prime order, where a random f has a score of about 1 - (n/|H| - 1)/(n - 1), that is 0.5 at order 2. For this
    reason the reported order is that of the *largest* subgroup with a score below 0.1. A constant neuron has score 1.
    In D_n, every neuron uᵀρ(x)v with ρ of dimension 2 has a low score, because one of the many reflections nearly
    preserves u: there the score alone cannot distinguish cosets from representations.

    Source: Stander et al. 2023, §4 (coset concentration).

    Raises:
        NotDefined: the task is not a product in a known group, the group has prime order (no such subgroup), or it has
            more than 1000 classes of subgroups.
    """
    grid = group_grid(checkpoint, "coset_scores")
    found = cosets_of(grid.group)
    if isinstance(found, str):
        raise NotDefined("coset_scores", found)
    left, right = seen(checkpoint, grid)
    first = scores(left, [cosets.right for cosets in found])
    second = scores(right, [cosets.left for cosets in found])
    orders = torch.tensor([cosets.order for cosets in found], device=left.device)
    largest = [torch.where(score < CONCENTRATED, orders[:, None], 1).amax(0) for score in (first, second)]
    best = first.amin(0), second.amin(0)
    return CosetScores(*best, *largest, (torch.maximum(*best) < CONCENTRATED).double().mean())


def seen(checkpoint: Checkpoint, grid: GroupGrid) -> tuple[Float[Tensor, "element neuron"], Tensor]:
    """Return each last-layer neuron as a function of the left and of the right operand."""
    if checkpoint.model.neurons_add_operands:
        return grid.operands(checkpoint.model)
    left, right, _ = grid.means(checkpoint.neurons.double())
    return left, right


def scores(
    f: Float[Tensor, "element neuron"], partitions: list[Int[Tensor, "element"]]
) -> Float[Tensor, "partition neuron"]:
    """Return the share of the variance within the parts of each partition into equal parts; 1 for a constant function.

    >>> scores(torch.tensor([[0.0], [2.0], [2.0], [4.0]]), [torch.tensor([0, 0, 1, 1])]).tolist()
    [[0.5]]
    """
    centered = f - f.mean(0)
    total = centered.square().sum(0)
    varies = total > NOTHING * f.square().sum(0)
    between = torch.stack([squares_of_sums(centered, part.to(f.device)) for part in partitions])
    return torch.where(varies, (1 - between / torch.where(varies, total, 1)).clamp(min=0), 1)


def squares_of_sums(f: Float[Tensor, "element neuron"], part: Int[Tensor, "element"]) -> Float[Tensor, "neuron"]:
    """Return Σ ‖part‖ · mean² over the parts, which all have the same size."""
    count = int(part.max()) + 1
    sums = f.new_zeros(count, f.shape[1]).index_add(0, part, f)
    return sums.square().sum(0) * count / len(f)


@lru_cache(maxsize=8)
def cosets_of(group: Group) -> tuple[Cosets, ...] | str:
    """Return the cosets of every proper non-trivial subgroup, or the reason why there are none."""
    try:
        classes = [subgroup for subgroup in subgroups(group) if 1 < int(subgroup.sum()) < group.order]
    except ValueError as error:
        return str(error)
    found = tuple(
        Cosets(int(subgroup.sum()), left_cosets(group, subgroup), right_cosets(group, subgroup))
        for representative in classes
        for subgroup in conjugate_subgroups(group, representative)
    )
    return found or f"{group.name} has no subgroups except the trivial group and itself"
