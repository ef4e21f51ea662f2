"""Conversion of the cells of a log to numbers: empty cells, percentages, printed tensors, decimal commas."""

import math
import re
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from grokinterp.errors import short, text_of

EMPTY = frozenset(("", "nan", "none", "null", "na", "n/a", "-", "--"))
THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
PRINTED_TENSOR = re.compile(r"tensor\(\s*\[?([^,\])]+)\]?.*\)", re.DOTALL)


def number(cell: Any, *, decimal_comma: bool = False) -> float:
    """Parse the number in a cell; an empty cell is NaN.

    >>> number("0.5"), number("97.5 %"), number("tensor(0.25, device='cuda:0')"), number("0,5", decimal_comma=True)
    (0.5, 97.5, 0.25, 0.5)

    Raises:
        ValueError: if the cell holds no number.
    """
    if cell is None:
        return math.nan
    if not isinstance(cell, str):
        return _of_object(cell)
    try:
        return float(cell)
    except ValueError:
        return _of_text(cell.strip(), decimal_comma)


def _of_object(value: Any) -> float:
    """Return a number, or the only number in an array or list."""
    while isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    try:
        return float(value)
    except (TypeError, RuntimeError, OverflowError):
        raise ValueError(f"not a number: {short(value, 40)!r}") from None


def _of_text(cell: str, decimal_comma: bool) -> float:
    if cell.lower() in EMPTY:
        return math.nan
    if (printed := PRINTED_TENSOR.fullmatch(cell)) is not None:
        return float(printed[1])
    cell = cell.removesuffix("%").strip()
    if THOUSANDS.fullmatch(cell) is not None and not decimal_comma:
        return float(cell.replace(",", ""))
    return float(cell.replace(",", ".") if decimal_comma else cell)


class Numbers:
    """A growing column of numbers, eight bytes each, and the first cell that is not a number."""

    def __init__(self, *, decimal_comma: bool = False) -> None:
        self.values = array("d")
        self.bad: tuple[int, str] | None = None
        self.percent = False
        self._decimal_comma = decimal_comma

    def append(self, cell: Any) -> None:
        """Append a cell; a cell that is not a number becomes NaN and is remembered with its row, counted from 1."""
        try:
            self.values.append(number(cell, decimal_comma=self._decimal_comma))
        except ValueError:
            self.values.append(math.nan)
            self.bad = self.bad or (len(self.values), short(cell, 40))
        if isinstance(cell, str) and cell.endswith("%"):
            self.percent = True

    def extend(self, cells: Sequence[Any]) -> "Numbers":
        """Append many cells, at once if all are plain numbers."""
        try:
            self.values.extend(array("d", map(float, cells)))
        except (ValueError, TypeError, RuntimeError, OverflowError):
            for cell in cells:
                self.append(cell)
        return self

    def pad(self, length: int) -> None:
        """Pad with NaN to a length."""
        self.values.extend([math.nan] * (length - len(self.values)))


class Texts:
    """A growing column of text: four bytes per cell, with each distinct text stored once."""

    MOST = 1000

    def __init__(self, rows: int = 0) -> None:
        self._known: dict[str, int] = {}
        self._codes = array("I")
        self.pad(rows)

    @property
    def too_many(self) -> bool:
        """Whether there are too many distinct texts to identify runs, settings or curves."""
        return len(self._known) > self.MOST

    def append(self, cell: Any) -> None:
        """Append a cell."""
        text = "" if cell is None else text_of(cell)[:80]
        self._codes.append(self._known.setdefault(text, len(self._known)))

    def extend(self, cells: Sequence[Any]) -> None:
        """Append many cells."""
        for cell in cells:
            self.append(cell)

    def pad(self, length: int) -> None:
        """Pad with empty texts to a length."""
        self.extend([""] * (length - len(self._codes)))

    def done(self) -> "Labels":
        """Return the finished column."""
        return Labels(np.array(self._codes, dtype=np.int64), tuple(self._known))


class Labels(NamedTuple):
    """A column of text with few distinct values: seeds, settings, names of curves.

    Attributes:
        codes: for each row, the index of its text.
        texts: the distinct texts, in order of appearance.
    """

    codes: np.ndarray
    texts: tuple[str, ...]

    def of(self, rows: np.ndarray) -> "Labels":
        """Return the labels of some rows."""
        return Labels(self.codes[rows], self.texts)

    @property
    def used(self) -> list[str]:
        """Return the texts that occur in any row, in order."""
        return [self.texts[code] for code in np.unique(self.codes)]
