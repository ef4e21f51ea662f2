"""Separation of the runs in a table, by a column that names them or where the steps restart; repeated steps."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from grokinterp.interop.logs.names import is_run, is_step, meaning
from grokinterp.interop.logs.steps import Series
from grokinterp.interop.logs.table import Table
from grokinterp.interop.text_files import ForeignFileError


def runs_of(table: Table, run_column: str | None) -> list[Table]:
    """Return the tables of the runs in a table with rows.

    * Rows with the same text in the columns that name runs (seed, run, modelIndex, ...) form a run.
    * Steps that fall back to the first step start the next run, unless another column of steps continues there: then
      they count within its epochs, and rows are counted instead.
    * Steps that occur several times, with different values, belong to several runs if some setting distinguishes them.
    * Steps that fall back to a later step continue a run from a checkpoint.
    """
    apart = [name for name in table.labels if is_run(name) and 1 < len(table.labels[name].used) < table.rows]
    parts = _by_labels(table, [run_column] if run_column else apart)
    return [run for part in parts for run in _by_steps(part)]


def _by_steps(table: Table) -> list[Table]:
    """Return the tables of the runs in a table whose labels name a single run."""
    axis = table.axis
    if axis is None:
        table.count_rows()
        return [table]
    starts = _starts(table, axis)
    if not starts:
        return _by_labels(table, _settings_apart(table, axis))
    outer = _outer(table, axis, starts)
    if outer is None:
        return _at(table, starts, axis)
    table.note(f"{axis} restarts with each {outer}: rows are counted instead")
    table.axis = "row"
    table.columns[table.axis] = np.arange(table.rows, dtype=np.float64)
    return [table]


def _by_labels(table: Table, names: Sequence[str]) -> list[Table]:
    """Return the parts of a table that share the texts in some columns, in order of their first rows."""
    if not names:
        return [table]
    codes = np.stack([table.labels[name].codes for name in names], axis=1)
    _, first, part = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    texts = [" ".join(filter(None, (table.run, _labeled(table, names, row)))) for row in first.tolist()]
    return [table.part(np.flatnonzero(part.ravel() == place), texts[place]) for place in np.argsort(first)]


def _labeled(table: Table, names: Sequence[str], row: int) -> str:
    """Format the texts of a row with their columns, as in ``seed=0``."""
    cells = {name: table.labels[name].texts[table.labels[name].codes[row]] for name in names}
    return " ".join(f"{name}={cell}" for name, cell in cells.items() if cell)


def _settings_apart(table: Table, axis: str) -> list[str]:
    """Return columns of settings, such as the learning rate, that distinguish runs whose rows alternate.

    With them no step occurs twice; without them some step has two values of a curve.
    """
    steps = table.columns[axis]
    if not any(_has_two_values(steps, values) for values in _curves(table)) or was_continued(steps[np.isfinite(steps)]):
        return []
    known = np.isfinite(steps)
    found = []
    for name, column in table.labels.items():
        pairs = np.stack([column.codes[known], steps[known]], axis=1)
        if len(column.used) > 1 and len(np.unique(pairs, axis=0)) == len(pairs):
            found.append(name)
    if found:
        table.note(f"{axis} repeats: runs are distinguished by {' and '.join(found)}")
    return found


def _has_two_values(steps: np.ndarray, values: np.ndarray) -> bool:
    """Return whether a curve has different values at a step."""
    known = np.isfinite(steps) & ~np.isnan(values)
    points = np.unique(np.stack([steps[known], values[known]], axis=1), axis=0)
    return bool((np.diff(points[:, 0]) == 0).any())


def _starts(table: Table, axis: str) -> list[int]:
    """Return the rows at which steps fall back to their start, in a table with several values of a curve at a step."""
    steps = table.columns[axis]
    if not any(_is_repeated(steps, values) for values in _curves(table)):
        return []
    known = np.flatnonzero(np.isfinite(steps))
    falls = np.flatnonzero(np.diff(steps[known]) < 0) + 1
    return [int(known[fall]) for fall in falls if steps[known[fall]] <= steps[known[0]]]


def _curves(table: Table) -> list[np.ndarray]:
    """Return the columns read as curves: by their names or, if no name matches, all but the steps."""
    named = [values for name, values in table.columns.items() if meaning(name) is not None]
    return named or [values for name, values in table.columns.items() if name != table.axis]


def _is_repeated(steps: np.ndarray, values: np.ndarray) -> bool:
    """Return whether a curve was recorded twice at a step."""
    recorded = steps[np.isfinite(steps) & ~np.isnan(values)]
    return np.unique(recorded).size < recorded.size


def _outer(table: Table, axis: str, starts: list[int]) -> str | None:
    """Return another column of steps that never falls, and rises wherever the steps restart."""
    others = {name: values for name, values in table.columns.items() if name != axis and is_step(name)}
    for name, values in others.items():
        goes_on = np.isfinite(values).all() and (np.diff(values) >= 0).all()
        if goes_on and all(values[row] > values[row - 1] for row in starts):
            return name
    return None


def _at(table: Table, starts: list[int], axis: str) -> list[Table]:
    """Return the parts between rows, labeled by the settings that differ between them or, if none do, by number."""
    bounds = [0, *starts, table.rows]
    parts = [table.part(np.arange(start, stop), table.run) for start, stop in pairwise(bounds)]
    settings = [name for name in table.labels if all(len(part.labels[name].used) == 1 for part in parts)]
    settings = [name for name in settings if len({part.labels[name].used[0] for part in parts}) > 1]
    labels = [_labeled(part, settings, 0) for part in parts]
    if len(set(labels)) < len(parts):
        labels = [" ".join(filter(None, (label, f"#{index}"))) for index, label in enumerate(labels, 1)]
    for part, label in zip(parts, labels, strict=True):
        part.run = " ".join(filter(None, (table.run, label)))
    parts[0].note(f"{axis} restarts {len(starts)} time{'s' * (len(starts) > 1)}: {len(parts)} runs")
    return parts


def in_order(series: Series, name: str, table: Table) -> Series:
    """Sort a curve by step, with one value per step and without gaps.

    A step that recurs with the same value counts once. In a log continued from a checkpoint, the later values count. A
    note is added if NaN values end the curve.

    Raises:
        ForeignFileError: if a step has two values, in a log that was not continued.
    """
    steps = table.axis or "step"
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
        fall = f"{steps} falls back to {_resumed(series.steps[known])}"
        table.note(f"{fall}: the run was continued there, and the later values count")
    last = np.append(~same, True)[: len(order)]
    return Series(given[order][last], values[order][last])


def _two_values(series: Series, pair: np.ndarray, name: str, table: Table, steps: str) -> str:
    """Describe the step that has two values, with the rows of the file that contain them."""
    one, other = series.values[pair]
    places = " and ".join(str(table.file_row(int(row))) for row in pair)
    return (
        f"{steps} {series.steps[pair[0]]:g} is in rows {places} with {name} {one:g} and {other:g}: "
        "if a column identifies the runs, give --column run=NAME"
    )


def _note_missing(series: Series, known: np.ndarray, given: np.ndarray, name: str, table: Table) -> None:
    """Add notes on rows without a step, and on a curve that ends long before its log."""
    if lost := int((~known).sum()):
        note = f"{lost} rows without a step are omitted"
        table.note(note)
    if not given.size:
        return
    after = np.unique(series.steps[known & (series.steps > given.max())])
    usual = np.diff(np.unique(given)).max(initial=0)
    if after.size and after[-1] - given.max() > usual:
        table.note(f"{name} has no number after step {given.max():g}, {after.size} steps before the log ends")


def was_continued(steps: np.ndarray) -> bool:
    """Return whether steps fall back as in a run continued from a checkpoint: each time past their earlier end.

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
