"""Which of two groups a network has learned if both agree on all training examples."""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.analysis.structure.answer_spectrum import AnswerGrid, grid_of, spectrum_of_logits
from grokinterp.errors import NotDefined
from grokinterp.maths.groups import AnswerGroup
from grokinterp.phases import SUSTAINED
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import Task

AXES = {"rival": lambda setting: tuple(rival.group.name for rival in setting.task.rivals)}


class RivalGroups(NamedTuple):
    """Answers of the network where the groups disagree.

    agreed_accuracy: accuracy on the held-out pairs on which the groups agree [1]
    disputed_accuracy: share of the disputed pairs that are answered as in the group [1]
    disputed_loss: mean cross-entropy of the group's answers to the disputed pairs [nats]
    disputed_explained: share of the disputed pairs' row-centered logits explained by the group's characters [1]
    is_learned: whether at least 99 % of the disputed pairs are answered as in the group [1]
    """

    agreed_accuracy: Float[Tensor, ""]
    disputed_accuracy: Float[Tensor, "rival"]
    disputed_loss: Float[Tensor, "rival"]
    disputed_explained: Float[Tensor, "rival"]
    is_learned: Bool[Tensor, "rival"]


def rival_groups(checkpoint: Checkpoint) -> RivalGroups:
    """Return which of two groups with the same training examples the network answers in.

    The *disputed* pairs have different products in the two groups and are never trained on. A group is learned if the
    network answers at least 99 % of them as this group does; at most one group can be, and with neither the network has
    memorized, or follows another rule. disputed_explained = Σ_ρ max(s_ρ, 0)² over the non-trivial characters of the
    group, with the similarity s_ρ of ``irrep_spectrum`` over the disputed pairs alone; s_ρ < 0 means that the logits
    avoid the group's answers. Answers in the other group are explained to a small part only, because the answers of the
    two groups differ on every disputed pair.

    Source: docs/formulas.md, Ambiguous training sets.

    Raises:
        NotDefined: the task has a single group.
    """
    problem, logits = checkpoint.problem, checkpoint.logits.double()
    if not problem.task.rivals:
        raise NotDefined("rival_groups", f"the examples of {problem.task.kind} do not come from two groups")
    disputed, products, grids = rivals_of(problem.task, str(logits.device))
    answers = logits.argmax(1)
    agreed = ~(disputed | problem.is_train)
    right = ((answers == problem.label) & agreed).sum().double() / agreed.sum()
    shares = ((answers == products) & disputed).sum(1).double() / disputed.sum()
    every = torch.stack([torch.nn.functional.cross_entropy(logits, each, reduction="none") for each in products])
    explained = [spectrum_of_logits(logits, grid).answer_similarity.clamp(min=0).square().sum() for grid in grids]
    losses = torch.where(disputed, every, 0).sum(1) / disputed.sum()
    return RivalGroups(right, shares, losses, torch.stack(explained), shares >= SUSTAINED.memorized)


class Rivals(NamedTuple):
    """The disputed examples, the class of every example in each group, and the grids of the disputed examples."""

    disputed: Bool[Tensor, "example"]
    products: Int[Tensor, "rival example"]
    grids: tuple[AnswerGrid, ...]


@lru_cache(maxsize=8)
def rivals_of(task: Task, device: str) -> Rivals:
    """Return the disputed examples of a task, and their answers in each group."""
    disputed, tokens = task.withheld(), task.tokens()[:, list(task.operand_positions)]
    elements = torch.stack([rival.elements(tokens) for rival in task.rivals])
    classes = torch.stack([rival.answer.argsort()[x] for rival, x in zip(task.rivals, elements, strict=True)])
    grids = tuple(
        grid_of(AnswerGroup(rival.group, rival.answer), torch.where(disputed, element, -1), device)
        for rival, element in zip(task.rivals, elements, strict=True)
    )
    return Rivals(disputed.to(device), classes.to(device), grids)
