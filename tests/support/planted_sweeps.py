"""Sweeps whose runs grok at planted steps, written as run directories with complete logs."""

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from grokinterp.experiment import Experiment
from grokinterp.numbers import flat
from grokinterp.presets import BOUNDARIES
from grokinterp.storage import RunDirectory
from grokinterp.storage.sealed_rows import sealed
from grokinterp.sweeps.contents import Listed, Member, list_failures, list_sweep

EVERY, STEPS = 50, 3000
BASE = BOUNDARIES.changed({"task.p": 23, "steps": STEPS, "evaluate_every": EVERY})
MEMORIZED = 200
OUTCOMES = ("failed", "until", "status", "ratio")
"""The keys of a change that are no settings."""


def write_planted(
    path: Path, experiment: Experiment, grok: float, *, status: str = "finished", until: int | None = None
) -> str:
    """Write a run that memorizes at 200 steps, and groks at a step or, if that is beyond its budget, never."""
    run = RunDirectory.create(path, experiment.to_dict(), {"threads": 1, "n_test": 100, "n_classes": 23})
    last = experiment.steps if until is None else until
    before, rows = None, []
    norm = 100.0 / experiment.optimization.weight_decay if experiment.optimization.weight_decay else 100.0
    for step in range(0, last + 1, experiment.evaluate_every):
        test = 1.0 if step >= grok else 0.9 * step / grok if math.isfinite(grok) else 0.1
        row = {
            "step": step, "train_loss": math.exp(-step / 300), "test_loss": 3.0 * (1 - test) + 0.01,
            "train_accuracy": 1.0 if step >= MEMORIZED else step / MEMORIZED, "test_accuracy": test,
            "weight_norm": norm * (1 + math.exp(-step / 500)), "previous_step": before,
        }  # fmt: skip
        rows.append(sealed(row, run.run_id))
        before = step
    (path / "metrics.jsonl").write_bytes(b"".join(rows))
    run.write_status({"status": status, "step": last})
    return run.run_id


def plant(
    root: Path, name: str, changes: Iterable[Mapping[str, Any]], grok: Callable[[Mapping[str, Any]], float]
) -> list[str]:
    """Write a sweep of changes of the base, and return its run ids.

    A change may contain ``failed``, the reason of a failure before the run began, ``until``, its last step, and
    ``status``, by default "finished", or "interrupted" with a last step.
    """
    root.mkdir(parents=True, exist_ok=True)
    listed, failures = {}, {}
    for place, change in enumerate(changes):
        settings = {key: value for key, value in change.items() if key not in OUTCOMES}
        if "ratio" in change:
            width = max(round(change["ratio"] * 23) // 4 * 4, 4)
            settings |= {"model.d_model": width, "model.d_mlp": 4 * width}
        experiment = BASE.changed(settings)
        directory = f"{name}-{place}"
        if "failed" in change:
            run_id = f"failed{place:04}"
            failures[run_id] = change["failed"]
        else:
            until = change.get("until")
            status = change.get("status", "finished" if until is None else "interrupted")
            run_id = write_planted(root / directory, experiment, grok(change), status=status, until=until)
        listed[run_id] = Member(directory, flat(experiment.to_dict()))
    list_sweep(root, name, Listed(f"planted {name}", listed, []))
    if failures:
        list_failures(root, name, failures)
    return [*listed]


def ratios_by_decay(
    decays: Iterable[float] = (0.1, 1.0, 3.0),
    ratios: Iterable[float] = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0),
    seeds: int = 3,
) -> list[dict[str, Any]]:
    """Return the changes of a sweep of ratios and weight decays."""
    return [
        {"ratio": ratio, "optimization.weight_decay": decay, "seed": seed}
        for decay in decays for ratio in ratios for seed in range(seeds)
    ]  # fmt: skip


def boundary(change: Mapping[str, Any]) -> float:
    """Return a grok step: never below a ratio of 1 / sqrt(decay), and U-shaped above it, with a minimum at 2."""
    decay, ratio, seed = change["optimization.weight_decay"], change["ratio"], change["seed"]
    rng = np.random.default_rng([round(100 * decay), round(100 * ratio), seed])
    z = math.log(ratio / 2)
    step = 900 / decay**0.3 * math.exp(1.2 * z * z + 0.15 * rng.standard_normal())
    return step if ratio * math.sqrt(decay) > math.exp(0.2 * rng.standard_normal()) else math.inf
