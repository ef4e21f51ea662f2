"""Finite groups: axioms, tables and classes against plain Python and sympy, names, subgroups, cosets."""

import time
from collections import Counter
from itertools import permutations, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sympy.combinatorics.named_groups import AlternatingGroup, DihedralGroup, SymmetricGroup

from grokinterp.maths.groups import Factor, Group, cyclic, direct_product, group, opposite, parse
from grokinterp.maths.permutations import all_permutations, even_permutations, parity
from grokinterp.maths.subgroups import conjugate_subgroups, generated, left_cosets, right_cosets, subgroups

NAMES = ["C2", "C7", "C12", "C113", "D3", "D4", "D12", "D59", "S2", "S3", "S4", "S5", "A3", "A4", "A5", "A6"]
NAMES += ["S3xC2", "C3xC3", "C4xC2", "D4xC3", "C3xC3xC2", "S3xA4"]
GROUPS = [*map(group, NAMES), cyclic(1), opposite(group("S4")), direct_product(opposite(group("S3")), cyclic(3))]


def then(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
    """First x, then y."""
    return tuple(y[image] for image in x)


def table_of(elements: list, multiply) -> list[list[int]]:
    return [[elements.index(multiply(x, y)) for y in elements] for x in elements]


# --- axioms ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("g", GROUPS, ids=lambda g: g.name)
def test_it_is_a_group(g):
    n, e = g.order, g.identity
    everything = torch.arange(n)
    assert g.table.shape == (n, n)
    assert g.table.dtype == torch.int64
    assert len(set(g.elements)) == n
    assert (g.table.sort(0)[0] == everything[:, None]).all()
    assert (g.table.sort(1)[0] == everything).all()
    assert g.table[e].tolist() == g.table[:, e].tolist() == list(range(n))
    assert (g.table[everything, g.inverse] == e).all()
    assert (g.table[g.inverse, everything] == e).all()
    few = everything if n <= 60 else torch.randperm(n, generator=torch.Generator().manual_seed(n))[:40]
    x, y, z = torch.meshgrid(few, few, few, indexing="ij")
    assert (g.table[g.table[x, y], z] == g.table[x, g.table[y, z]]).all()


@pytest.mark.parametrize("g", GROUPS, ids=lambda g: g.name)
def test_orders_and_classes_are_those_of_their_definitions(g):
    table, inverse, n = g.table.tolist(), g.inverse.tolist(), g.order
    for x in range(0, n, 1 + n // 40):
        power, order = x, 1
        while power != g.identity:
            power, order = table[power][x], order + 1
        assert g.element_orders[x] == order
        members = {table[table[by][x]][inverse[by]] for by in range(n)}
        assert set((g.conjugacy_classes == g.conjugacy_classes[x]).nonzero().flatten().tolist()) == members
    firsts = [g.conjugacy_classes.tolist().index(c) for c in range(int(g.conjugacy_classes.max()) + 1)]
    assert firsts == sorted(firsts)
    assert g.is_abelian == (len(firsts) == n)


# --- tables against plain Python -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_permutations_are_in_order_and_have_the_parity_of_their_transpositions(n):
    every = list(permutations(range(n)))
    assert all_permutations(n).tolist() == list(map(list, every))
    cycles = [len(cycles_of(x)) for x in every]
    assert parity(all_permutations(n)).tolist() == [(n - c) % 2 for c in cycles]
    even = [list(x) for x, c in zip(every, cycles, strict=True) if (n - c) % 2 == 0]
    assert even_permutations(n).tolist() == even


def cycles_of(x: tuple[int, ...]) -> set[frozenset[int]]:
    found = set()
    for start in range(len(x)):
        orbit, point = {start}, x[start]
        while point != start:
            orbit, point = orbit | {point}, x[point]
        found.add(frozenset(orbit))
    return found


@pytest.mark.parametrize("name", ["S2", "S3", "S4", "A3", "A4", "A5"])
def test_permutations_are_composed_from_left_to_right(name):
    n = int(name[1])
    elements = [x for x in permutations(range(n)) if name[0] == "S" or (n - len(cycles_of(x))) % 2 == 0]
    assert group(name).table.tolist() == table_of(elements, then)
    assert group(name).elements == tuple("".join(map(str, x)) for x in elements)


@pytest.mark.parametrize("n", [3, 4, 7, 12])
def test_dihedral_elements_move_the_corners_of_a_polygon(n):
    """r^i s^a sends corner v to i ± v; their product is that of functions."""
    corners = [tuple((i + sign * v) % n for v in range(n)) for sign in (1, -1) for i in range(n)]
    assert group(f"D{n}").table.tolist() == table_of(corners, lambda x, y: then(y, x))
    assert group(f"D{n}").elements[1] == "r1"
    assert group(f"D{n}").elements[n + 1] == "r1s"


def test_a_direct_product_multiplies_each_part():
    s3, c2, c3 = (group(name).table.tolist() for name in ("S3", "C2", "C3"))
    elements = list(product(range(6), range(2), range(3)))
    expected = table_of(elements, lambda x, y: (s3[x[0]][y[0]], c2[x[1]][y[1]], c3[x[2]][y[2]]))
    assert group("S3xC2xC3").table.tolist() == expected
    assert group("S3xC2xC3").elements[7] == "021,0,1"
    assert group("S3xC2xC3").factors == (Factor("S", 3), Factor("C", 2), Factor("C", 3))


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("S4", SymmetricGroup(4)), ("A5", AlternatingGroup(5)), ("D12", DihedralGroup(12)), ("D5", DihedralGroup(5))],
)
def test_sympy_agrees(name, theirs):
    g = group(name)
    assert Counter(g.element_orders.tolist()) == Counter(x.order() for x in theirs.elements)
    sizes = Counter(g.conjugacy_classes.tolist()).values()
    assert sorted(sizes) == sorted(len(members) for members in theirs.conjugacy_classes())
    assert g.is_abelian == theirs.is_abelian
    if name[0] in "SA":
        elements = sorted(theirs.elements, key=lambda x: x.array_form)
        assert g.table.tolist() == [[elements.index(x * y) for y in elements] for x in elements]


