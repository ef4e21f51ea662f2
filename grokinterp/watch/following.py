"""Follow a run until it ends, in the terminal and on a page."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO, cast

from grokinterp.errors import RunDirectoryError, WriteError, one_line, require, warn
from grokinterp.lazy import kept_random_state
from grokinterp.storage import RunDirectory, write_atomic
from grokinterp.storage.atomic import html_file, make_directory
from grokinterp.storage.files import path_of
from grokinterp.streams import drawing, standard_error
from grokinterp.watch.dashboard import dashboard
from grokinterp.watch.look import Look, Pace, fingerprint, look_at

with kept_random_state():  # importing rich draws a random number
    from rich.console import Console
    from rich.live import Live

SECONDS_BETWEEN_LINES = 5.0

PATIENCE = 60.0
"""Seconds to wait for a run to begin."""

SHARE_OF_READING = 5.0
"""Pauses are at least this many times as long as reading the run took, so that watching slows no training."""


def follow(
    run_dir: str | Path,
    *,
    out: str | Path | None = None,
    every: int | float = 2.0,
    patience: int | float = PATIENCE,
    shown: bool = True,
) -> Look:
    """Follow a run until it ends, and return the last look at it.

    The run may begin later: ``follow`` waits for a directory that does not exist or is empty. A run that has already
    ended is shown once. Nothing is written to the run directory.

    Args:
        run_dir: the run directory.
        out: an HTML file that is kept up to date and refreshes itself in the browser (default: none).
        every: seconds between checks of the run; more if reading its log is slow.
        patience: seconds to wait for the run to begin.
        shown: draw a dashboard on standard error or, without a terminal, print a line every five seconds.

    Raises:
        ConfigError: an argument is invalid.
        RunDirectoryError: the run did not begin in time, or the path is not a run directory, or the run cannot be read.
        WriteError: the page could not be written for the first time.
    """
    path, page = require_arguments(run_dir, out, every, patience)
    view = View(page, max(1, round(every)), shown=shown)
    last: Look | None = None
    try:
        with view:
            for look in looks(path, every, patience, view):
                last = look
                view.show(look)
    finally:
        if last is not None and not last.is_over:
            view.leave(last)
    assert last is not None  # there is a look, or an error
    return last


def require_arguments(
    run_dir: str | Path, out: str | Path | None, every: int | float, patience: int | float
) -> tuple[Path, Path | None]:
    """Return the paths of the run and of the page. Raises ConfigError or RunDirectoryError if they cannot be used."""
    path, page = path_of("run_dir", run_dir), None if out is None else html_file("out", out)
    require(every >= 0.1, "every", every, "must be at least 0.1 seconds")
    require(patience >= 0, "wait", patience, "must be a number of seconds from 0")
    if not may_begin(path):
        RunDirectory.open(path)
    return path, page


def may_begin(path: Path) -> bool:
    """Return whether a run may still be created at a path: it is missing, or a folder with nothing but a lock file."""
    if not os.path.lexists(path):
        return True
    return path.is_dir() and all(name in ("lock", "checkpoints", "resume") for name in os.listdir(path))


def looks(path: Path, every: int | float, patience: int | float, view: "View") -> Iterator[Look]:
    """Yield a look at the run whenever it has changed, until it is over.

    Raises:
        RunDirectoryError: the run does not begin within ``patience`` seconds, is removed, or cannot be read.
    """
    pace, before, began, has_begun = Pace(), None, time.monotonic(), False
    while True:
        started, is_there = time.monotonic(), not may_begin(path)
        if is_there and (state := fingerprint(path)) != before:
            before, look = state, look_at(path)
            yield look._replace(speed=pace.speed(look.step, time.monotonic()))
            if look.is_over:
                return
            has_begun = has_begun or look.has_begun
        if not has_begun and started - began >= patience:
            why = "has not begun: no process is writing to it" if path.exists() else "does not exist"
            raise RunDirectoryError(path, f"{why}, after {patience:g} seconds of waiting")
        if has_begun and not is_there:
            raise RunDirectoryError(path, "was removed while it was being watched")
        if not has_begun:
            view.wait(path)
        time.sleep(max(every, SHARE_OF_READING * (time.monotonic() - started)))


class View:
    """Where looks are shown: a dashboard or lines on standard error, and a page."""

    def __init__(self, page: Path | None, every: int, *, shown: bool) -> None:
        self.page, self.every, self.shown = page, every, shown
        self._console = Console(file=cast(TextIO, drawing()))
        self._live: Live | None = None
        self._printed = -SECONDS_BETWEEN_LINES
        self._is_waiting = False

    def __enter__(self) -> "View":
        if self.shown and self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def wait(self, path: Path) -> None:
        """Print, once, that the run has not begun yet."""
        if self.shown and not self._is_waiting:
            standard_error().write(f"waiting for {one_line(path)} to begin\n")
        self._is_waiting = True

    def show(self, look: Look) -> None:
        """Show a look."""
        if self._live is not None:
            self._live.update(dashboard(look, width=self._console.width, height=self._console.height), refresh=True)
        elif (
            self.shown
            and look.has_begun
            and (look.is_over or time.monotonic() - self._printed >= SECONDS_BETWEEN_LINES)
        ):
            self._printed = time.monotonic()
            standard_error().write(f"{one_line(look.line)}\n")
        self._write(look, every=self.every)

    def leave(self, look: Look) -> None:
        """Write a page that no longer refreshes itself, because nobody follows the run any more."""
        with suppress(WriteError):
            self._write(look, every=None)

    def _write(self, look: Look, *, every: int | None) -> None:
        """Write the page, if there is one; after the first time, a failure is a warning."""
        if self.page is None:
            return
        from grokinterp.watch.page import page

        text = page(look, every=every, written=time.time())
        is_first = not self.page.exists()
        try:
            make_directory(self.page.parent)
            write_atomic(self.page, text.encode("utf-8"), replace=True)
        except WriteError as error:
            if is_first:
                raise
            warn(error)
