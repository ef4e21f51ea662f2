"""The tables of a sweep's page: its sweeps, and its runs with links to their reports."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from grokinterp.display import setting
from grokinterp.experiment.settings import settings_of
from grokinterp.experiment.varied import differing, name_of
from grokinterp.numbers import number, whole
from grokinterp.page.links import report_link
from grokinterp.sweep_report.plate import Table
from grokinterp.sweeps.database import Database

MOST_RUNS = 1000
"""Largest number of runs in the table."""


class RunRow(NamedTuple):
    """A run in the table: its directory, its report if there is one, and its cells."""

    directory: str
    link: str
    cells: list[str]


def experiments(database: Database) -> Table:
    """Return the table of the sweeps and folders."""
    counted = ("listed", "runs", "finished", "diverged", "stopped", "failed", "unfinished", "grokked",
               "fastest_grok_epoch", "slowest_grok_epoch")  # fmt: skip
    rows = [
        (str(one["experiment"]), str(one["about"]), *(step_text(one[name]) for name in counted))
        for one in database.experiment_overview.to_dict("records")
    ]
    columns = ("sweep", "description", "listed", "runs", "finished", "diverged", "stopped", "failed", "unfinished",
               "grokked", "fastest", "slowest")  # fmt: skip
    caption = (
        "Sweeps and folders; a run can belong to several. Stopped: by a prediction that it will not grok. Fastest and "
        "slowest are grok steps."
    )
    return Table(caption, columns, rows)


class Missing(NamedTuple):
    """A sweep with runs that it lists and the database does not contain."""

    experiment: str
    missing: int
    listed: int


def missing_runs(database: Database) -> list[Missing]:
    """Return the sweeps that list more runs than the database contains, because they have not begun or are left out."""
    sql = "SELECT experiment, listed - runs, listed FROM experiment_overview WHERE listed > runs ORDER BY experiment"
    return [Missing(*row) for row in database.select(sql)[1]]


def impossible(database: Database) -> int:
    """Return how many combinations of values the sweeps list as impossible."""
    return int(database.query("SELECT coalesce(sum(json_array_length(impossible)), 0) AS n FROM experiments")["n"][0])


def run_table(runs: pd.DataFrame, root: Path, out: Path) -> dict[str, Any]:
    """Return the table of the runs: the settings that differ, what they reached, and links to their reports."""
    configurations = settings_of(list(map(json.loads, runs["configuration"])))
    keys = [*differing(configurations), *(["seed"] if runs["seed"].nunique() > 1 else [])]
    if runs["epochs"].nunique() > 1 and "steps" not in keys:
        keys.append("steps")
    reasons, rows = bool(runs["why"].notna().any()), []
    for row, one in zip(runs.head(MOST_RUNS).to_dict("records"), configurations, strict=False):
        cells = [setting_text(key, one[key]) if key in one else "—" for key in keys]
        cells += [step_text(row["memorized_epoch"]), grok_text(row), str(row["status"]), text_of(row["verdict"])]
        cells += [number(float(row["final_test_accuracy"])) if pd.notna(row["final_test_accuracy"]) else "—"]
        cells += [text_of(row["why"])] if reasons else []
        rows.append(RunRow(str(row["directory"]), report_link(str(row["directory"]), root, out), cells))
    columns = [*(name_of(key) for key in keys), "memorized", "grokked", "status", "verdict", "final test accuracy"]
    columns += ["reason"] if reasons else []
    linked = sum(bool(row.link) for row in rows)
    return {"columns": columns, "rows": rows, "shown": whole(len(rows)), "total": whole(len(runs)), "linked": linked}


def text_of(value: Any) -> str:
    """Return a text of the database, or a dash where there is none.

    >>> text_of(float("nan")), text_of("grokked")
    ('—', 'grokked')
    """
    return str(value) if pd.notna(value) and value else "—"


def setting_text(key: str, value: Any) -> str:
    """Return the value of a setting as text; a number of steps as the other steps of the table.

    >>> setting_text("steps", 3000), setting_text("optimization.lr", 0.001)
    ('3,000', '0.001')
    """
    return whole(value) if key == "steps" and type(value) is int else setting(value)


def step_text(step: Any) -> str:
    """Return a step as text."""
    return "—" if pd.isna(step) else whole(int(step))


def grok_text(row: dict[Any, Any]) -> str:
    """Return the grok step of a run, or the step until which it did not grok."""
    if pd.notna(row["grok_epoch"]):
        return whole(int(row["grok_epoch"]))
    return "—" if pd.isna(row["horizon"]) else f"> {whole(int(row['horizon']))}"
