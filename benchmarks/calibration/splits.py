"""Splits inferred from stored losses: how often the true draw, no draw, or another draw is found.

A network is represented by a loss for each of p² examples, drawn from a lognormal distribution; training examples have
losses smaller by a factor. The file stores the mean of both parts at the evaluation before the weights; they have
changed by some factor since. The correct result is the draw or, if its seed is not tried or its percentage not whole,
no draw.

``python -m benchmarks.calibration.splits [--small]`` prints the table of docs/formulas.md, Imported networks.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from grokinterp.interop.splits import DRAWS, SEEDS, Draw, Stored, drawn, split_of_losses

SPREAD = 1.5
"""Standard deviation of the logarithm of an example's loss."""


class Case(NamedTuple):
    """A split, and the information that the stored losses carry about it."""

    p: int
    fraction: float
    seed: int
    factor: float
    change: float = 1.0

    @property
    def is_among_the_draws(self) -> bool:
        """Whether the true draw is among the tried draws."""
        return self.seed in SEEDS and abs(self.fraction * 100 - round(self.fraction * 100)) < 1e-9

    @property
    def name(self) -> str:
        seed = "" if self.seed in SEEDS else ", a seed that is not tried"
        return f"p = {self.p}, fraction {self.fraction:g}{seed}"


CASES = (
    *(Case(113, 0.3, 1, factor) for factor in (1.0, 1.2, 2.0, 10.0, 1000.0)),
    *(Case(113, 0.3, 1, 10.0, change) for change in (0.98, 0.9, 0.7, 1.1)),
    Case(113, 0.9, 0, 10.0),
    Case(113, 0.37, 5, 10.0),
    Case(113, 0.305, 5, 10.0),
    Case(113, 0.3, 77, 1.0),
    Case(113, 0.3, 77, 10.0),
    Case(31, 0.3, 1, 10.0),
    Case(31, 0.3, 77, 1.0),
)

SMALL = (Case(31, 0.3, 1, 10.0), Case(31, 0.3, 77, 10.0), Case(31, 0.3, 1, 1.0))


def stored(losses: Tensor, is_train: Tensor, change: float) -> tuple[Stored, Stored]:
    """Return both losses as stored in a file that ends one evaluation before the weights."""
    means = [float(losses[part].mean()) for part in (is_train, ~is_train)]
    found = [Stored.after([mean / change**2, mean / change]) for mean in means]
    assert found[0] is not None
    assert found[1] is not None
    return found[0], found[1]


def outcomes(case: Case, networks: int) -> Counter[str]:
    """Return how often the true draw, no draw, or another draw is found."""
    counts: Counter[str] = Counter()
    n = case.p**2
    for network in range(networks):
        generator = torch.Generator().manual_seed(network)
        by = list(DRAWS)[network % len(DRAWS)]
        is_train = drawn(by, n, fraction=case.fraction, seed=case.seed)
        losses = (SPREAD * torch.randn(n, generator=generator, dtype=torch.float64)).exp()
        losses = torch.where(is_train, losses / case.factor, losses)
        found = split_of_losses(losses, *stored(losses, is_train, case.change))
        truth = Draw(by, round(case.fraction * 100), case.seed) if case.is_among_the_draws else None
        counts["open" if found is None else "found" if found == truth else "wrong"] += 1
    return counts


def table(cases: tuple[Case, ...], networks: int) -> Iterator[str]:
    """Return the lines of a Markdown table."""
    yield "| split | test loss / train loss | change per evaluation | found | left open | wrong |"
    yield "|---|---|---|---|---|---|"
    for case in cases:
        counts = outcomes(case, networks)
        cells = [f"{counts[what]} of {networks}" for what in ("found", "open", "wrong")]
        yield f"| {case.name} | {case.factor:g} | {case.change:g} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="the size that the test suite can afford")
    small = parser.parse_args().small
    print("\n".join(table(SMALL if small else CASES, 4 if small else 20)))


if __name__ == "__main__":
    main()
