"""The columns of a log as stored in its file, before their meaning is known."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from grokinterp.interop.logs.cells import Labels, Numbers, Texts
from grokinterp.interop.logs.names import (
    STEP_WORDS,
    has_step_word,
    is_interval,
    is_norm,
    is_run,
    is_test_size,
    meaning,
    words,
)
from grokinterp.interop.text_files import listed

THEIR_DATES = frozenset(
    (
        "grok",
        "grokked",
        "grokking",
        "memorize",
        "memorized",
        "memorization",
        "memorise",
        "memorised",
        "generalize",
        "generalized",
        "generalization",
        "generalise",
        "generalised",
    )
)


DATING_WORDS = THEIR_DATES | {*STEP_WORDS, "at", "first", "has", "is", "did"}


@dataclass
class Table:
    """Columns of numbers and of labels by name, with rows in the order of the file.

    Attributes:
        source: the file.
        columns: numbers; columns of a table with rows have the same length, parallel lists may have several lengths.
        own_steps: the steps of columns that came with their own steps.
        labels: columns of few distinct texts, which may identify runs or curves.
        names: all names, including columns that were not read.
        bad: by column, the row and the text of the first cell that is not a number.
        percents: columns with percent signs in their cells.
        about: the file's statements about its run other than the curves.
        notes: what was decided during reading.
        run: the label of the run, empty if the file holds a single run.
        axis: the column of steps, None if each curve has its own steps.
        places: for a part of a table, the indices of its rows in the whole table.
    """

    source: Path
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    own_steps: dict[str, np.ndarray] = field(default_factory=dict)
    labels: dict[str, Labels] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    bad: dict[str, tuple[int, str]] = field(default_factory=dict)
    percents: set[str] = field(default_factory=set)
    about: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    run: str = ""
    axis: str | None = None
    places: np.ndarray | None = None

    def file_row(self, row: int) -> int:
        """Return the number of a row in the file, from 1."""
        return (row if self.places is None else int(self.places[row])) + 1

    @property
    def rows(self) -> int:
        """Number of rows; 0 if the columns have different lengths or steps."""
        if self.own_steps:
            return 0
        lengths = {len(column) for column in self.columns.values()}
        return lengths.pop() if len(lengths) == 1 else 0

    def add(self, name: str, cells: Sequence[Any]) -> None:
        """Add a complete column."""
        self.take(name, Numbers().extend(cells))

    def take(self, name: str, numbers: Numbers) -> None:
        """Add a column of numbers that was read by rows, with its first bad cell."""
        self.columns[name] = np.frombuffer(numbers.values, dtype=np.float64) if numbers.values else np.zeros(0)
        if numbers.bad is not None:
            self.bad[name] = numbers.bad
        if numbers.percent:
            self.percents.add(name)

    def part(self, rows: np.ndarray, run: str) -> "Table":
        """Return the table of some of the rows."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        labels = {name: column.of(rows) for name, column in self.labels.items()}
        places = rows if self.places is None else self.places[rows]
        return replace(self, columns=columns, labels=labels, notes=list(self.notes), run=run, places=places)

    @property
    def n_test(self) -> int | None:
        """The number of test examples, if the file states it."""
        found = (value for name, value in self.about.items() if is_test_size(name))
        return next((value for value in found if isinstance(value, int) and value > 0), None)

    @property
    def interval(self) -> tuple[str, int] | None:
        """The name and value of the number of steps between two evaluations, if the file states exactly one."""
        found = {name: value for name, value in self.about.items() if is_interval(name) and isinstance(value, int)}
        name = next(iter(found), None)
        return (name, found[name]) if name is not None and len({*found.values()}) == 1 and found[name] > 0 else None

    def count_rows(self) -> None:
        """Number the rows of a table without a column of steps."""
        self.axis = "row"
        self.columns[self.axis] = self.counted(self.rows)

    def counted(self, length: int) -> np.ndarray:
        """Return steps for a file without steps: from 0, spaced by 1 or by the interval that the file states."""
        name, every = self.interval or ("", 1)
        how = f"every {every} steps, according to {name}" if name else "from 0"
        self.note(f"no column of steps among {listed(self.names)}: values are counted {how}")
        return np.arange(length, dtype=np.float64) * every

    def note(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    @property
    def theirs(self) -> dict[str, Any]:
        """The file's own dates of memorization and grokking: values whose names consist of words for these."""
        named = {name: {*words(name.split("/")[-1])} for name in self.about}
        found = {name: self.about[name] for name in named if named[name] & THEIR_DATES and named[name] <= DATING_WORDS}
        return {name: value for name, value in found.items() if value is None or isinstance(value, bool | int | float)}


class RowsReader:
    """Builds a table row by row, and keeps only columns that may be needed.

    Args:
        source: the file.
        wanted: names to keep regardless of their meaning.
    """

    def __init__(self, source: Path, wanted: Iterable[str] = (), *, decimal_comma: bool = False) -> None:
        self.table = Table(source)
        self.rows = 0
        self._wanted = frozenset(wanted)
        self._decimal_comma = decimal_comma
        self._numbers: dict[str, Numbers] = {}
        self._texts: dict[str, Texts] = {}
        self._names: dict[str, None] = {}

    @property
    def names(self) -> Collection[str]:
        """The names of all rows so far."""
        return self._names.keys()

    def take(self, row: Mapping[str, Any]) -> None:
        """Add a row; its names may differ from those of other rows."""
        self.take_columns({name: (cell,) for name, cell in row.items()}, 1)

    def take_columns(self, columns: Mapping[str, Sequence[Any]], rows: int) -> None:
        """Add the columns of some rows, which may be shorter."""
        for name, cells in columns.items():
            if name not in self._names:
                self._open(name)
            if name in self._numbers:
                self._numbers[name].pad(self.rows)
                self._numbers[name].extend(cells)
            if name in self._texts:
                self._put_texts(name, cells)
        self.rows += rows

    def _open(self, name: str) -> None:
        """Start a column: of numbers if they may be needed, of texts if they may identify rows."""
        self._names[name] = None
        is_read = name in self._wanted or may_be_read(name)
        if is_read:
            self._numbers[name] = Numbers(decimal_comma=self._decimal_comma)
        if name in self._wanted or not is_read:
            self._texts[name] = Texts(self.rows)

    def _put_texts(self, name: str, cells: Sequence[Any]) -> None:
        """Add texts, or drop their column if there are too many distinct ones."""
        self._texts[name].pad(self.rows)
        self._texts[name].extend(cells)
        if self._texts[name].too_many and not (is_run(name) or name in self._wanted):
            del self._texts[name]

    def done(self) -> Table:
        """Return the finished table."""
        for name, numbers in self._numbers.items():
            numbers.pad(self.rows)
            self.table.take(name, numbers)
        for name, texts in self._texts.items():
            texts.pad(self.rows)
            self.table.labels[name] = texts.done()
        self.table.names = list(self._names)
        return self.table


def may_be_read(name: str) -> bool:
    """Return whether a column may be needed: a curve, steps, a norm, or a value named after the file."""
    return meaning(name) is not None or has_step_word(name) or is_norm(name) or is_value(name)


def is_value(name: str) -> bool:
    """Return whether a column is simply named "value", as in exports with one curve per file."""
    return words(name) in (("value",), ("values",))
