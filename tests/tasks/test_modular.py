import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grokinterp.errors import ConfigError
from grokinterp.maths.residues import discrete_logarithm, is_prime, prime_factors, primitive_root
from grokinterp.tasks.modular import ModularAddition, ModularDivision, ModularMultiplication, ModularSubtraction
from tests.cases.tasks import built, check, examples

TASKS = [ModularAddition, ModularSubtraction, ModularMultiplication, ModularDivision]


def answers(task: type, p: int) -> dict[tuple[int, int], int]:
    """Every defined pair with its answer, by searching for it."""
    residues = range(p)
    rule = {
        ModularAddition: lambda a, b, c: (a + b) % p == c,
        ModularSubtraction: lambda a, b, c: (c + b) % p == a,
        ModularMultiplication: lambda a, b, c: (a * b) % p == c,
        ModularDivision: lambda a, b, c: b != 0 and (c * b) % p == a,
    }[task]
    return {(a, b): c for a in residues for b in residues for c in residues if rule(a, b, c)}


@pytest.mark.parametrize("p", [3, 4, 5, 6, 7, 12, 13])
@pytest.mark.parametrize("task", TASKS)
def test_every_answer_is_the_one_that_satisfies_the_equation(task, p):
    if task is ModularDivision and p in (4, 6, 12):
        with pytest.raises(ConfigError):
            task(p=p)
        return
    assert list(examples(task(p=p)).items()) == list(answers(task, p).items())
    check(task(p=p))


def test_division_leaves_out_division_by_zero_only():
    task = ModularDivision(p=7)
    assert task.n_examples == 42
    assert {b for _, b in examples(task)} == set(range(1, 7))


@pytest.mark.parametrize(("p", "text"), [(6, "6 = 2 · 3"), (9, "9 = 3 · 3"), (1000, "2 · 2 · 2 · 5 · 5 · 5")])
def test_division_names_the_factors_of_a_composite_modulus(p, text):
    with pytest.raises(ConfigError, match=rf"^p={p}: must be prime, .*{text}: division needs inverses$"):
        ModularDivision(p=p)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("p", [-1, 0, 2, 1001, 10**30])
def test_a_modulus_out_of_range_is_refused_at_once(task, p):
    start = time.process_time()
    with pytest.raises(ConfigError, match=rf"^p={p}: must be an integer from 3 to 1000$"):
        task(p=p)
    assert time.process_time() - start < 1


@given(st.sampled_from(TASKS), st.integers(-2, 24))
def test_a_modulus_makes_a_task_or_one_line(task, p):
    if (valid := built(lambda: task(p=p))) is not None:
        check(valid)


def test_which_tasks_have_which_group():
    assert ModularSubtraction(p=12).algebra.group.name == "C12"
    assert ModularMultiplication(p=13).algebra.group.name == "C12"
    assert ModularDivision(p=13).algebra.group.name == "C12"
    assert ModularMultiplication(p=12).algebra is None


def test_zero_lies_outside_the_group_of_multiplication():
    for task in (ModularMultiplication(p=11), ModularDivision(p=11)):
        parts = (*task.algebra.operands, task.algebra.answer)
        assert [[index for index, element in enumerate(part.tolist()) if element < 0] for part in parts] == [[0]] * 3


def test_which_operations_commute():
    assert [task(p=7).is_commutative for task in TASKS] == [True, False, True, False]


@given(st.integers(1, 3000))
def test_prime_factors_are_primes_with_that_product(n):
    factors = prime_factors(n)
    assert math.prod(factors) == n
    assert list(factors) == sorted(factors)
    assert all(all(factor % divisor for divisor in range(2, factor)) for factor in factors)
    assert is_prime(n) == (n > 1 and all(n % divisor for divisor in range(2, n)))


@pytest.mark.parametrize("p", [2, 3, 5, 7, 23, 41, 97, 113, 191])
def test_the_discrete_logarithm_undoes_powers_of_the_smallest_generator(p):
    generators = [g for g in range(1, p) if len({pow(g, k, p) for k in range(p - 1)}) == p - 1]
    assert primitive_root(p) == generators[0]
    logarithm = discrete_logarithm(p).tolist()
    assert logarithm[0] == -1
    assert all(logarithm[pow(generators[0], k, p)] == k for k in range(p - 1))
