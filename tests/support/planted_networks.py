"""Runs of a sweep with planted curves and key frequencies, written without training."""

from pathlib import Path

import numpy as np
import xarray as xr

from grokinterp.experiment import Experiment
from grokinterp.runs.datasets import write_analysis
from grokinterp.storage import RunDirectory
from tests.support.small_runs import TINY

P = 31
LAST = 300
BASE = TINY.changed({"task.p": P, "steps": LAST, "evaluate_every": 10})


def write(
    folder: Path, experiment: Experiment, *, grokked: bool = True, norm: float = 4.0, test_loss: float = 1.0
) -> Path:
    """A finished run that memorizes at once and, if it groks, generalizes at step 100."""
    run = RunDirectory.create(
        folder / f"run-{experiment.name}-{experiment.seed}-{norm:g}", experiment.to_dict(), {"n_test": 400}
    )
    with run.lock() as held:
        for step in range(0, LAST + 1, 10):
            accuracy = 1.0 if grokked and step >= 100 else 0.03
            row = {"train_loss": 0.1, "test_loss": test_loss, "train_accuracy": 1.0, "test_accuracy": accuracy}
            held.metrics.append({"step": step, **row, "weight_norm": norm})
        held.write_status({"status": "finished", "step": LAST})
    return run.path


FREQUENCIES = tuple(f"freq_{k}" for k in range(1, P // 2 + 1))


def measure(run: Path, keys: set[int], *, step: int = LAST, labels: tuple[str, ...] = FREQUENCIES) -> None:
    """Plant the keys of a run's network, numbered from 1."""
    is_key = np.array([[k in keys for k in range(1, len(labels) + 1)]])
    similarity = np.where(is_key, 0.5, 0.01)
    fields = {"is_key_irrep": (("step", "irrep"), is_key), "irrep_similarity_held_out": (("step", "irrep"), similarity)}
    write_analysis(run, "irrep_spectrum", xr.Dataset(fields, coords={"step": [step], "irrep": list(labels)}))
