"""The run directory that training writes to: its default path, and whether it can be created or continued."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grokinterp.errors import RunDirectoryError
from grokinterp.experiment import Experiment
from grokinterp.storage import RunDirectory, configuration_hash
from grokinterp.training.extension import require_extension


def default_directory(experiment: Experiment) -> Path:
    """Return ``checkpoints/<name>-<hash of the configuration>``."""
    return Path("checkpoints") / f"{experiment.name}-{configuration_hash(experiment.to_dict())}"


def require_empty(directory: Path) -> None:
    """Raise RunDirectoryError unless a new run can be created in the directory."""
    if (directory / "experiment.json").exists():
        raise RunDirectoryError(directory, "contains a run: continue it with --resume, or choose another --out")
    RunDirectory(directory).require_empty()


def create(
    directory: Path, experiment: Experiment, environment: Mapping[str, Any], *, start: bytes | None = None
) -> RunDirectory:
    """Create a run directory, that of a branch with its start. Raises RunDirectoryError if it is not empty."""
    require_empty(directory)
    return RunDirectory.create(directory, experiment.to_dict(), recorded(experiment, environment), start=start)


def recorded(experiment: Experiment, environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the environment, with what does not change results or is not in the configuration.

    These are how idle threads wait (OMP_WAIT_POLICY), and the numbers of test examples and of classes.
    """
    sizes = {"n_test": experiment.split.sizes(experiment.task).test, "n_classes": experiment.task.n_classes}
    return {**environment, "waiting": os.environ.get("OMP_WAIT_POLICY", "default"), **sizes}


def open_to_resume(directory: Path, experiment: Experiment) -> RunDirectory:
    """Open the run directory of this configuration, to continue it.

    Raises:
        RunDirectoryError: if the run has diverged, or settings differ on which its past depends, naming them.
        ConfigError: if a setting that may change has a value with which the run cannot be continued.
    """
    run = RunDirectory.open(directory)
    require_extension(run, experiment)
    if run.status.get("status") == "diverged":
        raise RunDirectoryError(directory, f"diverged at step {run.status.get('step')}; resuming would diverge again")
    return run
