"""Read the metrics log metrics.jsonl: every row is checked, and damaged rows are named and skipped.

A row ends with a check of its content and of the run id, and states the step of the row before it. Rows that earlier
versions wrote have neither; their form, their types and the order of their steps are still checked.
"""

import json
import re
from array import array
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import compress, count, islice
from operator import lt
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, final

from grokinterp.errors import RunDirectoryError, short
from grokinterp.storage.files import open_regular, parse_json
from grokinterp.storage.metrics_table import MetricsTable, Name, in_order, step_of
from grokinterp.storage.sealed_rows import is_intact

MAX_LOG_BYTES = 2**40
"""Largest log that is read, in bytes; it is read line by line."""

MAX_ROW_BYTES = 2**24
"""Largest row that is read, in bytes; a row takes about a kilobyte."""

MAX_LINE_BYTES = 2**28
"""Largest line that is skipped, in bytes; a file with a longer line is not a log."""

PROTECTION = ("previous_step", "check")
"""Keys of a row that are not metrics: the step of the row before it, null in the first row, and the check."""

MOST_NAMED = 1000
"""Largest number of damaged rows that are named; all are counted."""

NESTED = re.compile(rb', "[^"\\]*": \{[^{}]*\}')
"""An object inside a row: numbers of single parameters, which are most of its length."""

FIRST, UNKNOWN = -1, -2
"""Placeholders for the step before the first row, and for a previous step that a row does not state."""


class LogCheck(NamedTuple):
    """The result of the checks of a log.

    Attributes:
        rows: the number of rows that are used.
        n_skipped: the number of damaged lines, which are skipped.
        skipped: the reason by line number, for at most ``MOST_NAMED`` damaged lines.
        missing: messages about missing or inserted rows.
        unprotected: the number of rows in use without a check, which an earlier version wrote.
    """

    rows: int
    n_skipped: int
    skipped: dict[int, str]
    missing: tuple[str, ...]
    unprotected: int

    @property
    def faults(self) -> str:
        """All damage in one line, or "" if there is none."""
        named = [f"line {line}: {why}" for line, why in list(self.skipped.items())[:3]]
        more = ["..."] if self.n_skipped > len(named) else []
        rows = f"{self.n_skipped} damaged row{'' if self.n_skipped == 1 else 's'} skipped ({'; '.join(named + more)})"
        return "; ".join([*([rows] if self.n_skipped else []), *self.missing])

    @property
    def record(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "rows": self.rows,
            "n_skipped": self.n_skipped,
            "skipped": [{"line": line, "reason": why} for line, why in self.skipped.items()],
            "missing": list(self.missing),
            "unprotected": self.unprotected,
        }

    @property
    def unprotected_rows(self) -> str:
        """A line on the rows without checks, or "" if there are none."""
        if not self.unprotected:
            return ""
        which = "" if self.unprotected == self.rows else f"in its first {self.unprotected} of {self.rows} rows, "
        return f"{which}metrics.jsonl has no checks, since an earlier version wrote it: a changed digit goes unnoticed"


