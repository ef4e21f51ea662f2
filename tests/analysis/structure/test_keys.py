"""Which characters are key: the exact null, planted networks with known keys, memorizers, degenerate logits."""

from itertools import permutations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from grokinterp.analysis import logit_spectrum
from grokinterp.analysis.structure.fourier import spectrum_of_logits
from grokinterp.analysis.structure.keys import Keys, Sums, find_keys, null_variances, similarities, sums
from grokinterp.maths.fourier import waves
from grokinterp.maths.groups import cyclic, group
from grokinterp.maths.representations import irreps
from grokinterp.tasks import ModularAddition
from tests.support.constructed import close, pair_sums, planted_logits
from tests.support.small_networks import planted


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def of_group(name: str) -> tuple[Tensor, Tensor]:
    """The non-trivial real characters and the table of a group."""
    found = group(name)
    return torch.stack([rho.character for rho in irreps(found)[1:]]), found.table


def found_in(logits: Tensor, p: int, held_out: Tensor | None = None) -> list[int]:
    return (spectrum_of_logits(logits, pair_sums(p), held_out).is_key.nonzero().flatten() + 1).tolist()


@pytest.mark.parametrize("name", ["C4", "C5", "D3"])
def test_the_null_is_that_of_every_order_of_the_classes(name):
    """All n! orders: the mean of the similarity of what is left is 0, and its variance the formula's."""
    chi, table = of_group(name)
    n = len(table)
    element = torch.randint(n, (3 * n,), generator=torch.Generator().manual_seed(1))
    logits, every = uniform(3 * n, n).pow(3), torch.ones(3 * n, dtype=torch.bool)
    of = sums(logits, element, every, n)
    similarity = similarities(of, chi, table)
    quotient = table[:, group(name).inverse]
    rest = logits - logits.mean(1, keepdim=True)
    for s, character in zip(similarity, chi, strict=True):
        cube = character[quotient[element]]
        rest = rest - s * of.square.sqrt() * cube / cube.norm()
    assert float(similarities(sums(rest, element, every, n), chi, table).abs().max()) < 1e-12
    shuffled = torch.stack(
        [
            similarities(sums(rest[:, list(order)], element, every, n)._replace(square=of.square), chi, table)
            for order in permutations(range(n))
        ]
    )
    close(shuffled.mean(0), torch.zeros(len(chi)))
    close(shuffled.square().mean(0), null_variances(of, similarity, chi, table))


