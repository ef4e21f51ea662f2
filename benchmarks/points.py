"""The benchmark run: the published network at several points of its training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from grokinterp.models import Transformer
from grokinterp.presets import preset
from grokinterp.runs.trajectory import Trajectory
from grokinterp.training import train

FOLDER = Path("build/benchmarks")
PLAIN = ["optimization.loss=softplus", "model.biases=false"]
"""Overrides that restrict the model to features supported by all sides."""


class Size(NamedTuple):
    """The size of a benchmark: overrides of the preset nanda2023, and the start method of the sides' processes."""

    name: str
    steps: int
    overrides: Sequence[str]
    start: Literal["spawn", "fork"] = "spawn"


FULL = Size("nanda2023", 3_000, ["optimization.lr=2e-3", "optimization.weight_decay=2.0", "save.every=50"])
"""Twice the learning rate and weight decay bring the network through all phases in fewer steps."""

SMALL = Size(
    "small", 40, ["task.p=11", "model.d_model=8", "model.d_mlp=16", "split.fraction=0.5", "save.every=10"], "fork"
)
"""A size for the test suite: the same code, with meaningless numbers."""


def trained_run(size: Size = FULL) -> Trajectory:
    """Return the run, trained at the first call and kept under build/."""
    directory = FOLDER / size.name
    experiment = preset("nanda2023").override([f"steps={size.steps}", *size.overrides, *PLAIN])
    if directory.exists() and (run := Trajectory.open(directory)).steps[-1:] == (size.steps,):
        return run
    return train(experiment, directory, device="cpu", resume=directory.exists(), progress=True)


def points_of_training(run: Trajectory) -> dict[str, Transformer]:
    """Return the model at its start, after memorization, in the middle of the transition, and at the end."""
    metrics = run.metrics

    def first(name: str, level: float) -> int:
        reached = np.flatnonzero(metrics[name].values >= level)
        at = int(metrics.step[reached[0]]) if reached.size else run.steps[-1]
        return min(run.steps, key=lambda step: abs(step - at))

    steps = {
        "start": 0,
        "memorized": first("train_accuracy", 0.999),
        "transition": first("test_accuracy", 0.5),
        "end": run.steps[-1],
    }
    return {f"{name} (step {step})": run.model(step=step) for name, step in steps.items()}