@final
@dataclass(frozen=True)
class MetricsLog:
    """The metrics of the run ``run_id``, one row per evaluation, which any number of processes read."""

    path: Path
    run_id: str

    def read(self, *, ends_at: int | None = None, nested: bool = True) -> tuple[MetricsTable, LogCheck]:
        """Return the undamaged rows, and the result of the checks.

        An incomplete last line is still being written and is omitted.

        Args:
            ends_at: the last step of a finished run, which the last row must have.
            nested: whether to read the numbers of single parameters; without them, reading takes half the time.

        Raises:
            RunDirectoryError: if the file cannot be read.
        """
        reading = Reading(self.run_id, nested)
        for number, line in self._lines():
            reading.take(number, line)
        return reading.done(ends_at)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the number and the content (empty if too long) of every complete line. Raises RunDirectoryError.

        The memory stays flat: one line is held at a time.
        """
        try:
            with open_regular(self.path, limit=MAX_LOG_BYTES) as file:
                for number in count(1):
                    line = whole_line(file)
                    if line is None:
                        return
                    yield number, line
        except FileNotFoundError:
            return
        except OSError as error:
            raise RunDirectoryError(self.path.parent, f"{self.path.name} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise RunDirectoryError(self.path.parent, f"{self.path.name} {error}") from None


def whole_line(file: BinaryIO) -> bytes | None:
    """Return the next complete line without its line feed, empty if it is too long; None if there is none.

    Raises:
        ValueError: if the line is so long that the file cannot be a log.
    """
    line = file.readline(MAX_ROW_BYTES)
    if line.endswith(b"\n"):
        return line[:-1]
    rest = line
    for _ in range(MAX_LINE_BYTES // MAX_ROW_BYTES):
        if not rest or rest.endswith(b"\n"):
            return b"" if rest else None
        rest = file.readline(MAX_ROW_BYTES)
    raise ValueError(f"holds a line of more than {MAX_LINE_BYTES} bytes")


@dataclass
class Reading:
    """The state of reading a log: the rows so far, the steps that they follow, and the reasons for skipped lines."""

    run_id: str
    nested: bool = True
    table: MetricsTable = field(default_factory=MetricsTable)
    previous: "array[int]" = field(default_factory=lambda: array("q"))
    keys: "dict[frozenset[Name], array[int]]" = field(default_factory=dict)
    skipped: dict[int, str] = field(default_factory=dict)
    n_skipped: int = 0
    protected: bool = False

    def take(self, number: int, line: bytes) -> None:
        """Add the row in a line, or the reason why it is damaged."""
        try:
            row, previous = self._checked(line)
            names = self.table.take(number, row)
        except ValueError as error:
            return self._skip(number, str(error))
        if previous == UNKNOWN:
            self.keys.setdefault(frozenset(names), array("q")).append(len(self.previous))
        self.previous.append(previous)

    def _parsed(self, line: bytes) -> dict[str, Any]:
        """Return the JSON object in an intact line, without its objects unless they are to be read."""
        if not self.nested:
            with suppress(ValueError):  # a name inside an object contains a brace
                return parsed(NESTED.sub(b"", line), json.loads)
        return parsed(line, json.loads)

    def _skip(self, number: int, why: str) -> None:
        self.n_skipped += 1
        if len(self.skipped) < MOST_NAMED:
            self.skipped[number] = why

    def _checked(self, line: bytes) -> tuple[dict[str, Any], int]:
        """Return a row without its check, and the step that it follows. Raises ValueError."""
        intact = is_intact(line, self.run_id)
        row = self._parsed(line) if intact else parsed(line, parse_json)
        if intact:
            self.protected = True
            before, _ = (row.pop(key, None) for key in PROTECTION)
            return row, FIRST if before is None else step_of({"step": before})
        if "check" in row:
            raise ValueError("its check does not match: it was changed, or belongs to another run")
        if self.protected:
            raise ValueError("has no check, unlike the rows before it")
        return row, UNKNOWN

    def done(self, ends_at: int | None) -> tuple[MetricsTable, LogCheck]:
        """Return the undamaged rows, and the result of the checks."""
        odd, names = misspelled(self.keys)
        dropped = odd | out_of_order(self.table.steps, odd)
        if dropped:
            for place, why in dropped.items():
                self._skip(self.table.lines[place], why)
            keep = bytearray(place not in dropped for place in range(len(self.previous)))
            self.table, self.previous = self.table.where(keep, without=names), array("q", compress(self.previous, keep))
        try:
            self.table.fill()
        except ValueError as error:
            self._skip(1, f"{error}; no row is used")
            self.table, self.previous = MetricsTable(), array("q")
        missing = (*islice(gaps(self.table, self.previous), MOST_NAMED), *cut_short(self.table.steps, ends_at))
        skipped = dict(sorted(self.skipped.items()))
        unprotected = self.previous.count(UNKNOWN)
        return self.table, LogCheck(len(self.previous), self.n_skipped, skipped, missing, unprotected)


def parsed(line: bytes, parse: Callable[[bytes], Any]) -> dict[str, Any]:
    """Return the JSON object in a line. Raises ValueError with a short reason."""
    try:
        row = parse(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise ValueError("is not a JSON object")
    return row


def misspelled(keys: Mapping[frozenset[Name], Sequence[int]]) -> tuple[dict[int, str], set[Name]]:
    """Return the rows in which a key that no other row has replaces a key of the other rows, and these odd keys.

    Args:
        keys: the places of the rows that have the same keys.

    >>> usual, odd = frozenset(["train_loss", "test_loss"]), frozenset(["train_loss", "tesu_loss"])
    >>> misspelled({usual: [0, 1, 3], odd: [2]})
    ({2: "has 'tesu_loss' in place of 'test_loss'"}, {'tesu_loss'})
    """
    counts = Counter[Name]()
    for names, places in keys.items():
        counts.update(dict.fromkeys(names, len(places)))
    usual = {name for name, n in counts.items() if 2 * n > sum(map(len, keys.values()))}
    found, own = {}, set[Name]()
    for names, places in keys.items():
        lacking, unique = sorted(map(str, usual - names)), [name for name in names if counts[name] == 1]
        if len(places) == 1 and lacking and unique:
            found[places[0]] = f"has {short(min(map(str, unique)))!r} in place of {short(lacking[0])!r}"
            own.update(unique)
    return found, own


def out_of_order(steps: Sequence[int], others: Container[int]) -> dict[int, str]:
    """Return the rows to leave out so that the steps increase, with the reason; ``others`` are left out anyway."""
    if not others and all(map(lt, steps, islice(steps, 1, None))):
        return {}
    places = [place for place in range(len(steps)) if place not in others]
    kept = in_order([steps[place] for place in places])
    why = "step {} is repeated or out of order"
    return {place: why.format(steps[place]) for place, keep in zip(places, kept, strict=True) if not keep}


def gaps(table: MetricsTable, previous: Sequence[int]) -> Iterator[str]:
    """Yield a message for each row that does not follow the row that it followed when it was written."""
    line_before, before = 0, FIRST
    for line, step, stated in zip(table.lines, table.steps, previous, strict=True):
        if stated not in (before, UNKNOWN) and line == line_before + 1:
            then, now = ("the start" if at == FIRST else f"step {at}" for at in (stated, before))
            yield f"line {line} was written after {then} but now follows {now}, so rows were removed or inserted"
        line_before, before = line, step


def cut_short(steps: Sequence[int], ends_at: int | None) -> Iterator[str]:
    """Yield a message if the log of a finished run does not end at its last step; if that is 0, it may be empty."""
    if ends_at is not None and (steps[-1] if steps else 0) != ends_at:
        end = f"ends at step {steps[-1]}" if steps else "has no usable row"
        yield f"{end}, but the run finished at step {ends_at}"
