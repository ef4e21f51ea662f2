"""Many runs at once, each in a process of its own, as many as there are cores."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from grokinterp.experiment import Experiment
from grokinterp.progress import ProgressBar
from grokinterp.runs.datasets import analysis_names
from grokinterp.sweeps.processes import outcome_of, processes_of, stop
from grokinterp.sweeps.worker import MEASURES, has_ended, work


@dataclass
class Entry:
    """One run: which, where, what it trains, and why it could not, if it could not."""

    method: str
    seed: int
    directory: Path
    experiment: Experiment
    failure: str | None = field(default=None)


def train_all(entries: Sequence[Entry], jobs: int, *, progress: bool) -> None:
    """Run every entry in a process of its own, so many at once; whatever stops this one stops them all."""
    context = processes_of("grokinterp.sweeps.worker")
    waiting = [entry for entry in entries if not is_complete(entry.directory)]
    running: dict[Any, tuple[Any, Entry]] = {}  # by the connection that answers, which closes when the process ends
    with ProgressBar("league", len(entries), start=len(entries) - len(waiting), shown=progress) as bar:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    entry = waiting.pop(0)
                    ours, theirs = context.Pipe(duplex=False)
                    process = context.Process(
                        target=work, args=(str(entry.directory), entry.experiment.to_dict(), theirs), daemon=True
                    )
                    process.start()
                    theirs.close()
                    running[ours] = process, entry
                ready: list[Any] = wait(list(running))
                for answer in ready:
                    process, entry = running.pop(answer)
                    entry.failure = outcome_of(process, answer)
                    bar.advance(note=f"{entry.method} seed {entry.seed}{': failed' if entry.failure else ''}")
        finally:
            stop({answer: process for answer, (process, _) in running.items()})


def is_complete(directory: Path) -> bool:
    """Whether a run has ended and is measured, so that no process need be started for it."""
    return has_ended(directory) and set(MEASURES) <= set(analysis_names(directory))


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
