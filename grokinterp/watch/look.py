"""One look at a run in training: its step, status, curves, and what its curves show so far."""

import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, final

import numpy as np

from grokinterp.numbers import percent, whole
from grokinterp.phases import History
from grokinterp.storage import RunDirectory
from grokinterp.storage.configuration import planned_steps
from grokinterp.storage.lock import is_held
from grokinterp.sweeps.found import Found
from grokinterp.sweeps.record import judged, read_record

OVER = ("finished", "interrupted", "diverged", "stopped")
"""Statuses of runs to which no process writes any more."""

WINDOW = 60.0
"""Seconds over which the speed of training is averaged."""

DECIDED = ("train", "test")


class Look(NamedTuple):
    """A run at one moment.

    Attributes:
        name: the name of the run directory.
        status, why: the status and its reason, if any.
        has_begun: whether a process has written to the run or holds it.
        step: the last evaluated step; None before the first evaluation.
        planned: the planned number of steps, if known.
        checkpoints: the number of saved checkpoints.
        steps, columns: the evaluations.
        history: the phases and the verdict on the curves so far; None before they can be judged.
        speed: steps per second; None if unknown.
    """

    name: str
    status: str
    why: str
    has_begun: bool
    step: int | None
    planned: int | None
    checkpoints: int
    steps: np.ndarray
    columns: Mapping[str, np.ndarray]
    history: History | None
    speed: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.status in OVER

    @property
    def share(self) -> float | None:
        """The share of the planned steps that are done, if it is known."""
        return None if self.step is None or not self.planned else min(self.step / self.planned, 1.0)

    @property
    def seconds_left(self) -> float | None:
        """The seconds until the last planned step at the present speed, if they are known."""
        if self.step is None or not self.planned or not self.speed or self.is_over:
            return None
        return max(self.planned - self.step, 0) / self.speed

    @property
    def state(self) -> str:
        """The status in words, which says whether the run is unfinished."""
        at = "" if self.step is None else f" at step {whole(self.step)}{self._of()}"
        if self.status == "finished":
            return f"finished{at}"
        if self.is_over:
            return f"{self.status}{at}{f': {self.why}' if self.why else ''}"
        return f"UNFINISHED, training{at}" if self.has_begun else "not begun: no process has written to the run yet"

    def _of(self) -> str:
        return f" of {whole(self.planned)}" if self.planned else ""

    @property
    def verdict(self) -> str:
        """The verdict on the curves so far in a sentence; unless the run is over, with the note that it may change."""
        if self.history is None:
            return "Too few evaluations for a verdict."
        sentence = self.history.describe()
        return sentence if self.is_over else f"So far (this may change): {sentence}"

    def last(self, name: str) -> float | None:
        """Return the last finite value of a metric; None without one."""
        values = self.columns.get(name, np.zeros(0))
        finite = values[np.isfinite(values)]
        return float(finite[-1]) if finite.size else None

    @property
    def line(self) -> str:
        """The look as one line of text."""
        accuracies = [(part, self.last(f"{part}_accuracy")) for part in DECIDED]
        shown = [f"{part} {percent(value)}" for part, value in accuracies if value is not None]
        left = self.seconds_left
        return ", ".join([self.state, *shown, *([f"at most {duration(left)} left"] if left is not None else [])])


def duration(seconds: float) -> str:
    """Return a number of seconds as text.

    >>> duration(42.4), duration(150.0), duration(9000.0)
    ('42 s', '2 min 30 s', '2 h 30 min')
    """
    whole_seconds = round(seconds)
    minutes, rest = divmod(whole_seconds, 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def look_at(path: Path) -> Look:
    """Read a run. Raises RunDirectoryError if it is no run, or its configuration or metrics cannot be read."""
    record = read_record(Found(path.name, path, ()))
    status = str(record.status["status"])
    steps = np.array(record.table.steps, dtype=np.int64)
    planned = planned_steps(record.configuration)
    return Look(
        name=path.resolve().name,
        status=status,
        why=str(record.status.get("why") or ""),
        has_begun=status == "running" or bool(len(steps)) or is_held(path / "lock") is True,
        step=int(steps[-1]) if len(steps) else None,
        planned=planned if type(planned) is int and planned > 0 else None,
        checkpoints=len(RunDirectory.open(path).steps()),
        steps=steps,
        columns=judged(record.table),
        history=record.history,
    )


@final
class Pace:
    """The speed of training, from the steps that were seen and when."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def speed(self, step: int | None, now: float) -> float | None:
        """Return the steps per second over the last minute, given the step that is reached now; None if unknown."""
        if step is None:
            return None
        if not self._seen or step != self._seen[-1][1]:
            self._seen.append((now, step))
        while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW:
            self._seen.popleft()
        (first, start), (last, stop) = self._seen[0], self._seen[-1]
        return (stop - start) / (last - first) if last > first and stop > start else None


def fingerprint(path: Path) -> tuple[object, ...]:
    """Return what changes whenever a run is written: sizes and times of its files, and whether a process holds it."""
    states = []
    for name in ("metrics.jsonl", "status.json", "experiment.json", "checkpoints"):
        try:
            state = os.stat(path / name)
            states.append((state.st_size, state.st_mtime_ns))
        except OSError:
            states.append(None)
    return (*states, is_held(path / "lock"))
