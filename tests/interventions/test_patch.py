"""Activation patching between two inputs: results that are known exactly in every kind of model."""

import pytest
import torch

from grokinterp.errors import GrokinterpError
from grokinterp.interventions import patch
from tests.cases.models import MODEL_SPECS, SPECS, draw, draw_tokens
from tests.support.constructed import close
from tests.support.small_networks import network, problem

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
        for site in model.patch_sites.values():
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
