"""Text tables: cells separated by commas, tabs, semicolons, bars or blanks, with a header line."""

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from grokinterp.interop.logs.table import RowsReader, Table, may_be_read
from grokinterp.interop.text_files import ForeignFileError, open_text

CHUNK = 5000
"""Number of rows held as text."""

DELIMITERS = ("\t", ";", ",", "|")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+ ?%?")
NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?%?|nan|[+-]?inf", re.IGNORECASE)


def read_delimited(path: Path, wanted: Iterable[str] = ()) -> list[Table]:
    """Return the table of a CSV or TSV file, or the tables of several runs exported side by side.

    Lines that start with ``#`` are comments, except for a comment directly above the numbers that names their columns,
    as written by numpy. A repeated header is skipped.

    Raises:
        ForeignFileError: if the file is empty, has no header or no rows, or a name occurs twice.
    """
    with open_text(path) as file:
        lines = _without_comments(file)
        header = next(lines, None)
        if header is None:
            raise ForeignFileError(path, "is empty")
        delimiter = _delimiter(header)
        names = _cells([header], delimiter)
        _require_names(names, path)
        rows = _rows(lines, delimiter, names)
        try:
            return _taken(rows, names, delimiter, path, wanted)
        except csv.Error as error:
            raise ForeignFileError(path, f"is not CSV: {error}") from None


def _taken(
    rows: Iterator[list[str]], names: Sequence[str], delimiter: str, path: Path, wanted: Iterable[str]
) -> list[Table]:
    chunk = list(itertools.islice(rows, CHUNK))
    if not chunk:
        raise ForeignFileError(path, "has no rows")
    comma = delimiter != "," and any(DECIMAL_COMMA.fullmatch(cell.strip()) for row in chunk[:20] for cell in row)
    reader = RowsReader(path, wanted, decimal_comma=comma)
    while chunk:
        columns = itertools.zip_longest(*chunk, fillvalue="")
        reader.take_columns(dict(zip(names, columns, strict=False)), len(chunk))
        chunk = list(itertools.islice(rows, CHUNK))
    return [reader.done()]


def _without_comments(file: Iterable[str]) -> Iterator[str]:
    """Yield the lines with content, preceded by the last comment above them if it names the columns."""
    comment = ""
    for line in file:
        text = line.strip()
        if text.startswith("#"):
            comment = text.lstrip("#").strip()
        elif text:
            delimiter = _delimiter(line)
            cells = _cells([line], delimiter)
            if comment and all(map(_is_number, cells)) and len(_cells([comment], _delimiter(comment))) == len(cells):
                yield comment
            yield line
            break
    yield from (line for line in file if line.strip() and not line.lstrip().startswith("#"))


def _delimiter(line: str) -> str:
    """Return the first delimiter that occurs in the line, or a blank.

    >>> [_delimiter(line) for line in ("step,train acc", "step;a,b", "step train_acc", "step")]
    [',', ';', ' ', ' ']
    """
    return next((mark for mark in DELIMITERS if mark in line), " ")


def _cells(lines: Iterable[str], delimiter: str) -> list[str]:
    return [cell.strip() for cell in next(_split(lines, delimiter), [])]


def _split(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    if delimiter == " ":
        return (line.split() for line in lines)
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True)


def _rows(lines: Iterator[str], delimiter: str, names: Sequence[str]) -> Iterator[list[str]]:
    """Yield the rows, except for a header repeated by a restarted program."""
    for row in _split(lines, delimiter):
        if [cell.strip() for cell in row] != list(names):
            yield row


def _require_names(names: Sequence[str], path: Path) -> None:
    if all(_is_number(name) for name in names if name) and any(names):
        raise ForeignFileError(path, "has no header: its first line holds numbers")
    for name, count in Counter(names).items():
        if count > 1 and may_be_read(name):
            raise ForeignFileError(path, f"has {count} columns named {name!r}")


def _is_number(cell: str) -> bool:
    return NUMBER.fullmatch(cell.strip()) is not None
