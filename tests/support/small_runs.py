"""Run directories for tests: a run that trains in a moment, and runs with drawn checkpoints."""

import json
from pathlib import Path
from typing import Any

import torch

from grokinterp.experiment import Experiment, Optimization, SaveAt, Split
from grokinterp.models import TransformerSpec
from grokinterp.runs.trajectory import UPDATE, Trajectory
from grokinterp.storage import RunDirectory
from grokinterp.tasks import ModularAddition

SPEC = TransformerSpec(d_model=16, n_heads=2, d_mlp=16)

TINY = Experiment(
    name="tiny",
    task=ModularAddition(p=7),
    model=SPEC,
    split=Split(fraction=0.5),
    optimization=Optimization(lr=2e-2, weight_decay=0.5, warmup_steps=5),
    save=SaveAt(every=10, dense_every=2, dense_until=8, transition_every=3, resume_every=7),
    steps=30,
    evaluate_every=3,
)


def changed(experiment: Experiment = TINY, **values: Any) -> Experiment:
    """A copy with other values; a table is changed key by key: ``changed(save={"every": 1})``."""
    whole = experiment.to_dict()
    for key, value in values.items():
        whole[key] = whole[key] | value if isinstance(value, dict) else value
    return Experiment.from_dict(whole)


def draw_checkpoints(path: Path, experiment: Experiment = TINY, steps: tuple[int, ...] = (0, 10, 20)) -> Trajectory:
    """A run directory whose checkpoints are drawn instead of trained; every step but 0 has an update."""
    run = RunDirectory.create(path, experiment.to_dict(), {"threads": 1})
    with run.lock() as held:
        for step in steps:
            held.save_checkpoint(step, drawn_tensors(experiment, step))
            held.metrics.append({"step": step, "train_loss": 1.0, "test_loss": 2.0, "train_accuracy": 0.5} | ACCURACY)
    return Trajectory.open(path)


ACCURACY = {"test_accuracy": 0.1, "weight_norm": 3.0}


def drawn_tensors(experiment: Experiment, step: int) -> dict[str, torch.Tensor]:
    """The content of a checkpoint file, drawn by its step."""
    model = experiment.empty_model()
    model.initialize(torch.Generator().manual_seed(step))
    generator = torch.Generator().manual_seed(step + 1)
    names = [name for name, _ in model.named_parameters()] if step else []
    update = {UPDATE + name: 0.01 * torch.randn(model.state_dict()[name].shape, generator=generator) for name in names}
    return dict(model.state_dict()) | update


def without_digests(path: Path) -> Path:
    """The run with its small JSON files as earlier versions wrote them, without run and digest."""
    for name in ("environment.json", "status.json"):
        content = json.loads((path / name).read_text()) if (path / name).exists() else {}
        if content:
            (path / name).write_text(json.dumps({k: v for k, v in content.items() if k not in ("run", "digest")}))
    return path


def written(path: Path) -> dict[str, bytes]:
    """Files that training wrote: checkpoints, metrics, status, configuration, newest resume state.

    The record of the continuations is left out, because it is what distinguishes a continued run, and so are the used
    memory in the status and the waiting policy in the environment, which vary between equal runs.
    """
    newest = sorted(path.glob("resume/*.safetensors"))[-1:]
    files = [*path.glob("checkpoints/*"), *newest, *path.glob("*.json"), *path.glob("metrics.jsonl")]
    content = {str(file.relative_to(path)): file.read_bytes() for file in files}
    run = RunDirectory.open(path)
    status = {key: value for key, value in run.status.items() if key != "memory"}
    environment = {key: value for key, value in run.environment.items() if key != "waiting"}
    return content | {"status.json": repr(status).encode(), "environment.json": repr(environment).encode()}
