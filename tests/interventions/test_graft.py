"""Grafts between checkpoints of every kind of model."""

import pytest
import torch

from grokinterp.errors import GrokinterpError
from grokinterp.interventions import graft
from grokinterp.runs.checkpoint import Checkpoint
from tests.cases.models import MODEL_SPECS, draw, draw_tokens
from tests.support.small_networks import network, problem


def of(name, *, seed):
    return Checkpoint(0, draw(MODEL_SPECS[name], seed=seed), problem())


@pytest.mark.parametrize("name", MODEL_SPECS)
def test_all_parts_together_are_the_donor(name):
    base, donor, tokens = of(name, seed=1), of(name, seed=2), draw_tokens()
    model = base.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    grafted = base
    for part in model.parts:
        once = graft(grafted, donor, part)
        assert not torch.equal(once.model(tokens), grafted.model(tokens))
        grafted = once
    trained = {name for names in model.parts.values() for name in names}
    assert all(torch.equal(grafted.model.state_dict()[name], donor.model.state_dict()[name]) for name in trained)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_tied_embeddings_go_with_the_embedding():
    model, donor = (of("tied", seed=seed) for seed in (1, 2))
    assert torch.equal(graft(model, donor, "embed").model.W_U, donor.model.W_U)
    assert torch.equal(graft(model, donor, "unembed").model.W_U, model.model.W_U)
    assert torch.equal(graft(model, donor, "unembed").model.b_U, donor.model.b_U)


def test_what_cannot_be_grafted_is_named():
    model, other, mlp = (Checkpoint(0, net, problem()) for net in (network(), network(p=11), draw(MODEL_SPECS["mlp"])))
    with pytest.raises(GrokinterpError, match=r"^part=head: must be one of embed, pos_embed, blocks\.0\.attn, blocks"):
        graft(model, model, "head")
    with pytest.raises(GrokinterpError, match=r"^donor: has no embed\.W_E of shape \(8, 8\)$"):
        graft(model, other, "embed")
    with pytest.raises(GrokinterpError, match=r"^donor: has no blocks\.0\.mlp\."):
        graft(model, mlp, "blocks.0.mlp")
