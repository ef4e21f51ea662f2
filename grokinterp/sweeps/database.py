"""The database of runs: an SQLite file, opened for reading or writing only if it is a database of this version."""

import os
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from grokinterp.errors import ConfigError, WriteError, require, short
from grokinterp.storage.atomic import output_file
from grokinterp.storage.files import MAX_DOCUMENT_BYTES, open_regular, path_of, read_regular

if TYPE_CHECKING:
    import pandas

VERSION = 3
"""The ``user_version`` of the schema, raised when a table, a view, or the meaning of a column changes."""

APPLICATION = 0x67726F6B
"""The ``application_id`` of these databases: "grok"."""

MAGIC = b"SQLite format 3\0"
LARGEST = 2**47
"""Largest database that is opened, in bytes; SQLite allows no larger ones."""

PATIENCE = 60.0
"""Seconds to wait for another process that writes; it holds the lock for one run at a time."""

READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
"""The actions that a query may take: none that writes this or another file, or opens one."""

STEPS_PER_PAUSE = 100_000
"""Number of steps of SQLite's machine between pauses in which a signal can stop a query."""

DESCRIBING = {"table_info", "table_xinfo", "table_list"}
"""Pragmas that a query may use, also as tables: ``pragma_table_info('runs')``."""


@final
@dataclass(frozen=True)
class Database:
    """A database of runs, whose tables and views are pandas DataFrames (docs/database.md); it is never changed.

    >>> open_db("experiments.db").phase_boundary  # doctest: +SKIP
    """

    path: Path

    @property
    def experiments(self) -> "pandas.DataFrame":
        """The experiments: sweeps, and folders of other runs."""
        return self.query("SELECT * FROM experiments ORDER BY experiment")

    @property
    def runs(self) -> "pandas.DataFrame":
        """The runs, each once, with configuration and outcome."""
        return self.query("SELECT * FROM runs ORDER BY directory")

    @property
    def run_summary(self) -> "pandas.DataFrame":
        """The runs of every experiment, with whether they grokked."""
        return self.query("SELECT * FROM run_summary")

    @property
    def ratio_sweep_stats(self) -> "pandas.DataFrame":
        """The mean, first, and last grok epoch over the seeds of every setting."""
        return self.query("SELECT * FROM ratio_sweep_stats")

    @property
    def phase_boundary(self) -> "pandas.DataFrame":
        """The success rate by weight decay and ratio."""
        return self.query("SELECT * FROM phase_boundary")

    @property
    def experiment_overview(self) -> "pandas.DataFrame":
        """The number of runs of every experiment by status, and its fastest and slowest run."""
        return self.query("SELECT * FROM experiment_overview")

    def metrics(self, *run_ids: str) -> "pandas.DataFrame":
        """Return the evaluations of some runs, or of all, ordered by run and epoch.

        Raises:
            ConfigError: the database has no such run.
        """
        places = ", ".join("?" for _ in run_ids)
        known = {row[0] for row in self.select(f"SELECT run_id FROM runs WHERE run_id IN ({places})", run_ids)[1]}
        for one in run_ids:
            require(one in known, "run_id", short(one), f"is not the run_id of a run of {self.path}")
        chosen = f" WHERE run_id IN ({places})" if run_ids else ""
        return self.query(f"SELECT * FROM metrics{chosen} ORDER BY run_id, epoch", run_ids)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> "pandas.DataFrame":
        """Return the rows of a query; NULL is None in columns of texts, and NaN in columns of numbers.

        Raises:
            ConfigError: the query is not one SELECT, or is invalid.
        """
        import pandas

        names, rows = self.select(sql, parameters)
        return pandas.DataFrame.from_records(rows, columns=names)

    def select(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the names of the columns of a query, and its rows. Raises ConfigError as ``query`` does."""
        require_version(self.path)
        try:
            with closing(connected(self.path, "ro")) as connection:
                for name in sorted(DESCRIBING):  # as tables, which SQLite creates at their first use in a connection
                    connection.execute(f"SELECT * FROM pragma_{name} LIMIT 0")
                connection.set_authorizer(permission)
                connection.set_progress_handler(lambda: 0, STEPS_PER_PAUSE)
                found = connection.execute(sql, parameters)
                if found.description is None:
                    raise ConfigError("query", short(sql), "must be a SELECT")
                return [column[0] for column in found.description], found.fetchall()
        except (sqlite3.Error, sqlite3.Warning) as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                raise KeyboardInterrupt from None
            code = getattr(error, "sqlite_errorcode", None)
            denied = code == sqlite3.SQLITE_AUTH or str(error) == "not authorized"  # of a pragma as a table
            raise ConfigError("query", short(sql), "may only read" if denied else str(error)) from None


def open_db(path: str | Path) -> Database:
    """Open a database of runs. Raises ConfigError if the file is not one, or has another version."""
    file = path_of("db", path)
    require_version(file)
    return Database(file)


def permission(action: int, name: str | None, *_: str | None) -> int:
    """Return whether a query may do something, as a code of SQLite."""
    allowed = action in READING or (action == sqlite3.SQLITE_PRAGMA and name in DESCRIBING)
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def require_version(path: Path) -> None:
    """Raise ConfigError unless a file is a database of runs of this version, after undoing a write that was killed."""
    undo_killed(path)
    version = version_of(path)
    if version != VERSION:
        rule = f"is a database of version {version}, and this program reads version {VERSION}; `db build` replaces it"
        raise ConfigError("db", path, rule)


def version_of(path: Path) -> int:
    """Return the version of a database of runs from its header. Raises ConfigError if it is not one."""
    try:
        with open_regular(path, limit=LARGEST) as file:
            header = file.read(100)
    except FileNotFoundError:
        raise ConfigError("db", path, "does not exist; `grokinterp db build ROOT` creates it") from None
    except OSError as error:
        raise ConfigError("db", path, f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError("db", path, str(error)) from None
    application, version = (int.from_bytes(header[at : at + 4], "big") for at in (68, 60))
    if len(header) < 100 or not header.startswith(MAGIC) or application != APPLICATION:
        raise ConfigError("db", path, "is not a database of grokinterp")
    return version


def database_file(key: str, value: object) -> Path:
    """Return the path of a database that may be written: a new file outside run directories, or one to be replaced.

    Raises:
        ConfigError: a file or folder that it would replace is of another kind, or it would be a file of a run.
    """
    path = output_file(key, value)
    inside = any((folder / "experiment.json").exists() for folder in path.absolute().parents)
    require(not inside, key, path, "is in a run directory, which contains only the files of its run")
    return path


def undo_killed(path: Path) -> None:
    """Remove the unfinished changes of a killed writer, which a read-only connection cannot do."""
    if os.path.exists(f"{path}-journal") and path.is_file():
        with suppress(sqlite3.Error), closing(connected(path, "rw")) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def connected(path: Path, mode: str) -> sqlite3.Connection:
    """Return a connection in which transactions begin explicitly; ``mode`` is "ro", "rw" or "rwc"."""
    where = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(where, uri=True, timeout=PATIENCE, isolation_level=None)


@contextmanager
def written(path: Path, *, new: bool) -> Generator[sqlite3.Connection]:
    """Open a database for writing inside the block.

    Args:
        path: the file.
        new: whether to create it, or to empty a database of any version.

    Raises:
        ConfigError: the file is not a database of runs, or has another version.
        WriteError: it cannot be written; transactions that were committed remain.
    """
    database_file("db", path)
    undo_killed(path)
    if os.path.exists(path) and not os.path.getsize(path):
        new = True  # its creation was killed
    elif new and os.path.exists(path):
        version_of(path)
    elif not new:
        require_version(path)
    try:
        with closing(connected(path, "rwc" if new else "rw")) as connection:
            connection.execute("PRAGMA synchronous = NORMAL")
            if new:
                create(connection)
            yield connection
    except sqlite3.Error as error:
        raise WriteError(f"cannot write {path}: {error}; what was written before remains") from None


def create(connection: sqlite3.Connection) -> None:
    """Remove everything from a database, and create the tables and views of this version."""
    schema = read_regular(Path(__file__).with_name("schema.sql"), limit=MAX_DOCUMENT_BYTES).decode("utf-8")
    with transaction(connection):
        there = "SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY type DESC"
        for kind, name in connection.execute(there).fetchall():
            if not name.startswith("sqlite_"):
                connection.execute(f"""DROP {kind} "{name.replace('"', '""')}" """)
        for statement in statements(schema):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")


def statements(script: str) -> Iterator[str]:
    r"""Yield the statements of a script, each with the comments before it.

    >>> list(statements("CREATE TABLE a (b); -- c;\nCREATE TABLE d (e);"))
    ['CREATE TABLE a (b);', ' -- c;\nCREATE TABLE d (e);']
    """
    statement = ""
    for part in script.split(";")[:-1]:
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """Write everything inside the block at once, or nothing; wait for another process that writes."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
