"""Attention patterns and their periodicity: closed forms, naive twin."""

import math

import numpy as np
import pytest
import torch

from grokinterp.analysis.structure.attention import (
    attention_map,
    attention_pattern,
    attention_periodicity,
    periodicity_of,
)
from grokinterp.models import TransformerSpec
from tests.support import naive
from tests.support.constructed import CASES, close
from tests.support.small_networks import assert_vmap_is_loop, drawn, permuted


def planted(p: int, k: int, alpha: float, beta: float) -> torch.Tensor:
    a, b = torch.meshgrid(torch.arange(p).double(), torch.arange(p).double(), indexing="ij")
    w = 2 * math.pi * k / p
    return 0.5 + alpha * (torch.cos(w * a) - torch.cos(w * b)) + beta * (torch.sin(w * a) - torch.sin(w * b))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"p={case.p}")
def test_patterns_of_the_constructed_network(case):
    checkpoint = case.checkpoint()
    found, to_a = attention_pattern(checkpoint), attention_map(checkpoint).attention_to_a
    close(to_a[0], torch.ones(case.p, case.p).double() / 3)
    close(to_a[1], case.attention_to_a())
    close(found.attention_mean[0, 0], [1 / 3] * 3)
    close(found.attention_mean[0, 1, 0], case.attention_to_a().mean())
    close(found.attention_mean.sum(-1), torch.ones(1, 2))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"p={case.p}")
def test_periodicity_of_the_constructed_network(case):
    found = attention_periodicity(case.checkpoint())
    assert found.attention_frequency.tolist() == [0, next(iter(case.circles))]
    close(found.attention_fve[0], 0)
    close(found.attention_fve[1], naive.attention_fve(case.attention_to_a().numpy()).max())


@pytest.mark.parametrize("p", [5, 6, 23, 24])
def test_planted_patterns_are_explained_completely(p):
    patterns = torch.stack([planted(p, 1, 0.1, 0.2), planted(p, p // 2, 0.1, 0), planted(p, 2, 0, 0.1)])
    found = periodicity_of(patterns)
    assert found.attention_frequency.tolist() == [1, p // 2, 2]
    close(found.attention_fve, torch.ones(3))


@pytest.mark.parametrize("p", [4, 5, 6, 9])
def test_periodicity_equals_its_naive_twin(p):
    patterns = np.random.default_rng(p).random((3, p, p))
    found = periodicity_of(torch.from_numpy(patterns))
    for head, pattern in enumerate(patterns):
        expected = naive.attention_fve(pattern)
        assert int(found.attention_frequency[head]) == expected.argmax() + 1
        close(found.attention_fve[head], expected.max())


def test_every_layer_has_its_mean_pattern():
    checkpoint = drawn(p=7, spec=TransformerSpec(n_layers=2, d_model=8, n_heads=2, d_mlp=12))
    found = attention_pattern(checkpoint)
    _, cache = checkpoint.model.run_with_cache(checkpoint.problem.tokens)
    for layer in range(2):
        close(found.attention_mean[layer], cache["pattern", layer][:, :, -1].mean(0))
    close(attention_map(checkpoint).attention_to_a, cache["pattern", 1][:, :, -1, 0].T.reshape(2, 7, 7))


def test_permuting_heads_permutes_the_patterns():
    checkpoint = drawn(p=7)
    other = permuted(checkpoint, neurons=list(range(11, -1, -1)), heads=[1, 0])
    close(attention_map(other).attention_to_a, attention_map(checkpoint).attention_to_a.flip(0))
    close(attention_periodicity(other).attention_fve, attention_periodicity(checkpoint).attention_fve.flip(0))


@pytest.mark.parametrize("analysis", [attention_map, attention_pattern, attention_periodicity])
@pytest.mark.parametrize("n_layers", [1, 2])
def test_vmap_is_the_loop(analysis, n_layers):
    spec = TransformerSpec(n_layers=n_layers, d_model=8, n_heads=2, d_mlp=12)
    assert_vmap_is_loop(analysis, [drawn(seed, p=7, spec=spec) for seed in range(3)])
