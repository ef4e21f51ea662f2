"""Logs in JSON: rows as objects, lists side by side, histories inside of results, several runs; and one row a line."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from grokinterp.interop.logs.cells import number
from grokinterp.interop.logs.names import is_run, is_step, meaning, names_split, words
from grokinterp.interop.logs.table import RowsReader, Table, is_value, may_be_read
from grokinterp.interop.text_files import ForeignFileError, open_text, read_text


def read_json_lines(path: Path, wanted: Iterable[str] = ()) -> list[Table]:
    """The table of a file with one JSON object a line.

    A line that holds no curve is about the run: one whose only name starts with "_", as ``{"_summary": {...}}``, or
    one without any curve in it. A last line that was cut off is left out.

    Raises:
        ForeignFileError: an empty file, no rows, a line that is no object.
    """
    reader, notes = RowsReader(path, wanted), []
    about: dict[str, Any] = {}
    with open_text(path) as file:
        for line, row in _objects(file, path):
            if row is None:
                notes.append(f"line {line}, the last one, is cut off and left out")
            else:
                about |= _taken(flattened(row), reader, wanted)
    table = reader.done()
    if not reader.rows:
        raise ForeignFileError(path, "has no rows with a curve" if about else "is empty")
    table.about, table.notes = about, notes
    return [table]


def _objects(file: Iterable[str], path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """The objects with their line numbers; None for a last line that is cut off."""
    numbered = ((number, line) for number, line in enumerate(file, 1) if line.strip())
    for index, line in numbered:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            if index == 1 or next(numbered, None) is not None:
                raise ForeignFileError(path, f"line {index} is not JSON: {line.strip()[:40]!r}") from None
            yield index, None
            return
        if not isinstance(row, dict):
            raise ForeignFileError(path, f"line {index} is no JSON object: {line.strip()[:40]!r}")
        yield index, row


def _taken(row: Mapping[str, Any], reader: RowsReader, wanted: Iterable[str]) -> dict[str, Any]:
    """Give an object to the reader if it is a row of curves; what it says about the run if it is not.

    An object is about the run if it has no curve, if all its names are marked by "_", or if it lacks the steps that
    the rows before it have.
    """
    marked = all(name.startswith("_") and "/" in name for name in row)
    has_curve = any(meaning(name) is not None or is_value(name) or name in wanted for name in row)
    lacks_steps = any(map(is_step, reader.names)) and not any(map(is_step, row))
    if marked or lacks_steps or not has_curve:
        return {name.split("/", 1)[-1] if name.startswith("_") else name: value for name, value in row.items()}
    reader.take(row)
    return {}


def flattened(row: Mapping[str, Any]) -> dict[str, Any]:
    """An object with the objects inside it as names with a slash.

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


def read_json(path: Path, wanted: Iterable[str] = ()) -> list[Table]:
    """The tables, one a run, of a JSON file. Raises ForeignFileError."""
    text = read_text(path)
    if not text.strip():
        raise ForeignFileError(path, "is empty")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        if _starts_with_objects(text):
            return read_json_lines(path, wanted)
        raise ForeignFileError(path, f"is not JSON: {error}") from None
    del text
    if isinstance(content, list) and content and all(isinstance(row, list) and len(row) == 3 for row in content):
        content = {path.stem: content}  # one curve as TensorBoard exports it
    tables = tables_of(content, path, frozenset(wanted))
    if not tables:
        raise ForeignFileError(path, "holds no lists of numbers and no list of objects")
    return tables


def _starts_with_objects(text: str) -> bool:
    """Whether the first line is an object of its own: JSON lines with the name of a JSON file."""
    try:
        return isinstance(json.loads(text.lstrip().split("\n", 1)[0]), dict)
    except (ValueError, RecursionError):
        return False


def tables_of(content: Any, path: Path, wanted: frozenset[str] = frozenset()) -> list[Table]:
    """The runs in plain containers: dicts, lists, numbers, whatever library read them.

    * a list of objects with numbers: rows; with lists: each object is a run;
    * an object whose names are steps: rows;
    * an object of objects that have the same lists: each is a run, labeled by its name;
    * an object of columns, or of names and data, as pandas writes it;
    * an object with one list of rows in it, at any depth: these rows;
    * an object with lists of numbers in it, at any depth: columns, of any lengths.
    """
    content = _of_pandas(content)
    if isinstance(content, list):
        return _of_list(content, path, wanted)
    if not isinstance(content, Mapping):
        return []
    if content and all(str(name).isdecimal() for name in content) and all(map(_is_object, content.values())):
        rows = [{"step": int(name)} | dict(value) for name, value in content.items()]
        if not any(_columns(value, wanted) for value in content.values()):
            return _of_list(rows, path, wanted)
    if runs := _runs(content, wanted):
        return [_labeled(table, str(name)) for name in runs for table in tables_of(content[name], path, wanted)]
    for value in content.values():
        if isinstance(value, Mapping) and _runs(value, wanted):
            return tables_of(value, path, wanted)
    flat = flattened(content)
    lists = {name: value for name, value in flat.items() if _is_rows(value)}
    columns = _columns(content, wanted)
    about = {name: value for name, value in flat.items() if name not in lists and name not in columns}
    tables = [_of_columns(columns, path)] if columns else []
    if not any(meaning(name) for name in columns):
        found = {name: table for name, rows in lists.items() for table in _of_list(rows, path, wanted)}
        tables = [_labeled(table, name if len(found) > 1 else "") for name, table in found.items()] or tables
    for table in tables:
        table.about = about | table.about
    return tables


def _of_pandas(content: Any) -> Any:
    """What ``DataFrame.to_json`` wrote, by columns or split, as lists side by side or as rows."""
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
    """Whether an object is a column: cells by the numbers of their rows, from 0."""
    return isinstance(value, Mapping) and len(value) > 1 and [*map(str, range(len(value)))] == [*value]


def _of_list(rows: list[Any], path: Path, wanted: frozenset[str]) -> list[Table]:
    if not _is_rows(rows):
        return []
    if any(_columns(row, wanted) for row in rows):
        runs = [(row, table) for row in rows for table in tables_of(row, path, wanted)]
        return [_labeled(table, _label(row, index)) for index, (row, table) in enumerate(runs)]
    reader, about = RowsReader(path, wanted), {}
    for row in map(flattened, rows):
        about |= _taken(row, reader, wanted)
    table = reader.done()
    table.about = about
    return [table] if reader.rows else []


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


def _runs(content: Mapping[str, Any], wanted: Collection[str]) -> list[str]:
    """The names under which an object holds runs: objects with the same curves, not named by splits."""
    curves = {
        name: frozenset(filter(meaning, _columns(value, wanted) or _row_names(value)))
        for name, value in content.items()
        if isinstance(value, Mapping | list)
    }
    held = {name: found for name, found in curves.items() if found}
    alike = len(held) > 1 and len(set(held.values())) == 1
    apart = not any(map(names_split, held))
    return list(held) if alike and apart and len(next(iter(held.values()))) > 1 else []


def _row_names(value: Any) -> set[str]:
    return set(flattened(value[0])) if _is_rows(value) else set()


def _columns(content: Any, wanted: Collection[str]) -> dict[str, list[Any]]:
    """Lists of numbers, or of pairs with a step, inside an object, by their path."""
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
    """The label of a run among others: that in its object, or its place."""
    labels = [str(value) for name, value in row.items() if is_run(str(name)) or words(str(name)) == ("name",)]
    return " ".join(labels) or str(index)


def _labeled(table: Table, run: str) -> Table:
    table.run = " ".join(filter(None, (run, table.run)))
    return table
