"""Progress on the terminal: items done, total, rate, remaining time; plain lines without a terminal."""

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TextIO, TypeVar, cast

from grokinterp.errors import printable
from grokinterp.lazy import kept_random_state
from grokinterp.streams import drawing, standard_error

with kept_random_state():  # importing rich draws a random number
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 5.0

SLOW = 0.1
"""Items per second below which the seconds per item are shown."""


def pace(rate: float) -> str:
    """Return items per second, or seconds per item, as text.

    >>> pace(1234.5), pace(2.5), pace(0.02), pace(0.0)
    ('1,234/s', '2.5/s', '50 s each', '0.0/s')
    """
    if 0 < rate < SLOW:
        return f"{1 / rate:,.0f} s each"
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(pace(task.speed) if task.speed else "")


class ProgressBar:
    """A bar on standard error while its ``with`` block runs; silent unless shown.

    Without a terminal it prints a line with the latest note every five seconds and at the end. ``start`` items were
    done before, and do not count toward the rate. The block continues if nothing can be printed.
    """

    def __init__(self, description: str, total: int, *, shown: bool, start: int = 0) -> None:
        self.description, self.total, self.shown = description, total, shown
        self.start = self.done = start
        self._bar: Progress | None = None
        self._note = ""
        self._started = self._printed = time.monotonic()

    def __enter__(self) -> "ProgressBar":
        self._started = self._printed = time.monotonic()
        if self.shown:
            self._stream = standard_error()
            console = Console(file=cast(TextIO, drawing()))
            if console.is_terminal:
                self._start(console)
        return self

    def _start(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _RateColumn())
        note = TextColumn("{task.fields[note]}", markup=False)
        self._bar = Progress(*columns, TimeRemainingColumn(), note, console=console)
        self._bar.start()
        self._task = self._bar.add_task(self.description, total=self.total, completed=self.start, note="")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self.shown:
            self._print_line()

    def advance(self, count: int = 1, *, note: str | None = None) -> None:
        """Count ``count`` more items as done; ``note`` is shown at the end of the line."""
        self.done += count
        self._note = self._note if note is None else note
        if self._bar is not None:
            self._bar.update(self._task, advance=count)
            if note is not None:
                self._bar.update(self._task, note=printable(note))
        elif self.shown and time.monotonic() - self._printed >= SECONDS_BETWEEN_LINES:
            self._print_line()

    def say(self, line: str) -> None:
        """Print a separate line above the bar."""
        if self._bar is not None:
            self._bar.console.print(printable(line), markup=False, highlight=False)
        elif self.shown:
            self._stream.write(printable(line) + "\n")

    def _print_line(self) -> None:
        self._printed = time.monotonic()
        rate = (self.done - self.start) / max(self._printed - self._started, 1e-9)
        left = (self.total - self.done) / rate if rate else 0.0
        line = f"{self.description} {self.done}/{self.total}, {pace(rate)}, {left:.0f} s left {self._note}".rstrip()
        self._stream.write(printable(line) + "\n")


def track(items: Iterable[Item], description: str, *, total: int, shown: bool) -> Iterator[Item]:
    """Iterate with a progress bar."""
    with ProgressBar(description, total, shown=shown) as bar:
        for item in items:
            yield item
            bar.advance()
