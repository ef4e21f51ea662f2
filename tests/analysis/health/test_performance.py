"""Losses and accuracies of a published network."""

import random

import pytest
import torch

from grokinterp.analysis.health.performance import performance
from grokinterp.experiment.problem import Problem
from grokinterp.models import TransformerSpec
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import ModularAddition
from tests.support.small_networks import network, with_equals


def test_losses_of_a_published_network(published):
    """nanda/mod_addition_no_wd: full-grid loss 1.111e-7 (recomputed), accuracy 1, a minute loss on its training set."""
    state = torch.load(published / "nanda" / "mod_addition_no_wd.pth", map_location="cpu", weights_only=True)["model"]
    checkpoint = Checkpoint(5000, nanda_network(state), nanda_problem())
    found = performance(checkpoint)
    assert float(found.all_loss) == pytest.approx(1.111e-7, rel=1e-3)
    assert float(found.test_loss) == pytest.approx(1.10985e-6, rel=1e-3)
    assert float(found.train_loss) == pytest.approx(1.68138e-10, rel=1e-2)
    assert float(found.all_accuracy) == 1


def nanda_problem():
    """The published split: pairs in row-major order, shuffled with seed 0, the first 90 % trained on."""
    task = ModularAddition(p=113)
    pairs = list(range(113 * 113))
    random.Random(0).shuffle(pairs)
    is_train = torch.zeros(113 * 113, dtype=torch.bool)
    is_train[pairs[: int(0.9 * len(pairs))]] = True
    return Problem(task, with_equals(task), task.labels(), is_train)


def nanda_network(state):
    """The published weights, transposed to this house's layout; output 113 is never a label and is left out."""
    model = network(p=113, spec=TransformerSpec())
    new = {name: value for name, value in state.items() if not name.endswith("mask")}
    for name in ("embed.W_E", "blocks.0.mlp.W_in", "blocks.0.mlp.W_out"):
        new[name] = new[name].T
    for name in ("W_Q", "W_K", "W_V"):
        new[f"blocks.0.attn.{name}"] = new[f"blocks.0.attn.{name}"].transpose(1, 2)
    new["blocks.0.attn.W_O"] = new["blocks.0.attn.W_O"].T.reshape(4, 32, 128)
    new["unembed.W_U"] = new["unembed.W_U"][:, :113]
    model.load_state_dict(model.state_dict() | new)
    return model
