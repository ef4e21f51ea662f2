"""Tasks whose examples are words: each against a direct computation, example by example."""

import pytest
import torch

from grokinterp.errors import ConfigError
from grokinterp.tasks import (
    Brackets,
    CopyList,
    DigitAddition,
    Maximum,
    PlaceOfMaximum,
    RepeatedSequence,
    ReverseList,
    SkipTrigram,
    SortList,
)


def rows(task):
    return zip(task.tokens().tolist(), task.labels().tolist(), strict=True)


def number(digits: list[int], base: int) -> int:
    return sum(digit * base**place for place, digit in enumerate(reversed(digits)))


@pytest.mark.parametrize("lowest_first", [False, True])
@pytest.mark.parametrize(("base", "digits", "samples"), [(3, 2, None), (10, 1, None), (10, 5, 200), (7, 12, 50)])
def test_digits_are_those_of_the_sum(base, digits, samples, lowest_first):
    task = DigitAddition(base=base, digits=digits, samples=samples, lowest_first=lowest_first)
    for tokens, labels in rows(task):
        assert tokens[2 * digits :] == labels[:-1]
        a, b, total = (
            of[::-1] if lowest_first else of for of in (tokens[:digits], tokens[digits : 2 * digits], labels)
        )
        assert number(a, base) + number(b, base) == number(total, base)


def test_carries_of_a_sum():
    task = DigitAddition(base=10, digits=2)
    assert [int(task.carries()[i]) for i in (1111, 5867, 1919, 9999, 505)] == [0, 2, 1, 2, 1]


@pytest.mark.parametrize("samples", [None, 200])
def test_sums_in_both_orders_share_an_id(samples):
    task = DigitAddition(base=4, digits=2, samples=samples)
    pairs = [frozenset({tuple(tokens[:2]), tuple(tokens[2:4])}) for tokens, _ in rows(task)]
    ids = task.mirror().tolist()
    assert len(set(ids)) == len(set(pairs)) == len(set(zip(ids, pairs, strict=True)))


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (CopyList, lambda x: x),
        (ReverseList, lambda x: x[::-1]),
        (SortList, sorted),
        (Maximum, lambda x: [max(x)]),
        (PlaceOfMaximum, lambda x: [x.index(max(x))]),
    ],
)
def test_lists(kind, answer):
    task = kind(p=4, length=3)
    assert task.n_examples == 64
    for tokens, labels in rows(task):
        assert labels == answer(tokens[:3])
        assert tokens[3:] == labels[:-1]


def test_brackets_are_counted():
    task = Brackets(length=7)
    for tokens, labels in rows(task):
        depth = lowest = 0
        for token, label in zip(tokens, labels, strict=True):
            depth += 1 - 2 * token
            lowest = min(lowest, depth)
            assert label == (2 if lowest < 0 else 1 if depth > 0 else 0)


@pytest.mark.parametrize(("length", "shortest"), [(4, 2), (4, 4), (5, 3)])
def test_a_sequence_repeats_with_its_period(length, shortest):
    task = RepeatedSequence(p=12, length=length, shortest=shortest, samples=300)
    periods = set()
    for tokens, labels in rows(task):
        first = labels.index(next(label for label in labels if label >= 0))
        period = shortest + first
        periods.add(period)
        assert all(tokens[i] == tokens[i - period] for i in range(period, len(tokens)))
        asked = range(period, len(tokens))
        expected = [tokens[i + 1 - period] for i in asked]
        assert labels == [-1] * first + expected
    assert periods == set(range(shortest, length + 1))


def test_a_skip_trigram_depends_on_the_key_and_the_query():
    task = SkipTrigram(keys=5, fillers=3, queries=4, classes=7, length=6, samples=400)
    places = set()
    for tokens, (label,) in rows(task):
        keys = [i for i, token in enumerate(tokens) if token < 5]
        assert len(keys) == 1
        places.add(keys[0])
        assert all(5 <= token < 8 for i, token in enumerate(tokens[:-1]) if i != keys[0])
        assert label == int(task.table[tokens[keys[0]], tokens[-1] - 8])
    assert places == set(range(5))


def test_samples_differ_follow_the_seed_and_continue_each_other():
    few, many = (DigitAddition(digits=5, samples=n).tokens() for n in (50, 80))
    assert len(few.unique(dim=0)) == 50
    assert torch.equal(DigitAddition(digits=5, samples=50).tokens(), few)
    assert not torch.equal(DigitAddition(digits=5, samples=50, seed=1).tokens(), few)
    assert few.shape[1] == many.shape[1] == 15


def test_drawn_examples_are_uniform_words():
    task = Maximum(p=3, length=2, samples=4)
    tokens, labels = task.draw(9000, torch.Generator().manual_seed(0))
    counts = (tokens @ torch.tensor([3, 1])).bincount(minlength=9)
    assert ((counts - 1000).abs() < 150).all()
    assert torch.equal(labels.squeeze(1), tokens.amax(1))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: DigitAddition(digits=5), "samples=None: are 10,000,000,000 words: above 1,000,000, give task.samples"),
        (lambda: DigitAddition(base=1), "base=1: must be an integer from 2 to 1000"),
        (lambda: SortList(p=2, length=2, samples=5), "samples=5: must be an integer from 2 to 4"),
        (lambda: RepeatedSequence(shortest=9), "shortest=9: must be an integer from 2 to length=8"),
        (
            lambda: RepeatedSequence(p=2, length=3, shortest=2, samples=16).tokens(),
            "samples=16: are more than the 10",
        ),
        (lambda: SkipTrigram(keys=1), "keys=1: must be an integer from 2 to 1000"),
        (lambda: Brackets(length=65), "length=65: must be an integer from 2 to 64"),
    ],
)
def test_impossible_settings_are_named(build, message):
    with pytest.raises(ConfigError) as error:
        build()
    assert message in str(error.value)
