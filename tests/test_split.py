"""Splits: exact, seeded, without leaks where asked."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grokinterp.errors import ConfigError
from grokinterp.experiment import Split, leaked_share
from grokinterp.tasks import ModularAddition

sizes = st.integers(3, 20)
fractions = st.floats(0.02, 0.98)
seeds = st.integers(0, 2**63 - 1)


@settings(max_examples=200)
@given(p=sizes, fraction=fractions, pairs=st.sampled_from(["ordered", "unordered"]), seed=seeds)
def test_a_split_is_exact_and_follows_its_seed_alone(p, fraction, pairs, seed):
    task, split = ModularAddition(p=p), Split(fraction=fraction, pairs=pairs)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    is_train = split.is_train(task, seed=seed)
    assert torch.equal(torch.get_rng_state(), state)
    assert is_train.shape == (p * p,)
    assert int(is_train.sum()) == int(fraction * p * p + 1e-9)
    torch.manual_seed(seed % 1000)
    assert torch.equal(split.is_train(task, seed=seed), is_train)
    assert torch.equal(replace(split, seed=seed).is_train(task, seed=1), is_train)


@given(p=sizes, fraction=fractions, seed=seeds, pairs=st.sampled_from(["ordered", "unordered"]))
def test_the_leaked_share_by_brute_force(p, fraction, seed, pairs):
    task = ModularAddition(p=p)
    is_train = Split(fraction=fraction, pairs=pairs).is_train(task, seed=seed)
    table = is_train.view(p, p).tolist()
    held_out = [(a, b) for a in range(p) for b in range(p) if not table[a][b]]
    if held_out:
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
    class PairsOnly(ModularAddition):
        def mirror(self) -> torch.Tensor:
            return torch.arange(self.n_examples) // 2

    with pytest.raises(ConfigError, match="no set of whole pairs has exactly 9 examples"):
        Split(fraction=0.25, pairs="unordered").is_train(PairsOnly(p=6), seed=0)


def test_the_last_place_is_filled_even_if_only_pairs_are_left():
    task = ModularAddition(p=3)  # three singles (a, a), three pairs
    for seed in range(200):
        assert int(Split(fraction=4 / 9, pairs="unordered").is_train(task, seed=seed).sum()) == 4
