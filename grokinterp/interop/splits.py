"""Which examples others trained on: as their code draws them, or as the stored losses give it away."""

import random
from collections.abc import Callable, Iterator, Sequence
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


RANDOM_ORDERS = 2000
"""Random orders of the examples none of which may fit the stored losses, if the draw that does is to be believed."""

NULL_SEED = 987_654_321
"""Draws the random orders; no seed that is tried."""

FEWEST = 32
"""Examples on either side of the boundary that are looked at, at least; of many examples one in 200."""

DEVIATIONS = 4
"""Standard errors by which those may differ from the others on their side."""


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
    """The only draw whose training and test examples have the stored losses; None where it is not unique.

    Round fractions come first: multiples of 10 %, then of 5 %, then of 1 %. None where several draws of one tier
    fit, where none does, or where one of ``RANDOM_ORDERS`` does too: then the stored losses say nothing.
    """
    if not losses.isfinite().all():
        return None
    ordered = {(by, seed): losses[DRAWS[by](len(losses), seed)] for by in draws for seed in SEEDS}
    for tier in TIERS:
        found = [
            Draw(by, percent, seed)
            for (by, seed), values in ordered.items()
            for percent in _fitting(values, tier, train, test)
        ]
        if found:
            return found[0] if len(found) == 1 and not _fits_at_random(losses, tier, train, test) else None
    return None


def _fits_at_random(losses: Float[Tensor, "example"], tier: int, train: Stored, test: Stored) -> bool:
    """Whether some random order of the examples has the stored losses too."""
    generator = torch.Generator().manual_seed(NULL_SEED)
    orders = (torch.randperm(len(losses), generator=generator) for _ in range(RANDOM_ORDERS))
    return any(True for order in orders for _ in _fitting(losses[order], tier, train, test))


def _fitting(losses: Float[Tensor, "example"], tier: int, train: Stored, test: Stored) -> Iterator[int]:
    """The percentages at which the first examples have the stored training loss, and the others the test loss."""
    total, n_examples = losses.cumsum(0), len(losses)
    percents = [percent for percent in range(tier, 100, tier) if int(percent / 100 * n_examples)]
    counts = [int(percent / 100 * n_examples) for percent in percents]
    sums = total[[count - 1 for count in counts]].tolist()
    for percent, count, on_train in zip(percents, counts, sums, strict=True):
        on_test = (float(total[-1]) - on_train) / (n_examples - count)
        if train.holds(on_train / count) and test.holds(on_test) and _is_sharp(losses, count):
            yield percent


def _is_sharp(losses: Float[Tensor, "example"], trained: int) -> bool:
    """Whether the examples at the boundary are like the others on their side of it.

    If not, the true fraction lies between two whole percentages. Compared are mean logarithms.
    """
    logs = losses.clamp(min=torch.finfo(losses.dtype).tiny).log()
    window = max(FEWEST, len(losses) // 200)
    sides = ((logs[:trained], logs[max(trained - window, 0) : trained]), (logs[trained:], logs[trained:][:window]))
    return all(
        float((edge.mean() - side.mean()).abs()) <= DEVIATIONS * float(side.std(correction=0)) / len(edge) ** 0.5
        for side, edge in sides
    )
