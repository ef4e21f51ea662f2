"""Train, time, and analyze one run in its own process, which stops when its parent does.

This module loads without PyTorch: the process that starts the others only names it.
"""

import os
import resource
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from grokinterp.errors import GrokinterpError, RunInUse, one_line
from grokinterp.experiment import Experiment
from grokinterp.interrupt import exit_on_signals
from grokinterp.lazy import torch
from grokinterp.storage import RunDirectory
from grokinterp.storage.run_directory import CLOCK
from grokinterp.streams import tolerant_streams
from grokinterp.sweeps.clock import sessions
from grokinterp.sweeps.entry import Ended, Report, has_ended

BETWEEN_REPORTS = 0.5
"""Least number of seconds between two reports to the parent."""


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


@runtime_checkable
class Answer(Protocol):
    """A connection to the process that shows the progress."""

    def send(self, message: Any, /) -> None:
        """Send a message."""


@dataclass
class Reporter:
    """A logger of ``train`` that reports evaluations to the parent."""

    answer: Answer
    last: float = 0.0

    def log(self, values: dict[str, float], *, step: int) -> None:
        """Send a report of an evaluation, unless the last report was a moment ago."""
        now = time.monotonic()
        if now - self.last >= BETWEEN_REPORTS:
            self.last = now
            self.answer.send(Report(step, values["train_accuracy"], values["test_accuracy"]))


class Order(NamedTuple):
    """The work of a process: train or resume a run, and analyze it.

    ``counted`` is the memory of a step as counted by the parent (``training.memory.Traced``), because counting takes
    longer than the start of a process. ``stop_predicted`` is the database from which the run is predicted, and by which
    it is stopped if it will not grok; None for a run that is trained to its end.
    """

    directory: str
    experiment: dict[str, Any]
    analyses: tuple[str, ...]
    device: str
    counted: tuple[int, ...]
    stop_predicted: str | None = None


def work(order: Order, answer: Connection) -> None:
    """Process an order; send reports, and at the end whether it failed."""
    os.setpgrp()  # terminal signals reach only the parent, which forwards them once
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exit_on_signals()
    threading.Thread(target=stop_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    with tolerant_streams():
        ended = outcome_of(order, answer)
        with suppress(OSError):  # the parent has ended
            answer.send(ended)


def outcome_of(order: Order, answer: Answer) -> Ended:
    """Process an order and return the reason for a failure, if any."""
    try:
        run(order, answer)
    except RunInUse:
        return Ended(None, is_elsewhere=True)
    except GrokinterpError as error:
        return Ended(str(error))
    except Exception as error:  # a failure concerns only this run; the others continue
        return Ended(one_line(f"{type(error).__name__}: {error}"))
    return Ended(None)


def stop_with_parent() -> None:
    """Wait for the parent process to end for any reason, then stop this process with SIGTERM."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def run(order: Order, answer: Answer) -> None:
    """Train or resume a run unless it has ended, then analyze its checkpoints."""
    from grokinterp.sweeps.continued import train_or_continue
    from grokinterp.sweeps.prediction.stopping import forecaster_of
    from grokinterp.training.memory import Traced, remember

    directory, experiment = Path(order.directory), Experiment.from_dict(order.experiment)
    if not has_ended(directory):
        remember(experiment, Traced(*order.counted))
        clock, before = Timer(), peak_bytes()
        try:
            train_or_continue(
                experiment,
                directory,
                device=order.device,
                loggers=[clock, Reporter(answer)],
                forecaster=forecaster_of(experiment, order.stop_predicted),
            )
        finally:
            keep(directory, clock, before, peak_bytes())
    if order.analyses and RunDirectory.open(directory).steps():
        from grokinterp.analysis import analyze

        analyze(directory, only=order.analyses)


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
