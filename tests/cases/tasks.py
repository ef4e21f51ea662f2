"""A small task of every kind, and what holds for every task, checked with loops and dictionaries."""

import json
from collections.abc import Callable, Hashable
from dataclasses import asdict
from functools import reduce
from typing import Any

import torch
from pydantic import TypeAdapter

from grokinterp.errors import ConfigError
from grokinterp.maths.groups import Algebra
from grokinterp.tasks import TASKS as KINDS
from grokinterp.tasks import Table
from grokinterp.tasks.task import BinaryTask, Task

TASKS: dict[str, Task] = {
    "addition": KINDS["modular_addition"](p=7),
    "subtraction": KINDS["modular_subtraction"](p=7),
    "multiplication": KINDS["modular_multiplication"](p=7),
    "multiplication modulo 6": KINDS["modular_multiplication"](p=6),
    "division": KINDS["modular_division"](p=7),
    "polynomial": KINDS["polynomial"](p=5, expression="x^3+xy^2+y"),
    "S3": KINDS["group_composition"](group="S3"),
    "D4 the other way": KINDS["group_composition"](group="D4", convention="right_first"),
    "conjugation": KINDS["group_conjugation"](group="S3", form="xyx^-1"),
    "matrices": KINDS["matrix_multiplication"](n=2, p=2),
    "invertible matrices": KINDS["matrix_multiplication"](n=2, p=2, invertible=True),
    "recurrence": KINDS["linear_recurrence"](p=5, length=3),
    "periodic": KINDS["periodic_sequence"](p=3, periods=(2, 3), length=5),
    "formula": KINDS["boolean_formula"](n_variables=3, operators=("and", "xor")),
    "relations": KINDS["relation_composition"](n_entities=6, n_relations=3),
    "parity": KINDS["sparse_parity"](n_bits=6, k=2),
    "table": Table.from_array([[0, 1, 2], [1, 2, -1], [2, 0, 1]]),
    "digits": KINDS["digit_addition"](base=3, digits=2),
    "digits, lowest first": KINDS["digit_addition"](base=10, digits=5, lowest_first=True, samples=50),
    "copy": KINDS["copy_list"](p=3, length=3),
    "reverse": KINDS["reverse_list"](p=3, length=3),
    "sort": KINDS["sort_list"](p=3, length=3),
    "maximum": KINDS["maximum"](p=4, length=3),
    "place of maximum": KINDS["place_of_maximum"](p=4, length=3),
    "repeated": KINDS["repeated_sequence"](p=3, length=4, shortest=2, samples=None),
    "repeated, sampled": KINDS["repeated_sequence"](p=30, length=4, shortest=4, samples=40),
    "skip trigram": KINDS["skip_trigram"](keys=3, fillers=2, queries=2, classes=4, length=4, samples=None),
    "brackets": KINDS["brackets"](length=6),
    "composition": KINDS["composition"](
        outer=KINDS["modular_multiplication"](p=4), inner=KINDS["modular_addition"](p=4)
    ),
    "sum of three": KINDS["modular_sum"](p=5, n=3),
    "sampled sum": KINDS["modular_sum"](p=7, n=4, samples=150, seed=1),
    "product of three": KINDS["modular_product"](p=5, n=3),
    "three of S3": KINDS["group_product"](group="S3", n=3, convention="right_first"),
    "operators": KINDS["operator_expression"](p=5, n=2),
    "three operators": KINDS["operator_expression"](p=5, n=3, operators=("*", "-"), samples=200),
    "even and odd": KINDS["parity_operation"](p=7, even="-", odd="/", decides="right"),
    "ambiguous": KINDS["ambiguous_groups"](first="C2xC3", second="D3"),
}
"""The table over which the general laws run."""


def examples(task: Task) -> dict[tuple[int, ...], Any]:
    """The label by tokens, or all labels if there are several, in the order of the examples; no two ask the same."""
    rows, labels = task.tokens().tolist(), task.labels().tolist()
    asked = {tuple(row): of[0] if task.n_answers == 1 else of for row, of in zip(rows, labels, strict=True)}
    assert len(asked) == len(rows) == task.n_examples
    return asked


def check(task: Task) -> None:
    """The laws of every task."""
    asked = examples(task)
    assert asked
    assert all(len(row) == task.n_ctx and all(0 <= token < task.d_vocab for token in row) for row in asked)
    check_labels(task, task.labels().tolist())
    assert len(task.given()) == len(task.mirror()) == task.n_examples
    check_configuration(task)
    if task.branches:
        check_branches(task, asked)
    elif isinstance(task, BinaryTask):
        check_mirror(task, asked)
    assert not (task.given() & task.withheld()).any()
    for rival in task.rivals:
        check_rival(task, rival, asked)
    assert task.group_name in (None, task.algebra and task.algebra.group.name)
    if task.algebra is not None:
        check_algebra(task, asked)


