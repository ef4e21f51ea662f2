"""Parts of the model that are frozen, or have a learning rate and weight decay of their own."""

import pytest
import torch

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.experiment.problem import Problem
from grokinterp.losses import example_losses
from grokinterp.optim import Muon
from grokinterp.optim.schedules import warm_up
from grokinterp.training import train
from grokinterp.training.fitting import key_of
from tests.support.small_runs import TINY, changed, written
from tests.support.stopped_runs import train_until

OPTIMIZERS = ("adamw", "adam", "sgd", "muon")
OWN = [
    {"part": "embed", "lr": 3e-3, "weight_decay": 2.0},
    {"part": "blocks.0.mlp", "lr": 5e-2},
    {"part": "unembed", "weight_decay": 0.0},
    {"part": "pos_embed", "frozen": True},
]
RATES = {"embed": (3e-3, 2.0), "blocks.0.mlp": (5e-2, 0.5), "unembed": (2e-2, 0.0), "blocks.0.attn": (2e-2, 0.5)}
STEPS = 6


def with_parts(optimizer: str = "adamw", **optimization: object) -> Experiment:
    return changed(steps=STEPS, save={"every": 1}, optimization={"optimizer": optimizer, "parts": OWN} | optimization)


def naive(experiment: Experiment) -> list[dict[str, torch.Tensor]]:
    """The weights of every step by torch's optimizers, with a group for each part, and without the frozen part."""
    model, o = experiment.build_model(), experiment.optimization
    train = Problem.of(experiment).parts["train"]
    inputs, labels = train.inputs, train.label
    named = dict(model.named_parameters())
    groups = [
        {"params": [named[name] for name in model.parts[part]], "lr": lr, "weight_decay": decay, "rate": lr}
        | ({"adamw": part in ("embed", "unembed")} if o.optimizer == "muon" else {})
        for part, (lr, decay) in RATES.items()
    ]
    if o.optimizer == "muon":
        optimizer = Muon(groups, betas=o.betas, eps=o.eps, momentum=o.momentum)
    elif o.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, momentum=o.momentum)
    else:
        kind = torch.optim.AdamW if o.optimizer == "adamw" else torch.optim.Adam
        optimizer = kind(groups, betas=o.betas, eps=o.eps)
    found = []
    for step in range(STEPS + 1):
        found.append({name: weight.detach().clone() for name, weight in named.items()})
        optimizer.zero_grad()
        example_losses(model.readout(inputs).logits, labels, form=o.loss).mean().backward()
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * warm_up(step, o.warmup_steps)
        optimizer.step()
    return found


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_gives_each_part_its_own_settings(optimizer, tmp_path):
    experiment = with_parts(optimizer)
    run = train(experiment, tmp_path / "run", device="cpu")
    for step, expected in enumerate(naive(experiment)):
        state = run.weights(step).state
        for name, weight in expected.items():
            torch.testing.assert_close(
                state[name], weight, rtol=1e-4, atol=1e-6, msg=lambda text, at=name: f"{at}: {text}"
            )
    first, last = run.weights(0).state, run.weights(STEPS).state
    assert torch.equal(first["pos_embed.W_pos"], last["pos_embed.W_pos"])
    assert Experiment.from_dict(run.directory.experiment) == experiment


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_run_with_parts_is_byte_identical(optimizer, tmp_path):
    experiment = with_parts(optimizer, filters=[{"kind": "grokfast_ema"}], average=0.9)
    whole = train(experiment, tmp_path / "whole", device="cpu")
    train_until(tmp_path / "run", 3, experiment)
    assert written(train(experiment, tmp_path / "run", device="cpu", resume=True).path) == written(whole.path)


def test_such_runs_are_trained_singly_and_other_runs_keep_their_hash():
    assert key_of(with_parts()) is None
    assert "parts" not in TINY.to_dict()["optimization"]
    assert TINY.override(["optimization.parts=[{part=embed,frozen=true}]"]).optimization.parts[0].frozen


REFUSED = {
    "unknown part": ([{"part": "mlp", "frozen": True}], r"^optimization.parts.0.part=mlp: must be one of embed, "),
    "no setting": ([{"part": "embed"}], r"^optimization.parts.0.part=embed: needs a setting"),
    "twice": (2 * [{"part": "embed", "frozen": True}], r"^optimization.parts.0.part=embed: is given twice"),
    "frozen and a rate": ([{"part": "embed", "frozen": True, "lr": 0.1}], "leaves no use"),
    "decay of the others": ([{"part": "embed", "lr": 5.0}], r"^optimization.parts.0.weight_decay=0.5: times lr=5.0"),
    "every part": (
        [{"part": part, "frozen": True} for part in (*RATES, "pos_embed")], r"parts=.*must not all be frozen",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("parts", "message"), REFUSED.values(), ids=REFUSED)
def test_parts_that_cannot_be_trained_so_are_refused(parts, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        train(changed(optimization={"parts": parts}), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_frozen_part_is_not_rescaled():
    with pytest.raises(ConfigError, match=r"^optimization\.constrain_norm=True: must not be set, since the part embed"):
        changed(optimization={"constrain_norm": True, "parts": [{"part": "embed", "frozen": True}]})
