"""The work on a node of a cluster: train a run, or several as one program, in the sweep's folder or on its own disk.

A trial can be repeated: a run that has ended is not trained again, and one that was interrupted continues. It is
interrupted by the signals of ``train``, and by the cancellation of its task, which arrives as a KeyboardInterrupt.
"""

import os
import signal
import stat
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple

from grokinterp._version import __version__
from grokinterp.errors import GrokinterpError, RunDirectoryError, one_line
from grokinterp.experiment import Experiment
from grokinterp.interrupt import Stopped, deferred_signals, is_main_thread
from grokinterp.lazy import torch
from grokinterp.storage.atomic import make_directory
from grokinterp.sweeps.entry import Ended, Entry, Report, lacks_something
from grokinterp.sweeps.run_files import files_of, put_files
from grokinterp.sweeps.worker import Order, outcome_of

BETWEEN_REPORTS = 2.0
"""Least number of seconds between two reports of a run to the board."""


class Given(NamedTuple):
    """A run of a trial: its order, the step that it has reached in the sweep's folder, and its files, if sent."""

    order: Order
    reached: int = 0
    files: dict[str, bytes] | None = None

    @property
    def entry(self) -> Entry:
        """The run where the order places it."""
        return Entry(Path(self.order.directory), Experiment.from_dict(self.order.experiment))


class Trial(NamedTuple):
    """The work of a task: runs, trained as one program if there are several.

    Attributes:
        runs: the runs.
        version: the version of the program that gave the trial.
        mark: a file of the sweep's folder; a worker that sees it shares the storage of the folder.
        scratch: the name of the folder, in the temporary folder of a worker without that storage, where it trains.
    """

    runs: tuple[Given, ...]
    version: str
    mark: str
    scratch: str


class Outcome(NamedTuple):
    """How the training of a run ended on a worker.

    Attributes:
        ended: the reason for a failure, if any; or another process is training the run.
        is_stopped: it was asked to stop before the run ended.
        lacks_files: nothing was done, because the files of the interrupted run are needed.
        files: the files of the run; None on shared storage, and for a run that failed before it began.
    """

    ended: Ended
    is_stopped: bool = False
    lacks_files: bool = False
    files: dict[str, bytes] | None = None


class Board:
    """The latest reports of runs in training: an actor on the cluster, from which the sweep takes them."""

    def __init__(self) -> None:
        self.latest: dict[str, Report] = {}

    def put(self, run_id: str, report: Report) -> None:
        """Keep a report in place of an earlier one of the same run."""
        self.latest[run_id] = report

    def take(self) -> dict[str, Report]:
        """Return the reports since the last call by run id."""
        found, self.latest = self.latest, {}
        return found

    def is_guarded(self) -> bool:
        """Return whether the cluster accepts only programs that have its token."""
        return os.environ.get("RAY_AUTH_MODE", "").lower() == "token"


@dataclass
class Mail:
    """The reports of a run, sent to the board at most every two seconds."""

    board: Any
    run_id: str
    last: float = field(default=-BETWEEN_REPORTS)

    def send(self, message: Report, /) -> None:
        """Send a report, without waiting for its arrival."""
        now = time.monotonic()
        if now - self.last >= BETWEEN_REPORTS:
            self.last = now
            self.board.put.remote(self.run_id, message)


def perform(trial: Trial, board: Any) -> list[Outcome]:
    """Run a trial, and return how each run ended, with its files if this worker does not share the storage.

    Raises:
        GrokinterpError: this worker cannot perform trials of the sweep, because its program has another version, or
            its disk cannot be used.
    """
    if trial.version != __version__:
        raise GrokinterpError(
            f"a worker has grokinterp {__version__}, and the sweep {trial.version}: install one version"
        )
    if is_main_thread():  # a program that was started in the background ignores SIGINT, by which Ray cancels
        signal.signal(signal.SIGINT, signal.default_int_handler)
    is_shared = os.path.exists(trial.mark)
    runs = trial.runs if is_shared else [moved(one, scratch_folder(trial.scratch)) for one in trial.runs]
    if not is_shared and any(lacks_files(one) for one in runs):
        return [Outcome(Ended(None), lacks_files=lacks_files(one)) for one in runs]
    is_stopped, found = trained(runs, board)
    if is_shared:
        return [Outcome(ended, is_stopped) for ended in found]
    with deferred_signals():
        return [sent(one, ended, is_stopped) for one, ended in zip(runs, found, strict=True)]


def trained(runs: Sequence[Given], board: Any) -> tuple[bool, list[Ended]]:
    """Train runs; return whether they were asked to stop, and how each ended."""
    try:
        torch.set_num_threads(1)
        if len(runs) == 1:
            [one] = runs
            return False, [outcome_of(one.order, Mail(board, one.entry.run_id))]
        return False, trained_together(runs)
    except (KeyboardInterrupt, SystemExit, Stopped):  # SystemExit is how Ray answers SIGTERM
        return True, [Ended(None)] * len(runs)


def trained_together(runs: Sequence[Given]) -> list[Ended]:
    """Train runs as one program, or in parts that fit into memory, and return how each ended."""
    from grokinterp.sweeps.many import train_stacks

    entries = [one.entry for one in runs]
    waiting = [entry for entry in entries if lacks_something(entry, ())]
    try:
        train_stacks(waiting, device=runs[0].order.device, progress=False)
    except Exception as error:  # of the device, for example; the runs that have ended are unaffected
        for entry in waiting:
            if entry.failure is None and lacks_something(entry, ()):
                entry.failure = one_line(
                    error if isinstance(error, GrokinterpError) else f"{type(error).__name__}: {error}"
                )
    return [Ended(entry.failure) for entry in entries]


def scratch_folder(name: str) -> Path:
    """Return a folder of this user in the temporary folder of this machine, created if necessary.

    Raises:
        RunDirectoryError: another user owns it.
        WriteError: it cannot be created.
    """
    top = Path(tempfile.gettempdir()) / f"grokinterp-{os.getuid()}"
    try:
        top.mkdir(mode=0o700)
    except FileExistsError:
        found = top.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise RunDirectoryError(top, "belongs to another user, or others can use it") from None
    except OSError:
        make_directory(top)  # it raises the error in one line
    make_directory(top / name)
    return top / name


def moved(given: Given, folder: Path) -> Given:
    """Return a run in another folder, where its files are written if they were sent and are newer than those there."""
    order = given.order._replace(directory=str(folder / Path(given.order.directory).name))
    there = given._replace(order=order)
    entry = there.entry
    if given.files is not None and lacks_files(there._replace(files=None)) and not entry.is_elsewhere:
        rmtree(entry.directory, ignore_errors=True)
        put_files(given.files, entry.directory, entry.run_id)
    return there


def lacks_files(given: Given) -> bool:
    """Return whether a run would begin again here, although it has reached a later step in the sweep's folder."""
    return given.files is None and given.reached > given.entry.reached


def sent(given: Given, ended: Ended, is_stopped: bool) -> Outcome:
    """Return the outcome of a run with its files, which are then removed here."""
    directory = Path(given.order.directory)
    if ended.is_elsewhere or not given.entry.exists:
        return Outcome(ended, is_stopped)
    try:
        files = files_of(directory)
    except RunDirectoryError as error:
        return Outcome(Ended(ended.failure or str(error)), is_stopped)
    rmtree(directory, ignore_errors=True)
    return Outcome(ended, is_stopped, files=files)
