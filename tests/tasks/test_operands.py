"""Sums and products of many operands, expressions with operators, and two groups that agree in part: brute force."""

import itertools
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grokinterp.errors import ConfigError
from grokinterp.experiment.split import Split
from grokinterp.maths.groups import group
from grokinterp.tasks import (
    AmbiguousGroups,
    Composition,
    GroupComposition,
    GroupProduct,
    LinearRecurrence,
    ModularAddition,
    ModularProduct,
    ModularSubtraction,
    ModularSum,
    OperatorExpression,
    ParityOperation,
)
from tests.cases.tasks import check, examples


@given(st.sampled_from([3, 4, 5]), st.integers(2, 4))
def test_sums_and_products_of_all_sequences(p, n):
    sequences = list(itertools.product(range(p), repeat=n))
    for task in (ModularSum(p=p, n=n), ModularProduct(p=p, n=n)):
        expected = {row: (sum(row) if isinstance(task, ModularSum) else product(row)) % p for row in sequences}
        assert examples(task) == expected
        check(task)


def product(row):
    value = 1
    for factor in row:
        value *= factor
    return value


@pytest.mark.parametrize("convention", ["left_first", "right_first"])
def test_a_product_of_group_elements_is_the_operation_repeated(convention):
    two, three = GroupComposition(group="S3", convention=convention), GroupProduct(group="S3", convention=convention)
    table, found = two.table().tolist(), examples(three)
    for x, y, z in itertools.product(range(6), repeat=3):
        assert found[x, y, z] == table[table[x][y]][z] == table[x][table[y][z]]
    assert examples(GroupProduct(group="S3", n=2, convention=convention)) == examples(two)


def test_samples_are_distinct_sequences_of_all_and_reproducible():
    many = ModularSum(p=97, n=8, samples=500)
    check(many)
    assert torch.equal(many.tokens(), ModularSum(p=97, n=8, samples=500).tokens())
    assert not torch.equal(many.tokens(), ModularSum(p=97, n=8, samples=500, seed=1).tokens())
    assert abs(float(many.tokens().double().mean()) - 48) < 3
    few = ModularSum(p=3, n=3, samples=27)
    assert sorted(few.tokens().tolist()) == ModularSum(p=3, n=3).tokens().tolist()


def test_drawn_examples_are_of_all_sequences():
    task = ModularSum(p=5, n=3, samples=2)
    tokens, labels = task.draw(2000, torch.Generator().manual_seed(0))
    assert torch.equal(labels[:, 0], tokens.sum(1) % 5)
    assert len(tokens.unique(dim=0)) == 125


def test_orders_of_the_same_operands_share_an_id():
    ids = ModularSum(p=4, n=3).mirror()
    rows = ModularSum(p=4, n=3).tokens().tolist()
    same = {}
    for row, number in zip(rows, ids.tolist(), strict=True):
        same.setdefault(number, set()).add(tuple(sorted(row)))
    assert all(len(each) == 1 for each in same.values())
    assert len(same) == 20  # multisets of 3 of 4
    assert len(GroupProduct(group="S3").mirror().unique()) == 6**3
    assert len(GroupProduct(group="C4").mirror().unique()) == 20


@pytest.mark.parametrize("operators", [("+", "-"), ("*", "/"), ("-", "*", "/")])
def test_expressions_are_evaluated_from_left_to_right(operators):
    p = 5
    task, expected = OperatorExpression(p=p, n=3, operators=operators), {}
    for signs in itertools.product(operators, repeat=2):
        for a, b, c in itertools.product(range(p), repeat=3):
            value = evaluate(evaluate(a, signs[0], b, p), signs[1], c, p)
            if value is not None:
                first, second = (p + operators.index(sign) for sign in signs)
                expected[a, first, b, second, c] = value
    assert examples(task) == expected
    check(task)
    assert (task.product_group is None) == (operators == ("-", "*", "/"))


