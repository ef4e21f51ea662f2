"""Commands on the runs of a folder: list them, build, update, and query their database, and write their page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grokinterp.cli.printing import aligned, csv_lines, note, say, say_json
from grokinterp.errors import ConfigError, short

if TYPE_CHECKING:
    from grokinterp.sweeps.ingest import Changes
    from grokinterp.sweeps.record import Record

Root = Annotated[Path, typer.Argument(metavar="ROOT", help="A folder with runs, at any depth below it.")]
File = Annotated[Path, typer.Option("--db", metavar="FILE", help="The file of the database.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]

DATABASE = Path("experiments.db")

db = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Build and query the database of many runs."
)


@db.command()
def build(root: Root, file: File = DATABASE) -> None:
    """Build the database of all runs below ROOT.

    A database in FILE, of any version, is emptied first.

    Exit code 1: some runs are left out (they are named); 2: the database was not built.
    """
    from grokinterp.sweeps.ingest import build_db

    report(file, build_db(root, file, progress=True))


@db.command()
def update(root: Root, file: File = DATABASE) -> None:
    """Update a database: read only the runs that have changed since it was built.

    Runs that no longer exist are removed, so that the database equals one that is built from scratch.

    Exit code 1: some runs are left out (they are named); 2: the database cannot be updated.
    """
    from grokinterp.sweeps.ingest import update_db

    report(file, update_db(root, file, progress=True))


@db.command()
def query(
    sql: Annotated[str, typer.Argument(metavar="SELECT", help='As in "SELECT * FROM phase_boundary".')],
    file: File = DATABASE,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list with an object for each row.")] = False,
    as_csv: AsCsv = False,
) -> None:
    """Print the rows of a query, which only reads.

    Tables: experiments, runs, metrics. Views: run_summary, ratio_sweep_stats, phase_boundary, experiment_overview.
    """
    from grokinterp.sweeps.database import open_db

    require_one_format(as_json, as_csv)
    names, rows = open_db(file).select(sql)
    if as_json:
        require_distinct(sql, names)
        texts = ([value.hex() if isinstance(value, bytes) else value for value in row] for row in rows)
        say_json([dict(zip(names, row, strict=True)) for row in texts])
    else:
        say(csv_lines(names, rows) if as_csv else aligned(names, rows))


def runs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with runs, at any depth below it.")] = Path(
        "checkpoints"
    ),
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the runs of a folder: the settings in which they differ, status, verdict, and phases.

    Exit code 1: some runs cannot be read (they are named); 2: none can.
    """
    from grokinterp.errors import GrokinterpError
    from grokinterp.sweeps.found import runs_below
    from grokinterp.sweeps.record import differing, read_record

    require_one_format(as_json, as_csv)
    found = runs_below(folder)
    records, damaged = [], dict(found.damaged)
    for run in found.runs:
        try:
            records.append(read_record(run))
        except GrokinterpError as error:
            damaged[run.directory] = str(error)
    keys = differing(records)
    if as_json:
        left_out = [{"path": place, "reason": why} for place, why in damaged.items()]
        say_json({"runs": [described(record, keys) for record in records], "left_out": left_out})
    elif records:
        names = ["directory", *column_names(keys), "status", "step", "grok_step", "verdict", "phases", "why", "damage"]
        lines = [listed(record, keys) for record in records]
        say((csv_lines if as_csv else aligned)(*without_empty(names, lines)))
    for why in damaged.values():
        note(f"error: {why}")
    if damaged:
        raise typer.Exit(1 if records else 2)


