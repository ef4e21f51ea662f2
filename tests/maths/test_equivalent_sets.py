"""Sets up to relabelings: against listing everything, against the automorphisms of real groups, and planted sets."""

import math
from collections import Counter
from itertools import combinations, product

import numpy as np
import pytest
import torch

from grokinterp.maths.equivalent_sets import (
    DRAWS,
    chance,
    class_of,
    class_sizes,
    cyclic_symmetry,
    drawn,
    first_relabeling,
    no_symmetry,
    occupied,
    relabeled,
    symmetry_of,
)
from grokinterp.maths.groups import group
from grokinterp.maths.representations import characters


def rows(sets: list[set[int]], n_labels: int) -> np.ndarray:
    """Sets of frequencies, numbered from 1, as a mask."""
    return np.array([[k in one for k in range(1, n_labels + 1)] for one in sets])


def multiplied(frequencies: set[int], u: int, n: int) -> set[int]:
    return {min(u * k % n, -u * k % n) for k in frequencies}


@pytest.mark.parametrize("n", [7, 12, 15, 23])
def test_sets_are_equivalent_if_one_is_a_multiple_of_the_other(n):
    labels = range(1, n // 2 + 1)
    sets = [set(one) for one in combinations(labels, 3)]
    units = [u for u in range(1, n) if math.gcd(u, n) == 1]
    orbits = {frozenset(frozenset(multiplied(one, u, n)) for u in units) for one in sets}
    found = class_of(rows(sets, len(labels)), cyclic_symmetry(n))
    assert len(set(found)) == len(orbits)
    by_class = {c: {frozenset(one) for one, of in zip(sets, found, strict=True) if of == c} for c in set(found)}
    assert {frozenset(members) for members in by_class.values()} == orbits


@pytest.mark.parametrize("name", ["C9", "C10", "D7", "D8"])
def test_relabelings_are_those_of_the_automorphisms(name):
    """r ↦ r^u, s ↦ r^j·s moves the character of each label to that of its image."""
    of, n = group(name), int(name[1:])
    chi = characters(of)[1:]
    symmetry = symmetry_of(name, len(chi))
    moved = set()
    for u, j in product(range(1, n), range(n)):
        if math.gcd(u, n) == 1:
            elements = [(u * i % n) if x < n else (u * i + j) % n + n for x in range(of.order) for i in [x % n]]
            images = torch.cdist(chi[:, elements], chi).argmin(1)
            assert torch.allclose(chi[images], chi[:, elements])
            moved.add(tuple(images.tolist()))
    assert {tuple(row) for row in symmetry.relabelings.tolist()} == moved
    assert {tuple(symmetry.kind[list(row)]) for row in moved} == {tuple(symmetry.kind)}


def test_the_first_form_of_a_set_keeps_the_values_of_its_members():
    values = np.array([[0, 0, 0.3, 0, 0.5]])  # {3, 5} at p = 11 is 3 · {1, 2}: 1 goes to 3 and 2 to 6, that is 5
    row = first_relabeling(values > 0, cyclic_symmetry(11))
    assert relabeled(values, row, cyclic_symmetry(11)).tolist() == [[0.3, 0.5, 0, 0, 0]]


@pytest.mark.parametrize(("n", "sizes"), [(11, [2, 2, 2]), (9, [2, 2]), (10, [2, 1, 2])])
def test_the_distribution_by_chance_is_that_of_all_draws(n, sizes):
    symmetry, n_labels = cyclic_symmetry(n), n // 2
    sets = rows([set(range(1, size + 1)) for size in sizes], n_labels)
    kinds = symmetry.kind
    of_each = [
        [
            one
            for one in combinations(range(n_labels), int(row.sum()))
            if Counter(kinds[list(one)]) == Counter(kinds[row])
        ]
        for row in sets
    ]
    counts = np.zeros(len(sizes) + 1)
    for draw in product(*of_each):
        mask = np.zeros((len(sizes), n_labels), dtype=bool)
        for row, members in zip(mask, draw, strict=True):
            row[list(members)] = True
        counts[len(set(class_of(mask, symmetry)))] += 1
    found = chance(sets, symmetry)
    assert found.exact
    assert found.probability == pytest.approx(counts / counts.sum())


def test_drawn_sets_agree_with_all_sets():
    symmetry = cyclic_symmetry(23)
    sizes = class_sizes(symmetry.relabelings.tobytes(), symmetry.kind.tobytes(), (4,))
    exact = occupied(sizes, 12)
    found = drawn([np.arange(11)], (4,), 12, symmetry, np.random.default_rng(0))
    errors = np.sqrt(exact * (1 - exact) / DRAWS)
    assert (np.abs(found - exact) <= 5 * errors + 1e-12).all()


def test_many_sets_are_drawn_and_the_draws_repeat():
    sets = rows([{1, 2, 3, 4, 5}] * 3, 56)
    first, second = (chance(sets, cyclic_symmetry(113), seed=seed) for seed in (0, 0))
    assert not first.exact
    assert first.probability.tolist() == second.probability.tolist()
    assert first.at_most(1) == pytest.approx(1 / (DRAWS + 1))  # never seen, but not impossible


def test_planted_networks_with_one_circuit_are_recognized_and_random_ones_are_not():
    rng, n, symmetry = np.random.default_rng(1), 31, cyclic_symmetry(31)
    same = rows([multiplied({1, 4, 6, 11}, int(u), n) for u in rng.integers(1, n, 12)], 15)
    random = rows([set(rng.choice(np.arange(1, 16), 4, replace=False).tolist()) for _ in range(12)], 15)
    counts = [len(set(class_of(sets, symmetry))) for sets in (same, random)]
    assert counts[0] == 1
    assert chance(same, symmetry).at_most(1) < 1e-9
    assert chance(random, symmetry).at_most(counts[1]) > 0.05


def test_networks_that_use_all_frequencies_are_no_evidence():
    found = chance(rows([set(range(1, 12))] * 12, 11), cyclic_symmetry(23))
    assert found.at_most(1) == pytest.approx(1)
    assert found.is_certain
    assert (found.expected, found.quantile(0.025), found.quantile(0.975)) == (pytest.approx(1), 1, 1)


def test_without_symmetry_only_equal_sets_are_equivalent():
    sets = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]], dtype=bool)
    assert class_of(sets, no_symmetry(4)).tolist() == [0, 0, 1]
    assert chance(sets, no_symmetry(4)).probability == pytest.approx([0, 1 / 36, 15 / 36, 20 / 36])
