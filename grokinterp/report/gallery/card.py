"""A run as a card: verdict, thumbnails, settings that distinguish it, and what is wrong with it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from grokinterp.errors import GrokinterpError, short
from grokinterp.experiment.varied import name_of
from grokinterp.numbers import percent, whole
from grokinterp.page.links import report_link
from grokinterp.phases import GENERALIZED, VERDICTS
from grokinterp.report.comparison.groups import value_text
from grokinterp.report.gallery.thumbnail import Circle, Thumbnail, circle, last_of, thumbnail
from grokinterp.report.vocabulary import described
from grokinterp.runs.results import Results
from grokinterp.sweeps.record import Record, judged

KINDS = {
    **dict.fromkeys(GENERALIZED, "good"),
    "generalized": "good",
    "partly generalized": "part",
    "did not generalize cleanly": "part",
    "unstable": "part",
}
"""How far a verdict is from generalization, for its badge; all others are "not"."""

SIGNS = {"good": "✓", "part": "◐", "not": "✕", "open": "…"}
"""The sign of a badge, which does not rely on its color."""


LONGEST = 110
"""Largest number of characters of a specification."""


class Card(NamedTuple):
    """A run as plain values for the template.

    Attributes:
        name: its directory below the folder.
        link: the URL of its report; "" without one.
        verdict: the verdict in words; ``kind`` and ``sign`` are those of its badge.
        task, model: the specifications in words; ``task_kind`` is the kind alone.
        status: the status; ``why`` is its reason, if any.
        settings: names and values of the settings that distinguish it, by importance.
        facts: dates and the last accuracy.
        generalized: the step of generalization, to sort by; None without it.
        written: when its metrics were last written, to sort by.
        damage: what is damaged; "" if nothing is.
    """

    name: str
    link: str
    verdict: str
    kind: str
    sign: str
    task: str
    task_kind: str
    model: str
    status: str
    why: str
    settings: list[tuple[str, str]]
    facts: list[tuple[str, str]]
    generalized: int | None
    written: int
    thumbnail: Thumbnail | None
    circle: Circle | None
    damage: str

    @property
    def text(self) -> str:
        """All words of the card, in lower case, for searching."""
        pairs = [part for pair in (*self.settings, *self.facts) for part in pair]
        return " ".join([self.name, self.verdict, self.task, self.model, self.status, self.why, *pairs]).lower()


def card(record: Record, settings: Mapping[str, Any], keys: Sequence[str], root: Path, out: Path) -> Card:
    """Return a run as a card; ``settings`` are its own by dotted key, and ``keys`` those that differ among the runs."""
    steps, columns = np.array(record.table.steps, dtype=np.int64), judged(record.table)
    path = root / record.directory
    verdict = verdict_of(record, path)
    kind = kind_of(record, verdict)
    task, model = specification(record, "task"), specification(record, "model")
    distinct = [(name_of(key), value_text(settings[key])) for key in keys if key in settings]
    history = record.history
    return Card(
        name=record.directory,
        link=report_link(record.directory, root, out),
        verdict=verdict,
        kind=kind,
        sign=SIGNS[kind],
        task=short(described(task).replace("_", " "), LONGEST),
        task_kind=str(task.get("kind", "unknown")).replace("_", " "),
        model=short(described(model), LONGEST),
        status=str(record.status["status"]),
        why=str(record.status.get("why") or ""),
        settings=distinct,
        facts=facts(record, steps, columns),
        generalized=history.generalized_step if history else None,
        written=written_at(path),
        thumbnail=thumbnail(steps, columns, history),
        circle=circle(path),
        damage=record.damage,
    )


def specification(record: Record, key: str) -> Mapping[str, Any]:
    """Return the task or the model of a run; empty without one."""
    part = record.configuration.get(key)
    return part if isinstance(part, Mapping) else {}


def verdict_of(record: Record, path: Path) -> str:
    """Return the verdict on the curves of a run or, with fewer than two evaluations, on its last checkpoint."""
    if len(record.table.steps) > 1 and record.history is not None:
        return record.history.verdict
    if not len(record.table.steps):
        return "no evaluations"
    try:
        return Results.open(path).verdict or "no verdict"
    except GrokinterpError:
        return "no verdict"


def kind_of(record: Record, verdict: str) -> str:
    """Return the kind of badge: a run that is still training has no final verdict."""
    if record.status["status"] == "running":
        return "open"
    return KINDS.get(verdict, "not")


def facts(record: Record, steps: np.ndarray, columns: Mapping[str, np.ndarray]) -> list[tuple[str, str]]:
    """Return when the run memorized and generalized, its length, and its last test accuracy."""
    history, accuracy = record.history, columns.get("test_accuracy")
    dates = [] if history is None else [
        ("memorized", history.memorized_step), ("generalized", history.generalized_step)
    ]  # fmt: skip
    found = [(name, whole(step)) for name, step in dates if step is not None]
    if len(steps):
        found.append(("last step", whole(int(steps[-1]))))
    if accuracy is not None and np.isfinite(accuracy).any():
        found.append(("test accuracy", percent(last_of(accuracy))))
    return found


def written_at(path: Path) -> int:
    """Return when the metrics of a run were last written, in seconds; 0 without metrics."""
    try:
        return int((path / "metrics.jsonl").stat().st_mtime)
    except OSError:
        return 0


def verdict_rank(verdict: str) -> int:
    """Return the place of a verdict: those of generalized networks come first."""
    known = ("generalized", *VERDICTS)
    return known.index(verdict) if verdict in known else len(known)
