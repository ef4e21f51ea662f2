"""Disk space that a run will take, estimated before any work."""

import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from grokinterp.available import disk_available, size_text
from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.training.memory import bytes_per_weight, in_checkpoint, saved_per_weight, traced_for

MOST_FILES = 10**6
"""Largest number of checkpoints of a run: file systems and listings slow down beyond it."""

HEADER, ROW, NORM = 2048, 500, 48
"""Bytes of a file besides its tensors, of a row of metrics, and of the norm of a parameter in a row."""

GENERATIONS = 3
"""Largest number of resume states on disk: two are kept while a third is written."""


class DiskNeeds(NamedTuple):
    """Estimated bytes of the files that a run will write, and the number of its checkpoints."""

    checkpoints: int
    resume: int
    metrics: int
    files: int

    @property
    def total(self) -> int:
        """The bytes of all files."""
        return self.checkpoints + self.resume + self.metrics


def require_disk(experiment: Experiment, directory: Path, *, start: int = 0) -> None:
    """Raise ConfigError if the files of a run exceed the free space, or there are too many checkpoints.

    Args:
        experiment: the configuration.
        directory: the run directory, which need not exist.
        start: the step from which the run continues.
    """
    found, key, every = disk_needs(experiment, start=start), "save.every", experiment.save.every
    if found.files > MOST_FILES:
        fewer = 10 ** math.ceil(math.log10(experiment.budget / (MOST_FILES - 1)))
        rule = f"saves {found.files:,} checkpoints ({size_text(found.checkpoints)}), more than {MOST_FILES:,}"
        raise ConfigError(key, every, f"{rule}; try {key}={fewer}")
    if found.total > (free := disk_available(directory)):
        parts = f"{size_text(found.checkpoints)} in {found.files:,} checkpoints, {size_text(found.metrics)} of metrics"
        raise ConfigError(
            key, every, f"needs about {size_text(found.total)} of disk ({parts}), but only {size_text(free)} are free"
        )


def disk_needs(experiment: Experiment, *, start: int = 0) -> DiskNeeds:
    """Estimate the files of the whole schedule, without the additional checkpoints of the transition."""
    save, steps, optimization = experiment.save, experiment.budget, experiment.optimization
    traced, files = traced_for(experiment), saves(experiment) - (saves(experiment, until=start) if start else 0)
    weights, rows = bytes_per_weight(optimization) * traced.weights, (steps - start) // experiment.evaluate_every + 2
    resumes = min(GENERATIONS, steps // save.resume_every + 1)
    return DiskNeeds(
        checkpoints=files * (weights * in_checkpoint(optimization) + HEADER),
        resume=resumes * (weights * saved_per_weight(optimization) + HEADER),
        metrics=rows * (ROW + NORM * traced.parameters),
        files=files,
    )


def saves(experiment: Experiment, *, until: int | None = None) -> int:
    """Return the number of checkpoints up to a step (default: the last, which is always saved)."""
    save, last = experiment.save, experiment.budget if until is None else until
    dense = min(save.dense_until, last)
    both = dense // math.lcm(save.every, save.dense_every)
    regular = last // save.every + 1 + (dense // save.dense_every - both if save.dense_until else 0)
    others = replace(save, per_decade=None)
    log_spaced = sum(not others.saves(step, in_transition=False) for step in save.log_spaced(last))
    return regular + log_spaced + (until is None and not save.saves(last, in_transition=False))
