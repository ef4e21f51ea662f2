import time
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grokinterp.errors import ConfigError
from grokinterp.tasks.parity import SparseParity
from tests.cases.tasks import built, check, examples


def parity(bits: tuple[int, ...]) -> int:
    return bits.count(1) % 2


@pytest.mark.parametrize(("n_bits", "k"), [(1, 1), (4, 2), (5, 5), (10, 3)])
def test_all_strings_in_order_with_the_parity_of_the_first_bits(n_bits, k):
    task = SparseParity(n_bits=n_bits, k=k)
    strings = list(product((0, 1), repeat=n_bits))
    assert list(examples(task).items()) == [(bits, parity(bits[:k])) for bits in strings]
    check(task)


@pytest.mark.parametrize(("n_bits", "samples"), [(3, 8), (10, 1000), (20, 1000), (21, 1000), (40, 1000), (64, 1000)])
def test_samples_are_distinct_strings(n_bits, samples):
    task = SparseParity(n_bits=n_bits, k=3, samples=samples)
    assert task.n_examples == samples
    assert all(label == parity(bits[:3]) for bits, label in examples(task).items())
    check(task)


@pytest.mark.parametrize("n_bits", [12, 40])
def test_samples_depend_on_their_seed_alone(n_bits):
    torch.manual_seed(1)
    first = SparseParity(n_bits=n_bits, samples=500, seed=5).tokens()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert first.equal(SparseParity(n_bits=n_bits, samples=500, seed=5).tokens())
    assert state.equal(torch.get_rng_state())
    assert not first.equal(SparseParity(n_bits=n_bits, samples=500, seed=6).tokens())


@pytest.mark.parametrize("n_bits", [16, 32, 64])
def test_samples_are_uniform_in_no_order(n_bits):
    bits = SparseParity(n_bits=n_bits, samples=4000).tokens().double()
    assert bits.mean(0).sub(0.5).abs().max() < 0.04  # five standard errors
    assert bits[:1000].mean(0).sub(0.5).abs().max() < 0.08


@given(st.integers(-1, 70), st.integers(-1, 6), st.none() | st.integers(-1, 300), st.integers(-1, 2**64))
def test_a_parity_task_or_one_line(n_bits, k, samples, seed):
    task = built(lambda: SparseParity(n_bits=n_bits, k=k, samples=samples, seed=seed))
    possible = 1 <= k <= n_bits <= 64 and 0 <= seed < 2**63
    drawn = n_bits <= 20 if samples is None else 2 <= samples <= 2 ** max(n_bits, 0)
    assert (task is not None) == (possible and drawn)
    if task is not None and task.n_examples <= 300:
        check(task)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SparseParity(n_bits=21), r"n_bits=21: has 2\^21 strings; above 20 give samples"),
        (lambda: SparseParity(n_bits=10**12), "n_bits=.*from 1 to 64"),
        (lambda: SparseParity(n_bits=10, k=11), "k=11: must be an integer from 1 to n_bits=10"),
        (lambda: SparseParity(n_bits=10, samples=1025), "samples=1025: must be an integer from 2 to 1024"),
        (lambda: SparseParity(n_bits=40, samples=10**6 + 1), "samples=.*from 2 to 1000000"),
        (lambda: SparseParity(seed=-1), "seed=-1"),
    ],
)
def test_refusals_are_quick_and_name_the_key(build, message):
    start = time.process_time()
    with pytest.raises(ConfigError, match=f"^{message}"):
        build()
    assert time.process_time() - start < 1


@pytest.mark.parametrize("task", [SparseParity(n_bits=20), SparseParity(n_bits=21, samples=10**6)])
def test_the_largest_tasks_can_be_listed(task):
    start = time.process_time()
    assert len(task.tokens()) == task.n_examples
    assert time.process_time() - start < 10
