"""Speed of the database: building it from 1.4 million rows of metrics, and an update of 1,000 unchanged runs.

``python -m benchmarks.database [--runs 70] [--rows 20000] [--unchanged 1000]`` simulates run directories of the preset
``boundaries``: their logs have the size and the checks of real ones, but their curves are drawn instead of trained.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from grokinterp.experiment import Experiment
from grokinterp.presets import BOUNDARIES
from grokinterp.storage import RunDirectory
from grokinterp.storage.sealed_rows import END, MARK, check_of
from grokinterp.sweeps import build_db, update_db

MOMENTS = 240
"""Number of different values of the metrics of a run."""


def simulate(path: Path, experiment: Experiment, rows: int, *, parameters: Sequence[str] = ()) -> RunDirectory:
    """Create a run directory with a complete log, in which the network groks after half of the evaluations."""
    run = RunDirectory.create(
        path, experiment.to_dict(), {"threads": 1, "n_test": 100, "n_classes": experiment.task.n_classes}
    )
    bodies = [json.dumps(values_at(moment / MOMENTS, parameters))[1:-1] for moment in range(MOMENTS)]
    before, lines = None, []
    for place in range(rows):
        step = place * experiment.evaluate_every
        row = f'{{"step": {step}, {bodies[place * MOMENTS // rows]}, "previous_step": {json.dumps(before)}}}'.encode()
        lines.append(row[:-1] + MARK + check_of(row, run.run_id) + END + b"\n")
        before = step
    (path / "metrics.jsonl").write_bytes(b"".join(lines))
    run.write_status({"status": "finished", "step": before or 0})
    return run


def values_at(time: float, parameters: Sequence[str]) -> dict[str, Any]:
    """Return the metrics at a time from 0 to 1."""
    train, test = min(1.0, 10 * time), min(1.0, max(0.01, 4 * (time - 0.25)))
    losses = {"train_loss": math.exp(-9 * time), "test_loss": 5.0 * (1 - test) + 0.01}
    norms = {name: 30.0 - 20 * time + place / 7 for place, name in enumerate(parameters)}
    logits = {"logit_mean_abs": 1 + time / 3, "logit_max_abs": 5 + time / 3, "logit_margin": time / 7}
    return {
        **losses,
        "train_accuracy": train,
        "test_accuracy": test,
        "gradient_norm": losses["train_loss"] / 3,
        "weight_norm": sum(norms.values()) or 1.0,
        **logits,
        "learning_rate": 1e-3,
        "weight_decay": 1.0,
        "weight_norm_of": norms or {"W": 1.0},
    }


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return the wall and processor seconds of a call, and its result."""
    wall, processor = time.perf_counter(), time.process_time()
    found = work()
    return time.perf_counter() - wall, time.process_time() - processor, found


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate the runs, and print the times."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.database", description=__doc__)
    parser.add_argument("--runs", type=int, default=70, help="runs to build a database of")
    parser.add_argument("--rows", type=int, default=20_000, help="rows of metrics of each")
    parser.add_argument("--unchanged", type=int, default=1_000, help="runs to update without a change")
    chosen = parser.parse_args(arguments)
    parameters = [name for name, _ in BOUNDARIES.empty_model().named_parameters()]
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        long, many = Path(folder) / "long", Path(folder) / "many"
        for seed in range(chosen.runs):
            one = replace(BOUNDARIES, seed=seed, steps=chosen.rows * 10)
            simulate(long / f"run-{seed}", one, chosen.rows, parameters=parameters)
        for seed in range(chosen.unchanged):
            simulate(many / f"run-{seed}", replace(BOUNDARIES, seed=seed), 3)
        database = Path(folder) / "a.db"
        wall, processor, done = timed(lambda: build_db(long, database))
        size = database.stat().st_size / 2**20
        print(f"build: {done.rows:,} rows in {wall:.1f} s ({processor:.1f} s of processor time), {size:.0f} MiB")
        build_db(many, Path(folder) / "b.db")
        wall, processor, done = timed(lambda: update_db(many, Path(folder) / "b.db"))
        print(f"update: {done.unchanged:,} unchanged runs in {wall:.2f} s ({processor:.2f} s of processor time)")


if __name__ == "__main__":
    main()
