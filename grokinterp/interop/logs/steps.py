"""The steps of each curve: from a column of steps, from a list of the same length, or inferred from the length."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from grokinterp.interop.logs.names import has_step_word, is_step, side, step_preference
from grokinterp.interop.logs.table import Table
from grokinterp.interop.text_files import ForeignFileError


class Series(NamedTuple):
    """A curve: its values and steps as in the file; NaN where nothing was recorded."""

    steps: np.ndarray
    values: np.ndarray


def step_column(table: Table, given: str | None) -> str | None:
    """Return the column of steps of a table with rows: the given column, or the best column of whole numbers.

    None if there is no column of steps.

    Raises:
        ForeignFileError: if there are columns of steps, but none with whole numbers.
    """
    names = [given] if given else _step_names(table)
    for name in names:
        if name in table.bad:
            row, text = table.bad[name]
            raise ForeignFileError(table.source, f"{name} is not a number in row {row}: {text!r}")
    names = [name for name in names if not np.isnan(table.columns[name]).all()]
    whole = [name for name in names if _first_fraction(table.columns[name]) is None]
    if whole or not names:
        return whole[0] if whole else None
    row = _first_fraction(table.columns[names[0]]) or 0
    why = f"{names[0]} is {table.columns[names[0]][row]:g} in row {row + 1}: steps must be whole numbers"
    raise ForeignFileError(table.source, why)


def _step_names(table: Table) -> list[str]:
    """Return names of columns of steps, best first, or of increasing columns with a word for steps."""
    sure = sorted(filter(is_step, table.columns), key=step_preference)
    return sure or [name for name in table.columns if has_step_word(name) and _increases(table.columns[name])]


def _increases(values: np.ndarray) -> bool:
    """Return whether values are increasing whole numbers.

    >>> _increases(np.array([0, 10, 20])), _increases(np.array([0.5, 1.0])), _increases(np.array([5, 5]))
    (True, False, False)
    """
    return len(values) > 1 and bool((values == np.round(values)).all() and (np.diff(values) > 0).all())


def _first_fraction(steps: np.ndarray) -> int | None:
    wrong = np.isinf(steps) | (np.isfinite(steps) & (steps != np.round(steps))) | (np.abs(steps) > 2**53)
    return int(wrong.argmax()) if wrong.any() else None


def with_steps(table: Table, columns: Mapping[str, str], given: str | None) -> dict[str, Series]:
    """Return the curves with their steps; inferences are added to the notes of the table.

    Args:
        table: the table of a single run.
        columns: the names of the columns by this package's names.
        given: the user's column of steps.

    Raises:
        ForeignFileError: if neither a list of steps nor a whole stride explains the length of a curve.
    """
    axis = given or table.axis
    longest = max(columns.values(), key=lambda name: len(table.columns[name]), default="")
    steps = {
        ours: table.columns[axis] if axis is not None else _steps_of(table, theirs, longest)
        for ours, theirs in columns.items()
    }
    for ours, theirs in columns.items():
        if (row := _first_fraction(steps[ours])) is not None:
            why = f"{theirs} is at step {steps[ours][row]:g} at position {row + 1}: steps must be whole numbers"
            raise ForeignFileError(table.source, why)
        if len(steps[ours]) != (length := len(table.columns[theirs])):
            raise ForeignFileError(table.source, f"{theirs} has {length} values for the {len(steps[ours])} of {axis}")
    return {ours: Series(steps[ours], table.columns[theirs]) for ours, theirs in columns.items()}


def _steps_of(table: Table, name: str, longest: str) -> np.ndarray:
    """Return the steps of a curve: its own, a list of its length, or a subset of a longer list or curve."""
    if name in table.own_steps:
        return table.own_steps[name]
    length = len(table.columns[name])
    lists = {each: table.columns[each] for each in _step_names(table)}
    fitting = [each for each in lists if len(lists[each]) == length]
    if fitting:
        return lists[min(fitting, key=lambda each: _closeness(each, name))]
    if lists:
        of = max(lists, key=lambda each: len(lists[each]))
        whole = len(table.columns[longest])
        if len(lists[of]) > length:
            return lists[of][_strided(table, name, len(lists[of]), of)]
        if lists[of].max() > whole:
            why = f"{name} has {length} values; {of} has {len(lists[of])} and ends at {lists[of].max():g}"
            raise ForeignFileError(table.source, why)
    steps = table.counted(len(table.columns[longest]))
    return steps if len(steps) == length else steps[_strided(table, name, len(steps), longest)]


def _closeness(steps: str, curve: str) -> tuple[int, tuple[int, int, int]]:
    """Return the sort key: steps of the curve's own split first, of the other split last."""
    one, other = side(steps), side(curve)
    return 0 if one == other else 1 if one is None or other is None else 2, step_preference(steps)


def has_steps_by_split(table: Table) -> bool:
    """Return whether there are separate steps of training and of evaluation."""
    return {"train", "test"} <= {side(name) for name in _step_names(table)}


class Stride(NamedTuple):
    """Which of many steps were recorded: every k-th from an offset, possibly with the last step added."""

    every: int
    first: int
    and_last: bool = False

    def places(self, whole: int) -> np.ndarray:
        """Return the indices of the recorded steps among ``whole`` steps."""
        places = np.arange(self.first, whole, self.every)
        return np.append(places, whole - 1) if self.and_last else places


def _strided(table: Table, name: str, whole: int, of: str) -> np.ndarray:
    """Return the indices of the values of a shorter curve among ``whole`` steps."""
    length = len(table.columns[name])
    found = stride(whole, length)
    if found is None:
        why = f"{name} has {length} values for the {whole} of {of}: the interval is ambiguous"
        raise ForeignFileError(table.source, why)
    start = "from the first on" if found.first == 0 else f"from place {found.first + 1} on"
    end = " and at the last" if found.and_last else ""
    note = f"{name} has {length} values for {whole} steps: read as one every {found.every} steps {start}{end}"
    table.note(note)
    return found.places(whole)


def stride(whole: int, part: int) -> Stride | None:
    """Return the stride at which ``part`` of ``whole`` values were recorded, or None if no whole stride fits.

    Every k-th value from the first gives ceil(whole / k) values, the end of each k floor(whole / k), the first kind
    with the last value added one more. Of all strides that fit, strides that divide the steps evenly are preferred,
    then the roundest (fewest digits before trailing zeros; powers of two are round; 10 before 9), then the first kind,
    since most programs evaluate if ``step % k == 0``.

    >>> stride(50_000, 5_000).every, stride(107_791, 10_780).every, stride(100, 11), stride(100, 77)
    (10, 10, Stride(every=10, first=0, and_last=True), None)
    """
    if not 1 < part <= whole:
        return None
    fits = []
    for every in range(max(whole // (part + 1), 1), -(-whole // max(part - 2, 1)) + 1):
        even = whole == every * part or whole - 1 == every * (part - 1)
        digits = 1 if every.bit_count() == 1 else len(str(every).rstrip("0"))
        for kind, found in enumerate((Stride(every, 0), Stride(every, every - 1), Stride(every, 0, and_last=True))):
            if _count(whole, found) == part:
                fits.append(((not (even and kind == 0), digits, -len(str(every)), kind, every), found))
    return min(fits)[1] if fits else None


def _count(whole: int, found: Stride) -> int:
    count = -(-(whole - found.first) // found.every)
    return count + (found.and_last and (whole - 1) % found.every != 0)
