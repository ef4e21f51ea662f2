import time
from itertools import permutations, product
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from grokinterp.errors import ConfigError
from grokinterp.tasks import TASKS
from grokinterp.tasks.composition import BinaryOperation, Composition
from grokinterp.tasks.groups import GroupComposition, GroupConjugation
from grokinterp.tasks.matrices import MatrixMultiplication
from grokinterp.tasks.modular import ModularAddition, ModularDivision, ModularMultiplication, ModularSubtraction
from grokinterp.tasks.polynomials import Polynomial
from grokinterp.tasks.table import Table
from grokinterp.tasks.task import BinaryTask
from tests.cases.tasks import built, check, examples, grouped

P5 = [
    ModularAddition(p=5),
    ModularSubtraction(p=5),
    ModularMultiplication(p=5),
    ModularDivision(p=5),
    Polynomial(p=5, expression="x²+xy"),
    Table(rows=("0,1,,3", "1,2,3,4", ",0,0,0")),
]
S3 = [GroupComposition(group="S3"), GroupConjugation(group="S3"), MatrixMultiplication(p=2, invertible=True)]
PAIRS = [(outer, inner) for outer in P5[:-1] for inner in P5] + [(outer, inner) for outer in S3 for inner in S3]


def composed(outer: BinaryTask, inner: BinaryTask) -> dict[tuple[int, ...], int]:
    """The answer of every triple for which both steps are in the lists of their tasks."""
    first, second = examples(inner), examples(outer)
    operands = range(max(outer.d_vocab, inner.d_vocab))
    triples = ((a, b, c) for a, b, c in product(operands, repeat=3) if (first.get((a, b)), c) in second)
    return {(a, b, c): second[first[a, b], c] for a, b, c in triples}


@pytest.mark.parametrize(("outer", "inner"), PAIRS, ids=lambda task: task.kind)
def test_two_steps_are_looked_up_one_after_the_other(outer, inner):
    task = Composition(outer=outer, inner=inner)
    assert list(examples(task).items()) == list(composed(outer, inner).items())
    check(task)


@pytest.mark.parametrize(("outer", "inner"), PAIRS, ids=lambda task: task.kind)
def test_mirror_images_are_the_orders_that_never_change_the_answer(outer, inner):
    task = Composition(outer=outer, inner=inner)
    asked = examples(task)
    harmless = [
        order
        for order in permutations(range(3))
        if all(asked.get(tuple(row[i] for i in order)) == answer for row, answer in asked.items())
    ]
    images = {frozenset(tuple(row[i] for i in order) for order in harmless) for row in asked}
    assert grouped(task.mirror().tolist(), asked) == images


def test_the_default_is_a_sum_of_three():
    task = Composition()
    assert task.n_examples == 23**3
    assert examples(task)[20, 10, 5] == 35 - 23
    assert len(task.mirror().unique()) == 23 * 24 * 25 // 6
    check(task)


def test_a_smaller_inner_task_feeds_a_larger_outer_one():
    task = Composition(outer=ModularMultiplication(p=7), inner=ModularAddition(p=3))
    assert (task.n_examples, task.d_vocab, task.n_classes) == (3 * 3 * 7, 7, 7)
    assert examples(task) == {(a, b, c): (a + b) % 3 * c % 7 for a in range(3) for b in range(3) for c in range(7)}


def test_a_table_that_is_not_square_can_be_either_step():
    wide, addition = Table(rows=("0,1,2,3,4,5", "1,2,3,4,5,6")), ModularAddition(p=7)
    assert examples(Composition(outer=addition, inner=wide)) == composed(addition, wide)
    bit = Table(rows=("0,1", "1,0"))
    assert examples(Composition(outer=wide, inner=bit)) == composed(wide, bit)
    with pytest.raises(ConfigError, match=r"^inner=modular_addition: has 3 classes, more than the 2 operands"):
        Composition(outer=wide, inner=ModularAddition(p=3))


@pytest.mark.parametrize(
    ("outer", "inner", "message"),
    [
        (ModularAddition(p=5), ModularAddition(p=7), "has 7 classes, more than the 5 operands of the outer task"),
        (ModularAddition(p=101), ModularAddition(p=101), "gives 1030301 triples of operands, more than 1000000"),
        (ModularAddition(p=1000), ModularAddition(p=1000), "gives 1000000000 triples"),
        (Table(rows=("", "0")), Table(rows=("0",)), "gives no example"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(outer, inner, message):
    start = time.process_time()
    with pytest.raises(ConfigError, match=f"^inner={inner.kind}: {message}[^\n]*$"):
        Composition(outer=outer, inner=inner)
    assert time.process_time() - start < 1


@given(st.sampled_from(P5), st.integers(3, 8))
def test_a_composition_or_one_line(outer, p):
    if (task := built(lambda: Composition(outer=outer, inner=ModularSubtraction(p=p)))) is not None:
        check(task)


def test_steps_are_distinguished_by_their_kind():
    adapter = TypeAdapter(Composition)
    text = '{"outer": {"kind": "polynomial", "p": 7}, "inner": {"kind": "modular_division", "p": 7}}'
    task = Composition(outer=Polynomial(p=7), inner=ModularDivision(p=7))
    assert adapter.validate_json(text, strict=True) == task
    for bad in ('{"outer": {"kind": "composition"}}', '{"outer": {"kind": "modular_addition", "q": 7}}'):
        with pytest.raises(ValidationError):
            adapter.validate_json(bad, strict=True)


def test_the_largest_composition():
    start = time.process_time()
    task = Composition(outer=ModularAddition(p=97), inner=ModularMultiplication(p=97))
    assert len(task.mirror()) == task.n_examples == 97**3
    assert time.process_time() - start < 5


def test_every_binary_operation_can_be_a_step():
    withholding = {"ambiguous_groups"}  # a composition would train on its disputed pairs
    kinds = {kind for kind, task in TASKS.items() if issubclass(task, BinaryTask)} - withholding
    assert {step.kind for step in get_args(get_args(BinaryOperation)[0])} >= kinds
