"""The progress of a sweep: a line for all runs with the remaining time, and a line for each process."""

import time
from types import TracebackType
from typing import TextIO, cast

from grokinterp.errors import printable
from grokinterp.lazy import kept_random_state
from grokinterp.streams import drawing, standard_error
from grokinterp.sweeps.entry import Entry, Report

with kept_random_state():  # importing rich draws a random number
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

SECONDS_BETWEEN_LINES = 10.0

MOST_SHOWN = 32
"""Largest number of processes that have a line; a cluster can have thousands."""


class Lines:
    """Lines on standard error while the ``with`` block runs; silent unless shown.

    The remaining time follows from the speed of this call: the work done per second, where the work of a run that is
    still in training counts in proportion to its steps. Without a terminal, the lines are printed every ten seconds.

    Args:
        waiting: the runs to train.
        done: number of runs that were complete before.
        shown: whether to print anything.
    """

    def __init__(self, waiting: list[Entry], done: int, *, shown: bool) -> None:
        self.total, self.done, self.shown = done + len(waiting), done, shown
        self.work = sum(entry.work for entry in waiting)
        self.worked = 0.0
        self.running: dict[int, tuple[Entry, Report | None, int]] = {}
        self.note = ""
        self._bars: Progress | None = None
        self._tasks: list[TaskID] = []
        self._started = self._printed = time.monotonic()

    def __enter__(self) -> "Lines":
        self._started = self._printed = time.monotonic()
        console = Console(file=cast(TextIO, drawing())) if self.shown else None
        if console is not None and console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            note = TextColumn("{task.fields[note]}", markup=False)
            self._bars = Progress(*columns, note, console=console, refresh_per_second=2)
            self._bars.start()
            self._tasks.append(self._bars.add_task("runs", total=self.total, completed=self.done, note=""))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
        elif self.shown:
            standard_error().write(printable(self.summary) + "\n")

    def begin(self, entry: Entry) -> int:
        """Draw a run that begins, and return its number among the processes."""
        place = next(number for number in range(len(self.running) + 1) if number not in self.running)
        self.running[place] = entry, None, 0
        self.show()
        return place

    def report(self, place: int, report: Report) -> None:
        """Draw an evaluation of the run of a process."""
        entry, before, start = self.running[place]
        self.running[place] = entry, report, report.step if before is None else start
        self.show()

    def end(self, place: int) -> None:
        """Count a run whose process has ended."""
        entry, _, start = self.running.pop(place)
        failed = ": failed" if entry.failure else ""
        self.worked += entry.work * (1 - start / entry.experiment.budget)
        self.work -= entry.work * start / entry.experiment.budget
        self.count(f"{entry}{failed}")

    def leave(self, place: int) -> None:
        """Remove a run that is in training elsewhere."""
        self.running.pop(place)
        self.show()

    def skip(self, entry: Entry) -> None:
        """Count a run that another process has completed."""
        self.work -= entry.work
        self.count(str(entry))

    def count(self, note: str) -> None:
        """Count a run as done."""
        self.done, self.note = self.done + 1, note
        self.show()

    @property
    def seconds_left(self) -> float | None:
        """The remaining seconds at the speed so far; None before anything is done."""
        shares = [
            entry.work * (report.step - start) / entry.experiment.budget
            for entry, report, start in self.running.values()
            if report is not None
        ]
        worked, seconds = self.worked + sum(shares), time.monotonic() - self._started
        return None if worked <= 0 else max(self.work - worked, 0.0) * seconds / worked

    @property
    def summary(self) -> str:
        """The line for all runs."""
        left = self.seconds_left
        remaining = "" if left is None or self.done == self.total else f", {duration(left)} left"
        return f"runs {self.done}/{self.total}{remaining} {self.note}".rstrip()

    def show(self) -> None:
        """Draw the lines, or print them if the last ones were printed long ago."""
        if self._bars is not None:
            self._draw(self._bars)
        elif self.shown and time.monotonic() - self._printed >= SECONDS_BETWEEN_LINES:
            self._printed = time.monotonic()
            lines = [self.summary, *(f"  {self._line(place)}" for place in sorted(self.running)[:MOST_SHOWN])]
            standard_error().write("".join(f"{printable(line)}\n" for line in lines))

    def _draw(self, bars: Progress) -> None:
        while len(self._tasks) <= min(max(self.running, default=-1) + 1, MOST_SHOWN):
            self._tasks.append(bars.add_task("", total=1, note=""))
        left = self.seconds_left
        remaining = "" if left is None else f"{duration(left)} left "
        bars.update(self._tasks[0], completed=self.done, note=printable(f"{remaining}{self.note}"))
        for place, task in enumerate(self._tasks[1:]):
            entry, report, _ = self.running.get(place, (None, None, 0))
            step, total = (0, 1) if entry is None else (report.step if report else 0, entry.experiment.budget)
            note = "" if entry is None else f"{entry}{_accuracies(report)}"
            bars.update(task, description=f"{place + 1}", completed=step, total=total, note=printable(note))

    def _line(self, place: int) -> str:
        entry, report, _ = self.running[place]
        return (
            f"{place + 1}: {entry}, step {report.step if report else 0}/{entry.experiment.budget}{_accuracies(report)}"
        )


def _accuracies(report: Report | None) -> str:
    return "" if report is None else f", train {report.train_accuracy:.3f}, test {report.test_accuracy:.3f}"


def duration(seconds: float) -> str:
    """Return a duration as text.

    >>> duration(42.4), duration(600.0), duration(7_800.0), duration(300_000.0)
    ('42 s', '10 min', '2 h 10 min', '3 days 11 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days {hours % 24} h"
