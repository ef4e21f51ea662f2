"""Sets of labels up to a group of relabelings: their classes, and how many classes random sets have.

The labels are the frequencies or irreducible representations that networks answer with. An automorphism of the group
of a task turns a network that solves it into another that does: a ↦ ua modulo n turns every key frequency k into uk or
-uk. Networks whose sets are equivalent have the same circuit up to this choice of coordinates.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache, reduce
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from grokinterp.maths.groups import parse

MOST_SETS = 20_000
"""Largest number of sets that are listed; the classes of more sets are counted in random draws."""

DRAWS = 10_000
"""Number of draws where the sets are not listed."""

MEMORY = 2**22
"""Largest number of entries of the sets that are drawn at a time."""


class Symmetry(NamedTuple):
    """The relabelings that keep a circuit the same, and the kind of each label.

    Args:
        relabelings: the label to which each label is turned; the rows form a group.
        kind: labels of different kinds are never exchanged; random sets have as many labels of each kind.
    """

    relabelings: Int[np.ndarray, "relabeling label"]
    kind: Int[np.ndarray, "label"]


class Chance(NamedTuple):
    """The distribution of the number of classes among random sets.

    Args:
        probability: the probability of each number of classes, beginning with 0.
        exact: whether it is computed from all sets; if not, it is the result of random draws.
    """

    probability: Float[np.ndarray, "count"]
    exact: bool

    @property
    def expected(self) -> float:
        """The expected number of classes."""
        return float(self.probability @ np.arange(len(self.probability)))

    @property
    def is_certain(self) -> bool:
        """Whether all random sets have the same number of classes, so that it is no evidence."""
        return bool((self.probability > 1 - 1e-9).any())

    def at_most(self, count: int) -> float:
        """Return the probability of at most this many classes; at least 1/10,001 if it is the result of draws."""
        share = float(self.probability[: count + 1].sum())
        return min(share, 1.0) if self.exact else (share * DRAWS + 1) / (DRAWS + 1)

    def quantile(self, share: float) -> int:
        """Return the smallest number of classes that is not exceeded with this probability."""
        reached = self.probability.cumsum() >= share - 1e-12
        return int(reached.argmax()) if reached.any() else len(self.probability) - 1


def cyclic_symmetry(n: int) -> Symmetry:
    """Return the symmetry of the frequencies 1 to ⌊n/2⌋ of C_n: k ↦ ±uk for the u coprime to n.

    The kind of k is its greatest common divisor with n. For a prime n all frequencies are of one kind.

    >>> cyclic_symmetry(7).relabelings.tolist()  # by 1, 2 and 3: 2 · 2 = 4 is the frequency 3
    [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    >>> cyclic_symmetry(6).kind.tolist()
    [1, 2, 3]
    """
    k = np.arange(1, n // 2 + 1)
    units = [u for u in range(1, max(n // 2, 1) + 1) if math.gcd(u, n) == 1]
    images = np.array([u * k % n for u in units])
    return Symmetry(np.minimum(images, n - images) - 1, np.gcd(k, n))


def dihedral_symmetry(n: int) -> Symmetry:
    """Return the symmetry of ``sign``, ``freq_k`` for k < n/2 and, for even n, the two halves of n/2, of D_n.

    r ↦ r^u, s ↦ r^j·s turns k into ±uk; for even n, an odd j exchanges the two halves.

    >>> dihedral_symmetry(5).relabelings.tolist()  # sign, freq_1, freq_2
    [[0, 1, 2], [0, 2, 1]]
    >>> dihedral_symmetry(4).relabelings.tolist()  # sign, freq_1, freq_2_a, freq_2_b
    [[0, 1, 2, 3], [0, 1, 3, 2]]
    """
    rotations = cyclic_symmetry(n)
    planes = (n - 1) // 2
    halves = [[], []] if n % 2 else [[planes + 1, planes + 2], [planes + 2, planes + 1]]
    rows = [[0, *(row[:planes] + 1), *ends] for row in rotations.relabelings for ends in halves[: 2 - n % 2]]
    kinds = [0, *rotations.kind[:planes], *([n] * (2 - 2 * (n % 2)))]
    return Symmetry(np.array(rows), np.array(kinds))


def no_symmetry(n_labels: int) -> Symmetry:
    """Return the symmetry under which only equal sets are equivalent, and random sets consist of any labels."""
    return Symmetry(np.arange(n_labels)[None], np.zeros(n_labels, dtype=np.int64))


def symmetry_of(group: str | None, n_labels: int) -> Symmetry:
    """Return the symmetry of the non-trivial irreducible representations of a named group.

    For other groups than C_n and D_n, and for unknown groups, only equal sets count as equivalent. In S_n, for n other
    than 6, no automorphism exchanges representations.

    Args:
        group: its name, as ``C113`` or ``D59``, if it is known.
        n_labels: the number of representations.

    >>> [len(symmetry_of(*of).relabelings) for of in (("C11", 5), ("D5", 3), ("S4", 4), (None, 4))]
    [5, 2, 1, 1]
    """
    factors = parse(group) if group else ()
    built = {"C": cyclic_symmetry, "D": dihedral_symmetry}
    if len(factors) == 1 and factors[0].family in built:
        symmetry = built[factors[0].family](factors[0].n)
        if len(symmetry.kind) == n_labels:
            return symmetry
    return no_symmetry(n_labels)


def first_relabeling(sets: Bool[np.ndarray, "set label"], symmetry: Symmetry) -> Int[np.ndarray, "set"]:
    """Return the row of the relabeling that turns each set into its equivalent that is first in alphabetical order.

    >>> sets = np.array([[1, 1, 0, 0, 0], [0, 0, 1, 0, 1], [1, 0, 1, 0, 0]], dtype=bool)  # {1, 2}, {3, 5}, {1, 3}
    >>> rows = first_relabeling(sets, cyclic_symmetry(11))
    >>> rows.tolist(), relabeled(sets, rows, cyclic_symmetry(11)).astype(int).tolist()  # {3, 5} = 3 · {1, 2}
    ([0, 2, 0], [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 0, 1, 0, 0]])
    """
    chosen, first = np.zeros(len(sets), dtype=np.int64), sets
    for row, relabeling in enumerate(symmetry.relabelings):
        image = sets[:, relabeling]
        at = (image != first).argmax(1)[:, None]
        earlier = np.take_along_axis(image & ~first, at, axis=1)
        first = np.where(earlier, image, first)
        chosen = np.where(earlier[:, 0], row, chosen)
    return chosen


def relabeled(
    values: Shaped[np.ndarray, "set label"], rows: Int[np.ndarray, "set"], symmetry: Symmetry
) -> Shaped[np.ndarray, "set label"]:
    """Return the values of each set after its relabeling, so that label i has the value of ``relabelings[row][i]``.

    >>> sets = np.array([[1, 1, 0, 0, 0], [0, 0, 1, 0, 1]], dtype=bool)  # {1, 2} and {3, 5} = 3 · {1, 2} at p = 11
    >>> relabeled(sets, np.array([0, 2]), cyclic_symmetry(11)).astype(int).tolist()
    [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0]]
    """
    return np.take_along_axis(values, symmetry.relabelings[rows], axis=1)


def class_of(sets: Bool[np.ndarray, "set label"], symmetry: Symmetry) -> Int[np.ndarray, "set"]:
    """Return the number of the class of each set; classes are numbered from 0 in the order of their first set.

    >>> class_of(np.array([[1, 0, 1], [1, 0, 0], [0, 0, 1]], dtype=bool), cyclic_symmetry(7)).tolist()
    [0, 1, 1]
    """
    canonical = relabeled(sets, first_relabeling(sets, symmetry), symmetry)
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in canonical], dtype=int)


def chance(sets: Bool[np.ndarray, "set label"], symmetry: Symmetry, *, seed: int = 0) -> Chance:
    """Return the distribution of the number of classes if every set were drawn at random.

    A random set has as many labels of each kind as the set that it stands for, and all such sets have the same
    probability. If there are at most 20,000 of them, their classes are counted and the distribution is exact; if not,
    it comes from 10,000 draws.

    Args:
        sets: the sets; only the number of their labels of each kind matters.
        symmetry: their symmetry.
        seed: of the draws.

    >>> pairs = np.array([[1, 1, 0, 0, 0]] * 3, dtype=bool)  # of the 5 frequencies at p = 11: two classes of 5 pairs
    >>> chance(pairs, cyclic_symmetry(11)).probability.tolist()  # all three in the same class: 1/4
    [0.0, 0.25, 0.75, 0.0]
    """
    members = [np.flatnonzero(symmetry.kind == kind) for kind in np.unique(symmetry.kind)]
    profiles = Counter(tuple(int(row[of].sum()) for of in members) for row in sets)
    rng = np.random.default_rng(seed)
    parts = []
    for sizes, runs in sorted(profiles.items()):
        if math.prod(math.comb(len(of), size) for of, size in zip(members, sizes, strict=True)) <= MOST_SETS:
            key = (symmetry.relabelings.tobytes(), symmetry.kind.tobytes(), sizes)
            parts.append(Chance(occupied(class_sizes(*key), runs), exact=True))
        else:
            parts.append(Chance(drawn(members, sizes, runs, symmetry, rng), exact=False))
    return together(parts)


def together(parts: Iterable[Chance]) -> Chance:
    """Return the distribution of the sum of independent numbers of classes.

    >>> together([Chance(np.array([0.0, 0.5, 0.5]), True), Chance(np.array([0.0, 1.0]), True)]).probability.tolist()
    [0.0, 0.0, 0.5, 0.5]
    """
    listed = list(parts)
    whole = reduce(np.convolve, [part.probability for part in listed], np.ones(1))
    return Chance(whole, all(part.exact for part in listed))


@lru_cache(maxsize=256)
def class_sizes(relabelings: bytes, kinds: bytes, sizes: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Return how many classes of each size the sets with these numbers of labels of each kind have, from a list."""
    kind = np.frombuffer(kinds, dtype=np.int64)
    symmetry = Symmetry(np.frombuffer(relabelings, dtype=np.int64).reshape(-1, len(kind)), kind)
    members = [np.flatnonzero(kind == one).tolist() for one in np.unique(kind)]
    chosen = [sum(parts, ()) for parts in product(*(combinations(of, n) for of, n in zip(members, sizes, strict=True)))]
    sets = np.zeros((len(chosen), len(kind)), dtype=bool)
    np.put_along_axis(sets, np.array(chosen, dtype=np.int64).reshape(len(chosen), -1), values=True, axis=1)
    in_class = np.bincount(class_of(sets, symmetry))
    return tuple(sorted(Counter(in_class.tolist()).items()))


