"""Everything that the commands print: lines and JSON on standard output, messages on standard error.

Values may come from any file, so each line is made printable as a whole: a line break inside a value cannot begin a
line of its own. After the work, ``entry`` checks whether a stream has failed.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from grokinterp.errors import one_line, printable, short
from grokinterp.streams import standard_error, standard_output

LONGEST = 120
"""Largest number of characters of a text in a table for people."""


def say(lines: Iterable[str]) -> None:
    """Print lines on standard output."""
    standard_output().write("".join(f"{printable(line)}\n" for line in lines))


def say_json(value: Any) -> None:
    r"""Print a value as JSON in one line of ASCII without control characters; null for NaN and infinities.

    >>> say_json({"name": "a\x1b\x7f", "loss": [0.5, float("nan")]})
    {"name": "a\u001b\u007f", "loss": [0.5, null]}
    """
    say([json.dumps(finite(value), allow_nan=False).replace("\x7f", "\\u007f")])


def finite(value: Any) -> Any:
    """Return a value with None for every number that JSON lacks.

    >>> finite({"a": (1.0, float("inf"))})
    {'a': [1.0, None]}
    """
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def note(message: object) -> None:
    """Print a message as one line on standard error."""
    standard_error().write(f"{one_line(message)}\n")


def aligned(names: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield the lines of a table for people: long texts are truncated, and missing values are empty.

    >>> list(aligned(["run", "loss"], [["a", 0.25], ["bcde", None]]))
    ['run   loss', 'a     0.25', 'bcde']
    """
    cells = [list(names), *([cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip()


def cell(value: object) -> str:
    """Return a value in a table.

    >>> cell(None), cell(1 / 3), cell(2000), cell("a")
    ('', '0.333333', '2000', 'a')
    """
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else short(value, LONGEST)


def csv_lines(names: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield the lines of a CSV file, in which every text is printable and missing values are empty.

    >>> list(csv_lines(["run", "loss"], [["a, b", 0.5], ["c", None]]))
    ['run,loss', '"a, b",0.5', 'c,']
    """
    for row in (names, *rows):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(one_line(v) if isinstance(v, str | bytes) else v for v in row)
        yield line.getvalue()
