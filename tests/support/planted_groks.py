"""Run directories whose curves are drawn from a planted grok step, and a database of them."""

import json
import math
from dataclasses import replace
from pathlib import Path

from grokinterp.experiment import Experiment
from grokinterp.storage import RunDirectory
from grokinterp.storage.sealed_rows import END, MARK, check_of
from grokinterp.sweeps import build_db
from tests.support.small_runs import TINY, changed

LONG = replace(TINY, steps=600, evaluate_every=10)


def curve_run(path: Path, experiment: Experiment, grok_step: int, *, until: int | None = None) -> RunDirectory:
    """A run that memorizes at step 20 and groks at a step, with a slower fall of Σθ² the later that is."""
    run = RunDirectory.create(path, experiment.to_dict(), {"threads": 1, "n_test": 100, "n_classes": 7})
    before, lines = None, []
    for step in range(0, (experiment.steps if until is None else until) + 1, experiment.evaluate_every):
        accuracy = 1.0 if step >= grok_step else 0.1
        row = {
            "step": step, "train_loss": math.exp(-step / 50), "test_loss": 3 + step / grok_step,
            "train_accuracy": 1.0 if step >= 20 else 0.5, "test_accuracy": accuracy, "gradient_norm": 0.1,
            "weight_norm": 50 * math.exp(-step / grok_step), "previous_step": before,
        }  # fmt: skip
        text = json.dumps(row).encode()
        lines.append(text[:-1] + MARK + check_of(text, run.run_id) + END + b"\n")
        before = step
    (path / "metrics.jsonl").write_bytes(b"".join(lines))
    run.write_status({"status": "finished" if until is None else "running", "step": before or 0})
    return run


def planted_folder(root: Path, *, settings: int = 8, seeds: int = 2, scale: int = 1, factor: float = 1.3) -> Path:
    """A folder with runs that grok at about scale · 100 / weight decay, or not within the budget; its database."""
    for number in range(settings):
        decay = 0.12 * factor**number
        for seed in range(seeds):
            long = replace(LONG, steps=scale * LONG.steps, evaluate_every=scale * LONG.evaluate_every, seed=seed)
            one = changed(long, optimization={"weight_decay": decay})
            curve_run(root / f"run-{number}-{seed}", one, scale * (round(100 / decay) + 30 * seed))
    build_db(root, root / "experiments.db")
    return root / "experiments.db"
