"""A small task of every kind, and what holds for every task, checked with loops and dictionaries."""

import json
from collections.abc import Callable, Hashable
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from grokinterp.errors import ConfigError
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
    "composition": KINDS["composition"](outer=KINDS["modular_addition"](p=4), inner=KINDS["modular_addition"](p=4)),
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
    if isinstance(task, BinaryTask):
        check_mirror(task, asked)
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


def grouped(ids: list[int], rows: dict[tuple[int, ...], int]) -> set[frozenset[Hashable]]:
    """The sets of examples that share an id."""
    groups: dict[int, set[Hashable]] = {}
    for number, row in zip(ids, rows, strict=True):
        groups.setdefault(number, set()).add(row)
    return set(map(frozenset, groups.values()))


def check_algebra(task: Task, asked: dict[tuple[int, ...], Any]) -> None:
    """answer[c] = left[a] · right[b] in a group, for every operand inside it, and every product is asked."""
    product, left, right, answer = (part.tolist() for part in (task.algebra.group.table, *task.algebra[1:]))
    check_group(product)
    inside = {(a, b): c for (a, b), c in asked.items() if left[a] >= 0 and right[b] >= 0}
    assert len({(left[a], right[b]) for a, b in inside}) == len(product) ** 2
    assert all(answer[c] == product[left[a]][right[b]] for (a, b), c in inside.items())


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
