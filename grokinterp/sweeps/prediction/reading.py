"""Read early runs: those of a database, whose outcomes are known, and a run directory, whose outcome is to come."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from grokinterp.errors import ConfigError, require
from grokinterp.storage import RunDirectory
from grokinterp.sweeps.database import Database
from grokinterp.sweeps.found import Found
from grokinterp.sweeps.prediction.early_run import KIND, EarlyRun, Outcome, early_run, setting_of
from grokinterp.sweeps.record import AVERAGE, judged, read_record
from grokinterp.sweeps.rows import run_values

METRICS = ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "weight_norm", "gradient_norm")
"""The metrics from which a run is predicted."""


class Until(NamedTuple):
    """How much of a run is known: its metrics up to a step, or up to a share of its budget.

    >>> Until(share=0.1).step(4000), Until(at=300).step(4000)
    (400, 300)
    """

    at: int | None = None
    share: float | None = None

    def step(self, budget: int) -> int:
        """Return the last step that is known of a run with a budget."""
        return int(self.at) if self.at is not None else int((self.share or 0.0) * budget + 1e-9)


class Target(NamedTuple):
    """A run that is predicted.

    Attributes:
        row: its settings and outcome so far, by the columns of the table ``runs``.
        early: the run as it is known; None if it has already grokked, or too little is known.
        at: the last step that is known.
    """

    row: dict[str, Any]
    early: EarlyRun | None
    at: int


def read_target(path: str | Path, until: Until | None) -> Target:
    """Read a run directory as far as it is to be known; all of its metrics, if ``until`` is None.

    Raises:
        RunDirectoryError: it cannot be read.
        ConfigError: its metrics do not reach so far, or its budget is unknown.
    """
    run = RunDirectory.open(path)
    found = Found(run.path.name, run.path, ())
    record = read_record(found)
    row = prepared(run_values(record, found))
    budget = row["epochs"]
    require(isinstance(budget, int), "run", path, "has no budget: it was recorded from an external loop")
    steps = np.frombuffer(record.table.steps, dtype=np.int64) if record.table.steps else np.zeros(0, np.int64)
    require(len(steps) > 0, "run", path, "has no metrics yet")
    last = int(steps[-1]) if until is None else until.step(budget)
    if last > steps[-1]:
        raise ConfigError("at", last, f"must be at most {steps[-1]}, the last evaluation of {run.path}")
    known = steps <= last
    columns = {name: column[known] for name, column in judged(record.table).items() if name in METRICS}
    outcome = Outcome(row["grok_epoch"], row["horizon"] or 0)
    return Target(row, early_run(row, steps[known], columns, outcome), int(steps[known][-1]))


def early_runs(db: Database, until: Until, kind: Mapping[str, Any] | None = None) -> list[EarlyRun]:
    """Return the runs of a database as far as they are to be known, in the order of their run ids.

    Runs that have grokked by then, that end earlier, or whose budget is unknown are left out.

    Args:
        db: the database.
        until: how much is known of each run.
        kind: the values of the columns ``KIND``, in which the runs must agree (default: all runs).
    """
    return [run for row in rows_of(db, kind) if (run := early_of(db, row, until)) is not None]


def rows_of(db: Database, kind: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table ``runs`` that agree with a kind and have a budget."""
    where = "".join(f" AND {name} IS ?" for name in KIND) if kind is not None else ""
    values = [] if kind is None else [kind[name] for name in KIND]
    names, rows = db.select(
        f"SELECT * FROM runs WHERE epochs IS NOT NULL AND evaluate_every IS NOT NULL{where} ORDER BY run_id", values
    )
    for row in rows:
        yield prepared(dict(zip(names, row, strict=True)))


def prepared(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the table ``runs`` with the hash of its setting."""
    return row | {"setting": setting_of(json.loads(row["configuration"]))}


def early_of(db: Database, row: Mapping[str, Any], until: Until) -> EarlyRun | None:
    """Return a run of a database as far as it is to be known; None if it is left out."""
    last = until.step(row["epochs"])
    if row["last_epoch"] is None or row["last_epoch"] < last:
        return None
    judged_by = [f"coalesce({AVERAGE}{name}, {name})" if has_average(name) else name for name in METRICS]
    query = f"SELECT epoch, {', '.join(judged_by)} FROM metrics WHERE run_id = ? AND (epoch <= ? OR epoch = ?)"
    _, rows = db.select(f"{query} ORDER BY epoch", [row["run_id"], last, row["grok_epoch"]])
    table = np.array(rows, dtype=float).reshape(-1, 1 + len(METRICS))
    steps = table[:, 0].astype(np.int64)
    norms = table[steps == (-1 if row["grok_epoch"] is None else row["grok_epoch"]), 1 + METRICS.index("weight_norm")]
    outcome = Outcome(row["grok_epoch"], row["horizon"] or 0, float(norms[0]) if len(norms) else math.nan)
    known = steps <= last
    columns = {name: table[known, 1 + place] for place, name in enumerate(METRICS)}
    return early_run(row, steps[known], columns, outcome)


def has_average(name: str) -> bool:
    """Return whether the table ``metrics`` has a column of a metric for averaged weights."""
    return name.endswith(("_loss", "_accuracy"))
