"""Which neurons depend on an operand only through its coset of a subgroup."""

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
"""A neuron whose score is below this sees cosets: at most a tenth of its variance is within them."""

NOTHING = 1e-24
"""A neuron whose variance is below this share of its mean square never varies, but for rounding."""


class CosetScores(NamedTuple):
    """How far what each neuron sees of an operand is constant on the cosets of a subgroup.

    coset_score_left: least share of the variance over the left operand within right cosets of a subgroup [1]
    coset_score_right: least share of the variance over the right operand within left cosets of a subgroup [1]
    coset_order_left: order of the largest subgroup with a score below 0.1 for the left operand, 1 without one [1]
    coset_order_right: order of the largest subgroup with a score below 0.1 for the right operand, 1 without one [1]
    coset_share: share of neurons with both scores below 0.1 [1]
    """

    coset_score_left: Float[Tensor, "neuron"]
    coset_score_right: Float[Tensor, "neuron"]
    coset_order_left: Int[Tensor, "neuron"]
    coset_order_right: Int[Tensor, "neuron"]
    coset_share: Float[Tensor, ""]


class Cosets(NamedTuple):
    """The cosets of one subgroup of order ``order``: the number of that of each element."""

    order: int
    left: Int[Tensor, "element"]
    right: Int[Tensor, "element"]


def coset_scores(checkpoint: Checkpoint) -> CosetScores:
    """Return the coset concentration of each neuron for both operands, at the best subgroup.

    score_H(f) = mean over the cosets of H of the variance of f within, over the variance of f, both with divisor the
    number of elements: in [0, 1], 0 where f is constant on every coset. f is what the neuron gets of an operand: its
    first layer's part in an MLP with one hidden layer; else the mean of the neuron over the other operand. Cosets are
    H·x for the left operand and y·H for the right operand, so that x·y is in H·x·y·H'. H runs over all subgroups,
    conjugates one by one, but the trivial one, whose score is always 0, and the whole group, whose score is always 1.

    The score never grows on the way to a smaller subgroup, so that the least is at one of prime order, and a random f
    has about 1 - (n/|H| - 1)/(n - 1): 0.5 at order 2. The order given is therefore that of the *largest* subgroup below
    0.1. A neuron that never varies has score 1. In D_n every neuron uᵀρ(x)v with ρ of dimension 2 scores low, for one
    of many reflections nearly keeps u: there the score alone does not tell cosets from representations.

    Source: Stander et al. 2023, §4 (coset concentration).

    Raises:
        NotDefined: not a product in a known group, one of prime order (no such subgroup), or more than 1000 classes
            of subgroups.
    """
    grid = group_grid(checkpoint, "coset_scores")
    found = cosets_of(grid.group)
    if isinstance(found, str):
        raise NotDefined("coset_scores", found)
    left, right = seen(checkpoint, grid)
    first = scores(left, [cosets.right for cosets in found])
    second = scores(right, [cosets.left for cosets in found])
    orders = torch.tensor([cosets.order for cosets in found], device=left.device)
    largest = [torch.where(one < CONCENTRATED, orders[:, None], 1).amax(0) for one in (first, second)]
    best = first.amin(0), second.amin(0)
    return CosetScores(*best, *largest, (torch.maximum(*best) < CONCENTRATED).double().mean())


def seen(checkpoint: Checkpoint, grid: GroupGrid) -> tuple[Float[Tensor, "element neuron"], Tensor]:
    """What each last-layer neuron gets of the left and of the right operand."""
    if checkpoint.model.neurons_add_operands:
        return grid.operands(checkpoint.model)
    left, right, _ = grid.means(checkpoint.neurons.double())
    return left, right


def scores(
    f: Float[Tensor, "element neuron"], partitions: list[Int[Tensor, "element"]]
) -> Float[Tensor, "partition neuron"]:
    """Share of the variance within the parts of each partition into equal parts; 1 for what never varies.

    >>> scores(torch.tensor([[0.0], [2.0], [2.0], [4.0]]), [torch.tensor([0, 0, 1, 1])]).tolist()
    [[0.5]]
    """
    centered = f - f.mean(0)
    total = centered.square().sum(0)
    varies = total > NOTHING * f.square().sum(0)
    between = torch.stack([squares_of_sums(centered, part.to(f.device)) for part in partitions])
    return torch.where(varies, (1 - between / torch.where(varies, total, 1)).clamp(min=0), 1)


def squares_of_sums(f: Float[Tensor, "element neuron"], part: Int[Tensor, "element"]) -> Float[Tensor, "neuron"]:
    """Σ over the parts of ‖part‖ · mean², all of one size."""
    count = int(part.max()) + 1
    sums = f.new_zeros(count, f.shape[1]).index_add(0, part, f)
    return sums.square().sum(0) * count / len(f)


@lru_cache(maxsize=8)
def cosets_of(group: Group) -> tuple[Cosets, ...] | str:
    """The cosets of every subgroup but the trivial one and the group, or why there are none."""
    try:
        classes = [one for one in subgroups(group) if 1 < int(one.sum()) < group.order]
    except ValueError as error:
        return str(error)
    found = tuple(
        Cosets(int(one.sum()), left_cosets(group, one), right_cosets(group, one))
        for representative in classes
        for one in conjugate_subgroups(group, representative)
    )
    return found or f"{group.name} has no subgroup but the trivial one and itself"
