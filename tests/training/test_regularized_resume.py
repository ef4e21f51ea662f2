"""A resumed run with regularizers or another precision is byte-identical, and no part of its state can be dropped."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from grokinterp.experiment import Experiment
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory
from grokinterp.training import train
from tests.support.small_runs import TINY, changed, written
from tests.support.stopped_runs import train_until

NOISY = {"weight_noise": 0.05, "update_noise": 0.3, "weight_decay_form": "jiggle", "batch_size": 7}
PERCEPTRON = {"kind": "mlp", "normalization": "BN", "dropout": 0.3, "hidden": [9, 8], "biases": True}


def of(model: dict[str, Any] | None = None, **optimization: Any) -> Experiment:
    """TINY with another model, or with settings of its transformer, and with settings of the optimization."""
    values = changed(steps=18, optimization=optimization).to_dict()
    given = model or {}
    values["model"] = given if "kind" in given else values["model"] | given
    return Experiment.from_dict(values)


CASES = {
    "dropout and noise": of({"dropout": 0.3, "dropout_at": ["pattern", "mlp_out"]}, **NOISY),
    "perceptron": of(PERCEPTRON, clip_norm=0.1, l1=1e-3),
    "to_init": of(weight_decay_form="to_init", weight_decay=4.0, filters=[{"kind": "grokfast_ema"}]),
    "float64": of(precision="float64", average=0.9),
    "bfloat16": of(precision="bfloat16", average=0.9, weight_noise=0.01),
    "float16": of({"normalization": "LN"}, precision="float16", loss="float16", batch_size=7),
    "mup": of({"initialization": "mup", "base_width": 8}),
}


@pytest.fixture(scope="module", params=CASES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, Trajectory]:
    """A case, and its run without interruption."""
    experiment = CASES[request.param]
    return experiment, train(experiment, tmp_path_factory.mktemp("whole") / "run", device="cpu")


@pytest.mark.parametrize("at", [1, 11])
def test_a_resumed_run_is_byte_identical(at: int, whole: tuple[Experiment, Trajectory], tmp_path: Path) -> None:
    experiment, finished = whole
    train_until(tmp_path / "run", at, experiment)
    run = train(experiment, tmp_path / "run", device="cpu", resume=True)
    assert written(run.path) == written(finished.path)


AT = 11
STATE = {
    "step/random": "dropout and noise",
    "step/initial/3": "to_init",
    "layers.0.norm.mean": "perceptron",
    "layers.1.norm.variance": "perceptron",
    "layers.1.norm.w": "perceptron",
}
"""Tensors of the resume state, and the case that has them."""


def resumed(run: RunDirectory, path: Path, tensors: dict[str, torch.Tensor], state: Any) -> dict[str, bytes]:
    """The files of a copy of a run that is continued from a resume state."""
    shutil.copytree(run.path, path)
    RunDirectory.open(path).resume.save(AT, tensors, state)
    return written(train(Experiment.from_dict(run.experiment), path, device="cpu", resume=True).path)


@pytest.mark.parametrize("name", STATE)
def test_no_tensor_of_the_state_can_be_dropped(name: str, tmp_path: Path) -> None:
    experiment = CASES[STATE[name]]
    finished = train(experiment, tmp_path / "whole", device="cpu")
    train_until(tmp_path / "part", AT, experiment)
    run = RunDirectory.open(tmp_path / "part")
    saved = run.resume.load()
    assert resumed(run, tmp_path / "same", saved.tensors, saved.state) == written(finished.path)
    other = torch.Generator().get_state() if name == "step/random" else saved.tensors[name] + 0.5
    assert resumed(run, tmp_path / "other", {**saved.tensors, name: other}, saved.state) != written(finished.path)


@pytest.mark.parametrize(("key", "value"), [("value", 2.0), ("steps", 1000)])
def test_the_scale_of_the_loss_cannot_be_dropped(key: str, value: float, tmp_path: Path) -> None:
    experiment = CASES["float16"]
    finished = train(experiment, tmp_path / "whole", device="cpu")
    train_until(tmp_path / "part", AT, experiment)
    run = RunDirectory.open(tmp_path / "part")
    saved = run.resume.load()
    text = json.dumps(saved.state)
    was = json.dumps([key, saved_scale(saved.state)[key]])
    assert text.count(was) == 1
    other = json.loads(text.replace(was, json.dumps([key, value])))
    assert resumed(run, tmp_path / "other", dict(saved.tensors), other) != written(finished.path)


def saved_scale(state: Any) -> dict[str, Any]:
    """The scale of the loss in a resume state."""
    plan = dict(state["training_step"]["dict"])["scale"]
    return dict(plan["dict"])


def test_runs_without_random_numbers_save_none(tmp_path: Path) -> None:
    train_until(tmp_path / "run", 3, TINY)
    assert not {"step/random", "step/initial/0"} & set(RunDirectory.open(tmp_path / "run").resume.load().tensors)