def evaluate(a, operator, b, p):
    if a is None or (operator == "/" and b == 0):
        return None
    return {"+": a + b, "-": a - b, "*": a * b, "/": a * pow(b, p - 2, p)}[operator] % p


def test_an_operation_by_parity():
    """Power et al. 2022: x / y if y is odd, otherwise x - y."""
    task = ParityOperation(p=7, even="-", odd="/", decides="right")
    for (x, y), c in examples(task).items():
        assert c == ((x - y) % 7 if y % 2 == 0 else x * pow(y, 5, 7) % 7)
    assert [branch.algebra.group.name for branch in task.branches] == ["C7", "C6"]
    assert task.product_group is None
    both = ParityOperation(p=7)
    assert both.product_group.group.name == "C7"
    mirror = dict(zip(map(tuple, both.tokens().tolist()), both.mirror().tolist(), strict=True))
    assert mirror[2, 4] == mirror[4, 2]  # both are sums
    assert mirror[2, 3] != mirror[3, 2]  # a sum and a difference
    assert mirror[1, 3] != mirror[3, 1]


def test_repeated_operations_of_one_group_have_its_algebra():
    add, subtract = ModularAddition(p=5), ModularSubtraction(p=5)
    assert Composition(outer=add, inner=add).algebra.operands[2].tolist() == [0, 1, 2, 3, 4]
    mixed = Composition(outer=subtract, inner=add)
    assert mixed.algebra.operands[2].tolist() == [0, 4, 3, 2, 1]
    check(mixed)
    check(Composition(outer=GroupComposition(group="S3"), inner=GroupComposition(group="S3")))
    weighted = LinearRecurrence(p=5, coefficients=(-1, 1, 2), length=3)  # 2a + b - c
    assert [place.tolist()[1] for place in weighted.algebra.operands] == [2, 1, 4]
    check(weighted)
    assert LinearRecurrence(p=5, coefficients=(1, 1), length=3).algebra is None


def test_two_groups_that_agree_on_what_is_trained():
    """C9 and C3 x C3: the sum of two numbers of two digits in base 3, with and without the carry."""
    task = AmbiguousGroups(first="C9", second="C3xC3")
    check(task)
    carries = [x % 3 + y % 3 >= 3 for x, y in task.tokens().tolist()]
    assert task.withheld().tolist() == carries
    parts = Split(fraction=0.5, validation=0.1).draw(task, seed=0)
    assert int(parts.is_train.sum()) == (81 - sum(carries)) // 2
    assert not ((parts.is_train | parts.is_validation) & task.withheld()).any()
    assert (group("C9").table == group("C3xC3").table).sum() == 81 - sum(carries)


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: ModularSum(p=97, n=4), "n=4: has 88529281 sequences, more than 1000000; give samples"),
        (lambda: ModularSum(p=97, n=16, samples=10), "n=16: has 97^16 sequences, more than 2^62"),
        (lambda: ModularSum(p=5, n=2, samples=26), "samples=26: must be an integer from 2 to 25"),
        (lambda: ModularSum(p=5, n=1), "n=1: must be an integer from 2 to 16"),
        (lambda: GroupProduct(group="Q8"), "group=Q8: must be C, D, S or A"),
        (lambda: OperatorExpression(operators=("+", "%")), "must be distinct operators among + - * /"),
        (lambda: OperatorExpression(p=6, operators=("/",)), "p=6: must be prime"),
        (lambda: ParityOperation(even="+", odd="+"), "odd=+: must not be the operator of the even operands"),
        (lambda: AmbiguousGroups(first="C4", second="C5"), "second=C5: has 5 elements, C4 has 4"),
        (lambda: AmbiguousGroups(first="C6", second="C6"), "second=C6: agrees with C6 on every pair"),
    ],
)
def test_impossible_tasks_are_refused(build, why):
    with pytest.raises(ConfigError, match=re.escape(why)):
        build()
