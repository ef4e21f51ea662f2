"""Tables in text: commas, tabs, semicolons, bars or blanks between the cells, names in the first line."""

import csv
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from grokinterp.interop.logs.table import RowsReader, Table, may_be_read
from grokinterp.interop.text_files import ForeignFileError, open_text

CHUNK = 5000
"""Rows that are held as text."""

DELIMITERS = ("\t", ";", ",", "|")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+ ?%?")
NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?%?|nan|[+-]?inf", re.IGNORECASE)


def read_delimited(path: Path, wanted: Iterable[str] = ()) -> list[Table]:
    """The table of a CSV or TSV file, or the tables of several runs that an export put side by side.

    Lines that start with ``#`` are comments, except for one above the numbers that names their columns, as numpy
    writes it. A line of names that comes again is skipped.

    Raises:
        ForeignFileError: an empty file, no line of names, no rows, a name that comes twice.
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
    """The lines with content; the last comment above them first, if it names the columns of numbers."""
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
    """The first delimiter that the line has; a blank if it has none of them.

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
    """The rows; a line of names that a restarted program wrote again is none."""
    for row in _split(lines, delimiter):
        if [cell.strip() for cell in row] != list(names):
            yield row


def _require_names(names: Sequence[str], path: Path) -> None:
    if all(_is_number(name) for name in names if name) and any(names):
        raise ForeignFileError(path, "has no line of names: its first line holds numbers")
    for name in names:
        if names.count(name) > 1 and may_be_read(name):
            raise ForeignFileError(path, f"has {names.count(name)} columns named {name!r}")


def _is_number(cell: str) -> bool:
    return NUMBER.fullmatch(cell.strip()) is not None
