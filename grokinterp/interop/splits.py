"""Which examples others trained on: as their code draws them, or as the stored losses give it away."""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

TOLERANCE = 0.01
"""Relative difference between a stored loss and that of the split which gave it."""

LARGEST_CHANGE = 1.25
"""A loss is followed beyond its last stored value by at most this factor."""

SEEDS = (*range(10), 42, 123, 598, 1337)
"""Seeds that are tried: the small ones, and those that are common in published code."""

TIERS = (10, 5, 1)
"""Fractions that are tried first, second and last: multiples of so many percent."""


def shuffled(n_examples: int, seed: int) -> Int[Tensor, "example"]:
    """The examples in the order of Python's ``random.shuffle``, which moves any list of that length alike.

    Source: the code released with Nanda et al. 2023.

    >>> shuffled(9, 0)[:2].tolist()
    [7, 5]
    """
    order = list(range(n_examples))
    random.Random(seed).shuffle(order)
    return torch.tensor(order)


def permuted(n_examples: int, seed: int) -> Int[Tensor, "example"]:
    """The examples in the order of ``torch.randperm``. Source: the code released with Chughtai et al. 2023."""
    return torch.randperm(n_examples, generator=torch.Generator().manual_seed(seed))


DRAWS: dict[str, Callable[[int, int], Int[Tensor, "example"]]] = {
    "random.shuffle": shuffled,
    "torch.randperm": permuted,
}
"""How published code orders all examples, of which the first ⌊fraction · examples⌋ are trained on."""


def drawn(draw: str, n_examples: int, *, fraction: float, seed: int) -> Bool[Tensor, "example"]:
    """The training examples of a draw.

    >>> drawn("random.shuffle", 9, fraction=0.3, seed=0).nonzero().flatten().tolist()
    [5, 7]
    """
    is_train = torch.zeros(n_examples, dtype=torch.bool)
    is_train[DRAWS[draw](n_examples, seed)[: int(fraction * n_examples)]] = True
    return is_train


class Stored(NamedTuple):
    """What a loss of the last checkpoint must be: as stored, or as the curve goes on by one more value."""

    value: float
    low: float
    high: float

    @classmethod
    def after(cls, values: Sequence[float]) -> "Stored | None":
        """The end of a stored curve, whose last value may be that of one evaluation before the weights.

        >>> low, high = Stored.after([0.2, 0.1, 0.09])[1:]
        >>> round(low, 4), round(high, 4)
        (0.0802, 0.0909)
        """
        kept = [value for value in values if value == value]
        if not kept or kept[-1] < 0:
            return None
        last, before = kept[-1], kept[-2] if len(kept) > 1 else kept[-1]
        ratio = last / before if before > 0 else 1.0
        following = last * min(max(ratio, 1 / LARGEST_CHANGE), LARGEST_CHANGE)
        return cls(last, min(last, following) * (1 - TOLERANCE), max(last, following) * (1 + TOLERANCE))

    def holds(self, value: float) -> bool:
        """Whether a recomputed loss is the stored one."""
        return self.low <= value <= self.high


class Draw(NamedTuple):
    """A split that was drawn elsewhere."""

    by: str
    percent: int
    seed: int


def split_of_losses(
    losses: Float[Tensor, "example"], train: Stored, test: Stored, draws: Sequence[str] = tuple(DRAWS)
) -> Draw | None:
    """The only draw whose training and test examples have the stored losses; None if none or several have them.

    Round fractions come first: multiples of 10 %, then of 5 %, then of 1 %. Several draws of one tier are a draw
    that nobody can tell.
    """
    n_examples = len(losses)
    totals = {(by, seed): losses[DRAWS[by](n_examples, seed)].cumsum(0) for by in draws for seed in SEEDS}
    for tier in TIERS:
        found = [
            Draw(by, percent, seed)
            for (by, seed), total in totals.items()
            for percent in range(tier, 100, tier)
            if _fits(total, int(percent / 100 * n_examples), train, test)
        ]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _fits(total: Float[Tensor, "example"], trained: int, train: Stored, test: Stored) -> bool:
    """Whether the first examples have the stored training loss, and the others the stored test loss."""
    n_examples = len(total)
    if not 0 < trained < n_examples:
        return False
    on_train, on_all = float(total[trained - 1]), float(total[-1])
    return train.holds(on_train / trained) and test.holds((on_all - on_train) / (n_examples - trained))
