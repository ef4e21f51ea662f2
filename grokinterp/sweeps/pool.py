"""A pool of processes that trains many runs, each in its own process."""

import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, final

from grokinterp.available import disk_available
from grokinterp.errors import WriteError
from grokinterp.sweeps.entry import Ended, Entry, lacks_something
from grokinterp.sweeps.lines import Lines
from grokinterp.sweeps.processes import PRELOADED, next_of, processes_of, started, stop
from grokinterp.sweeps.worker import Order, work
from grokinterp.training.memory import traced_for

PAUSE = 1.0
"""Seconds between two looks at runs that another process is training."""

LEAST_FREE = 2**24
"""Free bytes below which a disk counts as full after a run has failed."""


def train_all(
    entries: Sequence[Entry],
    jobs: int,
    *,
    device: str,
    analyses: Sequence[str],
    progress: bool,
    stop_predicted: str | None = None,
) -> None:
    """Train and analyze every run in its own process; if this process stops, all others stop.

    Complete runs are skipped, and interrupted runs are resumed. Runs with more ``work`` start first. Runs that another
    process is training are left to it, and this process waits for them: if the other stops before they are complete,
    they are continued here. If a run fails or is damaged, its entry stores the reason, and the other runs continue.

    Args:
        entries: the runs.
        jobs: number of simultaneous processes.
        device: auto, cpu or cuda.
        analyses: names of the analyses of every run.
        progress: show the progress on standard error.
        stop_predicted: the database by which runs that will not grok are stopped (default: none is).

    Raises:
        WriteError: the disk is full; no further runs are started.
    """
    waiting = [entry for entry in entries if lacks_something(entry, analyses)]
    waiting.sort(key=lambda entry: -entry.work)
    if not waiting:
        return
    with Lines(waiting, len(entries) - len(waiting), shown=progress) as lines:
        pool = Pool(waiting, lines, device=device, analyses=tuple(analyses), stop_predicted=stop_predicted)
        try:
            while pool.waiting or pool.running or pool.elsewhere:
                pool.advance(jobs)
        finally:
            pool.stop()


@final
class Pool:
    """The processes that train, the runs that wait for one, and the runs that are trained elsewhere."""

    def __init__(
        self, waiting: list[Entry], lines: Lines, *, device: str, analyses: tuple[str, ...], stop_predicted: str | None
    ) -> None:
        self.device, self.analyses, self.stop_predicted = device, analyses, stop_predicted
        self.waiting, self.lines = waiting, lines
        self.running: dict[Connection, tuple[Any, Entry, int]] = {}  # by result connection, closed at the end
        self.elsewhere: list[Entry] = []
        self.context = processes_of(*PRELOADED, *(("grokinterp.analysis",) if analyses else ()))
        self.looked = time.monotonic()

    def advance(self, jobs: int) -> None:
        """Start processes for waiting runs, and take their next messages, which may last a moment."""
        while self.waiting and len(self.running) < jobs:
            self.start(self.waiting.pop(0))
        if self.running or self.elsewhere:
            for answer in self.ready():
                self.take(answer)
        if self.elsewhere and time.monotonic() - self.looked >= PAUSE:
            self.look()

    def ready(self) -> list[Any]:
        """Wait for messages and return the connections that have one; look up at times if runs are elsewhere."""
        if not self.running:
            time.sleep(PAUSE)
            return []
        return list(wait(list(self.running), timeout=PAUSE if self.elsewhere else None))

    def start(self, entry: Entry) -> None:
        """Start the process of a run, unless another process is training it."""
        if entry.is_elsewhere:
            self.elsewhere.append(entry)
            return
        ours, theirs = self.context.Pipe(duplex=False)
        process = started(self.context, work, self.order(entry), theirs)
        theirs.close()
        self.running[ours] = process, entry, self.lines.begin(entry)

    def order(self, entry: Entry) -> Order:
        """Return what the process of a run is to do."""
        counted = tuple(traced_for(entry.experiment))
        return Order(
            str(entry.directory), entry.experiment.to_dict(), self.analyses, self.device, counted, self.stop_predicted
        )

    def take(self, answer: Connection) -> None:
        """Take a message of a process: a report, or its end."""
        process, entry, place = self.running[answer]
        message = next_of(process, answer)
        if not isinstance(message, Ended):
            return self.lines.report(place, message)
        del self.running[answer]
        entry.failure = message.failure
        if message.is_elsewhere:
            self.elsewhere.append(entry)
            return self.lines.leave(place)
        self.lines.end(place)
        if entry.failure and disk_available(entry.directory) < LEAST_FREE:
            raise WriteError(f"the disk is full, so no further runs were started: {entry.failure}")

    def look(self) -> None:
        """Check the runs that are trained elsewhere: count those that are complete, and take over unfinished ones."""
        self.looked = time.monotonic()
        left, self.elsewhere = self.elsewhere, []
        for entry in left:
            if entry.is_elsewhere:
                self.elsewhere.append(entry)
            elif lacks_something(entry, self.analyses):
                self.waiting.append(entry)
            else:
                self.lines.skip(entry)

    def stop(self) -> None:
        """Tell all processes to save their state and stop, and wait for them."""
        stop({answer: process for answer, (process, _, _) in self.running.items()})
