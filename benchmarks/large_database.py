"""A database of up to 100 million rows: speed of writing, size, and times of queries.

``python -m benchmarks.large_database [--rows 1e6 3e6 1e7 3e7 1e8] [--evaluations 10000] [--folder DIR]`` reads one
simulated log of the preset ``boundaries``, and writes it under the run ids of ever more runs by the function that
``grokinterp db build`` uses. Reading logs, which ``benchmarks.database`` times, is left out.
"""

import argparse
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.database import simulate
from benchmarks.machine import describe
from grokinterp.experiment import Experiment
from grokinterp.presets import BOUNDARIES
from grokinterp.storage import configuration_hash
from grokinterp.sweeps.database import Database, open_db, transaction, written
from grokinterp.sweeps.found import Found
from grokinterp.sweeps.ingest import write
from grokinterp.sweeps.record import Record, read_record

WIDTHS, DECAYS = (24, 48, 72, 96, 144, 192, 288, 384), (0.01, 0.1, 1.0, 10.0)

QUERIES = {
    "the metrics of a run": "SELECT * FROM metrics WHERE run_id = '{run_id}'",
    "`phase_boundary`": "SELECT * FROM phase_boundary",
    "`ratio_sweep_stats`": "SELECT * FROM ratio_sweep_stats",
    "`experiment_overview`": "SELECT * FROM experiment_overview",
    "the curves of 100 runs": (
        "SELECT run_id, epoch, test_accuracy FROM metrics WHERE run_id IN (SELECT run_id FROM runs LIMIT 100)"
    ),
    "a scan of all rows": "SELECT run_id, min(epoch) FROM metrics WHERE train_accuracy >= 0.99 GROUP BY run_id",
}
"""Queries by what they return."""


class Measured(NamedTuple):
    """The state of the database at one size: rows, bytes, seconds of writing since the size before, and of queries."""

    rows: int
    size: int
    written: int
    seconds: float
    update: float
    queries: dict[str, float]


def existing(file: Path) -> Measured:
    """Return the times of the queries of a database that this program was growing."""
    db = open_db(file)
    [[rows, run_id]] = db.select("SELECT sum(evaluations), max(run_id) FROM runs")[1]
    return Measured(int(rows), file.stat().st_size, 0, math.nan, math.nan, times_of(db, str(run_id)))


def runs(path: Path, evaluations: int) -> Iterator[tuple[Record, Found]]:
    """Yield a simulated run, again and again with another width, weight decay, and seed."""
    base = BOUNDARIES.changed({"steps": evaluations * BOUNDARIES.evaluate_every})
    parameters = [name for name, _ in base.empty_model().named_parameters()]
    simulate(path, base, evaluations, parameters=parameters)
    record = read_record(Found("run", path, ("all/",)))
    for number in range(10**9):
        width, decay = WIDTHS[number % len(WIDTHS)], DECAYS[number // len(WIDTHS) % len(DECAYS)]
        changes = {"model.d_model": width, "optimization.weight_decay": decay, "seed": number // 32}
        yield renamed(record, base.changed(changes)), Found(f"run-{number}", path, ("all/",))


def renamed(record: Record, experiment: Experiment) -> Record:
    """Return what is known of a run as that of another experiment."""
    configuration = experiment.to_dict()
    run_id = configuration_hash(configuration)
    return record._replace(directory=f"run-{run_id}", run_id=run_id, configuration=configuration)


def grown(folder: Path, sizes: Sequence[int], evaluations: int) -> Iterator[Measured]:
    """Grow a database to each of some numbers of rows, and yield what was measured there."""
    file, every, rows = folder / "large.db", runs(folder / "run", evaluations), 0
    with written(file, new=True) as connection, transaction(connection):
        connection.execute("INSERT INTO experiments VALUES ('all/', 'simulated', 0, '{}', '[]')")
    for size in sizes:
        start, before = time.perf_counter(), rows
        with written(file, new=False) as connection:
            columns = [name for (name,) in connection.execute("SELECT name FROM pragma_table_info('metrics')")]
            while rows < size:
                record, found = next(every)
                rows += write(connection, record, found, "", columns)
        seconds = time.perf_counter() - start
        with written(file, new=False) as connection:
            update = seconds_of(lambda: write(connection, record, found, "", columns))  # noqa: B023 - called at once
        os.sync()
        db = open_db(file)
        yield Measured(rows, file.stat().st_size, rows - before, seconds, update, times_of(db, record.run_id))


def seconds_of(work: Callable[[], Any]) -> float:
    """Return the wall time of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def times_of(db: Database, run_id: str) -> dict[str, float]:
    """Return the seconds of every query, to its last row."""
    return {name: asked(db, sql.format(run_id=run_id)) for name, sql in QUERIES.items()}


def asked(db: Database, sql: str) -> float:
    """Return the seconds of a query, to the last row."""
    return seconds_of(lambda: db.select(sql))


def table(measured: Sequence[Measured]) -> Iterator[str]:
    """Yield the lines of a table of what was measured, a column for each size."""
    yield "| " + " | ".join(["rows", *(f"{one.rows:,}" for one in measured)]) + " |"
    yield "|---" * (1 + len(measured)) + "|"
    lines = {
        "file, GiB": [f"{one.size / 2**30:.2f}" for one in measured],
        "rows written per second": [f"{one.written / one.seconds:,.0f}" for one in measured],
        "a run written again, s": [f"{one.update:.2f}" for one in measured],
    }
    lines |= {f"{name}, s": [f"{one.queries[name]:.3g}" for one in measured] for name in QUERIES}
    for name, values in lines.items():
        yield "| " + " | ".join([name, *values]) + " |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Grow the database and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_database", description=__doc__)
    parser.add_argument("--rows", type=float, nargs="+", default=[1e6, 3e6, 1e7, 3e7, 1e8], help="numbers of rows")
    parser.add_argument("--evaluations", type=int, default=10_000, help="rows of a run")
    parser.add_argument("--existing", type=Path, metavar="FILE", help="ask a database that this program was growing")
    parser.add_argument("--folder", type=Path, help="where the database is built (default: the temporary folder)")
    chosen = parser.parse_args(arguments)
    print(describe())
    if chosen.existing:
        print("\n".join(table([existing(chosen.existing)])))
        return
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        found: list[Measured] = []
        for one in grown(Path(folder), [int(size) for size in chosen.rows], chosen.evaluations):
            found.append(one)
            print(f"{one.rows:,} rows: {one}", flush=True)
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
