"""Spectra and performance of the branches of a task: its examples with each of several operations."""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from grokinterp.analysis.structure.answer_spectrum import AnswerGrid, grid_of, spectrum_of_logits
from grokinterp.errors import NotDefined
from grokinterp.maths.groups import AnswerGroup
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import Branch, Task

AXES = {
    "branch": lambda setting: branch_names(setting.task),
    "branch_irrep": lambda setting: branch_irreps(setting.task),
}


class BranchPerformance(NamedTuple):
    """Accuracy and loss on the examples of each operation.

    branch_accuracy: accuracy on the examples of the branch [1]
    branch_loss: mean loss of the correct answers of the branch [nats]
    """

    branch_accuracy: Float[Tensor, "branch split"]
    branch_loss: Float[Tensor, "branch split"]


class BranchSpectrum(NamedTuple):
    """Representations that the network answers with in each branch, in the group of the branch.

    branch_similarity: cosine similarity of the branch's row-centered logits with the character of y·z⁻¹ [1]
    branch_similarity_held_out: the same similarity over the branch's held-out examples only [1]
    branch_threshold: held-out similarity above which the representation is key [1]
    is_key_branch: whether the representation's held-out similarity is above the threshold [1]
    is_nearly_key_branch: whether the similarity of a non-key representation exceeds 3/4 of the threshold [1]
    branch_explained: share of the row-centered logits' variance that the characters explain; NaN without a group [1]
    """

    branch_similarity: Float[Tensor, "branch_irrep"]
    branch_similarity_held_out: Float[Tensor, "branch_irrep"]
    branch_threshold: Float[Tensor, "branch_irrep"]
    is_key_branch: Bool[Tensor, "branch_irrep"]
    is_nearly_key_branch: Bool[Tensor, "branch_irrep"]
    branch_explained: Float[Tensor, "branch"]


def branch_performance(checkpoint: Checkpoint) -> BranchPerformance:
    """Return the accuracy and the cross-entropy of each branch on its training, test, and all examples.

    The loss is that of the correct answers, even if training labels are noisy; NaN for a split without examples of the
    branch.

    Source: docs/formulas.md, More operands and operators.

    Raises:
        NotDefined: the task applies a single operation.
    """
    problem, logits = checkpoint.problem, checkpoint.logits.double()
    branches = require_branches(problem.task, "branch_performance")
    right = (logits.argmax(1) == problem.label).double()
    loss = torch.nn.functional.cross_entropy(logits, problem.label, reduction="none")
    masks = [problem.is_train, problem.is_test, torch.ones_like(problem.is_train)]
    examples = torch.stack([branch.examples.to(logits.device) for branch in branches])
    weights = (examples[:, None] & torch.stack(masks)).double()
    count = weights.sum(-1)
    return BranchPerformance((weights @ right) / count, (weights @ loss) / count)


def branch_spectrum(checkpoint: Checkpoint) -> BranchSpectrum:
    """Return the similarity of each branch's logits with each character of its group, and which are key.

    A branch is the set of examples with the same operation, such as + or -. Each branch is treated as a task of its
    own, with the similarities and the rule of ``irrep_spectrum`` over its examples alone: in C_p, the character of
    freq_k is 2 cos(w_k(s - c)), s the correct answer. The branches may have different groups, such as C_p for x - y and
    C_{p-1} for x / y. Branches without a known group, such as a + b · c, have no rows on the axis.

    Source: Chughtai et al. 2023, §4 (similarity); docs/formulas.md, More operands and operators.

    Raises:
        NotDefined: the task applies a single operation, or no branch is a product in a group of three or more elements.
    """
    grids = require_grids(checkpoint, "branch_spectrum")
    logits, held_out = checkpoint.logits.double(), checkpoint.problem.held_out
    nothing = logits.sum() * torch.nan
    found = [None if grid is None else spectrum_of_logits(logits, grid, held_out) for grid in grids]
    rows = [torch.cat(parts) for parts in zip(*(one[:-1] for one in found if one is not None), strict=True)]
    return BranchSpectrum(*rows, torch.stack([nothing if one is None else one.answer_fve for one in found]))


def require_branches(task: Task, analysis: str) -> tuple[Branch, ...]:
    """Return the branches of a task. Raises NotDefined if it has none."""
    if not task.branches:
        raise NotDefined(analysis, f"{task.kind} applies the same operation to every example")
    return task.branches


def require_grids(checkpoint: Checkpoint, analysis: str) -> tuple[AnswerGrid | None, ...]:
    """Return the correct elements of each branch in its group, None without a group.

    Raises:
        NotDefined: the task has no branches, or no branch is a product in a group of three or more elements.
    """
    task = checkpoint.problem.task
    require_branches(task, analysis)
    grids = branch_grids(task, str(checkpoint.problem.tokens.device))
    if all(grid is None for grid in grids):
        raise NotDefined(analysis, f"no branch of {task.kind} is a product in a known group of three or more elements")
    return grids


@lru_cache(maxsize=8)
def branch_grids(task: Task, device: str) -> tuple[AnswerGrid | None, ...]:
    """Return the answers of each branch; None without a group that each of its elements answers an example in."""
    found = []
    for branch in task.branches:
        if branch.algebra is None or branch.algebra.group.order < 3:
            found.append(None)
            continue
        correct = torch.where(branch.examples, branch.algebra.answer[task.label()], -1)
        grid = grid_of(AnswerGroup(branch.algebra.group, branch.algebra.answer), correct, device)
        found.append(grid if bool((grid.products.counts > 0).all()) else None)
    return tuple(found)


def branch_names(task: Task) -> tuple[str, ...]:
    """Return the names of the branches of a task."""
    return tuple(branch.name for branch in task.branches)


def branch_irreps(task: Task) -> tuple[str, ...]:
    """Return the names of the representations of each branch, such as ``- freq_2``."""
    pairs = zip(task.branches, branch_grids(task, "cpu"), strict=True)
    return tuple(f"{branch.name}: {name}" for branch, grid in pairs if grid is not None for name in grid.names)
