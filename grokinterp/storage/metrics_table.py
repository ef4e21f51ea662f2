"""The metrics of a run as typed columns, in flat memory: eight bytes per number, however many rows there are."""

import math
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import compress, repeat
from math import isfinite
from typing import Any, final

from grokinterp.errors import short

LARGEST = 10**12
"""Steps are below this number."""

MOSTLY_EMPTY = 100
"""Largest number of table cells per number in the log, so that empty cells cannot fill the memory."""

ROOM = 2**24
"""Number of cells that every table may have."""

Name = str | tuple[str, str]
"""The name of a column, or of a nested object and the key in it."""


@final
class MetricsTable:
    """The rows of a log over increasing steps; NaN stands for null and for a key that a row does not have.

    Attributes:
        lines: the number of each row's line in the file.
        steps: the step of each row.
        columns: numbers by name; a nested object has a column (name, key) for each of its keys.
        undefined: the lines whose value is null, which stands for a number that is not finite, by name.
    """

    def __init__(self) -> None:
        self.lines, self.steps = array("q"), array("q")
        self.columns: dict[Name, array[float]] = {}
        self.undefined: dict[Name, set[int]] = {}
        self._filled = 0

    def take(self, line: int, row: Mapping[str, Any]) -> Collection[Name]:
        """Append a row, and return the names of its columns.

        Raises:
            ValueError: if a value is not allowed, with a short reason; the table is then unchanged.
        """
        step, numbers = step_of(row), numbers_of(row)
        if not numbers.keys() <= self.columns.keys():
            self._open(numbers)
        self._filled += len(numbers)
        place = len(self.steps)
        for name, number in numbers.items():
            column = self.columns[name]
            if len(column) < place:
                column.extend(repeat(math.nan, place - len(column)))
            column.append(number)
            if number != number:
                self.undefined.setdefault(name, set()).add(line)
        self.lines.append(line)
        self.steps.append(step)
        return numbers.keys()

    def _open(self, numbers: Mapping[Name, float]) -> None:
        """Add the columns of a row that are new. Raises ValueError."""
        new = [name for name in numbers if name not in self.columns]
        outer = {name if isinstance(name, str) else name[0]: isinstance(name, str) for name in self.columns}
        for name in new:
            own, plain = (name, True) if isinstance(name, str) else (name[0], False)
            if outer.setdefault(own, plain) != plain:
                raise ValueError(f"{short(own)} is {'a number' if plain else 'an object'}, unlike in the rows before")
        self._require_room(len(self.columns) + len(new), self._filled + len(numbers))
        self.columns.update((name, array("d")) for name in new)

    def _require_room(self, columns: int, filled: int) -> None:
        if columns * (len(self.steps) + 1) > ROOM + MOSTLY_EMPTY * filled:
            raise ValueError(f"would make a table of {columns} columns that is almost empty")

    def fill(self) -> None:
        """Pad every column with NaN to the number of rows. Raises ValueError if the table is almost empty."""
        self._require_room(len(self.columns), self._filled)
        for column in self.columns.values():
            column.extend(repeat(math.nan, len(self.steps) - len(column)))

    def where(self, keep: Sequence[int], *, without: Collection[Name] = ()) -> "MetricsTable":
        """Return the table of the rows at which ``keep`` is true, without some of its columns."""
        part = MetricsTable()
        part.lines, part.steps = (array("q", compress(values, keep)) for values in (self.lines, self.steps))
        kept = {name: column for name, column in self.columns.items() if name not in without}
        part.columns = {name: array("d", compress(column, keep)) for name, column in kept.items()}
        part.undefined = {name: self.undefined[name] for name in kept.keys() & self.undefined.keys()}
        part._filled = self._filled
        return part

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield every row as an object, with None for NaN."""
        for place, step in enumerate(self.steps):
            row: dict[str, Any] = {"step": step}
            for name, column in self.columns.items():
                value = None if math.isnan(column[place]) else column[place]
                if isinstance(name, str):
                    row[name] = value
                else:
                    row.setdefault(name[0], {})[name[1]] = value
            yield row


def step_of(row: Mapping[str, Any]) -> int:
    """Return the step of a row. Raises ValueError.

    >>> step_of({"step": 1200})
    1200
    >>> step_of({"step": -1})
    Traceback (most recent call last):
    ...
    ValueError: step=-1: must be an integer from 0
    """
    if "step" not in row:
        raise ValueError("has no step")
    step = row["step"]
    if type(step) is not int or not 0 <= step < LARGEST:
        raise ValueError(f"step={short(step, 20)}: must be an integer from 0")
    return step


def numbers_of(row: Mapping[str, Any]) -> dict[Name, float]:
    """Return the numbers of a row by name; null becomes NaN. Raises ValueError.

    >>> numbers_of({"step": 0, "train_loss": 0.5, "weight_norm_of": {"W_E": 2}})
    {'train_loss': 0.5, ('weight_norm_of', 'W_E'): 2.0}
    """
    found: dict[Name, float] = {}
    for name, value in row.items():
        if type(value) is dict:
            if not value:
                raise ValueError(f"{short(name)} is an empty object")
            for key, inner in value.items():
                found[name, key] = inner if type(inner) is float and isfinite(inner) else number_of(inner, key)
        elif name != "step":
            found[name] = value if type(value) is float and isfinite(value) else number_of(value, name)
    return found


def number_of(value: Any, name: str) -> float:
    """Return a finite number, or NaN for None. Raises ValueError naming the key.

    >>> number_of(True, "train_loss")
    Traceback (most recent call last):
    ...
    ValueError: train_loss is not a number
    """
    if value is None:
        return math.nan
    if type(value) is not float and type(value) is not int:
        raise ValueError(f"{short(name)} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not isfinite(number):
        raise ValueError(f"{short(name)} is not finite")
    return number


def in_order(steps: Sequence[int]) -> bytearray:
    """Return a mask of the longest strictly increasing part of the steps; of equal steps, the first is kept.

    >>> list(in_order([0, 10, 90, 20, 20, 30]))
    [1, 1, 0, 1, 0, 1]
    """
    ends: list[int] = []  # the smallest last step of an increasing part of each length, and its place
    places: list[int] = []
    before = array("q")
    for place, step in enumerate(steps):
        length = bisect_left(ends, step)
        before.append(places[length - 1] if length else -1)
        if length == len(ends):
            ends.append(step)
            places.append(place)
        elif step < ends[length]:
            ends[length], places[length] = step, place
    kept, place = bytearray(len(steps)), places[-1] if places else -1
    while place >= 0:
        kept[place], place = 1, before[place]
    return kept