def test_the_opposite_group_multiplies_the_other_way_round():
    s4 = group("S4")
    other, x = opposite(s4), torch.arange(24)
    assert (other.table[x[:, None], x] == s4.table[x, x[:, None]]).all()
    assert (s4.inverse[other.table] == s4.table[s4.inverse[:, None], s4.inverse]).all()


@pytest.mark.parametrize(("name", "cyclic_too"), [("C12", True), ("C3xC4", True), ("C2xC4", False), ("S3", False)])
def test_a_logarithm_turns_products_into_sums(name, cyclic_too):
    g = group(name)
    assert (g.logarithm is not None) == cyclic_too
    if g.logarithm is not None:
        assert (g.logarithm[g.table] == (g.logarithm[:, None] + g.logarithm) % g.order).all()


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_group_is_made_of_what_its_name_says(name):
    g = group(name)
    assert (g.name, "x".join(map(str, g.factors))) == (name, name)
    assert parse(name) == g.factors


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        *((name, "must be C, D, S or A") for name in ("", "S", "5", "S_12", "s5", "S05", "S-5", "S5 ", "Q8", "S3XC2")),
        *((name, "must be C, D, S or A") for name in ("S3x", "xS3", "S3xx2", "S5\n", "Z7", "C99999", "S٣", "C5.0")),
        *((name, "must have at most 1000 elements") for name in ("S7", "S12", "S9999", "A7", "C1001", "D501", "S5xC9")),
        *((name, "must have at most 1000 elements") for name in ("x".join(["C2"] * 10), "x".join(["S9999"] * 9))),
        *((name, "must have an n of at least") for name in ("C1", "S1", "D2", "A2", "S3xC1")),
        *(("x".join([name] * 3000), "must have at most 53 characters") for name in ("S9999", "C2", "")),
    ],
)
def test_any_other_name_is_refused_before_anything_is_built(name, rule):
    start = time.process_time()
    with pytest.raises(ValueError, match=rule) as error:
        group(name)
    assert time.process_time() - start < 1
    assert "\n" not in str(error.value)


@given(st.text(alphabet="CDSAx0123456789 _", max_size=12))
def test_a_text_is_the_name_of_a_small_group_or_refused(text):
    try:
        factors = parse(text)
    except ValueError:
        return
    assert "x".join(map(str, factors)) == text
    assert all(factor.order >= 2 for factor in factors)


def test_the_largest_groups_are_allowed():
    assert [parse(name)[0].order for name in ("C1000", "D500", "S6", "A6")] == [1000, 1000, 720, 360]
    assert len(parse("x".join(["C2"] * 9))) == 9


# --- subgroups and cosets --------------------------------------------------------------------------------------------


def all_subgroups(g: Group) -> set[frozenset[int]]:
    """Every subgroup generated by up to three elements, by multiplication until closure."""
    table, found = g.table.tolist(), set()
    for generators in product(range(g.order), repeat=3):
        if list(generators) == sorted(generators):
            closed, fresh = {g.identity}, {g.identity}
            while fresh:
                fresh = {table[x][y] for x in fresh for y in generators} - closed
                closed |= fresh
            found.add(frozenset(closed))
    return found


@pytest.mark.parametrize("name", ["C12", "S3", "D4", "D6", "A4", "S4", "C2xC2xC2", "C3xC3"])
def test_subgroups_are_all_of_them(name):
    g = group(name)
    chosen = subgroups(g)
    every = [conjugate_subgroups(g, h) for h in chosen]
    found = [frozenset(h.nonzero().flatten().tolist()) for conjugates in every for h in conjugates]
    assert len(found) == len(set(found))
    assert set(found) == all_subgroups(g)
    assert chosen.sum(1).tolist() == sorted(chosen.sum(1).tolist())


@pytest.mark.parametrize(
    ("name", "classes", "total"),
    [("S4", 11, 30), ("A5", 9, 59), ("S5", 19, 156), ("A6", 22, 501), ("D59", 4, 62), ("C113", 2, 2)],
)
def test_the_number_of_subgroups_is_the_known_one(name, classes, total):
    """D_n has d(n) + σ(n) subgroups; the others follow from their tables of marks."""
    g = group(name)
    chosen = subgroups(g)
    assert (len(chosen), sum(len(conjugate_subgroups(g, h)) for h in chosen)) == (classes, total)


def test_subgroups_of_the_trivial_group_and_too_many():
    assert subgroups(cyclic(1)).tolist() == [[True]]
    with pytest.raises(ValueError, match="group C2xC2xC2xC2xC2xC2 has more than 1000 classes of subgroups"):
        subgroups(group("C2xC2xC2xC2xC2xC2"))


def test_cosets_of_both_sides():
    g = group("S4")
    table = g.table.tolist()
    for h in subgroups(g):
        members = h.nonzero().flatten().tolist()
        left, right = left_cosets(g, h).tolist(), right_cosets(g, h).tolist()
        for x in range(24):
            assert {y for y in range(24) if left[y] == left[x]} == {table[x][m] for m in members}
            assert {y for y in range(24) if right[y] == right[x]} == {table[m][x] for m in members}
        assert max(left) == max(right) == 24 // len(members) - 1
        assert (left == right) == (len(conjugate_subgroups(g, h)) == 1)
    assert generated(g, 1, 6).sum() == 4
