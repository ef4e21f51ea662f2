"""Which examples are trained on."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from grokinterp.errors import ConfigError
from grokinterp.experiment.rules import FORBID_UNKNOWN_KEYS, require
from grokinterp.tasks import Task

ORDERS_TRIED = 100


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which examples are trained on: an exact fraction, drawn by a generator of its own.

    ``pairs="unordered"`` puts examples that give each other's answer away, (a, b) and (b, a), on
    the same side; ``"ordered"`` draws every example by itself. ``seed=None`` uses the
    experiment's.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    fraction: float = 0.3
    pairs: Literal["ordered", "unordered"] = "ordered"
    seed: int | None = None

    def __post_init__(self) -> None:
        require(0 < self.fraction < 1, "fraction", self.fraction, "must lie strictly between 0 and 1")
        require(self.seed is None or 0 <= self.seed < 2**63, "seed", self.seed, "must be from 0 to 2^63 - 1")

    def size(self, examples: int) -> int:
        """Number of training examples: ⌊fraction · examples⌋, as in the code released with the papers."""
        return int(self.fraction * examples + 1e-9)

    def is_train(self, task: Task, *, seed: int) -> Bool[Tensor, "example"]:
        """The training examples: exactly ``size`` of them.

        Groups of mirrored examples are taken in random order, each if it still fits. An order that
        does not come out even (one place left, and only pairs to fill it) is drawn again.

        Raises:
            ConfigError: whole groups do not add up to that number.
        """
        group = task.mirror() if self.pairs == "unordered" else torch.arange(task.n_examples)
        _, group, sizes = group.unique(return_inverse=True, return_counts=True)
        wanted = self.size(len(group))
        generator = torch.Generator().manual_seed(seed if self.seed is None else self.seed)
        for _ in range(ORDERS_TRIED):
            taken = _take(sizes, wanted, torch.randperm(len(sizes), generator=generator))
            if int(sizes[taken].sum()) == wanted:
                return taken[group]
        raise ConfigError("split.fraction", self.fraction, f"no set of whole pairs has exactly {wanted} examples")


def _take(sizes: Int[Tensor, "group"], wanted: int, order: Int[Tensor, "group"]) -> Bool[Tensor, "group"]:
    """Groups taken in this order, each if at most ``wanted`` examples are then taken in all."""
    taken = torch.zeros(len(sizes), dtype=torch.bool)
    for index, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        if size <= wanted:
            taken[index] = True
            wanted -= size
    return taken


def leaked_share(task: Task, is_train: Bool[Tensor, "example"]) -> float:
    """Share of the held-out examples whose mirror image is trained on: answerable without generalizing."""
    mirror = task.mirror()
    return float(torch.isin(mirror[~is_train], mirror[is_train]).double().mean())


