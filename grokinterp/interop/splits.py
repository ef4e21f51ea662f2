"""Training examples of published networks: drawn as by the published code, or inferred from the stored losses."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

TOLERANCE = 0.01
"""Relative difference up to which a loss equals the stored loss."""

LARGEST_CHANGE = 1.25
"""A loss is extrapolated beyond its last stored value by at most this factor."""

SEEDS = (*range(10), 42, 123, 598, 1337)
"""Seeds that are tried: small seeds, and seeds that are common in published code."""

TIERS = (10, 5, 1)
"""Fractions that are tried first, second and last: multiples of these percentages."""


RANDOM_ORDERS = 2000
"""Number of random orders that must all fail to fit the stored losses before a draw that fits is accepted."""

NULL_SEED = 987_654_321
"""Seed of the random orders; different from all seeds that are tried."""

FEWEST = 32
"""Smallest number of examples compared on either side of the boundary; one in 200 of many examples."""

DEVIATIONS = 4
"""Number of standard errors by which these examples may differ from the others on their side."""


def shuffled(n_examples: int, seed: int) -> Int[Tensor, "example"]:
    """Return the examples in the order of Python's ``random.shuffle``, which depends only on length and seed.

    Source: the code released with Nanda et al. 2023.

    >>> shuffled(9, 0)[:2].tolist()
    [7, 5]
    """
    order = list(range(n_examples))
    random.Random(seed).shuffle(order)
    return torch.tensor(order)


def permuted(n_examples: int, seed: int) -> Int[Tensor, "example"]:
    """Return the examples in the order of ``torch.randperm``. Source: the code released with Chughtai et al. 2023."""
    return torch.randperm(n_examples, generator=torch.Generator().manual_seed(seed))


DRAWS: dict[str, Callable[[int, int], Int[Tensor, "example"]]] = {
    "random.shuffle": shuffled,
    "torch.randperm": permuted,
}
"""Orders of all examples in published code, which trains on the first ⌊fraction · examples⌋."""


def drawn(draw: str, n_examples: int, *, fraction: float, seed: int) -> Bool[Tensor, "example"]:
    """Return the training examples of a draw.

    >>> drawn("random.shuffle", 9, fraction=0.3, seed=0).nonzero().flatten().tolist()
    [5, 7]
    """
    is_train = torch.zeros(n_examples, dtype=torch.bool)
    is_train[DRAWS[draw](n_examples, seed)[: int(fraction * n_examples)]] = True
    return is_train


class Stored(NamedTuple):
    """The range of the loss of the last checkpoint, which may be the stored loss or the next value of its curve."""

    value: float
    low: float
    high: float

    @classmethod
    def after(cls, values: Sequence[float]) -> "Stored | None":
        """Return the range at the end of a stored curve, whose last value may precede the weights by an evaluation.

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
        """Return whether a recomputed loss agrees with the stored loss."""
        return self.low <= value <= self.high


class Draw(NamedTuple):
    """A split drawn by other code."""

    by: str
    percent: int
    seed: int


def split_of_losses(
    losses: Float[Tensor, "example"], train: Stored, test: Stored, draws: Sequence[str] = tuple(DRAWS)
) -> Draw | None:
    """Return the only draw whose training and test examples have the stored losses, or None.

    Round fractions are tried first: multiples of 10 %, then of 5 %, then of 1 %. The result is None if several draws of
    a tier fit, if none fits, or if one of ``RANDOM_ORDERS`` random orders fits too, since the losses then carry no
    information.
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
    """Return whether some random order of the examples has the stored losses too."""
    generator = torch.Generator().manual_seed(NULL_SEED)
    orders = (torch.randperm(len(losses), generator=generator) for _ in range(RANDOM_ORDERS))
    return any(True for order in orders for _ in _fitting(losses[order], tier, train, test))


def _fitting(losses: Float[Tensor, "example"], tier: int, train: Stored, test: Stored) -> Iterator[int]:
    """Yield the percentages at which the first examples have the stored training loss, and the others the test loss."""
    total, n_examples = losses.cumsum(0), len(losses)
    percents = [percent for percent in range(tier, 100, tier) if int(percent / 100 * n_examples)]
    counts = [int(percent / 100 * n_examples) for percent in percents]
    sums = total[[count - 1 for count in counts]].tolist()
    for percent, count, on_train in zip(percents, counts, sums, strict=True):
        on_test = (float(total[-1]) - on_train) / (n_examples - count)
        if train.holds(on_train / count) and test.holds(on_test) and _is_sharp(losses, count):
            yield percent


def _is_sharp(losses: Float[Tensor, "example"], trained: int) -> bool:
    """Return whether the examples at the boundary have losses like the others on their side.

    If not, the true fraction lies between two whole percentages. Mean logarithms are compared.
    """
    logs = losses.clamp(min=torch.finfo(losses.dtype).tiny).log()
    window = max(FEWEST, len(losses) // 200)
    sides = ((logs[:trained], logs[max(trained - window, 0) : trained]), (logs[trained:], logs[trained:][:window]))
    return all(
        float((edge.mean() - side.mean()).abs()) <= DEVIATIONS * float(side.std(correction=0)) / len(edge) ** 0.5
        for side, edge in sides
    )
