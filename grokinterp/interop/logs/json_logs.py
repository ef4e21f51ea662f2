"""Logs in JSON: a single object, or one object per line."""

from collections.abc import Iterable, Iterator
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from grokinterp.interop.logs.containers import flattened, tables_of, taken
from grokinterp.interop.logs.table import RowsReader, Table
from grokinterp.interop.text_files import ForeignFileError, open_text, read_text
from grokinterp.storage.files import parse_json
from grokinterp.storage.metrics_log import PROTECTION


def read_json_lines(path: Path, wanted: Iterable[str] = ()) -> list[Table]:
    """Return the table of a file with one JSON object per line.

    A line without a curve describes the run, as does a line whose only name starts with "_", such as ``{"_summary":
    {...}}``. A truncated last line is omitted.

    Raises:
        ForeignFileError: if the file is empty, has no rows, or a line is not an object.
    """
    reader, notes = RowsReader(path, wanted), []
    about: dict[str, Any] = {}
    with open_text(path) as file:
        for line, row in _objects(file, path):
            if row is None:
                notes.append(f"line {line}, the last one, is truncated and omitted")
            else:
                if row.keys() >= set(PROTECTION):  # a row of metrics.jsonl: its check is not a metric
                    row = {name: value for name, value in row.items() if name not in PROTECTION}
                about |= taken(flattened(row), reader, wanted)
    table = reader.done()
    if not reader.rows:
        raise ForeignFileError(path, "has no rows with a curve" if about else "is empty")
    table.about, table.notes = about, notes
    return [table]


def _objects(file: Iterable[str], path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Yield the objects with their line numbers; None for a truncated last line."""
    numbered = ((number, line) for number, line in enumerate(file, 1) if line.strip())
    for index, line in numbered:
        try:
            row = parse_json(line, non_finite=True)
        except ValueError as error:
            if index == 1 or next(numbered, None) is not None:
                raise ForeignFileError(path, f"line {index} {_why(error, line)}") from None
            yield index, None
            return
        if not isinstance(row, dict):
            raise ForeignFileError(path, f"line {index} is not a JSON object: {line.strip()[:40]!r}")
        yield index, row


def _why(error: ValueError, line: str) -> str:
    """Return what is wrong with a line: not JSON at all, or JSON that is not accepted."""
    return f"is not JSON: {line.strip()[:40]!r}" if isinstance(error, JSONDecodeError) else str(error)


def read_json(path: Path, wanted: Iterable[str] = ()) -> list[Table]:
    """Return the tables of a JSON file, one per run. Raises ForeignFileError."""
    text = read_text(path)
    if not text.strip():
        raise ForeignFileError(path, "is empty")
    try:
        content = parse_json(text, non_finite=True)
    except ValueError as error:
        if _starts_with_objects(text):
            return read_json_lines(path, wanted)
        raise ForeignFileError(path, f"is not JSON: {error}") from None
    del text
    if isinstance(content, list) and content and all(isinstance(row, list) and len(row) == 3 for row in content):
        content = {path.stem: content}  # one curve as TensorBoard exports it
    tables = tables_of(content, path, frozenset(wanted))
    if not tables:
        raise ForeignFileError(path, "holds no lists of numbers and no list of objects")
    return tables


def _starts_with_objects(text: str) -> bool:
    """Return whether the first line is a complete object: JSON lines in a file named .json."""
    try:
        return isinstance(parse_json(text.lstrip().split("\n", 1)[0], non_finite=True), dict)
    except ValueError:
        return False
