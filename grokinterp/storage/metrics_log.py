"""The metrics log metrics.jsonl: one JSON object per line, appended atomically and readable while it grows."""

import errno
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from grokinterp.errors import RunDirectoryError
from grokinterp.storage.atomic import sync_directory, write_error
from grokinterp.storage.files import parse_json, read_regular

MAX_LOG_BYTES = 2**30
"""Largest log that is read, in bytes; a row takes about a kilobyte."""


@final
@dataclass(frozen=True)
class MetricsLog:
    """The metrics of a run, one row per evaluation; one process appends, any number of processes read."""

    path: Path

    def append(self, row: Mapping[str, Any]) -> None:
        """Append a row with a single write(); non-finite numbers become null.

        Raises:
            GrokinterpError: if the write fails, naming path and errno; the file is then unchanged.
        """
        line = (json.dumps(_finite(row), allow_nan=False) + "\n").encode("ascii")
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                _append_whole(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise write_error(self.path, error) from error

    @property
    def offset(self) -> int:
        """Size in bytes, which a resume state records as the point to truncate to."""
        return self.path.stat().st_size if self.path.exists() else 0

    def truncate(self, offset: int) -> None:
        """Remove all content after the first ``offset`` bytes: rows written after the resumed state.

        Raises:
            RunDirectoryError: if the file is shorter, or ``offset`` is not the end of a row.
        """
        self._require_row_end(self._content(), offset)
        if not self.path.exists():
            return
        try:
            with open(self.path, "r+b") as file:
                file.truncate(offset)
                os.fsync(file.fileno())
        except OSError as error:
            raise write_error(self.path, error) from error

    def sync(self) -> None:
        """Make all rows durable; must be called before a resume state records the offset."""
        if not self.path.exists():
            return
        try:
            with open(self.path, "rb") as file:
                os.fsync(file.fileno())
            sync_directory(self.path.parent)
        except OSError as error:
            raise write_error(self.path, error) from error

    def read(self) -> list[dict[str, Any]]:
        """Return all complete rows; an incomplete last line, still being written, is omitted.

        Raises:
            RunDirectoryError: if a line is damaged, naming the first.
        """
        content = self._content()
        complete = content[: content.rfind(b"\n") + 1]
        return [self._row(number, line) for number, line in enumerate(complete.split(b"\n")[:-1], start=1)]

    def _content(self) -> bytes:
        """Return all bytes, or none if the file does not exist yet. Raises RunDirectoryError."""
        try:
            return read_regular(self.path, limit=MAX_LOG_BYTES)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise RunDirectoryError(self.path.parent, f"{self.path.name} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise RunDirectoryError(self.path.parent, f"{self.path.name} {error}") from None

    def _row(self, number: int, line: bytes) -> dict[str, Any]:
        """Parse a row. Raises RunDirectoryError naming its line."""
        try:
            row = parse_json(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise RunDirectoryError(self.path.parent, f"{self.path.name} line {number} is damaged: not a JSON object")
        return row

    def _require_row_end(self, content: bytes, offset: int) -> None:
        """Raise RunDirectoryError unless ``offset`` is the end of a row of ``content``."""
        if not 0 <= offset <= len(content):
            raise RunDirectoryError(
                self.path.parent, f"{self.path.name} has {len(content)} bytes, but the resume state needs {offset}"
            )
        if offset and content[offset - 1 : offset] != b"\n":
            raise RunDirectoryError(self.path.parent, f"{self.path.name} has no row that ends at byte {offset}")


def _append_whole(descriptor: int, line: bytes) -> None:
    """Write ``line`` in a single call, or leave the file unchanged. Raises OSError."""
    before = os.fstat(descriptor).st_size
    written = os.write(descriptor, line)
    if written != len(line):
        os.ftruncate(descriptor, before)
        raise OSError(errno.ENOSPC, "the row was only partly written")


def _finite(value: Any) -> Any:
    """Return ``value`` with every non-finite number replaced by None.

    >>> _finite({"loss": float("nan"), "norms": [1.0, float("inf")]})
    {'loss': None, 'norms': [1.0, None]}
    """
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
