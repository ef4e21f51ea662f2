"""Logits averaged by label: naive twin, planted cosine, order of neurons, vmap."""

import math
import random

import torch

from grokinterp.analysis.structure.logit_map import logit_map
from tests.support.small_networks import assert_vmap_is_loop, drawn, permuted, planted


def test_logit_map_equals_its_naive_twin():
    checkpoint, p = drawn(), 7
    expected = torch.zeros(p, p, dtype=torch.float64)
    for a in range(p):
        for b in range(p):
            row = checkpoint.logits[a * p + b]
            for c in range(p):
                expected[(a + b) % p, c] += (row[c] - row.mean()) / p
    torch.testing.assert_close(logit_map(checkpoint).logit_by_label, expected)


def test_logit_map_of_a_planted_cosine_is_the_cosine():
    p, k = 7, 3
    a, b, c = torch.meshgrid(*[torch.arange(p, dtype=torch.float64)] * 3, indexing="ij")
    logits = 5 + torch.cos(2 * math.pi * k * (a + b - c) / p).reshape(p * p, p)
    found = logit_map(planted(logits, drawn().problem.label)).logit_by_label
    total, answer = torch.meshgrid(*[torch.arange(p, dtype=torch.float64)] * 2, indexing="ij")
    torch.testing.assert_close(found, torch.cos(2 * math.pi * k * (total - answer) / p))


def test_order_of_neurons_and_heads_changes_nothing():
    neurons = random.Random(0).sample(range(12), 12)
    for field, value in logit_map(drawn())._asdict().items():
        other = getattr(logit_map(permuted(drawn(), neurons=neurons, heads=[1, 0])), field)
        torch.testing.assert_close(other, value, rtol=1e-12, atol=1e-12)


def test_vmap_equals_loop():
    assert_vmap_is_loop(logit_map, [drawn(seed) for seed in range(3)])