def occupied(sizes: Sequence[tuple[int, int]], draws: int) -> Float[np.ndarray, "count"]:
    """Return the distribution of the number of classes that occur in draws with replacement.

    For c classes with probability q each, the probability T[j, d] that j given draws all fall into exactly d of them is
    T[j, d] = q (d T[j - 1, d] + (c - d + 1) T[j - 1, d - 1]). Of classes of several sizes, any j draws fall into those
    of the first size, and the others into the rest.

    Args:
        sizes: pairs of a size, to which the probability is proportional, and the number of classes of this size.
        draws: number of draws.

    >>> occupied([(1, 2)], 2).tolist(), occupied([(1, 1), (3, 1)], 2).tolist()
    ([0.0, 0.5, 0.5], [0.0, 0.625, 0.375])
    """
    total = sum(size * count for size, count in sizes)
    whole = np.zeros((draws + 1, draws + 1))
    whole[0, 0] = 1
    for size, count in sizes:
        part, before = fall_into(count, size / total, draws), whole
        whole = np.zeros_like(before)
        for j in range(draws + 1):
            for i in range(j + 1):
                whole[j] += math.comb(j, i) * np.convolve(part[i], before[j - i])[: draws + 1]
    return whole[draws]


def fall_into(classes: int, probability: float, draws: int) -> Float[np.ndarray, "draw count"]:
    """Return T of ``occupied``."""
    table = np.zeros((draws + 1, draws + 1))
    table[0, 0] = 1
    occupied_before = np.arange(draws + 1)
    for j in range(1, draws + 1):
        table[j] = occupied_before * table[j - 1]
        table[j, 1:] += np.maximum(classes - occupied_before[:-1], 0) * table[j - 1, :-1]
        table[j] *= probability
    return table


