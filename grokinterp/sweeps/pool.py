"""A pool of processes that trains many runs, each in its own process."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from grokinterp.errors import GrokinterpError
from grokinterp.experiment import Experiment
from grokinterp.progress import ProgressBar
from grokinterp.runs.results import Results
from grokinterp.sweeps.processes import failure_of, processes_of, stop
from grokinterp.sweeps.worker import has_ended, work


@dataclass
class Entry:
    """One run of a sweep: its directory, its configuration, and the reason for its failure, if any."""

    directory: Path
    experiment: Experiment
    failure: str | None = None


def train_all(entries: Sequence[Entry], jobs: int, *, device: str, analyses: Sequence[str], progress: bool) -> None:
    """Train and analyze every run in its own process; if this process stops, all others stop.

    Complete runs are skipped, and interrupted runs are resumed. If a run fails or is damaged, its entry stores the
    reason, and the other runs continue.

    Args:
        entries: the runs.
        jobs: number of simultaneous processes.
        device: auto, cpu or cuda.
        analyses: names of the analyses of every run.
        progress: show a progress bar on standard error.
    """
    context = processes_of("grokinterp.sweeps.worker")
    waiting = [entry for entry in entries if lacks_something(entry, analyses)]
    running: dict[Any, tuple[Any, Entry]] = {}  # by result connection, which closes when the process ends
    with ProgressBar("runs", len(entries), start=len(entries) - len(waiting), shown=progress) as bar:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    entry = waiting.pop(0)
                    ours, theirs = context.Pipe(duplex=False)
                    arguments = (str(entry.directory), entry.experiment.to_dict(), tuple(analyses), device, theirs)
                    process = context.Process(target=work, args=arguments, daemon=True)
                    process.start()
                    theirs.close()
                    running[ours] = process, entry
                ready: list[Any] = wait(list(running))
                for answer in ready:
                    process, entry = running.pop(answer)
                    entry.failure = failure_of(process, answer)
                    name, failed = entry.experiment.name, ": failed" if entry.failure else ""
                    bar.advance(note=f"{name} seed {entry.experiment.seed}{failed}")
        finally:
            stop({answer: process for answer, (process, _) in running.items()})


def lacks_something(entry: Entry, analyses: Sequence[str]) -> bool:
    """Return whether a run must be trained or analyzed; store the reason if it cannot be read."""
    try:
        return not is_complete(entry.directory, analyses)
    except GrokinterpError as error:
        entry.failure = str(error)
        return False


def is_complete(directory: Path, analyses: Sequence[str]) -> bool:
    """Return whether a run has ended and has results of all analyses."""
    return has_ended(directory) and set(analyses) <= Results.open(directory).analyses.keys()


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
