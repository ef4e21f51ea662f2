"""Scores of planted attention patterns and planted heads."""

import pytest
import torch

from grokinterp.analysis.structure.head_roles import follows, head_roles, previous, repeats, score
from grokinterp.errors import NotDefined
from grokinterp.experiment import Experiment
from grokinterp.experiment.problem import Problem
from grokinterp.models import MLPSpec, TransformerSpec
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import ModularAddition, RepeatedSequence
from tests.support.small_networks import assert_vmap_is_loop

TASK = RepeatedSequence(p=9, length=5, shortest=3, samples=80)
SPEC = TransformerSpec(n_layers=2, d_model=12, n_heads=2, d_mlp=8, read_at="last")


def checkpoint(seed: int = 0, task=TASK, spec=SPEC) -> Checkpoint:
    experiment = Experiment(task=task, model=spec, seed=seed)
    model = experiment.build_model().double().requires_grad_(False)
    update = {name: weight * 0 for name, weight in model.named_parameters()}
    return Checkpoint(0, model, Problem.of(experiment).at_answer(), update)


@pytest.mark.parametrize("role", [previous, repeats, follows])
def test_a_pattern_that_attends_to_the_role_scores_one(role):
    tokens = TASK.tokens()
    wanted = role(tokens).double()
    pattern = wanted / wanted.sum(-1, keepdim=True).clamp(min=1)
    assert float(score(pattern[None, None], role(tokens))) == pytest.approx(1)
    assert float(score(0 * pattern[None, None], role(tokens))) == 0


def test_roles_by_brute_force():
    tokens = TASK.tokens()[:20]
    for row, twice, after in zip(tokens.tolist(), repeats(tokens), follows(tokens), strict=True):
        for q in range(len(row)):
            for k in range(len(row)):
                assert bool(twice[q, k]) == (k < q and row[k] == row[q])
                assert bool(after[q, k]) == (1 <= k <= q and row[k - 1] == row[q])


def test_uniform_attention_is_chance():
    of = checkpoint()
    of.model.blocks[0].attn.W_Q.zero_()
    found = head_roles(of)
    for name in ("previous_token", "duplicate_token", "prefix_matching"):
        scores, chance = getattr(found, name), getattr(found, f"{name}_chance")
        torch.testing.assert_close(scores[0], chance.expand(2))
        assert not torch.allclose(scores[1], chance.expand(2))
        assert 0 < float(chance) < 0.5


def test_a_head_that_copies_and_one_that_suppresses():
    of = checkpoint(spec=TransformerSpec(d_model=12, n_heads=2, d_head=12, d_mlp=8, read_at="last"))
    attn, model = of.model.blocks[0].attn, of.model
    model.embed.W_E.copy_(torch.eye(12)[:9])
    model.unembed.W_U.copy_(torch.eye(12)[:, :9])
    attn.W_V.copy_(torch.eye(12).expand(2, -1, -1))
    attn.W_O.copy_(torch.stack([torch.eye(12), -torch.eye(12)]))
    assert head_roles(of).copying.tolist() == [[pytest.approx(1), pytest.approx(-1)]]


def test_copying_is_that_of_the_whole_map():
    of = checkpoint(spec=TransformerSpec(d_model=12, n_heads=2, d_mlp=8, read_at="last"))
    model = of.model
    for head in range(2):
        whole = model.W_E[:9] @ model.W_V[0, head] @ model.W_O[0, head] @ model.W_U
        values = torch.linalg.eigvals(whole)
        expected = float(values.real.sum() / values.abs().sum())
        assert float(head_roles(of).copying[0, head]) == pytest.approx(expected, abs=1e-8)


def test_vmap_is_loop():
    assert_vmap_is_loop(head_roles, [checkpoint(seed) for seed in range(3)])


@pytest.mark.parametrize(
    ("task", "spec", "why"),
    [
        (ModularAddition(p=7), TransformerSpec(d_model=8, n_heads=2), "the sequences have fewer than 4 tokens"),
        (ModularAddition(p=7), MLPSpec(hidden=(4,)), "the model mlp has no attention"),
    ],
)
def test_other_tasks_and_models_have_none(task, spec, why):
    with pytest.raises(NotDefined, match=why):
        head_roles(checkpoint(task=task, spec=spec))
