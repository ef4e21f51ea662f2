"""The outcome of one injected fault, and the row of the table that counts the outcomes of a kind of fault."""

import re
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple


class End(Enum):
    """How a trial ended; the first two are survived faults.

    ``EQUAL``: every number equals that of the intact run, and the work was done. ``NAMED``: a part is missing or was
    refused, and one line names it. ``SILENT``: a number is wrong or missing, work is lost, or a process hangs, and no
    line reports it. ``TRACEBACK``: an exception that is not a one-line error.
    """

    EQUAL = "equal"
    NAMED = "named"
    SILENT = "silent"
    TRACEBACK = "traceback"


class Trial(NamedTuple):
    """One injected fault, how it ended, and a line that was printed or raised because of it."""

    fault: str
    end: End
    said: str = ""


class Row(NamedTuple):
    """All trials of a kind of fault; ``skipped`` is the reason why it could not be tried on this machine."""

    fault: str
    trials: tuple[Trial, ...]
    skipped: str = ""

    def count(self, *ends: End) -> int:
        """Return the number of trials that ended in one of these ways."""
        return sum(trial.end in ends for trial in self.trials)

    @property
    def survived(self) -> int:
        """The number of survived trials."""
        return self.count(End.EQUAL, End.NAMED)

    @property
    def failures(self) -> list[Trial]:
        """The trials that were not survived."""
        return [trial for trial in self.trials if trial.end in (End.SILENT, End.TRACEBACK)]

    @property
    def example(self) -> str:
        """The most frequent line, ignoring the numbers in it, preferably from a fault that was named."""
        lines = [trial.said for trial in self.trials if trial.end is End.NAMED and trial.said]
        lines = lines or [trial.said for trial in self.trials if trial.said]
        kinds = [re.sub(r"[0-9a-f]{6,}|\d+", "#", line) for line in lines]
        return lines[kinds.index(max(kinds, key=kinds.count))] if lines else ""


def row(fault: str, trials: Iterable[Trial], skipped: str = "") -> Row:
    """Return the row of a kind of fault."""
    return Row(fault, tuple(trials), skipped)


def passed(fault: str, holds: bool, otherwise: str) -> Trial:
    """Return a trial that ended as ``EQUAL`` if ``holds``, and otherwise as ``SILENT`` with a line."""
    return Trial(fault, End.EQUAL) if holds else Trial(fault, End.SILENT, otherwise)


def spoken(fault: str, text: str, *words: str, code: int | None = None) -> Trial:
    """Return the trial of a command that must be refused: one line of output with these words, and exit code 2."""
    lines = [line for line in text.splitlines() if line.strip()]
    if any("Traceback" in line for line in lines):
        return Trial(fault, End.TRACEBACK, lines[-1])
    if code not in (None, 2):
        return Trial(fault, End.SILENT, f"exit code {code}: {lines[-1] if lines else 'no output'}")
    found = [line for line in lines if all(word in line for word in words)]
    return Trial(fault, End.NAMED, found[-1]) if found else Trial(fault, End.SILENT, " / ".join(lines)[-300:])
