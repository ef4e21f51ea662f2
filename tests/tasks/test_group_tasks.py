"""Composition and conjugation against plain Python, with the algebra that they claim."""

import json
import re
import time
from dataclasses import asdict
from itertools import permutations

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from grokinterp.errors import ConfigError
from grokinterp.maths.groups import group
from grokinterp.tasks.groups import GroupComposition, GroupConjugation
from grokinterp.tasks.modular import ModularAddition

NAMES = ["S2", "S3", "S4", "S5", "A4", "A5", "D5", "D8", "D59", "C7", "C113", "S3xC2", "C3xC3xC2"]
CONVENTIONS = ("left_first", "right_first")
COMPOSITIONS = [GroupComposition(group=name, convention=c) for name in NAMES for c in CONVENTIONS]
CONJUGATIONS = [
    GroupConjugation(group=name, form=form, convention=c)
    for name in ("S3", "S4", "S5", "D5", "C7")
    for form in ("xyx^-1", "xyx")
    for c in CONVENTIONS
]
TASKS = COMPOSITIONS + CONJUGATIONS


def images(text: str) -> tuple[int, ...]:
    return tuple(map(int, text))


def apply(*functions: tuple[int, ...]) -> str:
    """The permutation that applies these in order, as the name of an element."""
    return "".join(str(chain(functions, i)) for i in range(len(functions[0])))


def chain(functions: tuple[tuple[int, ...], ...], i: int) -> int:
    for f in functions:
        i = f[i]
    return i


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_examples_are_all_pairs_in_order(task):
    n = task.structure.order
    assert (task.d_vocab, task.n_classes, task.n_ctx, task.n_examples) == (n, n, 2, n * n)
    assert task.tokens().tolist() == [[x, y] for x in range(n) for y in range(n)]
    assert task.label().shape == (n * n,)
    assert not task.given().any()


@pytest.mark.parametrize("name", ["S3", "S4", "A4"])
def test_labels_are_composed_functions(name):
    elements = [images(text) for text in group(name).elements]
    pairs = [(x, y) for x in elements for y in elements]
    inverse = {x: tuple(x.index(i) for i in range(len(x))) for x in elements}
    expected = {
        GroupComposition(group=name): [apply(x, y) for x, y in pairs],
        GroupComposition(group=name, convention="right_first"): [apply(y, x) for x, y in pairs],
        GroupConjugation(group=name): [apply(x, y, inverse[x]) for x, y in pairs],
        GroupConjugation(group=name, form="xyx"): [apply(x, y, x) for x, y in pairs],
        GroupConjugation(group=name, convention="right_first"): [apply(inverse[x], y, x) for x, y in pairs],
        GroupConjugation(group=name, convention="right_first", form="xyx"): [apply(x, y, x) for x, y in pairs],
    }
    for task, products in expected.items():
        assert [task.structure.elements[c] for c in task.label()] == products


def test_right_first_is_the_composition_of_functions():
    """(x ∘ y)(i) = x(y(i)); x ∘ y ∘ x⁻¹ sends x(i) to x(y(i)), as conjugation renames the points of y."""
    elements = list(permutations(range(4)))
    composition = GroupComposition(group="S4", convention="right_first").table().tolist()
    conjugation = GroupConjugation(group="S4", convention="right_first").table().tolist()
    twice = GroupConjugation(group="S4", convention="right_first", form="xyx").table().tolist()
    for a, x in enumerate(elements):
        for b, y in enumerate(elements):
            assert all(elements[composition[a][b]][i] == x[y[i]] for i in range(4))
            assert all(elements[conjugation[a][b]][x[i]] == x[y[i]] for i in range(4))
            assert all(elements[twice[a][b]][i] == x[y[x[i]]] for i in range(4))


@pytest.mark.parametrize("n", [3, 5])
def test_conjugation_in_a_dihedral_group_moves_the_corners_of_a_polygon(n):
    """r^i s^a sends corner v to i ± v, and there x · y is already x(y(v)): left_first is x y x⁻¹ as functions."""
    corners = [tuple((i + sign * v) % n for v in range(n)) for sign in (1, -1) for i in range(n)]
    left, right = (GroupConjugation(group=f"D{n}", convention=c).table().tolist() for c in CONVENTIONS)
    for a, x in enumerate(corners):
        for b, y in enumerate(corners):
            assert all(corners[left[a][b]][x[v]] == x[y[v]] for v in range(n))
            assert all(x[corners[right[a][b]][v]] == y[x[v]] for v in range(n))