def sweep_report(
    root: Root,
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Default: reports/<ROOT>.html.")] = None,
    file: Annotated[
        Path | None,
        typer.Option("--db", metavar="FILE", help="Update or build this database (default: a temporary one)."),
    ] = None,
) -> None:
    """Write one HTML page about all runs below ROOT: what was varied, which runs grokked, where the boundary is.

    A database that is kept with --db makes the next page faster.

    Exit code 1: some runs are left out (they are named); 2: there is no page.
    """
    from grokinterp.sweep_report.arguments import require_arguments

    require_arguments(root, out, file)

    from grokinterp.sweep_report.write import write_page

    page, changes = write_page(root, out, db=file, progress=True)
    name_damage(changes)
    say([str(page)])
    if changes.left_out:
        raise typer.Exit(1)


def name_damage(changes: "Changes") -> None:
    """Print which runs are damaged and left out, each with the reason."""
    for place, why in changes.damaged.items():
        note(f"{place}: {why}")
    for why in changes.left_out.values():
        note(f"left out: {why}")


def report(file: Path, changes: "Changes") -> None:
    """Print what a build or an update did, and name the runs that are left out or damaged."""
    name_damage(changes)
    parts = [
        f"{changes.written} run{'' if changes.written == 1 else 's'} read with {changes.rows:,} rows of metrics",
        *([f"{changes.unchanged} unchanged"] if changes.unchanged else []),
        *([f"{changes.removed} removed"] if changes.removed else []),
        *([f"{len(changes.left_out)} left out"] if changes.left_out else []),
    ]
    say([f"{file}: {', '.join(parts)}"])
    if changes.left_out:
        raise typer.Exit(1)


def require_one_format(as_json: bool, as_csv: bool) -> None:
    """Raise ConfigError if both formats are requested."""
    if as_json and as_csv:
        raise ConfigError("csv", "--csv", "excludes --json: choose one format")


def require_distinct(sql: str, names: list[str]) -> None:
    """Raise ConfigError if two columns of a query have the same name, so that a JSON object could not have both."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        rule = f"has two columns named {short(twice)}, of which a JSON object would lose one; rename one with AS"
        raise ConfigError("query", short(sql), rule)


def described(record: "Record", keys: list[str]) -> dict[str, object]:
    """Return a run as JSON values, with its settings of the given keys."""
    history, settings = record.history, record.settings
    return {
        "directory": record.directory,
        "run_id": record.run_id,
        "settings": {key: settings[key] for key in keys if key in settings},
        "status": record.status,
        "evaluated_until": record.table.steps[-1] if record.table.steps else None,
        "grok_step": record.grok_step,
        "verdict": history.verdict if history else None,
        "phases": [phase.__dict__ for phase in history.phases] if history else [],
        "damage": record.damage,
    }


def listed(record: "Record", keys: list[str]) -> list[object]:
    """Return a run as a line of the table."""
    from grokinterp.display import setting
    from grokinterp.storage.configuration import planned_steps

    history, settings, steps = record.history, record.settings, record.table.steps
    planned, last = planned_steps(record.configuration), steps[-1] if steps else None
    return [
        record.directory,
        *(setting(settings[key]) if key in settings else None for key in keys),
        record.status["status"],
        last if planned in (None, last) else f"{0 if last is None else last}/{planned}",
        record.grok_step,
        history.verdict if history else None,
        ", ".join(f"{phase.name} {phase.start}-{phase.stop - 1}" for phase in history.phases) if history else None,
        record.status.get("why"),
        record.damage or None,
    ]


def column_names(keys: list[str]) -> list[str]:
    """Return the last part of each dotted key, or the whole key where several end alike.

    >>> column_names(["task.p", "model.kind", "task.kind"])
    ['p', 'model.kind', 'task.kind']
    """
    ends = [key.rpartition(".")[2] for key in keys]
    return [end if ends.count(end) == 1 else key for key, end in zip(keys, ends, strict=True)]


def without_empty(names: list[str], rows: list[list[object]]) -> tuple[list[str], list[list[object]]]:
    """Return a table without the columns that are empty in every row."""
    kept = [place for place in range(len(names)) if any(row[place] is not None for row in rows)]
    return [names[place] for place in kept], [[row[place] for place in kept] for row in rows]
