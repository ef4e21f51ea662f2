"""The numbers of a comparison as CSV: one row per run, and one row per step of every curve."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from grokinterp.errors import one_line
from grokinterp.report.comparison.groups import Grouping, grouping_of
from grokinterp.report.comparison.run import Compared

CURVES = ("run", "setting", "measure", "unit", "step", "value")
"""The columns of the file of curves."""


def outcomes_link(grouping: Grouping) -> str:
    """Return the table of the runs as a URL that contains it."""
    return f"data:text/csv;charset=utf-8,{quote(csv_text(*outcomes(grouping)))}"


def outcomes(grouping: Grouping) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and rows of the table of the runs: settings, dates, and the last value of every measure."""
    runs = [(group, run) for group in grouping.groups for run in group.runs]
    measures = list(dict.fromkeys(key for _, run in runs for key in run.curves))
    names = ["run", "setting", *grouping.keys, "status", "verdict", "memorized", "generalized", *measures]
    rows: list[list[Any]] = []
    for group, run in runs:
        last = [float(run.curves[key].values[-1]) if key in run.curves else None for key in measures]
        values = [group.values[key] for key in grouping.keys]
        dates = [run.status.get("status"), run.verdict, run.memorized, run.generalized]
        rows.append([run.name, group.letter, *values, *dates, *last])
    return names, rows


def curves_text(runs: Sequence[Compared]) -> str:
    """Return every curve of every run as CSV."""
    rows = (
        (run.name, group.letter, key, found.unit, step, value)
        for group in grouping_of(runs).groups
        for run in group.runs
        for key, found in run.curves.items()
        for step, value in zip(found.steps.tolist(), found.values.tolist(), strict=True)
    )
    return csv_text(CURVES, rows)


def csv_text(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    r"""Return rows as CSV, in which every text is printable and missing values are empty.

    >>> csv_text(["run", "loss"], [["a, b", 0.5], ["c", None]])
    'run,loss\n"a, b",0.5\nc,\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in (names, *rows):
        writer.writerow([one_line(value) if isinstance(value, str) else value for value in row])
    return text.getvalue()