def test_s5_is_that_of_the_published_networks():
    """x · y is x first: (x · y)(i) = y(x(i)); the elements are in lexicographic order."""
    task, elements = GroupComposition(), list(permutations(range(5)))
    for (x, y), c in list(zip(task.tokens().tolist(), task.label().tolist(), strict=True))[::97]:
        assert elements[c] == tuple(elements[y][elements[x][i]] for i in range(5))


@pytest.mark.parametrize("task", COMPOSITIONS, ids=str)
def test_the_algebra_is_exact(task):
    g, (left, right), answer = task.algebra
    x, y = task.tokens().T
    assert (answer[task.label()] == g.table[left[x], right[y]]).all()
    assert all(sorted(renamed.tolist()) == list(range(g.order)) for renamed in (left, right, answer))
    assert g is task.structure


def test_the_conventions_differ_where_elements_do_not_commute():
    left, right = (GroupComposition(group="S3", convention=c) for c in ("left_first", "right_first"))
    x, y = left.tokens().T
    commute = left.structure.table[x, y] == left.structure.table[y, x]
    assert ((left.label() == right.label()) == commute).all()
    assert int(commute.sum()) == 3 * 6  # classes times order
    abelian = [GroupComposition(group="C7", convention=c).label() for c in ("left_first", "right_first")]
    assert torch.equal(*abelian)


def test_modular_addition_is_composition_in_the_cyclic_group():
    assert torch.equal(GroupComposition(group="C113").label(), ModularAddition(p=113).label())
    assert torch.equal(GroupComposition(group="C7").mirror(), ModularAddition(p=7).mirror())


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_mirrored_examples_are_those_of_a_commutative_operation(task):
    table = task.table()
    assert task.is_commutative == bool((table == table.T).all())
    ids = len(set(task.mirror().tolist()))
    n = task.structure.order
    assert ids == (n * (n + 1) // 2 if task.is_commutative else n * n)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_conjugation_stays_in_the_class_and_has_no_algebra(convention):
    task = GroupConjugation(group="S4", convention=convention)
    classes = task.structure.conjugacy_classes
    assert (classes[task.label()] == classes[task.tokens()[:, 1]]).all()
    assert all(task.algebra is None for task in CONJUGATIONS)


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_json_there_and_back_is_the_same_task(task):
    text = json.dumps(asdict(task))
    assert type(task)(**json.loads(text)) == task
    assert TypeAdapter(type(task)).validate_json(text, strict=True) == task


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: GroupComposition(group="S_12"),
            "group=S_12: must be C, D, S or A followed by n, or several joined by x",
        ),
        (lambda: GroupComposition(group="S12"), "group=S12: must have at most 1000 elements"),
        (lambda: GroupConjugation(group="S9999"), "group=S9999: must have at most 1000 elements"),
        (lambda: GroupConjugation(group="D2"), "group=D2: must have an n of at least 3"),
        (lambda: GroupComposition(group="S5\n"), "group=S5 : must be C, D, S or A followed by n"),
        (lambda: GroupComposition(group="x".join(["S9999"] * 3000)), "group=S9999xS9999x"),
        (lambda: GroupConjugation(group="x".join(["A9999"] * 8)), "group=A9999xA9999x"),
        (lambda: GroupComposition(group="S5" * 10**6), "group=S5S5"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(make, message):
    start = time.process_time()
    with pytest.raises(ConfigError) as error:
        make()
    assert time.process_time() - start < 1
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("task", "key", "rule"),
    [
        (GroupComposition(), "convention", "must be left_first or right_first"),
        (GroupConjugation(), "convention", "must be left_first or right_first"),
        (GroupConjugation(), "form", "must be xyx^-1 or xyx"),
    ],
)
def test_a_word_that_is_none_of_the_choices_is_refused(task, key, rule):
    object.__setattr__(task, key, "yxy")  # past beartype, which is there under pytest only
    with pytest.raises(ConfigError, match=f"^{key}=yxy: {re.escape(rule)}$"):
        task.__post_init__()


def test_a_configuration_file_cannot_say_anything_else():
    for values in ({"group": 5}, {"convention": "left"}, {"form": "xyx"}, {"kind": "group_conjugation"}):
        with pytest.raises(ValidationError):
            TypeAdapter(GroupComposition).validate_python(values)


def test_the_largest_symmetric_group_is_built():
    task = GroupComposition(group="S6")
    assert (task.n_examples, task.d_vocab) == (518_400, 720)
    assert int(task.label().bincount().unique()) == 720
