"""Run directories with planted curves and measures, for the rules that diagnose them; written with numpy alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from grokinterp.diagnostics import Diagnosis, diagnose
from grokinterp.runs.datasets import write_analysis
from grokinterp.runs.results import Results
from grokinterp.storage import RunDirectory
from tests.support.curves import LAST, MEMORIZED, run
from tests.support.planted import as_dataset

EXPERIMENT = {
    "name": "planted",
    "task": {"kind": "modular_addition", "p": 13},
    "split": {"fraction": 0.5, "pairs": "unordered", "trained_on": None},
    "optimization": {
        "lr": 1e-3, "weight_decay": 1.0, "warmup_steps": 10, "optimizer": "adamw", "loss": "softplus", "filters": [],
        "lr_normalize": False, "constrain_norm": False,
    },
    "steps": LAST,
    "evaluate_every": 10,
}  # fmt: skip

COORDS = {"precision": ["float32", "float64"]}


def settings(**changes: Any) -> dict[str, Any]:
    """The configuration with other values: ``settings(optimization={"lr": 1})``."""
    whole = dict(EXPERIMENT)
    for key, value in changes.items():
        whole[key] = whole[key] | value if isinstance(value, dict) and key in whole else value
    return whole


def stuck(**columns: Any) -> dict[str, np.ndarray]:
    """Curves of a run that memorizes and stays on a flat plateau."""
    of = run()
    n = len(of["steps"])
    of |= {"test_accuracy": np.full(n, 0.05), "test_loss": np.full(n, 9.0), "weight_norm": np.full(n, 900.0)}
    return of | columns


def failing(**columns: Any) -> dict[str, np.ndarray]:
    """Curves of a run that learns a little at once, and nothing more."""
    steps = run()["steps"]
    train = {"train_loss": 2 + np.exp(-steps / 50), "train_accuracy": 0.3 * (1 - np.exp(-steps / 50))}
    held_out = {"test_loss": np.full(len(steps), 3.0), "test_accuracy": np.full(len(steps), 0.05)}
    return {"steps": steps, **train, **held_out, "weight_norm": np.full(len(steps), 900.0)} | columns


def ramp(first: float, last: float, since: int = MEMORIZED) -> np.ndarray:
    """A straight line over the evaluations from ``since`` on."""
    return first + (last - first) * np.clip((run()["steps"] - since) / (LAST - since), 0, 1)


def write(
    path: Path,
    columns: dict[str, np.ndarray],
    experiment: dict[str, Any] = EXPERIMENT,
    *,
    status: dict[str, Any] | None = None,
    measures: dict[str, Any] | None = None,
    leaked: float = 0.0,
    checkpoints: int = 100,
    exact: bool | None = None,
) -> Results:
    """A run; ``measures`` are values at three checkpoints, nested by precision where there are two.

    With ``exact``, it was continued, bit for bit or with another number of threads.
    """
    directory = RunDirectory.create(path, experiment, {"threads": 1})
    directory.write_status(
        status or {"status": "finished", "step": int(columns["steps"][-1]) if len(columns["steps"]) else 0}
    )
    if exact is not None:
        record = {"step": 90, "resume_state": "newest", "skipped": [], "exact": exact, "environment": {}}
        directory.continuations.append({**record, "changed": {} if exact else {"threads": [1, 2]}})
    with (path / "metrics.jsonl").open("w") as file:
        for i in range(len(columns["steps"])):
            row = {"steps": None} | {name: float(values[i]) for name, values in columns.items()}
            row = {name: value if value is None or np.isfinite(value) else None for name, value in row.items()}
            file.write(json.dumps({"step": int(columns["steps"][i])} | row) + "\n")
    for step in np.unique(np.linspace(0, LAST, checkpoints).astype(int)) if checkpoints else ():
        directory.checkpoint_path(int(step)).touch()
    if measures is not None:
        shaped = {name: np.array(values, dtype=float) for name, values in measures.items()}
        made = {name: ((() if v.ndim == 1 else ("precision",)), v) for name, v in shaped.items()}
        dataset = as_dataset(np.array([0, MEMORIZED, LAST]), made, COORDS)
        dataset.attrs |= {"skipped": "{}", "leaked_share": leaked}
        write_analysis(path, "planted", dataset)
    return Results.open(path)


def diagnosis_of(results: Results, symptom: str) -> Diagnosis | None:
    """The diagnosis whose symptom begins so; there is at most one."""
    found = [diagnosis for diagnosis in diagnose(results) if diagnosis.symptom.startswith(symptom)]
    assert len(found) <= 1
    return found[0] if found else None
