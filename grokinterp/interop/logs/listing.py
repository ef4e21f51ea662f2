"""Output of dated logs: one run in full, several as a table, JSON or CSV."""

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grokinterp.errors import printable
from grokinterp.interop.logs.dating import DatedLog, DatedLogs
from grokinterp.interop.logs.formats import METRICS

WIDTH = 18
"""Width in characters of the names in the listing of a run."""


def as_objects(dated: DatedLogs) -> dict[str, Any]:
    """Return all results as objects for JSON."""
    return {
        "runs": [_finite(run.summary()) for run in dated.runs],
        "failed": [str(error) for error in dated.failed],
    }


def _finite(value: Any) -> Any:
    """Return the value with None for every number that JSON lacks.

    >>> _finite({"a": [1.0, float("inf")]})
    {'a': [1.0, None]}
    """
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_text(dated: DatedLogs) -> str:
    """Format a single run in full, or several as a table with notes below it."""
    if len(dated.runs) == 1:
        return "\n".join(one_run(dated.runs[0]))
    shown = shown_names([source for run in dated.runs for source in run.log.sources])
    rows = [_row(run, shown) for run in dated.runs]
    return "\n".join([*_aligned(rows), *_notes(dated, shown)]) if rows else ""


def one_run(run: DatedLog) -> list[str]:
    """Format a run, one line per item.

    The phases and the verdict come first, then the source of the curves, the results of the rules, the file's own
    claims and the notes.
    """
    history, log = run.history, run.log
    dated = ", ".join(f"{phase.name} {phase.start}-{phase.stop - 1}" for phase in history.phases) or "none"
    lines = [("phases", dated), ("verdict", history.sentence)]
    lines.append(("evaluations", f"{run.evaluations}, steps {log.steps[0]:g}-{log.steps[-1]:g}"))
    lines.append(("columns", ", ".join(f"{ours} = {theirs}" for ours, theirs in log.columns.items())))
    lines += [("rule", f"{text}  {_cell(count)}") for text, count in run.counts.items()]
    lines += [("the file says", f"{name} {_cell(value)}") for name, value in log.theirs.items()]
    lines += [("note", note) for note in log.notes]
    return [printable(f"{name:{WIDTH}}{text}") for name, text in lines]


def as_csv(dated: DatedLogs) -> str:
    """Format the runs as CSV with a header, a line for each run; missing steps are empty cells."""
    rows = [
        {
            printable(name): printable(value) if isinstance(value, str) else value
            for name, value in (run.summary() | dict(run.counts) | dict(run.log.theirs)).items()
            if isinstance(value, str | int | float | None)
        }
        for run in dated.runs
    ]
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def shown_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Shorten paths for display: omit the common folder, and the name of the log in run directories.

    >>> list(shown_names([Path("logs/a/metrics.jsonl"), Path("logs/b/metrics.csv")]).values())
    ['a', 'b/metrics.csv']
    """
    root = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    files = {path: path.absolute() for path in paths}
    places = {
        path: file.parent if file.name == METRICS and file.parent != root else file for path, file in files.items()
    }
    return {path: place.relative_to(root).as_posix() for path, place in places.items()}


def _row(run: DatedLog, shown: Mapping[Path, str]) -> dict[str, str]:
    """Return the row of a run in the table."""
    history = run.history
    found: dict[str, Any] = {
        "file": " + ".join(shown[source] for source in run.log.sources),
        "run": run.log.run,
        "evaluations": run.evaluations,
        "memorized": history.memorized_step,
        "generalized": history.generalized_step,
        "grokked": history.grok_step,
        "delay": run.delay,
        "verdict": history.verdict,
        **run.counts,
        **{f"file: {printable(name)}": value for name, value in run.log.theirs.items()},
    }
    return {name: _cell(value) for name, value in found.items()}


def _cell(value: Any) -> str:
    """Format a value as text; None is "-".

    >>> _cell(None), _cell(0.36816), _cell(1.0), _cell(9600), _cell(True), _cell("")
    ('-', '0.3682', '1', '9600', 'yes', '')
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.4g}"
    return printable(str(value))


def _aligned(rows: list[dict[str, str]]) -> list[str]:
    """Align the columns of a table; empty columns are omitted."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    names = [name for name in names if any(row.get(name) for row in rows)]
    widths = {name: max(len(name), *(len(row.get(name, "-")) for row in rows)) for name in names}
    lines = [[name.ljust(widths[name]) for name in names]]
    lines += [[row.get(name, "-").ljust(widths[name]) for name in names] for row in rows]
    return ["  ".join(line).rstrip() for line in lines]


def _notes(dated: DatedLogs, shown: Mapping[Path, str]) -> list[str]:
    """Return the distinct notes below the table, each with its file."""
    notes = (printable(f"{shown[run.log.sources[0]]}: {note}") for run in dated.runs for note in run.log.notes)
    return ["", *dict.fromkeys(notes)] if any(run.log.notes for run in dated.runs) else []
