"""Grafts between checkpoints: hybrids whose behavior is known, in every kind of model."""

import copy

import pytest
import torch

from grokinterp.analysis.health.performance import performance
from grokinterp.analysis.inside.grafts import grafts
from grokinterp.experiment.problem import Problem
from grokinterp.interventions import graft
from grokinterp.runs.checkpoint import Checkpoint
from tests.cases.models import MODEL_SPECS, draw
from tests.support.constructed import SMALL, close
from tests.support.small_networks import drawn, network, problem

FIELDS = "graft_loss", "graft_accuracy", "graft_back_loss", "graft_back_accuracy"


def weights(model):
    return {name: value.detach().float() for name, value in model.named_parameters()}


def empty(model):
    """The same model with every number zero."""
    other = copy.deepcopy(model)
    other.load_state_dict({name: torch.zeros_like(value) for name, value in model.state_dict().items()})
    return other


@pytest.mark.parametrize("name", MODEL_SPECS)
def test_the_last_checkpoint_is_every_graft_of_its_own(name):
    model = draw(MODEL_SPECS[name], d_vocab=8, d_vocab_out=7)
    checkpoint = Checkpoint(0, model, problem())
    found, whole = grafts(checkpoint, final_weights=dict(model.named_parameters())), performance(checkpoint)
    for field, value in zip(FIELDS, (whole.test_loss, whole.test_accuracy) * 2, strict=True):
        close(getattr(found, field), value.expand(len(model.parts)))


def test_a_graft_is_the_hybrid_network_on_the_test_examples():
    checkpoint, final = drawn(1), network(2)
    of, found = checkpoint.problem, grafts(checkpoint, final_weights=dict(final.named_parameters()))
    for i, (part, names) in enumerate(final.parts.items()):
        for base, donor, kind in ((checkpoint.model, final, "graft"), (final, checkpoint.model, "graft_back")):
            hybrid = network(3)
            state = donor.state_dict()
            hybrid.load_state_dict(base.state_dict() | {name: state[name] for name in names})
            expected = performance(Checkpoint(0, hybrid, of))
            close(getattr(found, f"{kind}_loss")[i], expected.test_loss)
            close(getattr(found, f"{kind}_accuracy")[i], expected.test_accuracy)
        assert len(found.graft_loss) == len(final.parts), part


def test_a_network_that_lacks_one_part_is_healed_by_it_alone():
    checkpoint = SMALL.checkpoint()
    model, of = checkpoint.model, checkpoint.problem
    without = graft(checkpoint, Checkpoint(0, empty(model), of), "blocks.0.mlp")
    found = grafts(without, final_weights=dict(model.named_parameters()))
    mlp = list(model.parts).index("blocks.0.mlp")
    assert found.graft_accuracy[mlp] == 1
    assert found.graft_accuracy.sum() < 2  # no other part heals it
    close(found.graft_loss[mlp], performance(checkpoint).test_loss)
    assert (found.graft_back_accuracy == 1).tolist() == [part != "blocks.0.mlp" for part in model.parts]


def test_final_weights_may_be_of_lower_precision():
    checkpoint = drawn(1)
    found = grafts(checkpoint, final_weights=weights(checkpoint.model))
    close(found.graft_loss, performance(checkpoint).test_loss.expand(5), rtol=1e-5)
    assert found.graft_loss.dtype == torch.float64


def test_without_test_examples_all_count():
    of = problem()
    everything = Problem(of.task, of.tokens, of.labels, torch.ones_like(of.is_train))
    checkpoint = Checkpoint(0, network(1), everything)
    found = grafts(checkpoint, final_weights=dict(checkpoint.model.named_parameters()))
    close(found.graft_loss, performance(checkpoint).all_loss.expand(5))
