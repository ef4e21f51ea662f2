"""Activation patching: exact identities, and its results on known networks."""

import pytest
import torch

from grokinterp.analysis.inside.patching import activation_patching, drawn_pairs
from grokinterp.experiment.problem import Problem
from grokinterp.interventions import patch
from grokinterp.runs.checkpoint import Checkpoint
from tests.cases.models import MODEL_SPECS, SPECS, draw
from tests.support.constructed import SMALL, close
from tests.support.small_networks import drawn, network, problem


@pytest.mark.parametrize("name", MODEL_SPECS)
def test_effects_equal_their_naive_twin(name):
    checkpoint = Checkpoint(0, draw(MODEL_SPECS[name], d_vocab=8, d_vocab_out=7), problem())
    model, pairs = checkpoint.model, drawn_pairs(checkpoint.problem)
    found, sites = activation_patching(checkpoint).patching_effect, model.patch_sites

    def total(logits):
        rows = zip(logits, pairs.clean_label, pairs.corrupted_label, strict=True)
        return sum(float(row[right] - row[wrong]) for row, right, wrong in rows)

    with torch.no_grad():
        clean, corrupted = (total(model(tokens)[:, -1]) for tokens in (pairs.clean, pairs.corrupted))
    for i, (hook, head, _) in enumerate(sites.values()):
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
    found = dict(zip(checkpoint.model.patch_sites, activation_patching(checkpoint).patching_effect, strict=True))
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


def test_nothing_is_left_behind_in_the_model():
    checkpoint = drawn()
    before = {name: value.clone() for name, value in checkpoint.model.state_dict().items()}
    activation_patching(checkpoint)
    assert not any(point.has_hooks() for point in checkpoint.model.hook_points())
    assert all(torch.equal(value, before[name]) for name, value in checkpoint.model.state_dict().items())
