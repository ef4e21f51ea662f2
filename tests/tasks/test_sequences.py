import time
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grokinterp.errors import ConfigError
from grokinterp.tasks.modular import ModularAddition
from grokinterp.tasks.sequences import LinearRecurrence, PeriodicSequence
from tests.cases.tasks import built, check, examples, grouped


def recurrences(p: int, coefficients: tuple[int, ...], length: int) -> dict[tuple[int, ...], int]:
    """Next term by first terms, by running the recurrence."""
    asked = {}
    for state in product(range(p), repeat=len(coefficients)):
        sequence = list(state)
        while len(sequence) <= length:
            sequence.append(sum(c * x for c, x in zip(coefficients, sequence[::-1], strict=False)) % p)
        asked[tuple(sequence[:length])] = sequence[length]
    return asked


def continuations(p: int, periods: tuple[int, ...], length: int) -> dict[tuple[int, ...], set[int]]:
    """Every next term that some period allows after the terms shown."""
    asked: dict[tuple[int, ...], set[int]] = {}
    for period in periods:
        for block in product(range(p), repeat=period):
            shown = tuple(block[t % period] for t in range(length))
            asked.setdefault(shown, set()).add(block[length % period])
    return asked


@given(st.integers(1, 7), st.lists(st.integers(-8, 8), max_size=3).map(tuple), st.integers(0, 7))
def test_recurrences_are_run_step_by_step(p, coefficients, length):
    task = built(lambda: LinearRecurrence(p=p, coefficients=coefficients, length=length))
    fits = p >= 2 and any(c % p for c in coefficients) and length >= len(coefficients)
    assert (task is not None) == fits
    if task is not None:
        assert list(examples(task).items()) == list(recurrences(p, coefficients, length).items())
        check(task)


def test_fibonacci():
    asked = examples(LinearRecurrence(p=11, coefficients=(1, 1), length=6))
    assert asked[0, 1, 1, 2, 3, 5] == 8
    assert asked[1, 1, 2, 3, 5, 8] == 2


def test_the_first_coefficient_weighs_the_last_term():
    assert examples(LinearRecurrence(p=7, coefficients=(2, 3), length=2))[1, 5] == (2 * 5 + 3 * 1) % 7


def test_a_sum_of_two_terms_is_modular_addition_with_its_mirror():
    recurrence, addition = LinearRecurrence(p=7, coefficients=(1, 1), length=2), ModularAddition(p=7)
    assert examples(recurrence) == examples(addition)
    assert recurrence.mirror().equal(addition.mirror())


@pytest.mark.parametrize("coefficients", [(1, 1, 1), (1, 2, 1), (1, 2, 6), (1, 1, 2)])
def test_operands_of_equal_weight_may_change_places(coefficients):
    task = LinearRecurrence(p=5, coefficients=coefficients, length=3)
    asked = examples(task)

    def twins(row):
        weighed = list(zip((c % 5 for c in coefficients[::-1]), row, strict=True))
        return frozenset(
            other
            for other in asked
            if sorted(zip((c % 5 for c in coefficients[::-1]), other, strict=True)) == sorted(weighed)
        )

    assert grouped(task.mirror().tolist(), asked) == set(map(twins, asked))
    longer = LinearRecurrence(p=5, coefficients=coefficients, length=4)
    assert len(longer.mirror().unique()) == longer.n_examples


@given(st.integers(1, 3), st.lists(st.integers(0, 5), max_size=3).map(tuple), st.integers(0, 9))
def test_a_length_is_accepted_exactly_if_it_settles_the_next_term(p, periods, length):
    task = built(lambda: PeriodicSequence(p=p, periods=periods, length=length))
    sensible = p >= 2 and len(set(periods)) == len(periods) > 0 and 0 not in periods
    asked = continuations(p, periods, length) if sensible else {}
    settled = sensible and all(len(following) == 1 for following in asked.values())
    assert (task is not None) == settled
    if task is not None:
        assert examples(task) == {shown: following.pop() for shown, following in asked.items()}
        check(task)


@pytest.mark.parametrize("task", [LinearRecurrence(), PeriodicSequence()])
def test_the_defaults_keep_the_laws(task):
    check(task)


def test_the_default_sequences_are_counted():
    assert PeriodicSequence().n_examples == 11**2 + 11**3 - 11
    assert PeriodicSequence(p=5).n_examples == 145
    assert PeriodicSequence(p=2, periods=(4, 2)).n_examples == 16


def test_what_is_shown_must_tell_the_periods_apart():
    with pytest.raises(ConfigError, match=r"^length=7: must be from 8, where periods \(4, 5\) settle"):
        PeriodicSequence(p=2, periods=(4, 5), length=7)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LinearRecurrence(p=101, coefficients=(1, 0, 1, 1)), "coefficients=.*more than 1000000"),
        (lambda: LinearRecurrence(p=1000, coefficients=(1,) * 10**5), "coefficients=.*more than 1000000"),
        (lambda: LinearRecurrence(p=5, coefficients=(5, 10)), "coefficients=.*must not all be 0 modulo p=5"),
        (lambda: LinearRecurrence(p=5, coefficients=()), "coefficients="),
        (lambda: LinearRecurrence(length=1), "length=1: must be from 2"),
        (lambda: LinearRecurrence(length=10**12), "length=.* to 64"),
        (lambda: LinearRecurrence(p=10**12), "p=.* from 2 to 1000"),
        (lambda: PeriodicSequence(p=1000, periods=(19, 18)), "periods=.*more than 1000000"),
        (lambda: PeriodicSequence(p=2, periods=(20,)), "periods=.*from 1 to 19"),
        (lambda: PeriodicSequence(p=2, periods=(10**12,)), "periods=.*from 1 to 19"),
        (lambda: PeriodicSequence(periods=(2, 2)), "periods=.*distinct"),
        (lambda: PeriodicSequence(periods=()), "periods=.*distinct"),
        (lambda: PeriodicSequence(length=65), "length=65"),
    ],
)
def test_refusals_are_quick_and_name_the_key(build, message):
    start = time.process_time()
    with pytest.raises(ConfigError, match=f"^{message}"):
        build()
    assert time.process_time() - start < 1


def test_the_largest_tasks_can_be_listed():
    start = time.process_time()
    task = PeriodicSequence(p=2, periods=(19, 1), length=20)
    assert len(task.tokens()) == task.n_examples == 2**19
    task = LinearRecurrence(p=100, coefficients=(1, 2, 3), length=4)
    assert len(task.label()) == task.n_examples == 10**6
    assert time.process_time() - start < 10


def test_tokens_are_a_fresh_tensor_each_time():
    task = LinearRecurrence()
    task.tokens().zero_()
    assert bool(task.tokens().any())
    assert task.tokens().dtype == task.label().dtype == torch.long