def check_labels(task: Task, labels: list[list[int]]) -> None:
    """Every example has as many labels as answers, classes or -1, and asks for an answer."""
    assert all(len(of) == task.n_answers and all(-1 <= label < task.n_classes for label in of) for of in labels)
    assert all(max(of) >= 0 for of in labels)
    assert task.n_answers > 1 or all(of != [-1] for of in labels)


def check_configuration(task: Task) -> None:
    """The parameters are plain JSON values, from which the task can be built again."""
    assert type(task).about
    assert TypeAdapter(type(task)).validate_json(json.dumps(asdict(task)), strict=True) == task


def check_mirror(task: Task, asked: dict[tuple[int, ...], Any]) -> None:
    """(a, b) and (b, a) share an id exactly if the operation commutes, and nothing else shares one."""
    commutes = all(asked.get((b, a)) == label for (a, b), label in asked.items())
    groups = grouped(task.mirror().tolist(), asked)
    assert groups == {frozenset({(a, b), (b, a)} if commutes else {(a, b)}) for a, b in asked}


def check_branches(task: Task, asked: dict[tuple[int, ...], int]) -> None:
    """Every example is in one branch, whose algebra gives its answer; mirror images have equal operands and answers."""
    assert (sum(branch.examples.long() for branch in task.branches) == 1).all()
    for branch in task.branches:
        rows = [row for row, inside in zip(asked, branch.examples.tolist(), strict=True) if inside]
        if branch.algebra is not None:
            check_products(task, branch.algebra, {row: asked[row] for row in rows})
    for images in grouped(task.mirror().tolist(), asked):
        assert len({asked[row] for row in images}) == len({tuple(sorted(row)) for row in images}) == 1


def check_rival(task: Task, rival: Algebra, asked: dict[tuple[int, ...], int]) -> None:
    """All examples but the withheld ones are products in every rival."""
    rows = zip(asked.items(), task.withheld().tolist(), strict=True)
    check_products(task, rival, {row: label for (row, label), withheld in rows if not withheld})


def grouped(ids: list[int], rows: dict[tuple[int, ...], int]) -> set[frozenset[Hashable]]:
    """The sets of examples that share an id."""
    groups: dict[int, set[Hashable]] = {}
    for number, row in zip(ids, rows, strict=True):
        groups.setdefault(number, set()).add(row)
    return set(map(frozenset, groups.values()))


def check_algebra(task: Task, asked: dict[tuple[int, ...], int]) -> None:
    """answer[c] = operands[0][a] · operands[1][b] · … in a group, for all operands inside it.

    Where each of two operands has one token for every element, every product is asked.
    """
    found, n = check_products(task, task.algebra, asked), task.algebra.group.order
    elements = [sorted(x for x in place.tolist() if x >= 0) for place in task.algebra.operands]
    whole = all(each == list(range(n)) for each in elements)
    assert not (isinstance(task, BinaryTask) and whole) or len(found) == n**2


def check_products(task: Task, algebra: Algebra, asked: dict[tuple[int, ...], int]) -> set[tuple[int, ...]]:
    """The answers are products of the operands, one by one; the elements of the operands that are asked."""
    product, answer = algebra.group.table.tolist(), algebra.answer.tolist()
    places = [place.tolist() for place in algebra.operands]
    check_group(product)
    rows = {
        row: tuple(place[row[at]] for place, at in zip(places, task.operand_positions, strict=True)) for row in asked
    }
    inside = {row: x for row, x in rows.items() if min(x) >= 0}
    assert all(answer[asked[row]] == reduce(lambda g, h: product[g][h], x) for row, x in inside.items())
    elements = algebra.elements(torch.tensor(list(asked))[:, list(task.operand_positions)])
    assert elements.tolist() == [answer[c] if row in inside else -1 for row, c in asked.items()]
    return set(inside.values())


def check_group(product: list[list[int]]) -> None:
    """The group axioms, associativity on a few elements if there are many."""
    elements = range(len(product))
    assert any(all(product[e][x] == x == product[x][e] for x in elements) for e in elements)
    assert all(sorted(row) == list(elements) for row in product)
    some = elements if len(product) <= 20 else range(1, len(product), len(product) // 10)
    assert all(product[product[x][y]][z] == product[x][product[y][z]] for x in some for y in some for z in some)


def built(build: Callable[[], Task]) -> Task | None:
    """The task, or None if its parameters are refused, with a one-line error."""
    try:
        return build()
    except ConfigError as error:
        refusal = str(error)
    assert "=" in refusal
    assert "\n" not in refusal
    return None
