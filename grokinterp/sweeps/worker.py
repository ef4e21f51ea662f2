"""One run of a league in a process of its own: trained, timed and measured; it stops when its parent does."""

import json
import os
import resource
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from grokinterp.analysis import analyze
from grokinterp.errors import GrokinterpError
from grokinterp.experiment import Experiment
from grokinterp.storage import RunDirectory, write_atomic
from grokinterp.sweeps.outcome import CLOCK, ENDED, sessions
from grokinterp.training import train

MEASURES = ("performance", "softmax_collapse", "gradient_weight_alignment")
"""The analyses behind the table; checkpoints are few."""


@dataclass
class Timer:
    """Told of every evaluation, it notes the time: a logger of ``train``."""

    steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def log(self, values: dict[str, float], *, step: int) -> None:
        """Note when the evaluation of a step was written."""
        self.steps.append(step)
        self.seconds.append(time.perf_counter())
        self.cpu.append(time.process_time())


def work(directory: str, values: dict[str, Any], answer: Connection) -> None:
    """Train a run to its end from wherever it is, and send why not, or None."""
    os.setpgrp()  # what the terminal sends to all goes to the parent, who passes it on once
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=stop_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    try:
        run(Path(directory), Experiment.from_dict(values))
    except GrokinterpError as error:
        answer.send(str(error))
    except Exception as error:  # whatever it is, the other runs go on
        answer.send(f"{type(error).__name__}: {error}")
    else:
        answer.send(None)


def stop_with_parent() -> None:
    """Wait for the parent to end, however it does, and stop as if asked to."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def run(directory: Path, experiment: Experiment) -> None:
    """Train or continue, unless it has ended; then measure."""
    if not has_ended(directory):
        clock, before = Timer(), peak_bytes()
        try:
            resume = (directory / "experiment.json").exists()
            train(experiment, directory, device="cpu", resume=resume, loggers=[clock])
        finally:
            keep(directory, clock, before, peak_bytes())
    if RunDirectory.open(directory).steps():
        analyze(directory, only=MEASURES)


def has_ended(directory: Path) -> bool:
    """Whether there is nothing left to train."""
    there = (directory / "experiment.json").exists()
    return there and RunDirectory.open(directory).status.get("status") in ENDED


def keep(directory: Path, clock: Timer, before: int, after: int) -> None:
    """Add what this process measured to what those before it did."""
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
    write_atomic(directory / CLOCK, json.dumps(whole).encode("ascii"), replace=True)


def peak_bytes() -> int:
    """The most memory that this process has had, resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
