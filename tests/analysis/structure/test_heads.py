"""Entropy and likeness of attention heads: known patterns, and a naive twin on every transformer."""

import math

import pytest
import torch

from grokinterp.analysis.structure.heads import head_patterns
from grokinterp.errors import NotDefined
from grokinterp.models import MLPSpec, TransformerSpec
from tests.cases.models import TINY_SIZES, TINY_SPECS
from tests.support.any_model import checkpoint_of
from tests.support.constructed import SMALL, close
from tests.support.small_networks import assert_vmap_is_loop, drawn, permuted

KINDS = {name: spec for name, spec in TINY_SPECS.items() if isinstance(spec, TransformerSpec)} | {
    "rate": TransformerSpec(**TINY_SIZES, attention_rate=0.3, read_at="last"),
}


def test_in_the_constructed_network_head_0_is_uniform_and_head_1_is_known():
    found = head_patterns(SMALL.checkpoint())
    score = (SMALL.gain * torch.cos(2 * math.pi * next(iter(SMALL.circles)) * torch.arange(7.0) / 7)).exp().double()
    parts = torch.stack(torch.broadcast_tensors(score[:, None], score[None, :], torch.ones(1, 1)), -1)
    share = parts / parts.sum(-1, keepdim=True)
    entropy = -(share * share.log()).sum(-1).mean()
    close(found.attention_entropy, torch.stack([torch.tensor(math.log(3), dtype=torch.float64), entropy])[None])
    uniform = torch.full_like(share, 1 / 3)
    cosine = (share * uniform).sum() / share.norm() / uniform.norm()
    close(found.head_similarity[0, 0, 1], cosine)
    assert found.head_correlation[0].isnan().tolist() == [[True, True], [True, False]]
    close(found.head_correlation[0, 1, 1], 1)


@pytest.mark.parametrize("name", KINDS)
def test_entropy_and_cosines_equal_their_naive_twin(name):
    checkpoint = checkpoint_of(KINDS[name], scale=3)
    found, model = head_patterns(checkpoint), checkpoint.model
    for layer in range(model.n_layers):
        whole = checkpoint.activation(f"blocks.{layer}.attn.hook_pattern")
        read = whole.mean(2) if model.spec.read_at == "mean" else whole[:, :, -1]
        for head in range(model.n_heads):
            entropies = [-sum(x / sum(row) * math.log(x / sum(row)) for x in row) for row in read[:, head].tolist()]
            close(found.attention_entropy[layer, head], sum(entropies) / len(entropies))
        x, y = read[:, 0], read[:, 1]
        close(found.head_similarity[layer, 0, 1], torch.cosine_similarity(x.flatten(), y.flatten(), dim=0))
        x, y = x - x.mean(0), y - y.mean(0)
        close(found.head_correlation[layer, 1, 0], torch.cosine_similarity(x.flatten(), y.flatten(), dim=0))


def test_heads_in_another_order_are_the_same():
    checkpoint = drawn()
    found, moved = (head_patterns(c) for c in (checkpoint, permuted(checkpoint, neurons=range(12), heads=[1, 0])))
    close(moved.attention_entropy, found.attention_entropy[:, [1, 0]])
    close(moved.head_correlation[0, 0, 1], found.head_correlation[0, 1, 0])


def test_under_vmap_it_is_the_loop():
    assert_vmap_is_loop(head_patterns, [drawn(seed) for seed in range(3)])


def test_without_attention_there_is_none():
    with pytest.raises(NotDefined, match="head_patterns is not defined here: the model mlp has no attention"):
        head_patterns(checkpoint_of(MLPSpec(hidden=(4,))))
