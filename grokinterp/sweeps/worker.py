"""Train, time, and analyze one run in its own process, which stops when its parent does."""

import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from grokinterp.analysis import analyze
from grokinterp.errors import GrokinterpError, one_line
from grokinterp.experiment import Experiment
from grokinterp.interrupt import exit_on_signals
from grokinterp.storage import RunDirectory
from grokinterp.storage.run_directory import CLOCK
from grokinterp.streams import tolerant_streams
from grokinterp.sweeps.outcome import ENDED, sessions
from grokinterp.training import train


@dataclass
class Timer:
    """A logger of ``train`` that records wall and CPU time at every evaluation."""

    steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def log(self, values: dict[str, float], *, step: int) -> None:
        """Record the time of the evaluation at a step."""
        self.steps.append(step)
        self.seconds.append(time.perf_counter())
        self.cpu.append(time.process_time())


def work(directory: str, values: dict[str, Any], analyses: Sequence[str], device: str, answer: Connection) -> None:
    """Train or resume a run in this process and analyze it; send the reason for a failure, or None."""
    os.setpgrp()  # terminal signals reach only the parent, which forwards them once
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exit_on_signals()
    threading.Thread(target=stop_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    with tolerant_streams():
        failure = failure_to_run(Path(directory), values, analyses, device)
        with suppress(OSError):  # the parent has ended
            answer.send(failure)


def failure_to_run(directory: Path, values: dict[str, Any], analyses: Sequence[str], device: str) -> str | None:
    """Train or resume a run and analyze it; return the reason for a failure, or None."""
    try:
        run(directory, Experiment.from_dict(values), analyses, device)
    except GrokinterpError as error:
        return str(error)
    except Exception as error:  # a failure concerns only this run; the others continue
        return one_line(f"{type(error).__name__}: {error}")
    return None


def stop_with_parent() -> None:
    """Wait for the parent process to end for any reason, then stop this process with SIGTERM."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def run(directory: Path, experiment: Experiment, analyses: Sequence[str], device: str) -> None:
    """Train or resume a run unless it has ended, then analyze its checkpoints."""
    if not has_ended(directory):
        clock, before = Timer(), peak_bytes()
        try:
            resume = (directory / "experiment.json").exists()
            train(experiment, directory, device=device, resume=resume, loggers=[clock])
        finally:
            keep(directory, clock, before, peak_bytes())
    if RunDirectory.open(directory).steps():
        analyze(directory, only=analyses)


def has_ended(directory: Path) -> bool:
    """Return whether a run has finished or diverged and needs no further training."""
    there = (directory / "experiment.json").exists()
    return there and RunDirectory.open(directory).status.get("status") in ENDED


def keep(directory: Path, clock: Timer, before: int, after: int) -> None:
    """Append the times and memory of this process to those of earlier processes of the same run."""
    if not clock.steps:
        return
    start = clock.seconds[0]
    session = {
        "steps": clock.steps,
        "seconds": [round(at - start, 6) for at in clock.seconds],
        "cpu_seconds": round(clock.cpu[-1] - clock.cpu[0], 6),
        "program_bytes": before,
        "peak_bytes": after,
    }
    whole = {"sessions": [*sessions(directory), session]}
    RunDirectory(directory).write_document(CLOCK, whole)


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
