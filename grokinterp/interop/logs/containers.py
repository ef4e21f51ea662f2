"""Logs in plain containers: rows, parallel lists, histories nested in results, runs."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from grokinterp.interop.logs.cells import number
from grokinterp.interop.logs.names import is_run, is_step, meaning, side, words
from grokinterp.interop.logs.table import RowsReader, Table, is_value, may_be_read


def tables_of(content: Any, path: Path, wanted: frozenset[str] = frozenset()) -> list[Table]:
    """Return the tables of the runs in dicts, lists and numbers.

    * a list of objects with numbers: rows; with lists: each object is a run;
    * an object whose names are steps: rows;
    * an object of objects, or of lists of rows, that have the same curves: each is a run, labeled by its name;
    * an object of columns, or of names and data, as pandas writes it;
    * an object with lists of numbers in it, at any depth: columns, of any lengths;
    * an object with lists of rows in it, at any depth: these rows.
    """
    content = _of_pandas(content)
    if isinstance(content, list):
        return _of_list(content, path, wanted)
    if not isinstance(content, Mapping):
        return []
    if rows := _rows_by_step(content, wanted):
        return _of_list(rows, path, wanted)
    for each in (content, *content.values()):
        if runs := _runs(each, wanted):
            return [_labeled(table, str(name)) for name in runs for table in tables_of(each[name], path, wanted)]
    return _of_object(content, path, wanted)


def _of_object(content: Mapping[str, Any], path: Path, wanted: frozenset[str]) -> list[Table]:
    """Return the columns in an object or, without columns, its rows; other entries describe its runs."""
    flat, columns = flattened(content), _columns(content, wanted)
    lists = {name: value for name, value in flat.items() if _is_rows(value)}
    if any(meaning(name) or name in wanted for name in columns):
        tables = [_of_columns(columns, path)]
    else:
        tables = _of_lists(lists, path, wanted)
    for table in tables:
        table.about = {name: value for name, value in flat.items() if name not in lists} | table.about
    return tables


def _of_lists(lists: Mapping[str, list[Any]], path: Path, wanted: frozenset[str]) -> list[Table]:
    """Return the rows in several lists: one run if the lists are named after splits, else a run for each list."""
    if any(map(side, lists)):
        rows = [_within(name, flattened(row)) for name, rows in lists.items() for row in rows]
        return _of_list(rows, path, wanted)
    found = [(name, table) for name, rows in lists.items() for table in _of_list(rows, path, wanted)]
    return [_labeled(table, name if len(found) > 1 else "") for name, table in found]


def _within(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Prefix the names of a row with the name of its list, except for steps."""
    return {each if is_step(each) else f"{name}/{each}": value for each, value in row.items()}


def _rows_by_step(content: Mapping[str, Any], wanted: Collection[str]) -> list[Any]:
    """Return the rows of an object whose names are steps and whose values are objects of numbers, or []."""
    if not all(str(name).isdecimal() and isinstance(value, Mapping) for name, value in content.items()):
        return []
    if any(_curves(value, wanted) and _columns(value, wanted) for value in content.values()):
        return []
    return [{"step": int(name)} | dict(value) for name, value in content.items()]


def _of_pandas(content: Any) -> Any:
    """Return the output of ``DataFrame.to_json``, by columns or split, as parallel lists or as rows."""
    if not isinstance(content, Mapping):
        return content
    names, data = content.get("columns"), content.get("data")
    if isinstance(names, list) and isinstance(data, list) and all(isinstance(row, list) for row in data):
        return [dict(zip(map(str, names), row, strict=False)) for row in data]
    by_row = {name: value for name, value in content.items() if _is_numbered(value)}
    if len(by_row) < 2 or len({tuple(value) for value in by_row.values()}) > 1:
        return content
    return {name: list(value.values()) if name in by_row else value for name, value in content.items()}


def _is_numbered(value: Any) -> bool:
    """Return whether an object is a column: cells by their row numbers, from 0."""
    return isinstance(value, Mapping) and len(value) > 1 and [*map(str, range(len(value)))] == [*value]


