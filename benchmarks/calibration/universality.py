"""Numbers of different circuits among random and planted networks: is chance what ``equivalent_sets.chance`` says?

Networks are represented by their sets of key frequencies. Random networks draw their sets; planted networks share a set
up to multiplication by random units. A p-value is the probability of at most as many classes among random sets. Since
counts are discrete, it is conservative; drawn uniformly within its step it must be uniform, which is measured by the
largest distance of its distribution from the uniform one.

``python -m benchmarks.calibration.universality [--small]`` prints the table of docs/formulas.md, Different circuits.
"""

import argparse
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from benchmarks.report import table
from grokinterp.maths.equivalent_sets import Symmetry, chance, class_of, random_sets, symmetry_of

REPEATS = 2_000
LEVEL = 0.05


class Case(NamedTuple):
    """A group, the smallest and largest number of keys of its networks, and the number of networks."""

    group: str
    keys: tuple[int, int]
    networks: int


CASES = (
    Case("C23", (3, 3), 12),
    Case("C23", (3, 5), 12),
    Case("C31", (4, 4), 5),
    Case("C31", (3, 5), 12),
    Case("C31", (3, 5), 40),
    Case("C22", (3, 5), 12),
    Case("C30", (4, 4), 12),
    Case("D15", (3, 4), 12),
    Case("S5", (1, 3), 8),
    Case("C97", (3, 4), 12),
)
"""C97 has 17,296 sets of three, which are listed, and 194,580 of four, which are drawn."""

SMALL = (Case("C23", (3, 3), 6), Case("S5", (1, 2), 4))
LABELS = {"S5": 6}
"""Number of non-trivial representations, where no relabelings are known."""


def symmetry(group: str) -> Symmetry:
    """Return the symmetry of a group's representations."""
    n = int(group[1:])
    halves = {"C": n // 2, "D": 1 + (n - 1) // 2 + 2 * (n % 2 == 0)}
    return symmetry_of(group, LABELS.get(group) or halves[group[0]])


def random_networks(case: Case, of: Symmetry, rng: np.random.Generator) -> Bool[np.ndarray, "network label"]:
    """Return random sets with random numbers of keys; every set with as many keys is equally likely."""
    labels = [np.arange(len(of.kind))]
    sizes = rng.integers(case.keys[0], case.keys[1] + 1, case.networks)
    return np.concatenate([random_sets(labels, [int(size)], 1, len(of.kind), rng) for size in sizes])


def planted(case: Case, of: Symmetry, share: float, rng: np.random.Generator) -> Bool[np.ndarray, "network label"]:
    """Return random sets, a share of which are copies of the first, each after a random relabeling."""
    sets = random_networks(case, of, rng)
    for row in sets[1 : round(share * case.networks)]:
        row[:] = sets[0][of.relabelings[rng.integers(len(of.relabelings))]]
    return sets


class PValues(NamedTuple):
    """The p-value of some networks, and the same drawn uniformly within its step."""

    p: float
    uniform: float
    exact: bool


def p_values(sets: Bool[np.ndarray, "network label"], of: Symmetry, rng: np.random.Generator) -> PValues:
    """Return the p-values of some networks."""
    found, count = chance(sets, of), int(class_of(sets, of).max()) + 1
    below = float(found.probability[:count].sum())
    return PValues(found.at_most(count), below + rng.random() * float(found.probability[count]), found.exact)


def distance(uniform: Float[np.ndarray, "repeat"]) -> float:
    """Return the largest distance between the distribution of some numbers and the uniform distribution.

    >>> distance(np.array([0.25, 0.75]))
    0.25
    """
    ordered, steps = np.sort(uniform), np.arange(len(uniform) + 1) / len(uniform)
    return float(np.maximum(steps[1:] - ordered, ordered - steps[:-1]).max())


def rejected(case: Case, of: Symmetry, share: float, repeats: int, rng: np.random.Generator) -> float:
    """Return how often planted networks have a p-value of at most 0.05."""
    return float(np.mean([p_values(planted(case, of, share, rng), of, rng).p <= LEVEL for _ in range(repeats)]))


def rows(cases: tuple[Case, ...], repeats: int) -> Iterator[list[str]]:
    """Yield a row of the table for every case."""
    for case in cases:
        rng, of = np.random.default_rng(0), symmetry(case.group)
        some = repeats if p_values(random_networks(case, of, rng), of, rng).exact else max(repeats // 100, 1)
        tests = [p_values(random_networks(case, of, rng), of, rng) for _ in range(some)]
        p = np.array([one.p for one in tests])
        low, high = case.keys
        yield [
            case.group,
            str(low) if low == high else f"{low}–{high}",
            str(case.networks),
            "exact" if all(one.exact for one in tests) else "draws",
            f"{np.mean(p <= LEVEL):.3f}",
            f"{distance(np.array([one.uniform for one in tests])):.3f} ({1.36 / some**0.5:.3f})",
            *(f"{rejected(case, of, share, max(some // 10, 5), rng):.2f}" for share in (0.5, 1.0)),
        ]


HEAD = [
    "group", "keys", "networks", "chance", "random: p ≤ 0.05", "distance from uniform (95 % limit)",
    "half planted: p ≤ 0.05", "all planted",
]  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration.universality", description=__doc__)
    parser.add_argument("--small", action="store_true", help="toy size for the test suite")
    small = parser.parse_args().small
    print(table(HEAD, list(rows(SMALL, 40) if small else rows(CASES, REPEATS))), end="")


if __name__ == "__main__":
    main()
