"""The run whose weights are measured: the published network on its way through grokking."""

from pathlib import Path

import numpy as np

from grokinterp.models import Transformer
from grokinterp.presets import preset
from grokinterp.training import train
from grokinterp.trajectory import Trajectory

STEPS = 3_000
DIRECTORY = Path("build/benchmarks/nanda2023")


def trained_run() -> Trajectory:
    """The preset nanda2023 with the default loss, trained here the first time and kept under build/.

    Twice the learning rate and weight decay bring it through all phases in fewer steps.
    """
    faster = [f"steps={STEPS}", "optimization.lr=2e-3", "optimization.weight_decay=2.0"]
    experiment = preset("nanda2023").override(
        [*faster, "optimization.loss=softplus", "model.biases=false", "save.every=50"]
    )
    if DIRECTORY.exists() and (run := Trajectory.open(DIRECTORY)).steps[-1:] == (STEPS,):
        return run
    return train(experiment, DIRECTORY, device="cpu", resume=DIRECTORY.exists(), progress=True)


def points_of_training(run: Trajectory) -> dict[str, Transformer]:
    """The model at its start, once memorized, in the middle of the transition, and at the end."""
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
