"""Choice of the reader for a path, by its suffix or, if that is ambiguous, by its first characters."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from grokinterp.interop.logs.arrays import read_npy, read_npz, read_pth
from grokinterp.interop.logs.delimited import read_delimited
from grokinterp.interop.logs.exports import by_run, read_events
from grokinterp.interop.logs.json_logs import read_json, read_json_lines
from grokinterp.interop.logs.long import widened
from grokinterp.interop.logs.names import is_step, meaning, side, words
from grokinterp.interop.logs.table import Table, is_value
from grokinterp.interop.text_files import ForeignFileError, open_text
from grokinterp.storage import RunDirectory

METRICS = "metrics.jsonl"
EVENTS = "events.out.tfevents"

Reader = Callable[[Path, Iterable[str]], list[Table]]

READERS: dict[str, Reader] = {
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".txt": read_delimited,
    ".dat": read_delimited,
    ".json": read_json,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".npz": read_npz,
    ".npy": lambda path, wanted: read_npy([path], wanted),
    ".pth": read_pth,
    ".pt": read_pth,
}
"""Readers by file suffix."""


def read_tables(path: Path, wanted: Iterable[str] = ()) -> list[Table]:
    """Return the tables in a file or in a run directory. Raises ForeignFileError."""
    if path.is_dir():
        path = _log_in(path)
    if path.name == METRICS and (path.parent / "experiment.json").exists():
        return [read_run(path)]
    is_events = path.is_dir() or path.name.startswith(EVENTS)
    reader = read_events if is_events else READERS.get(path.suffix.lower()) or _by_content(path)
    tables = [each for table in reader(path, wanted) for each in by_run(widened(table))]
    for table in tables:
        _name_by_file(table)
        _split_by_file(table)
    return tables


def _log_in(directory: Path) -> Path:
    """Return the metrics of a run directory, or the folder itself if TensorBoard wrote it. Raises ForeignFileError."""
    if (directory / METRICS).is_file():
        return directory / METRICS
    if any(directory.glob(f"{EVENTS}*")):
        return directory
    why = f"is neither a run directory (no {METRICS}) nor a folder of event files: give the path of the log in it"
    raise ForeignFileError(directory, why)


def _by_content(path: Path) -> Reader:
    """Return the reader of a text file with an ambiguous suffix."""
    with open_text(path) as file:
        start = file.read(2**12).lstrip()
    if start.startswith("["):
        return read_json
    if start.startswith("{"):
        return read_json_lines if start.split("\n", 1)[0].rstrip().endswith("}") else read_json
    return read_delimited


def read_run(path: Path) -> Table:
    """Read the metrics of a run directory of this package as its report does, without damaged rows.

    Its weight norm is a sum of squares, the training accuracy with label noise is the accuracy on the correctly labeled
    examples, and environment.json has the number of test examples.
    """
    run = RunDirectory.open(path.parent)
    recorded, check = run.read_metrics()
    numbers = {name: values for name, values in recorded.columns.items() if isinstance(name, str)}
    columns = {name: np.array(values, dtype=np.float64) for name, values in {"step": recorded.steps, **numbers}.items()}
    table = Table(path, columns, names=list(columns), notes=[check.faults] if check.faults else [])
    if not len(recorded.steps):
        raise ForeignFileError(path, "is empty")
    if "weight_norm" in columns:
        columns["sum_of_squared_weights"] = columns.pop("weight_norm")
    if "clean_accuracy" in columns:
        columns["train_accuracy"] = columns.pop("clean_accuracy")
        table.notes.append("train_accuracy is clean_accuracy, the accuracy on the correctly labeled examples")
    table.about["n_test"] = run.environment.get("n_test")
    return table


def _split_by_file(table: Table) -> None:
    """Assign quantities without a split to the split in the file name, as in train.csv and test.csv."""
    splits = [word for word in words(table.source.stem) if side(word)]
    curves = {name: found for name in table.columns if (found := meaning(name)) is not None}
    if len(splits) != 1 or not curves or any(found.split for found in curves.values()):
        return
    table.columns = {f"{splits[0]} {name}" if name in curves else name: table.columns[name] for name in table.columns}
    table.bad |= {f"{splits[0]} {name}": cell for name, cell in table.bad.items() if name in curves}
    table.percents |= {f"{splits[0]} {name}" for name in table.percents}
    table.note(f"its curves belong to {splits[0]}, according to the file name")


def _name_by_file(table: Table) -> None:
    """Name a single column of values after its file, as in exports with one curve per file."""
    values = [name for name in table.columns if is_value(name)]
    others = [name for name in table.columns if not (is_value(name) or is_step(name) or "time" in words(name))]
    if len(values) == 1 and not others:
        table.columns = {table.source.stem if name in values else name: table.columns[name] for name in table.columns}
        table.names = list(table.columns)
