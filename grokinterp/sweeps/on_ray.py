"""Train the runs of a sweep on a Ray cluster: one task per run, or one per GPU for runs that train as one program.

A run is trained again only if its worker died; what fails by itself is recorded with the reason. Its task can be
repeated, because the run is locked while it trains, continues where it was interrupted, and ends once. This process
gives no more tasks at a time than the cluster needs to stay busy.
"""

import math
import os
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from socket import gethostname
from typing import Any, final

from grokinterp._version import __version__
from grokinterp.available import disk_available
from grokinterp.errors import GrokinterpError, RunInUse, WriteError, one_line, short, warn
from grokinterp.interrupt import deferred_signals
from grokinterp.storage import write_atomic
from grokinterp.storage.atomic import remove
from grokinterp.sweeps.cluster import Share, chosen_share, connected, require_address
from grokinterp.sweeps.entry import Ended, Entry, Report, lacks_something
from grokinterp.sweeps.jobs import Job, jobs_of, most_in_flight
from grokinterp.sweeps.lines import Lines
from grokinterp.sweeps.pool import LEAST_FREE
from grokinterp.sweeps.run_files import files_of, put_files
from grokinterp.sweeps.trial import Board, Given, Outcome, Trial, perform
from grokinterp.sweeps.worker import Order
from grokinterp.training.memory import traced_for

MOST_DEATHS = 4
"""Deaths of workers after which a run is recorded as failed."""

PAUSE, BETWEEN_LOOKS = 1.0, 5.0
"""Seconds between two looks at the board, and at the nodes and the runs that another process is training."""


def train_on_ray(
    entries: Sequence[Entry],
    folder: Path,
    *,
    address: str | None,
    gpus: float | None,
    workers: int | None,
    progress: bool,
) -> None:
    """Train runs on a Ray cluster; if this process is stopped, all runs are saved.

    Interrupted runs are continued. If a run fails, its entry stores the reason, and the others continue. Workers that
    do not share the storage of the folder train on their own disks, and their runs are copied here.

    Args:
        entries: runs that are not complete.
        folder: the folder of the sweep.
        address: HOST:PORT of the head node, or auto (default: RAY_ADDRESS, or a cluster that is started here).
        gpus: the part of a GPU for every run; 1: whole GPUs, each for many runs as one program; 0: a core for every
            run (default: 1 if the cluster has GPUs, else 0).
        workers: the largest number of tasks at a time (default: all that the cluster can run).
        progress: show the progress on standard error.

    Raises:
        ConfigError: Ray is not installed, or the cluster cannot be reached or has no GPU.
        GrokinterpError: the workers cannot run this program.
        WriteError: the disk is full; no further runs are started.
    """
    where = require_address(address)
    waiting = sorted(entries, key=lambda entry: -entry.work)
    with connected(where, workers=workers) as ray, marked(folder) as mark:
        nodes = resources_of(ray)
        share = chosen_share(gpus, nodes)
        jobs = jobs_of(waiting, share, slots=workers or share.tasks(nodes))
        with Lines(waiting, 0, shown=progress) as lines:
            flight = Flight(ray, jobs, lines, share=share, mark=mark, workers=workers, address=where)
            with deferred_signals() as asked:
                try:
                    while asked.signal is None and (flight.waiting or flight.running or flight.elsewhere):
                        flight.advance()
                finally:
                    flight.stop()
            asked.raise_if_asked()


