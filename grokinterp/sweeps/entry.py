"""A run of a sweep: where it is, whether it is complete, and what its process reports."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from grokinterp.errors import GrokinterpError
from grokinterp.experiment import Experiment
from grokinterp.storage import RunDirectory, configuration_hash
from grokinterp.storage.lock import is_held

ENDED = ("finished", "diverged")
"""Statuses of runs that are observed until the end of their budget."""

COMPLETE = (*ENDED, "stopped")
"""Statuses of runs that a sweep does not train further."""

NAMED_BY_HASH = re.compile(r".+-([0-9a-f]{10})")


@dataclass
class Entry:
    """A run of a sweep: its directory, its configuration, and the reason for its failure, if any.

    ``label`` names the run among the others, and ``work`` is proportional to the time that its training takes.
    """

    directory: Path
    experiment: Experiment
    failure: str | None = None
    label: str = ""
    work: float = 1.0

    def __str__(self) -> str:
        return self.label or f"{self.experiment.name} seed {self.experiment.seed}"

    @property
    def run_id(self) -> str:
        """The hash of the configuration."""
        return configuration_hash(self.experiment.to_dict())

    @property
    def exists(self) -> bool:
        """Whether its directory contains a run."""
        return (self.directory / "experiment.json").exists()

    @property
    def reached(self) -> int:
        """The step from which the run would continue."""
        return max(RunDirectory(self.directory).resume.steps(), default=0) if self.exists else 0

    @property
    def is_elsewhere(self) -> bool:
        """Whether another process is training the run."""
        return is_held(self.directory / "lock") is True


class Report(NamedTuple):
    """The latest evaluation of a run, as its process reports it."""

    step: int
    train_accuracy: float
    test_accuracy: float


class Ended(NamedTuple):
    """The end of a process: the reason for a failure, if any; or another process is training the run."""

    failure: str | None
    is_elsewhere: bool = False


def entries_in(root: Path, experiments: Iterable[Experiment]) -> list[Entry]:
    """Return the runs of experiments in a folder: a run that exists under another name is used."""
    found = existing(root)
    entries = []
    for given in experiments:
        experiment = Experiment.from_dict(given.to_dict())  # with numbers as they are stored
        run_id = configuration_hash(experiment.to_dict())
        entries.append(Entry(root / found.get(run_id, f"{experiment.name}-{run_id}"), experiment))
    return entries


def existing(root: Path) -> dict[str, str]:
    """Return the names of the run directories of a folder by run id."""
    names = sorted(os.listdir(root)) if root.is_dir() else []
    ids = {name: match[1] for name in names if (match := NAMED_BY_HASH.fullmatch(name))}
    return {run_id: name for name, run_id in ids.items() if (root / name / "experiment.json").exists()}


def has_ended(directory: Path) -> bool:
    """Return whether a run needs no further training: it finished, diverged, or was stopped by a prediction."""
    there = (directory / "experiment.json").exists()
    return there and RunDirectory.open(directory).status.get("status") in COMPLETE


def lacks_something(entry: Entry, analyses: Sequence[str]) -> bool:
    """Return whether a run must be trained or analyzed; store the reason if it cannot be read."""
    try:
        return not is_complete(entry.directory, analyses)
    except GrokinterpError as error:
        entry.failure = str(error)
        return False


def is_complete(directory: Path, analyses: Sequence[str]) -> bool:
    """Return whether a run has ended and has results of all analyses."""
    if not has_ended(directory) or not analyses:
        return has_ended(directory)
    from grokinterp.runs.results import Results

    return set(analyses) <= Results.open(directory).analyses.keys()