@pytest.mark.parametrize("p", [31, 58])
def test_a_weak_key_beside_a_strong_one_is_found(p):
    """Similarities about .9, .4 and .15, and noise: the null of the whole logits would put the threshold at .3."""
    for seed in range(3):
        signal = planted_logits(p, {9: 9.0, 3: 4.0, 14: 1.5})
        noise = torch.randn(p * p, p, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert found_in(signal + noise, p) == [3, 9, 14]


@pytest.mark.parametrize("p", [7, 8, 31])
def test_terms_that_do_not_depend_on_the_answer_are_no_keys(p):
    """A bias of each class, and functions of one operand: both cancel over all pairs, and leave the keys alone."""
    bias, of_a = 3 * uniform(1, p), 3 * uniform(p, p, seed=1).repeat_interleave(p, 0)
    assert found_in(bias + of_a, p) == []
    assert found_in(planted_logits(p, {2: 1.0}) + bias + of_a, p) == [2]


def test_without_noise_rounding_is_no_key():
    for p, keys in ((5, [2]), (31, [1, 4, 15]), (113, [5]), (64, [3, 32])):
        logits = planted_logits(p, {k: 10.0 / k for k in keys})
        assert found_in(logits, p) == keys
        assert found_in(logits.float().double(), p) == keys


@pytest.mark.parametrize(("p", "every"), [(3, [1]), (4, [1, 2]), (5, [1, 2]), (23, list(range(1, 12)))])
def test_the_answer_itself_is_made_of_every_frequency(p, every):
    labels = ModularAddition(p=p).label()
    assert found_in(5.0 * one_hot(labels, p).double() + 0.2 * uniform(p * p, p), p) == every


@pytest.mark.parametrize("logits", [torch.zeros(49, 7), torch.full((49, 7), 3.7), uniform(49, 1).expand(49, 7)])
def test_constant_logits_have_no_key_and_no_similarity(logits):
    found = spectrum_of_logits(logits.double(), pair_sums(7))
    assert bool(found.logit_similarity.isnan().all())
    assert not bool(found.is_key.any())


def test_logits_of_rank_one_have_no_key():
    found = [found_in(uniform(23 * 23, 1, seed=seed) * uniform(1, 23, seed=seed + 99), 23) for seed in range(20)]
    assert sum(map(bool, found)) <= 1


@pytest.mark.parametrize("symmetric", [False, True])
def test_who_memorized_has_no_key_and_who_generalized_has(symmetric):
    """Answers of training pairs and, if the network cannot distinguish a + b from b + a, of their mirror images."""
    p, generator = 23, torch.Generator().manual_seed(0)
    labels, is_train = ModularAddition(p=p).label(), torch.rand(p * p, generator=generator) < 0.5
    known = is_train | is_train.view(p, p).T.flatten() if symmetric else is_train
    noise = torch.randn(p * p, p, generator=generator, dtype=torch.float64)
    memory = 10 * known[:, None] * one_hot(labels, p).double()
    assert logit_spectrum(planted(memory + noise, labels, is_train)).is_key.sum() == 0
    assert len(found_in(memory + noise, p)) == p // 2
    both = planted(memory + noise + planted_logits(p, {2: 2.0, 7: 1.0}), labels, is_train)
    assert (logit_spectrum(both).is_key.nonzero().flatten() + 1).tolist() == [2, 7]


def test_where_too_few_are_held_out_all_pairs_decide():
    p, task = 7, ModularAddition(p=7)
    logits = planted_logits(p, {2: 2.0}) + uniform(49, 7)
    none, few = torch.zeros(49, dtype=torch.bool), torch.arange(49) < 1
    chi, table = waves(p)[0], cyclic(p).table
    by = [find_keys(logits, task.label(), held, chi, table) for held in (none, few, ~none)]
    for field in Keys._fields:
        assert all(getattr(found, field).equal(getattr(by[0], field)) for found in by)


@pytest.mark.parametrize("p", [31, 59])
def test_few_held_out_pairs_decide_alone(p):
    """A network that generalizes and has memorized nine tenths of the pairs: over all pairs every frequency is key."""
    labels, held_out = ModularAddition(p=p).label(), torch.arange(p * p) % (p + 7) == 0
    memory = 6.0 * ~held_out[:, None] * one_hot(labels, p)
    logits = memory + planted_logits(p, {9: 6.0, 3: 2.4, 14: 1.5})
    assert len(found_in(logits, p)) == p // 2
    assert found_in(logits, p, held_out) == [3, 9, 14]


def test_held_out_similarity_is_that_of_the_rows():
    """The naive cosine over the chosen rows only."""
    p, held_out = 11, torch.arange(121) % 3 == 1
    logits = uniform(p * p, p) + planted_logits(p, {4: 0.2})
    found = spectrum_of_logits(logits, pair_sums(p), held_out)
    rows = logits[held_out] - logits[held_out].mean(1, keepdim=True)
    for k in range(1, p // 2 + 1):
        cube = planted_logits(p, {k: 1.0})[held_out]
        close(found.logit_similarity_held_out[k - 1], (rows * cube).sum() / rows.norm() / cube.norm())


def test_sums_of_rows_leave_out_what_is_outside():
    of = sums(torch.tensor([[1.0, 3.0], [5.0, 5.0], [0.0, 4.0]]), torch.tensor([1, 0, 2]), torch.arange(3) < 2, 2)
    for got, expected in zip(
        of, Sums(torch.tensor([1, 1]), torch.tensor([[5, 5], [1, 3]]), torch.tensor(2)), strict=True
    ):
        close(got, expected)