def resources_of(ray: Any) -> list[dict[str, float]]:
    """Return the resources of every node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


@contextmanager
def marked(folder: Path) -> Generator[Path]:
    """Keep a file with a new name in a folder inside the block, by which workers recognize its storage."""
    mark = folder.absolute() / f".storage.{os.urandom(4).hex()}.tmp"
    write_atomic(mark, b"Workers that see this file share the storage of the folder.\n", replace=False)
    try:
        yield mark
    finally:
        remove(mark)


@final
class Flight:
    """The tasks in flight, those that wait, and the runs that another process is training."""

    def __init__(
        self,
        ray: Any,
        jobs: list[Job],
        lines: Lines,
        *,
        share: Share,
        mark: Path,
        workers: int | None,
        address: str | None,
    ) -> None:
        self.ray, self.lines, self.share, self.workers = ray, lines, share, workers
        self.waiting, self.running, self.elsewhere = jobs, dict[Any, Job](), list[Entry]()
        self.mark, self.where = mark, address
        self.scratch = sha256(f"{gethostname()}:{mark.parent}".encode()).hexdigest()[:16]
        self.task = ray.remote(num_cpus=1, num_gpus=share.gpus, max_retries=0)(perform)
        self.board = ray.remote(num_cpus=0, max_restarts=-1)(Board).remote()
        self.flying: dict[str, Entry] = {}  # the runs in flight by run id
        self.places: dict[str, int] = {}  # the numbers of their lines, from their first reports on
        self.reports, self.guarded = self.board.take.remote(), [self.board.is_guarded.remote()]
        self.looked = -math.inf
        self.most = 1
        self.is_stopping = False

    def advance(self) -> None:
        """Start tasks, and take what has ended, which may last a moment."""
        if time.monotonic() - self.looked >= BETWEEN_LOOKS:
            self.look()
        while self.waiting and len(self.running) < self.most:
            self.launch(self.waiting.pop(0))
        self.take_all()

    def look(self) -> None:
        """Count the nodes, and check the runs that are trained elsewhere: take over those that are not."""
        self.looked = time.monotonic()
        slots = self.share.tasks(resources_of(self.ray))
        self.most = most_in_flight(slots, self.workers)
        left, self.elsewhere = self.elsewhere, []
        for entry in left:
            if entry.is_elsewhere:
                self.elsewhere.append(entry)
            elif lacks_something(entry, ()):
                self.waiting.append(Job([entry]))
            else:
                self.lines.skip(entry)

    def launch(self, job: Job) -> None:
        """Start a task on the cluster, except for runs that another process is training."""
        held = {entry.run_id for entry in job.entries if entry.is_elsewhere}
        self.elsewhere += [entry for entry in job.entries if entry.run_id in held]
        job.entries = [entry for entry in job.entries if entry.run_id not in held]
        if job.entries:
            self.flying |= {entry.run_id: entry for entry in job.entries}
            given = tuple(Given(self.order(one), one.reached, job.files.get(one.run_id)) for one in job.entries)
            trial = Trial(given, __version__, str(self.mark), self.scratch)
            self.running[self.task.remote(trial, self.board)] = job

    def order(self, entry: Entry) -> Order:
        """Return what a worker is to do for a run."""
        counted, where = tuple(traced_for(entry.experiment)), str(entry.directory.absolute())
        return Order(where, entry.experiment.to_dict(), (), self.share.device, counted)

    def take_all(self) -> None:
        """Wait a moment for tasks to end, take those that have, and show the reports of the others."""
        if not self.running:
            time.sleep(PAUSE if self.elsewhere else 0)
            return
        tasks = list(self.running)
        ended, _ = self.ray.wait(tasks, timeout=PAUSE, fetch_local=False)
        if ended:
            ended, _ = self.ray.wait(tasks, num_returns=len(tasks), timeout=0, fetch_local=False)
        for one in ended:
            self.take(one)
        self.show()

    def take(self, task: Any) -> None:
        """Take the result of a task that has ended, or start it again if its worker died."""
        job, errors = self.running.pop(task), self.ray.exceptions
        for entry in job.entries:
            self.flying.pop(entry.run_id)
        deaths = errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError, errors.ObjectLostError
        try:
            outcomes = self.ray.get(task)
        except errors.TaskCancelledError:
            return
        except deaths as error:
            return self.bury(job, error)
        except errors.RayError as error:
            return self.refuse(job, reason_of(error))
        for entry, outcome in zip(job.entries, outcomes, strict=True):
            self.settle(job, entry, outcome)

    def settle(self, job: Job, entry: Entry, outcome: Outcome) -> None:
        """Take the outcome of a run, and its files if they were sent; train it again if it did not end."""
        ended = self.received(entry, outcome)
        if ended.is_elsewhere:
            self.elsewhere.append(entry)
            return self.leave(entry)
        if ended.failure is None and (outcome.is_stopped or outcome.lacks_files):
            self.leave(entry)
            if outcome.is_stopped:  # by its node, for example because its time is over
                return self.bury(Job([entry], job.deaths), "its worker was asked to stop")
            return self.waiting.insert(0, Job([entry], job.deaths, {entry.run_id: files_of(entry.directory)}))
        return self.finish(entry, ended.failure)

    def received(self, entry: Entry, outcome: Outcome) -> Ended:
        """Write the files of a run, if they were sent, and return how the run ended."""
        if outcome.files is None:
            return outcome.ended
        try:
            put_files(outcome.files, entry.directory, entry.run_id)
        except RunInUse:
            return Ended(None, is_elsewhere=True)
        except GrokinterpError as error:
            return Ended(str(error))
        return outcome.ended

    def finish(self, entry: Entry, failure: str | None) -> None:
        """Count a run that has ended. Raises WriteError if it failed because the disk is full."""
        entry.failure = failure
        place = self.places.pop(entry.run_id, None)
        self.lines.end(self.lines.begin(entry) if place is None else place)
        if failure and disk_available(entry.directory) < LEAST_FREE and not self.is_stopping:
            raise WriteError(f"the disk is full, so no further runs were started: {failure}")

    def bury(self, job: Job, death: object) -> None:
        """Start the runs of a worker that died again, or record them as failed if that has happened too often."""
        if self.is_stopping:
            return
        for entry in job.entries:
            self.leave(entry)
        deaths, why = job.deaths + 1, short(one_line(death), 200)
        if deaths < MOST_DEATHS:
            warn(f"{job}: the worker died, so it is started again ({deaths} of {MOST_DEATHS - 1}): {why}")
            return self.waiting.insert(0, Job(job.entries, deaths, job.files))
        for entry in job.entries:
            self.finish(entry, f"its workers died {deaths} times: {why}")

    def refuse(self, job: Job, why: str) -> None:
        """Raise GrokinterpError, because the cluster cannot run tasks at all; if the sweep is stopping, record it."""
        if not self.is_stopping:
            raise GrokinterpError(f"the cluster cannot train {job}: {why}")
        for entry in job.entries:
            entry.failure = why

    def show(self) -> None:
        """Draw the reports that have arrived, and warn of a cluster that lets anyone in."""
        ready, _ = self.ray.wait([self.reports, *self.guarded], num_returns=1 + len(self.guarded), timeout=0)
        if self.reports in ready:
            for run_id, report in self.answered(self.reports, {}).items():
                self.draw(run_id, report)
            self.reports = self.board.take.remote()
        if self.guarded and self.guarded[0] in ready and not self.answered(self.guarded.pop(), True):
            place = f"at {self.where}" if self.where else "that is started here"
            warn(f"the cluster {place} has no token: who reaches its ports can run programs (docs/clusters.md)")

    def answered(self, question: Any, otherwise: Any) -> Any:
        """Return the answer of the board, or another value if it died with its node; it begins anew elsewhere."""
        try:
            return self.ray.get(question)
        except self.ray.exceptions.RayError:
            return otherwise

    def draw(self, run_id: str, report: Report) -> None:
        """Draw a report of a run in flight, which has a line from its first report on."""
        if run_id in self.flying:
            if run_id not in self.places:
                self.places[run_id] = self.lines.begin(self.flying[run_id])
            self.lines.report(self.places[run_id], report)

    def leave(self, entry: Entry) -> None:
        """Remove the line of a run that is not in training, if it has one."""
        if entry.run_id in self.places:
            self.lines.leave(self.places.pop(entry.run_id))

    def stop(self) -> None:
        """Tell all tasks to save their runs and stop, and take their results."""
        self.is_stopping = True
        for task in self.running:
            self.ray.cancel(task)
        while self.running:
            self.take_all()


def reason_of(error: Exception) -> str:
    """Return the reason for which a task could not run, in one line."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, GrokinterpError):
        return str(cause)
    lines = str(error).strip().splitlines()
    return short(one_line(lines[-1] if lines else type(error).__name__), 200)