def _of_list(rows: list[Any], path: Path, wanted: frozenset[str]) -> list[Table]:
    """Return the rows in a list, or the runs in it if its objects hold lists themselves."""
    if not _is_rows(rows):
        return []
    if any(_curves(row, wanted) for row in rows):
        runs = [(row, table) for row in rows for table in tables_of(row, path, wanted)]
        return [_labeled(table, _label(row, index)) for index, (row, table) in enumerate(runs)]
    reader, about = RowsReader(path, wanted), {}
    for row in map(flattened, rows):
        about |= taken(row, reader, wanted)
    table = reader.done()
    table.about = about
    return [table] if reader.rows else []


def taken(row: Mapping[str, Any], reader: RowsReader, wanted: Iterable[str]) -> dict[str, Any]:
    """Pass an object to the reader if it is a row of curves; otherwise return its description of the run.

    An object describes the run if it has no curve, if all its names begin with "_", or if it lacks the steps that the
    rows before it have.
    """
    marked = all(name.startswith("_") and "/" in name for name in row)
    has_curve = any(meaning(name) is not None or is_value(name) or name in wanted for name in row)
    lacks_steps = any(map(is_step, reader.names)) and not any(map(is_step, row))
    if marked or lacks_steps or not has_curve:
        return {name.split("/", 1)[-1] if name.startswith("_") else name: value for name, value in row.items()}
    reader.take(row)
    return {}


def flattened(row: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten nested objects, joining names with a slash.

    >>> flattened({"step": 1, "train": {"loss": 0.5}})
    {'step': 1, 'train/loss': 0.5}
    """
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}/{inner}": each for inner, each in flattened(value).items()}
        else:
            flat[str(name)] = value
    return flat


def _of_columns(columns: Mapping[str, list[Any]], path: Path) -> Table:
    table = Table(path, names=list(columns))
    for name, values in columns.items():
        if values and all(isinstance(value, list | tuple) and len(value) in (2, 3) for value in values):
            _add_pairs(table, name, values)
        else:
            table.add(name, values)
    return table


def _add_pairs(table: Table, name: str, values: list[Any]) -> None:
    """Add a curve of (step, value) or (time, step, value)."""
    table.add(name, [value[-1] for value in values])
    table.own_steps[name] = np.array([number(value[-2]) for value in values])


def _runs(content: Any, wanted: Collection[str]) -> list[str]:
    """Return the names under which an object holds runs: objects or rows with equal curves, not named after splits."""
    if not isinstance(content, Mapping):
        return []
    held = {name: found for name, value in content.items() if (found := _curves(value, wanted, rows=True))}
    alike = len(held) > 1 and len(set(held.values())) == 1 and len(next(iter(held.values()))) > 1
    return list(held) if alike and not any(map(side, held)) else []


def _curves(value: Any, wanted: Collection[str], *, rows: bool = False) -> frozenset[str]:
    """Return the names of the curves in lists inside an object; with ``rows``, also those in a list of rows."""
    if rows and _is_rows(value):
        return frozenset(name for row in value for name in flattened(row) if meaning(name) or name in wanted)
    flat = flattened(value) if isinstance(value, Mapping) else {}
    inside = [_curves(each, wanted, rows=True) for each in flat.values() if _is_rows(each)]
    own = (name for name in _columns(value, wanted) if meaning(name) or name in wanted)
    return frozenset(own).union(*inside)


def _columns(content: Any, wanted: Collection[str]) -> dict[str, list[Any]]:
    """Return lists of numbers, or of pairs with a step, inside an object, by their path."""
    flat = flattened(content) if isinstance(content, Mapping) else {}
    return {name: value for name, value in flat.items() if _is_series(value) and (name in wanted or may_be_read(name))}


def _is_series(value: Any) -> bool:
    if not isinstance(value, list | tuple) or not value:
        return False
    first = value[0]
    return (isinstance(first, list | tuple) and 1 <= len(first) <= 3) or _is_cell(first)


def _is_cell(value: Any) -> bool:
    if isinstance(value, str | None):
        try:
            number(value)
        except ValueError:
            return False
        return True
    return not isinstance(value, Mapping | list | tuple)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_object, value))


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _label(row: Mapping[str, Any], index: int) -> str:
    """Return the label of a run among several: the label in its object, or its index."""
    labels = [str(value) for name, value in row.items() if is_run(str(name)) or words(str(name)) == ("name",)]
    return " ".join(labels) or str(index)


def _labeled(table: Table, run: str) -> Table:
    table.run = " ".join(filter(None, (run, table.run)))
    return table
