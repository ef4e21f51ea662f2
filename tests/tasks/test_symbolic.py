import time
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grokinterp.errors import ConfigError
from grokinterp.tasks.symbolic import BooleanFormula, RelationComposition
from tests.cases.tasks import built, check, examples, grouped

MEANING = {
    "and": lambda u, v: u and v,
    "or": lambda u, v: u or v,
    "xor": lambda u, v: u != v,
    "nand": lambda u, v: not (u and v),
    "nor": lambda u, v: not (u or v),
    "iff": lambda u, v: u == v,
    "implies": lambda u, v: not u or v,
}


def trees(values: int, operators: tuple[str, ...]) -> list:
    """Every formula with so many values, as nested triples (operator, left, right)."""
    if values == 1:
        return [False, True]
    return [
        (operator, left, right)
        for operator in operators
        for size in range(1, values)
        for left in trees(size, operators)
        for right in trees(values - size, operators)
    ]


def value(tree) -> bool:
    return tree if isinstance(tree, bool) else MEANING[tree[0]](value(tree[1]), value(tree[2]))


def written(tree, operators: tuple[str, ...]) -> tuple[int, ...]:
    if isinstance(tree, bool):
        return (int(tree),)
    return (2 + operators.index(tree[0]), *written(tree[1], operators), *written(tree[2], operators))


def unordered(tree):
    """The formula without the order of operands that does not matter."""
    if isinstance(tree, bool):
        return tree
    operands = [unordered(tree[1]), unordered(tree[2])]
    return (tree[0], *(operands if tree[0] == "implies" else sorted(operands, key=repr)))


@pytest.mark.parametrize("operators", [("and", "or", "xor"), ("implies",), ("nor", "implies"), ("iff", "nand")])
@pytest.mark.parametrize("n_variables", [2, 3, 4])
def test_every_formula_is_there_with_its_value(n_variables, operators):
    task = BooleanFormula(n_variables=n_variables, operators=operators)
    formulas = trees(n_variables, operators)
    assert list(examples(task).items()) == [(written(tree, operators), int(value(tree))) for tree in formulas]
    check(task)


@pytest.mark.parametrize("operators", [("and", "implies"), ("xor",), ("or", "nand", "iff")])
@pytest.mark.parametrize("n_variables", [2, 3, 4])
def test_formulas_that_differ_in_order_only_are_mirror_images(n_variables, operators):
    task = BooleanFormula(n_variables=n_variables, operators=operators)
    same: dict = {}
    for tree in trees(n_variables, operators):
        same.setdefault(unordered(tree), set()).add(written(tree, operators))
    assert grouped(task.mirror().tolist(), examples(task)) == set(map(frozenset, same.values()))


def test_operators_are_numbered_as_given():
    asked = examples(BooleanFormula(n_variables=2, operators=("implies", "and")))
    assert [asked[2, u, v] for u, v in product((0, 1), repeat=2)] == [1, 1, 0, 1]
    assert [asked[3, u, v] for u, v in product((0, 1), repeat=2)] == [0, 0, 0, 1]


def test_both_values_are_common():
    assert 0.3 < float(BooleanFormula().label().double().mean()) < 0.7
    assert BooleanFormula().n_examples == 5 * 27 * 16


@given(st.integers(-1, 30), st.lists(st.sampled_from([*MEANING, "not", "AND"]), max_size=8).map(tuple))
def test_a_formula_task_or_one_line(n_variables, operators):
    start = time.process_time()
    task = built(lambda: BooleanFormula(n_variables=n_variables, operators=operators))
    assert time.process_time() - start < 1
    if task is not None and task.n_examples <= 5000:
        check(task)


def test_the_largest_formula_task():
    task = BooleanFormula(n_variables=6)
    assert task.n_examples == len(task.tokens()) == len(task.mirror()) == 42 * 3**5 * 2**6
    task = BooleanFormula(n_variables=9, operators=("nand",))
    assert task.n_examples == len(task.label())
    assert int(task.mirror().min()) >= 0  # the number of a formula fits 64 bits
    with pytest.raises(ConfigError, match=r"^n_variables=7: gives .* formulas with 3 operators, more than 1000000$"):
        BooleanFormula(n_variables=7)


@pytest.mark.parametrize(("n_entities", "n_relations", "seed"), [(2, 1, 0), (5, 3, 1), (30, 6, 0)])
def test_questions_follow_from_the_facts(n_entities, n_relations, seed):
    task = RelationComposition(n_entities=n_entities, n_relations=n_relations, seed=seed)
    asked, none = examples(task), n_entities + n_relations
    given_rows = [row for row, is_given in zip(asked, task.given().tolist(), strict=True) if is_given]
    fact = {row[:2]: asked[row] for row in given_rows}
    entities, relations = range(n_entities), range(n_entities, none)
    assert given_rows == [(e, r, none) for e in entities for r in relations]
    questions = [row for row in asked if row[2] != none]
    assert questions == [(e, r1, r2) for e in entities for r1 in relations for r2 in relations]
    assert all(asked[e, r1, r2] == fact[fact[e, r1], r2] for e, r1, r2 in questions)
    assert {(e, r): int(task.facts()[r - n_entities, e]) for e, r in fact} == fact
    check(task)


def test_facts_depend_on_their_seed_alone():
    torch.manual_seed(1)
    first = RelationComposition(seed=5).label()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert first.equal(RelationComposition(seed=5).label())
    assert state.equal(torch.get_rng_state())
    assert not first.equal(RelationComposition(seed=6).label())


def test_facts_are_spread_over_all_entities():
    counts = torch.bincount(RelationComposition(n_entities=10, n_relations=300).facts().flatten(), minlength=10)
    assert 200 < int(counts.min()) <= int(counts.max()) < 400


@given(st.integers(-1, 40), st.integers(-1, 12), st.integers(-1, 2**64))
def test_a_relation_task_or_one_line(n_entities, n_relations, seed):
    task = built(lambda: RelationComposition(n_entities=n_entities, n_relations=n_relations, seed=seed))
    assert (task is not None) == (n_entities >= 2 and n_relations >= 1 and 0 <= seed < 2**63)
    if task is not None and task.n_examples <= 1000:
        check(task)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RelationComposition(n_entities=10**12), "n_entities=.*from 2 to 10000"),
        (lambda: RelationComposition(n_relations=10**12), "n_relations=.*more than 1000000"),
        (lambda: RelationComposition(n_relations=0), "n_relations=0: must be an integer >= 1"),
        (lambda: BooleanFormula(n_variables=10**12), "n_variables=.*from 2 to 20"),
        (lambda: BooleanFormula(operators=("and", "and")), "operators=.*distinct"),
        (lambda: BooleanFormula(operators=()), "operators="),
        (lambda: BooleanFormula(operators=("not",)), "operators=.*and, or, xor, nand, nor, iff, implies"),
    ],
)
def test_refusals_are_quick_and_name_the_key(build, message):
    start = time.process_time()
    with pytest.raises(ConfigError, match=f"^{message}"):
        build()
    assert time.process_time() - start < 1
