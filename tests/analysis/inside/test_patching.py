"""Activation patching: what it equals exactly, and what it must show on networks that are known."""

import pytest
import torch

from grokinterp.analysis.inside.patching import activation_patching, drawn_pairs, patch, patch_sites
from grokinterp.errors import GrokinterpError
from grokinterp.experiment.problem import Problem
from grokinterp.runs.checkpoint import Checkpoint
from tests.cases.models import MODEL_SPECS, SPECS, draw, draw_tokens
from tests.support.constructed import SMALL, close
from tests.support.small_networks import drawn, network, problem

FIRST = {name: "blocks.0.hook_resid_pre" if name in SPECS else "hook_embed" for name in MODEL_SPECS}


def two_inputs():
    return draw_tokens(seed=1, constant_last=True), draw_tokens(seed=2)


@pytest.mark.parametrize("name", MODEL_SPECS)
def test_patching_the_embedding_is_exchanging_the_token(name):
    model, (clean, corrupted) = draw(MODEL_SPECS[name]), two_inputs()
    for position in range(3):
        tokens = corrupted.clone()
        tokens[:, position] = clean[:, position]
        with torch.no_grad():
            close(patch(model, clean, corrupted, hook=FIRST[name], position=position), model(tokens)[:, -1])
    with torch.no_grad():
        close(patch(model, clean, corrupted, hook=FIRST[name]), model(clean)[:, -1])
    assert not any(point.has_hooks() for point in model.hook_points())


@pytest.mark.parametrize("name", MODEL_SPECS)
def test_nothing_changes_between_equal_inputs(name):
    model, (tokens, _) = draw(MODEL_SPECS[name]), two_inputs()
    with torch.no_grad():
        expected = model(tokens)[:, -1]
        for site in patch_sites(model).values():
            close(patch(model, tokens, tokens, hook=site.hook, head=site.head), expected)


def test_all_heads_one_by_one_are_the_attention():
    """In a last layer read at its last position the heads' outputs add up in the residual stream."""
    model, (clean, corrupted) = draw(SPECS["one layer, biases"]), two_inputs()
    z = [model.catch(tokens, "blocks.0.attn.hook_z")[1] for tokens in (clean, corrupted)]
    mixed = torch.stack([z[1][:, :, 0], z[0][:, :, 1]], 2)
    expected = model.run_with_hooks(corrupted, fwd_hooks=[("blocks.0.attn.hook_z", lambda x, hook: mixed)])[:, -1]
    close(patch(model, clean, corrupted, hook="blocks.0.attn.hook_z", head=1).detach(), expected.detach())
    pattern = patch(model, clean, corrupted, hook="blocks.0.attn.hook_pattern", head=1, position=2)
    assert pattern.shape == (20, 5)


@pytest.mark.parametrize("name", MODEL_SPECS)
def test_effects_equal_their_naive_twin(name):
    checkpoint = Checkpoint(0, draw(MODEL_SPECS[name], d_vocab=8, d_vocab_out=7), problem())
    model, pairs = checkpoint.model, drawn_pairs(checkpoint.problem)
    found, sites = activation_patching(checkpoint).patching_effect, patch_sites(model)

    def total(logits):
        rows = zip(logits, pairs.clean_label, pairs.corrupted_label, strict=True)
        return sum(float(row[right] - row[wrong]) for row, right, wrong in rows)

    with torch.no_grad():
        clean, corrupted = (total(model(tokens)[:, -1]) for tokens in (pairs.clean, pairs.corrupted))
    for i, (hook, head) in enumerate(sites.values()):
        whole = not (hook == "hook_embed" or name in SPECS)
        for position in range(3):
            if whole and position < 2:
                assert found[i, position].isnan()
                continue
            at = None if whole else position
            logits = patch(model, pairs.clean, pairs.corrupted, hook=hook, head=head, position=at)
            close(found[i, position], (total(logits) - corrupted) / (clean - corrupted))


def test_in_the_constructed_network_head_0_carries_all_to_the_last_position():
    checkpoint = SMALL.checkpoint()
    found = dict(zip(patch_sites(checkpoint.model), activation_patching(checkpoint).patching_effect, strict=True))
    for site in ("L0H0", "blocks.0.hook_attn_out", "blocks.0.hook_mlp_out"):
        close(found[site], [0, 0, 1])
    close(found["L0H1"], [0, 0, 0])
    assert found["blocks.0.hook_resid_pre"][2] == 0  # the same token "=" in both


def test_pairs_differ_in_their_answers_and_are_the_same_every_time():
    pairs, again = drawn_pairs(problem(23)), drawn_pairs(problem(23))
    assert all(torch.equal(left, right) for left, right in zip(pairs, again, strict=True))
    assert len(pairs.clean) == 256
    assert (pairs.clean_label != pairs.corrupted_label).all()
    close(pairs.clean[:, :2].sum(1) % 23, pairs.clean_label)
    close(pairs.corrupted[:, :2].sum(1) % 23, pairs.corrupted_label)
    assert len(pairs.clean[:, 0].unique()) == len(pairs.corrupted[:, 1].unique()) == 23


def test_where_all_answers_agree_there_is_no_effect_to_speak_of():
    of = problem()
    same = Problem(of.task, of.tokens, torch.zeros_like(of.labels), of.is_train)
    assert activation_patching(Checkpoint(0, network(), same)).patching_effect.isnan().all()


def test_what_cannot_be_patched_is_named():
    model, tokens = network(), problem().tokens[:4]
    with pytest.raises(GrokinterpError, match=r"^hook=hook_x: must be among .*hook_embed"):
        patch(model, tokens, tokens, hook="hook_x")
    with pytest.raises(GrokinterpError, match=r"^corrupted: must have the shape of clean, \(4, 3\)$"):
        patch(model, tokens, tokens[:3], hook="hook_embed")
    with pytest.raises(GrokinterpError, match=r"^position=3: hook_embed has 3 positions$"):
        patch(model, tokens, tokens, hook="hook_embed", position=3)
    with pytest.raises(GrokinterpError, match=r"^head=0: hook_embed has no heads$"):
        patch(model, tokens, tokens, hook="hook_embed", head=0)
    mlp = draw(MODEL_SPECS["mlp"])
    with pytest.raises(GrokinterpError, match=r"^position=0: layers\.0\.hook_post has no positions$"):
        patch(mlp, draw_tokens(), draw_tokens(), hook="layers.0.hook_post", position=0)


def test_nothing_is_left_behind_in_the_model():
    checkpoint = drawn()
    before = {name: value.clone() for name, value in checkpoint.model.state_dict().items()}
    activation_patching(checkpoint)
    assert not any(point.has_hooks() for point in checkpoint.model.hook_points())
    assert all(torch.equal(value, before[name]) for name, value in checkpoint.model.state_dict().items())
