"""Build and update the database of runs: one transaction per run, and only for runs whose files have changed."""

import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

from grokinterp.errors import ConfigError, GrokinterpError
from grokinterp.progress import ProgressBar
from grokinterp.storage.files import canonical_json, path_of
from grokinterp.sweeps.database import transaction, written
from grokinterp.sweeps.found import Folder, Found, runs_below
from grokinterp.sweeps.record import Record, read_record
from grokinterp.sweeps.rows import metric_rows, run_values


class Changes(NamedTuple):
    """The result of a build or an update.

    Attributes:
        written: number of runs that were read and written.
        unchanged: number of runs that were in the database already.
        removed: number of runs that no longer exist below the root.
        rows: number of rows of metrics that were written.
        left_out: the reason why each run, or ``sweep.json``, is not in the database, by its path below the root.
        damaged: what was left out of each run that is in the database in part.
    """

    written: int
    unchanged: int
    removed: int
    rows: int
    left_out: dict[str, str]
    damaged: dict[str, str]


class Stored(NamedTuple):
    """A run as it is in the database."""

    run_id: str
    source: str
    experiments: str
    damage: str | None


def build_db(root: str | Path, path: str | Path, *, progress: bool = False) -> Changes:
    """Build the database of all runs below a folder; a database at the path, of any version, is emptied first.

    Args:
        root: a folder with runs at any depth: of sweeps, leagues, or single trainings.
        path: the file of the database.
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: the root contains no run, or the path is a file of another kind.
        WriteError: the database cannot be written; ``update_db`` continues.
    """
    folder, file = runs_below(root), path_of("db", path)
    with written(file, new=True) as connection:
        return ingest(connection, folder, progress=progress)


def update_db(root: str | Path, path: str | Path, *, progress: bool = False) -> Changes:
    """Update a database to the runs below a folder, so that it equals one that is built from scratch.

    Only runs whose files have changed are read. Runs that no longer exist are removed.

    Args:
        root: the folder for which the database was built.
        path: the file of the database.
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: the root contains no run, the file is not a database of this version, or none of its runs is below
            the root.
        WriteError: the database cannot be written; the next call continues.
    """
    folder, file = runs_below(root), path_of("db", path)
    with written(file, new=False) as connection:
        there = stored(connection).keys()
        if there and not there & {found.directory for found in folder.runs}:
            rule = f"contains none of the {len(there)} runs in {file}; `db build` replaces them"
            raise ConfigError("root", root, rule)
        return ingest(connection, folder, progress=progress)


def ingest(connection: sqlite3.Connection, folder: Folder, *, progress: bool) -> Changes:
    """Write the runs of a folder that have changed, then the experiments; remove runs that no longer exist."""
    before, kept = stored(connection), dict[str, Found]()
    left_out, damaged, n_written, n_rows = dict(folder.damaged), dict[str, str](), 0, 0
    metrics = [name for (name,) in connection.execute("SELECT name FROM pragma_table_info('metrics')")]
    with ProgressBar("reading", len(folder.runs), shown=progress) as bar:
        for found in folder.runs:
            source, there = found.source, before.get(found.directory)
            try:
                if there is not None and there.source == source:
                    run_id, damage = there.run_id, there.damage or ""
                    require_new(found.directory, run_id, kept)
                else:
                    record = read_record(found)
                    run_id, damage = record.run_id, record.damage
                    require_new(found.directory, run_id, kept)
                    n_rows += write(connection, record, found, source, metrics)
                    n_written += 1
                kept[run_id] = found
                if damage:
                    damaged[found.directory] = damage
            except GrokinterpError as error:
                left_out[found.directory] = str(error)
            bar.advance()
    gone = {run.run_id for run in before.values()} - kept.keys()
    write_experiments(connection, folder, kept, gone)
    return Changes(n_written, len(kept) - n_written, len(gone), n_rows, left_out, damaged)


def require_new(directory: str, run_id: str, kept: dict[str, Found]) -> None:
    """Raise ConfigError if a run of another directory has the same configuration."""
    if run_id in kept:
        raise ConfigError("run", directory, f"has the same configuration as {kept[run_id].directory}, which is used")


def stored(connection: sqlite3.Connection) -> dict[str, Stored]:
    """Return the runs in the database by directory."""
    found = connection.execute("SELECT directory, run_id, source, experiments, damage FROM runs")
    return {directory: Stored(*rest) for directory, *rest in found}


def write(connection: sqlite3.Connection, record: Record, found: Found, source: str, metrics: list[str]) -> int:
    """Write or replace a run with its metrics, in one transaction; return the number of rows of metrics."""
    values = run_values(record, found) | {"experiments": experiments_of(found), "source": source}
    run = f"INSERT OR REPLACE INTO runs ({', '.join(values)}) VALUES ({', '.join('?' for _ in values)})"
    rows = f"INSERT INTO metrics VALUES ({', '.join('?' for _ in metrics)})"
    with transaction(connection):
        connection.execute("DELETE FROM metrics WHERE run_id = ?", [record.run_id])
        connection.execute(run, list(values.values()))
        connection.executemany(rows, metric_rows(record, metrics))
    return len(record.table.steps)


def write_experiments(connection: sqlite3.Connection, folder: Folder, kept: dict[str, Found], gone: set[str]) -> None:
    """Remove runs that no longer exist, and write the experiments and which runs belong to them, where they changed."""
    table = "SELECT experiment, about, listed, fixed, impossible FROM experiments"
    before, names = connection.execute(table).fetchall(), stored(connection)
    after = experiment_rows(folder, kept)
    moved = [
        (experiments_of(run), run_id)
        for run_id, run in kept.items()
        if run.directory in names and names[run.directory].experiments != experiments_of(run)
    ]
    if not (gone or moved or before != after):
        return
    with transaction(connection):
        for table in ("metrics", "runs"):
            connection.executemany(f"DELETE FROM {table} WHERE run_id = ?", [(key,) for key in gone])
        connection.executemany("UPDATE runs SET experiments = ? WHERE run_id = ?", moved)
        if before != after:
            connection.execute("DELETE FROM experiments")
            connection.executemany("INSERT INTO experiments VALUES (?, ?, ?, ?, ?)", after)


def experiment_rows(folder: Folder, kept: dict[str, Found]) -> list[tuple[Any, ...]]:
    """Return the rows of the table ``experiments``, sorted by name: sweeps, and folders of runs that none lists."""
    rows = [
        (name, sweep.about, len(sweep.runs), canonical_json(sweep.fixed), canonical_json(sweep.impossible))
        for name, sweep in folder.sweeps.items()
        if sweep.runs
    ]
    others = [name for found in kept.values() for name in found.experiments if name not in folder.sweeps]
    rows += [(name, f"runs in {name}", others.count(name), "{}", "[]") for name in dict.fromkeys(others)]
    return sorted(rows)


def experiments_of(found: Found) -> str:
    """Return the experiments of a run as the column contains them."""
    return " ".join(found.experiments)
