"""Splits: exact, seeded, without leaks where asked, in proportion where asked."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from grokinterp.errors import ConfigError
from grokinterp.experiment import Split, leaked_share
from grokinterp.tasks import ModularAddition
from tests.support.listed_task import Listed
from tests.support.small_runs import changed

sizes = st.integers(3, 20)
fractions = st.floats(0.02, 0.98)
seeds = st.integers(0, 2**63 - 1)
pairings = st.sampled_from(["ordered", "unordered"])


@settings(max_examples=200)
@given(p=sizes, fraction=fractions, pairs=pairings, stratified=st.booleans(), seed=seeds)
def test_a_split_is_exact_and_follows_its_seed_alone(p, fraction, pairs, stratified, seed):
    task, split = ModularAddition(p=p), Split(fraction=fraction, pairs=pairs, stratified=stratified)
    assume(int(fraction * p * p) > 0)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    is_train = split.is_train(task, seed=seed)
    assert torch.equal(torch.get_rng_state(), state)
    assert is_train.shape == (p * p,)
    assert int(is_train.sum()) == int(fraction * p * p + 1e-9)
    torch.manual_seed(seed % 1000)
    assert torch.equal(split.is_train(task, seed=seed), is_train)
    assert torch.equal(replace(split, seed=seed).is_train(task, seed=1), is_train)


@given(p=sizes, fraction=fractions, pairs=pairings, seed=seeds)
def test_a_plain_split_takes_groups_in_random_order_until_it_is_full(p, fraction, pairs, seed):
    """Runs from before stratified splits were trained on these examples."""
    assume(int(fraction * p * p) > 0)
    task, split = ModularAddition(p=p), Split(fraction=fraction, pairs=pairs)
    wanted = split.sizes(task).train
    ids = task.mirror().tolist() if pairs == "unordered" else list(range(p * p))
    groups = [[i for i, other in enumerate(ids) if other == group] for group in sorted(set(ids))]
    generator, taken = torch.Generator().manual_seed(seed), []
    while len(taken) != wanted:
        taken = []
        for index in torch.randperm(len(groups), generator=generator).tolist():
            if len(taken) + len(groups[index]) <= wanted:
                taken += groups[index]
    is_train = split.is_train(task, seed=seed)
    assert is_train.nonzero().flatten().tolist() == sorted(taken)


@given(p=sizes, fraction=fractions, seed=seeds, pairs=pairings)
def test_the_leaked_share_by_brute_force(p, fraction, seed, pairs):
    assume(int(fraction * p * p) > 0)
    task = ModularAddition(p=p)
    is_train = Split(fraction=fraction, pairs=pairs).is_train(task, seed=seed)
    table = is_train.view(p, p).tolist()
    held_out = [(a, b) for a in range(p) for b in range(p) if not table[a][b]]
    leaked = sum(table[b][a] for a, b in held_out) / len(held_out)
    assert leaked_share(task, is_train) == pytest.approx(leaked)
    if pairs == "unordered":
        assert leaked == 0


def test_another_seed_gives_another_split():
    task, split = ModularAddition(p=23), Split(fraction=0.4, pairs="unordered")
    drawn = {tuple(split.is_train(task, seed=seed).tolist()) for seed in range(20)}
    assert len(drawn) == 20
    mean = torch.stack([split.is_train(task, seed=seed) for seed in range(400)]).double().mean(0)
    assert float((mean - 0.4).abs().max()) < 0.13  # every pair is as likely: 5 standard deviations


def test_pairs_that_cannot_be_split_exactly_are_refused():
    only_pairs = Listed(classes=(0,) * 36, same=tuple(i // 2 for i in range(36)))
    with pytest.raises(
        ConfigError, match=r"split\.fraction=0\.25: found no set of whole pairs with exactly 9 examples"
    ):
        Split(fraction=0.25, pairs="unordered").is_train(only_pairs, seed=0)


def test_the_last_place_is_filled_even_if_only_pairs_are_left():
    task = ModularAddition(p=3)  # three singles (a, a), three pairs
    for seed in range(200):
        assert int(Split(fraction=4 / 9, pairs="unordered").is_train(task, seed=seed).sum()) == 4


# --- in proportion -------------------------------------------------------------------------------------------------


def quotas_are_by_largest_remainders(counts: dict[int, int], of: dict[int, int]) -> bool:
    """Whether no class has more or less than it should: shares of the total, rounded, the larger remainders up."""
    wanted, total = sum(counts.values()), sum(of.values())
    shares = {label: Fraction(wanted * n, total) for label, n in of.items()}
    up = [shares[label] % 1 for label in of if counts.get(label, 0) == int(shares[label]) + 1]
    down = [shares[label] % 1 for label in of if counts.get(label, 0) == int(shares[label])]
    return len(up) + len(down) == len(of) and min(up, default=1) >= max(down, default=0)


@settings(max_examples=200)
@given(classes=st.lists(st.integers(0, 5), min_size=2, max_size=60), fraction=fractions, seed=seeds)
def test_every_class_has_its_share_by_largest_remainders(classes, fraction, seed):
    task = Listed(classes=tuple(classes))
    assume(0 < int(fraction * len(classes) + 1e-9) < len(classes))
    is_train = Split(fraction=fraction, stratified=True).is_train(task, seed=seed)
    trained = Counter(label for label, taken in zip(classes, is_train.tolist(), strict=True) if taken)
    assert quotas_are_by_largest_remainders(trained, Counter(classes))


@settings(max_examples=100)
@given(p=sizes, fraction=fractions, validation=fractions, seed=seeds)
def test_with_whole_pairs_a_class_is_off_by_two_at_most(p, fraction, validation, seed):
    assume(fraction + validation < 0.8 and min(int(fraction * p * p), int(validation * p * p)) > 0)
    task, labels = ModularAddition(p=p), ModularAddition(p=p).label()
    split = Split(fraction=fraction, validation=validation, pairs="unordered", stratified=True)
    among = torch.ones(p * p, dtype=torch.bool)
    for part in split.draw(task, seed=seed):
        shares = labels[among].bincount(minlength=p) * (part.sum() / among.sum())
        assert float((labels[part].bincount(minlength=p) - shares).abs().max()) < 3
        among &= ~part


def test_every_example_is_as_likely_in_a_stratified_split():
    """18 of 25 examples, of five classes: ties between classes are broken by lot."""
    task, split = ModularAddition(p=5), Split(fraction=0.74, stratified=True)
    mean = torch.stack([split.is_train(task, seed=seed) for seed in range(1000)]).double().mean(0)
    assert float((mean - 18 / 25).abs().max()) < 5 * (0.72 * 0.28 / 1000) ** 0.5


def test_pairs_of_several_classes_are_not_split_by_class():
    task = Listed(classes=(0, 1, 0, 1), same=(0, 0, 1, 1))
    assert int(Split(fraction=0.5, pairs="unordered").is_train(task, seed=0).sum()) == 2
    with pytest.raises(ConfigError, match=r"split\.stratified=True: mirrored examples of different classes"):
        Split(fraction=0.5, pairs="unordered", stratified=True).is_train(task, seed=0)


# --- validation, testing, given examples ---------------------------------------------------------------------------


@settings(max_examples=200)
@given(p=sizes, fraction=fractions, validation=fractions, pairs=pairings, stratified=st.booleans(), seed=seeds)
def test_parts_are_disjoint_exact_and_leak_nothing(p, fraction, validation, pairs, stratified, seed):
    assume(fraction + validation < 0.8)
    task = ModularAddition(p=p)
    split = Split(fraction=fraction, validation=validation, pairs=pairs, stratified=stratified)
    try:
        found = split.sizes(task)
    except ConfigError:
        assert min(int(fraction * p * p), int(validation * p * p)) == 0
        return
    is_train, is_validation = split.draw(task, seed=seed)
    is_test = ~(is_train | is_validation)
    assert not (is_train & is_validation).any()
    assert [int(part.sum()) for part in (is_train, is_validation, is_test)] == [*found[:3]]
    assert found.train == int(fraction * p * p + 1e-9)
    assert found.validation == int(validation * p * p + 1e-9)
    if pairs == "unordered":
        part_of = dict(zip(task.mirror().tolist(), (is_train + 2 * is_validation).tolist(), strict=True))
        assert [part_of[group] for group in task.mirror().tolist()] == (is_train + 2 * is_validation).tolist()


def test_validation_examples_change_nothing_about_training():
    task = ModularAddition(p=11)
    without, parts = (Split(validation=share).draw(task, seed=3) for share in (0.0, 0.3))
    assert torch.equal(without.is_train, parts.is_train)
    assert not without.is_validation.any()
    other = Split(validation=0.3).draw(task, seed=4)
    assert not torch.equal(other.is_validation, parts.is_validation)


@given(
    classes=st.lists(st.integers(0, 3), min_size=6, max_size=40),
    known=st.frozensets(st.integers(0, 39), max_size=8),
    fraction=fractions,
    stratified=st.booleans(),
    seed=seeds,
)
def test_given_examples_are_always_trained_on(classes, known, fraction, stratified, seed):
    task = Listed(classes=tuple(classes), known=known)
    given_here = [i for i in known if i < len(classes)]
    wanted = len(given_here) + int(fraction * (len(classes) - len(given_here)) + 1e-9)
    assume(0 < wanted < len(classes))
    is_train = Split(fraction=fraction, stratified=stratified).is_train(task, seed=seed)
    assert bool(is_train[given_here].all())
    assert int(is_train.sum()) == wanted


def test_what_mirrors_a_given_example_is_given_too():
    task = Listed(classes=(0,) * 10, same=(0, 1, 2, 3, 4, 0, 1, 2, 3, 4), known=frozenset({1, 2}))
    for seed in range(20):
        unordered = Split(fraction=0.4, pairs="unordered").is_train(task, seed=seed)
        assert bool(unordered[[1, 2, 6, 7]].all())
        assert int(unordered.sum()) == 4 + 2
        assert int(Split(fraction=0.5).is_train(task, seed=seed).sum()) == 2 + 4


# --- refusals ------------------------------------------------------------------------------------------------------

BAD = [
    ({"validation": -0.1}, "split.validation=-0.1: must be from 0 to below 1"),
    ({"validation": 1.0}, "split.validation=1.0: must be from 0 to below 1"),
    (
        {"fraction": 0.8, "validation": 0.3},
        "split.validation=0.3: and fraction=0.8 must add up to less than 1",
    ),
    ({"fraction": 0.01}, "split.fraction=0.01: leaves no example to train or to test on (49 examples)"),
    (
        {"fraction": 0.5, "validation": 0.01},
        "split.validation=0.01: leaves no example to validate with or to test on (25 examples are outside training)",
    ),
    ({"label_noise": 1.5}, "split.label_noise=1.5: must be from 0 to 1"),
    (
        {"fraction": 0.5, "label_noise": 0.05},
        "split.label_noise=0.05: leaves fewer than two labels to permute (24 training examples)",
    ),
]


@pytest.mark.parametrize(("values", "line"), BAD)
def test_a_bad_value_is_one_line(values, line):
    with pytest.raises(ConfigError) as refused:
        changed(split=values)
    assert str(refused.value) == line


def test_nothing_left_to_test_on_is_refused():
    everything = Listed(classes=(0, 1), known=frozenset({0, 1}))
    with pytest.raises(ConfigError, match="leaves no example to train or to test on"):
        Split().sizes(everything)
    mostly = Listed(classes=(0,) * 10, known=frozenset(range(5)))
    with pytest.raises(ConfigError, match="leaves no example to validate with or to test on"):
        Split(fraction=0.4, validation=0.5).sizes(mostly)