def drawn(
    members: Sequence[Int[np.ndarray, "member"]],
    sizes: Sequence[int],
    runs: int,
    symmetry: Symmetry,
    rng: np.random.Generator,
) -> Float[np.ndarray, "count"]:
    """Return the shares of draws of as many random sets as there are runs that have each number of classes."""
    counts = np.zeros(runs + 1)
    at_a_time = max(MEMORY // (runs * len(symmetry.kind)), 1)
    for start in range(0, DRAWS, at_a_time):
        some = min(at_a_time, DRAWS - start)
        sets = random_sets(members, sizes, some * runs, len(symmetry.kind), rng)
        classes = np.sort(class_of(sets, symmetry).reshape(some, runs), axis=1)
        counts += np.bincount(1 + (np.diff(classes, axis=1) > 0).sum(1), minlength=runs + 1)
    return counts / DRAWS


def random_sets(
    members: Sequence[Int[np.ndarray, "member"]],
    sizes: Sequence[int],
    count: int,
    n_labels: int,
    rng: np.random.Generator,
) -> Bool[np.ndarray, "set label"]:
    """Return sets with given numbers of labels of each kind, all such sets with the same probability."""
    sets = np.zeros((count, n_labels), dtype=bool)
    for of, size in zip(members, sizes, strict=True):
        order = rng.random((count, len(of))).argsort(1)
        np.put_along_axis(sets, of[order[:, :size]], values=True, axis=1)
    return sets
