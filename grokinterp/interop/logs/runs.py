"""The runs in one table, by a column that names them or where the steps start again; what a repeated step means."""

from collections.abc import Collection
from itertools import pairwise

import numpy as np

from grokinterp.interop.logs.names import is_run, is_step
from grokinterp.interop.logs.steps import Series
from grokinterp.interop.logs.table import Table
from grokinterp.interop.text_files import ForeignFileError


def runs_of(table: Table, axis: str | None, run_column: str | None) -> list[tuple[Table, str | None]]:
    """The tables of the runs in a table with rows, each with its column of steps; None where rows are to be counted.

    * Rows with the same text in the columns that name runs (seed, run, modelIndex, ...) are one run.
    * Steps that fall back to the first one start the next run, unless another column of steps goes on there: then
      they count inside of its epochs, and rows are counted instead.
    * Steps that fall back to a later one continue a run from a checkpoint.
    """
    found: list[tuple[Table, str | None]] = []
    for part in _by_label(table, run_column):
        starts = [] if axis is None else _starts(part.columns[axis])
        if not starts:
            found.append((part, axis))
        elif outer := _outer(part, axis, starts):
            part.notes.append(f"{axis} starts again with each {outer}: rows are counted instead")
            found.append((part, None))
        else:
            found += [(each, axis) for each in _at(part, starts, str(axis))]
    return found


def _by_label(table: Table, run_column: str | None) -> list[Table]:
    rows = table.rows
    apart = [name for name in table.labels if is_run(name) and 1 < len(set(table.labels[name])) < rows]
    names = [run_column] if run_column else apart
    if not names:
        return [table]
    texts = [" ".join(_labeled(names, cells)) for cells in zip(*(table.labels[name] for name in names), strict=True)]
    places: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        places.setdefault(text, []).append(row)
    return [table.part(np.array(found), text) for text, found in places.items()]


def _labeled(names: Collection[str], cells: tuple[str, ...]) -> list[str]:
    """Labels with their columns, as in ``seed=0``.

    >>> _labeled(["seed", "run"], ("0", ""))
    ['seed=0']
    """
    return [f"{name}={cell}" for name, cell in zip(names, cells, strict=True) if cell != ""]


def _starts(steps: np.ndarray) -> list[int]:
    """The rows at which steps that come again fall back to where they started; none if they do not."""
    known = np.flatnonzero(np.isfinite(steps))
    values = steps[known]
    if np.unique(values).size == values.size:
        return []
    falls = np.flatnonzero(np.diff(values) < 0) + 1
    return [int(known[fall]) for fall in falls if values[fall] <= values[0]]


def _outer(table: Table, axis: str | None, starts: list[int]) -> str | None:
    """Another column of steps that never falls, and rises wherever the steps start again."""
    others = {name: values for name, values in table.columns.items() if name != axis and is_step(name)}
    for name, values in others.items():
        goes_on = np.isfinite(values).all() and (np.diff(values) >= 0).all()
        if goes_on and all(values[row] > values[row - 1] for row in starts):
            return name
    return None


def _at(table: Table, starts: list[int], axis: str) -> list[Table]:
    bounds = [0, *starts, table.rows]
    count = len(starts) + 1
    parts = [
        table.part(np.arange(start, stop), " ".join(filter(None, (table.run, f"#{index}"))))
        for index, (start, stop) in enumerate(pairwise(bounds), 1)
    ]
    parts[0].notes.append(f"{axis} starts again {count - 1} times: {count} runs")
    return parts


def in_order(series: Series, name: str, table: Table, steps: str) -> Series:
    """A curve by increasing steps, one value a step, without what was not recorded.

    A step that comes again with the same value counts once. In a log that was continued from a checkpoint, the later
    values count. Whether NaN values end the curve is noted.

    Raises:
        ForeignFileError: a step with two values, in a log that was not continued.
    """
    known = np.isfinite(series.steps)
    rows = np.flatnonzero(known & ~np.isnan(series.values))
    given, values = series.steps[rows], series.values[rows]
    _note_missing(series, known, given, name, table)
    order = np.argsort(given, kind="stable")
    same = np.diff(given[order]) == 0
    differ = same & (values[order][1:] != values[order][:-1])
    if differ.any():
        if not was_continued(series.steps[known]):
            pair = rows[order][differ.argmax() :][:2]
            raise ForeignFileError(table.source, _two_values(series, pair, name, table, steps))
        note = f"{steps} falls back to {_resumed(series.steps[known])}: continued there, the later values count"
        table.notes += [note] if note not in table.notes else []
    last = np.append(~same, True)[: len(order)]
    return Series(given[order][last], values[order][last])


def _two_values(series: Series, pair: np.ndarray, name: str, table: Table, steps: str) -> str:
    """The step that has two values, with the rows of the file that they are in."""
    one, other = series.values[pair]
    places = " and ".join(str(table.file_row(int(row))) for row in pair)
    return (
        f"{steps} {series.steps[pair[0]]:g} is in rows {places} with {name} {one:g} and {other:g}: "
        "if a column tells runs apart, say --column run=NAME"
    )


def _note_missing(series: Series, known: np.ndarray, given: np.ndarray, name: str, table: Table) -> None:
    """Note rows without a step, and a curve that ends long before its log does."""
    if lost := int((~known).sum()):
        note = f"{lost} rows without a step are left out"
        table.notes += [note] if note not in table.notes else []
    if not given.size:
        return
    after = np.unique(series.steps[known & (series.steps > given.max())])
    usual = np.diff(np.unique(given)).max(initial=0)
    if after.size and after[-1] - given.max() > usual:
        table.notes.append(f"{name} has no number after step {given.max():g}, {after.size} steps before the log ends")


def was_continued(steps: np.ndarray) -> bool:
    """Whether steps fall back as those of a run that was continued from a checkpoint: each time past where they were.

    >>> was_continued(np.array([0, 10, 20, 10, 20, 30])), was_continued(np.array([0, 10, 5, 7, 10]))
    (True, False)
    """
    falls = np.flatnonzero(np.diff(steps) < 0) + 1
    parts = np.split(steps, falls)
    tops = [part.max() for part in parts]
    strict = all((np.diff(part) > 0).all() for part in parts)
    return bool(falls.size) and strict and all(later > top for top, later in pairwise(tops))


def _resumed(steps: np.ndarray) -> str:
    falls = np.flatnonzero(np.diff(steps) < 0) + 1
    return ", ".join(f"{steps[fall]:g}" for fall in falls[:3]) + (" ..." if falls.size > 3 else "")
