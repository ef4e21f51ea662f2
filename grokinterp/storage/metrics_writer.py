"""The single writer of metrics.jsonl: rows with checks, each appended by one write and at once readable."""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, final

from grokinterp.errors import RunDirectoryError, warn
from grokinterp.storage.atomic import sync_directory, write_atomic, write_error
from grokinterp.storage.files import parse_json
from grokinterp.storage.metrics_log import PROTECTION, parsed
from grokinterp.storage.metrics_table import numbers_of, step_of
from grokinterp.storage.sealed_rows import is_intact, sealed

BLOCK = 2**16
"""Number of bytes that are read at a time from the end of the log."""


@final
class MetricsWriter:
    """The metrics of the run ``run_id``, as the holder of its lock writes them.

    The file stays open, so that a removed file is noticed at the next write and written again from the open one.

    Args:
        path: the log, which need not exist yet.
        run_id: part of the check of every row.
        require_held: raises RunDirectoryError unless this process is still the single writer.
    """

    def __init__(self, path: Path, run_id: str, require_held: Callable[[], None]) -> None:
        self.path, self.run_id, self.require_held = path, run_id, require_held
        self._descriptor: int | None = None
        self._size = 0
        self._last: int | None = None

    def append(self, row: Mapping[str, Any]) -> None:
        """Append a row with a single write(); non-finite numbers become null.

        Raises:
            ValueError: if the row has no step or a key of ``PROTECTION``.
            GrokinterpError: if the write fails, naming path and errno; the file is then unchanged.
            RunDirectoryError: if another program changed or replaced the file, or the step was written before.
        """
        if taken := set(PROTECTION) & set(row):
            raise ValueError(f"{min(taken)} cannot be the name of a metric")
        descriptor, step = self._opened(), step_of(row)
        if self._last is not None and step <= self._last:
            why = f"{self.path.name} already ends at step {self._last}, so step {step} cannot follow"
            raise RunDirectoryError(self.path.parent, why)
        line = sealed({**row, "previous_step": self._last}, self.run_id)
        try:
            _append_whole(descriptor, line)
        except OSError as error:
            raise write_error(self.path, error) from error
        self._size, self._last = self._size + len(line), step

    @property
    def offset(self) -> int:
        """Size in bytes, which a resume state records as the point to truncate to."""
        return self._size if self._descriptor is not None else self._size_there()

    @property
    def last_step(self) -> int | None:
        """The step of the last row; None without rows. An incomplete last row is removed, with a warning."""
        if self._descriptor is not None or self._size_there():
            self._opened()
        return self._last

    def truncate(self, offset: int) -> None:
        """Remove all content after the first ``offset`` bytes: rows written after the resumed state.

        Raises:
            RunDirectoryError: if the file is shorter, or ``offset`` is not the end of a row.
        """
        self.require_held()
        size = self._size_there()
        if not 0 <= offset <= size:
            why = f"{self.path.name} has {size} bytes, but the resume state needs {offset}"
            raise RunDirectoryError(self.path.parent, why)
        if not size:
            return
        self.close()
        try:
            self._descriptor = descriptor = self._open()
            if offset and os.pread(descriptor, 1, offset - 1) != b"\n":
                raise RunDirectoryError(self.path.parent, f"{self.path.name} has no row that ends at byte {offset}")
            os.ftruncate(descriptor, offset)
            os.fsync(descriptor)
        except OSError as error:
            raise write_error(self.path, error) from error
        self._size = offset
        _, self._last = last_row(descriptor, offset, self.run_id)

    def sync(self) -> None:
        """Make all rows durable; must be called before a resume state records the offset."""
        if self._descriptor is None:
            return
        try:
            os.fsync(self._opened())
            sync_directory(self.path.parent)
        except OSError as error:
            raise write_error(self.path, error) from error

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> int:
        """Return the descriptor of the log if no other program has changed it. Raises GrokinterpError."""
        self.require_held()
        if self._descriptor is None:
            return self._begin()
        try:
            there, ours = os.stat(self.path), os.fstat(self._descriptor)
        except FileNotFoundError:
            return self._restore(self._descriptor)
        except OSError as error:
            raise write_error(self.path, error) from error
        if not os.path.samestat(there, ours):
            raise RunDirectoryError(self.path.parent, f"{self.path.name} was replaced by another file during the run")
        if there.st_size != self._size:
            raise RunDirectoryError(self.path.parent, f"{self.path.name} was changed by another program during the run")
        return self._descriptor

    def _begin(self) -> int:
        """Open or create the log, and find its last row; an incomplete last row is removed, with a warning."""
        try:
            self._descriptor = descriptor = self._open()
            size = os.fstat(descriptor).st_size
            self._size, self._last = last_row(descriptor, size, self.run_id)
            if self._size < size:
                warn(f"{self.path}: the last row was only partly written and was removed", stacklevel=4)
                os.ftruncate(descriptor, self._size)
        except OSError as error:
            raise write_error(self.path, error) from error
        return descriptor

    def _open(self) -> int:
        """Return a descriptor of the log, created if it does not exist. Raises OSError, or RunDirectoryError."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o666)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise RunDirectoryError(self.path.parent, f"{self.path.name} is not a regular file")
        return descriptor

    def _restore(self, removed: int) -> int:
        """Write the log again from the open file after its name was removed, with a warning. Raises GrokinterpError."""
        try:
            write_atomic(self.path, _content(removed, self._size), replace=False)
            self._descriptor = self._open()
            os.close(removed)
        except OSError as error:
            raise write_error(self.path, error) from error
        warn(f"{self.path} was removed during the run and was written again", stacklevel=4)
        return self._descriptor

    def _size_there(self) -> int:
        """Return the size of the file at the path, 0 without a file."""
        try:
            return os.stat(self.path).st_size
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise write_error(self.path, error) from error


def last_row(descriptor: int, size: int, run_id: str) -> tuple[int, int | None]:
    """Return where the last complete line of an open log ends, and the step of the last sound row, if there is one."""
    lines = lines_from_the_end(descriptor, size)
    end = size - len(next(lines))
    steps = (step_in(line, run_id) for line in lines)
    return end, next((step for step in steps if step is not None), None)


def step_in(line: bytes, run_id: str) -> int | None:
    """Return the step of the row in a line; None if the row is damaged."""
    try:
        row = parsed(line, parse_json)
        sound = is_intact(line, run_id) or bool(numbers_of(row))  # the check of a changed row is text, not a number
        return step_of(row) if sound else None
    except ValueError:
        return None


def lines_from_the_end(descriptor: int, size: int) -> Iterator[bytes]:
    """Yield what follows the last line feed of an open file, then its lines from the last to the first.

    Only as much of the file is read as is needed.
    """
    rest, end, block = b"", size, BLOCK
    while end:
        start = max(end - block, 0)
        rest, *lines = (os.pread(descriptor, end - start, start) + rest).split(b"\n")
        yield from reversed(lines)
        end, block = start, BLOCK if lines else 2 * block
    yield rest


def _append_whole(descriptor: int, line: bytes) -> None:
    """Write ``line`` in a single call, or leave the file unchanged. Raises OSError."""
    before = os.fstat(descriptor).st_size
    written = os.write(descriptor, line)
    if written != len(line):
        os.ftruncate(descriptor, before)
        raise OSError(errno.ENOSPC, "the row was only partly written")


def _content(descriptor: int, size: int) -> bytes:
    """Return the content of an open file."""
    return b"".join(os.pread(descriptor, min(2**24, size - start), start) for start in range(0, size, 2**24))
