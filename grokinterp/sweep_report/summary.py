"""The first screen of a sweep's page in words and key numbers: what was varied, and what may mislead."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from grokinterp.numbers import listed, number, percent, whole
from grokinterp.phases import GENERALIZED
from grokinterp.sweep_report.axes import ABSENT, name_of, ordered, text_of
from grokinterp.sweep_report.study import DECIDED, Study
from grokinterp.sweeps.ingest import Changes

MOST_TIED = 4
"""Largest number of settings, and of their values, that one sentence names."""


STATUSES = {
    "failed": "failed, so counted neither as grokked nor as not grokked",
    "running": "in training, or stopped without notice, and censored at the last evaluation",
    "interrupted": "interrupted before the budget, and censored at the last evaluation",
    "unknown": "of unknown status",
    "diverged": "diverged, so counted as not grokked",
}
"""The meaning of each status for the statistics."""


class Tile(NamedTuple):
    """A key number."""

    label: str
    value: str
    note: str


def capitalized(sentence: str) -> str:
    """Return a sentence with a capital letter."""
    return f"{sentence[:1].upper()}{sentence[1:]}"


def count(number_of: int, noun: str) -> str:
    """Return a number of things as text.

    >>> count(1, "run"), count(3, "run")
    ('1 run', '3 runs')
    """
    return f"{number_of} {noun}{'' if number_of == 1 else 's'}"


def grokked_in(runs: pd.DataFrame) -> int:
    """Return how many runs grokked."""
    return int(runs["grok_epoch"].notna().sum())


def lead(found: Sequence[Study], runs: pd.DataFrame) -> str:
    """Return sentences on what was varied, and on how many runs are censored."""
    varied = "; ".join(f"{study.title} ({len(study.runs)} runs)" for study in found)
    ended = runs["status"].isin(DECIDED)
    without = int((runs["grok_epoch"].isna() & ended).sum())
    text = f"Varied: {varied}." if any(study.x for study in found) else "All runs have the same setting."
    if not without:
        return text
    share = percent(without / len(runs))
    return f"{text} {without} runs ({share}) ended without grokking: their grok steps are censored, not missing."


def about(study: Study) -> str:
    """Return sentences on the runs and axes of a study."""
    seeds = [len(cell.runs) for cell in study.cells]
    each = f"{min(seeds)} to {max(seeds)}" if min(seeds) < max(seeds) else f"{max(seeds)}"
    text = f"{len(study.runs)} runs of {listed(name.rstrip('/') or name for name in study.experiments)}: "
    text += f"{len(seeds)} setting{'s' if len(seeds) > 1 else ''} with {each} seed{'s' if max(seeds) > 1 else ''} each."
    for axis in (study.x, *study.others):
        if axis is not None:
            values = ", ".join(axis.texts) if len(axis.values) <= 12 else f"{axis.texts[0]} to {axis.texts[-1]}"
            text += f" {capitalized(axis.name)}: {values}."
    if study.x is not None and len(study.x.keys) > 1:
        text += f" The {study.x.name} changes {listed(name_of(key) for key in study.x.keys)} together."
    return text


def study_doubts(study: Study) -> Iterator[str]:
    """Yield what may mislead about the runs of a study, whatever is drawn."""
    runs = study.runs
    for axis in (study.x, *study.others):
        keys = study.determined_by(axis) if axis is not None else []
        if axis is None or not keys:
            continue
        verb = "change" if len(keys) > 1 else "changes"
        names = listed(f"{name_of(key)} ({tied_values(study, key)})" for key in keys[:MOST_TIED])
        more = f" and {len(keys) - MOST_TIED} other settings" if len(keys) > MOST_TIED else ""
        yield f"the {names}{more} {verb} with the {axis.name}, so that their effects cannot be separated."
    sizes = [len(cell.runs) for cell in study.cells]
    single, cells = sizes.count(1), len(sizes)
    if single and cells > 1:
        every = "every setting has" if single == cells else f"{single} of {cells} settings have"
        yield f"{every} a single seed, so differences between settings may be differences between seeds."
    budgets = runs["epochs"].dropna()
    if budgets.nunique() > 1:
        low, high = whole(int(budgets.min())), whole(int(budgets.max()))
        yield f"budgets differ ({low} to {high} steps); success means grokking within the run's own budget."
    if study.repeated:
        verb = "repeat" if study.repeated > 1 else "repeats"
        yield f"{count(study.repeated, 'run')} that {verb} another run with a smaller budget are not counted twice."


def tied_values(study: Study, key: str) -> str:
    """Return the values of a setting as text."""
    values = [text_of(value) for value in ordered(one.get(key, ABSENT) for one in study.runs["settings"])]
    return ", ".join(values[:MOST_TIED]) + (" …" if len(values) > MOST_TIED else "")


def doubts(runs: pd.DataFrame, changes: Changes) -> Iterator[str]:
    """Yield what may mislead about all runs."""
    statuses = runs["status"].value_counts()
    for status, meaning in STATUSES.items():
        if status in statuses:
            yield f"{capitalized(meaning)}: {count(int(statuses[status]), 'run')}."
    lost = int((runs["grok_epoch"].notna() & ~runs["verdict"].isin(GENERALIZED)).sum())
    if lost:
        yield f"Grokked, but did not keep it (see the verdicts below): {count(lost, 'run')}."
    if changes.left_out:
        yield f"Left out because they cannot be read (named below): {count(len(changes.left_out), 'path')}."
    if changes.damaged:
        yield f"Damaged in part (named below): {count(len(changes.damaged), 'run')}."
    if len(runs) > 1:
        yield "Runs with the same seed share their split, while the intervals treat all runs as independent."


def tiles(runs: pd.DataFrame) -> list[Tile]:
    """Return the key numbers."""
    grokked, ended = grokked_in(runs), runs["status"].isin(DECIDED)
    censored = runs["grok_epoch"].isna() & runs["horizon"].notna()
    steps = runs["grok_epoch"].dropna()
    delays = (runs["grok_epoch"] / runs["memorized_epoch"].where(runs["memorized_epoch"] > 0)).dropna()
    seconds = runs["seconds"].dropna()
    fastest = f"{whole(int(steps.min()))} to {whole(int(steps.max()))}" if len(steps) else "—"
    return [
        Tile("runs", whole(len(runs)), f"{int(ended.sum())} ended"),
        Tile("grokked", whole(grokked), "test accuracy ≥ 0.95, ten evaluations"),
        Tile("censored", whole(int(censored.sum())), "not within their steps"),
        Tile("memorized", whole(int(runs["memorized_epoch"].notna().sum())), "train accuracy ≥ 0.99"),
        Tile("grok step", fastest, "first to last, of runs that grokked"),
        Tile("delay", f"× {number(float(delays.median()))}" if len(delays) else "—", "median of grokked / memorized"),
        Tile("evaluations", whole(int(runs["evaluations"].sum())), "rows of metrics"),
        Tile("training time", duration(float(seconds.sum())) if len(seconds) else "—", "sum over the runs"),
    ]


def duration(seconds: float) -> str:
    """Return a time in a unit in which it is readable.

    >>> duration(42.0), duration(5400.0), duration(400000.0)
    ('42 s', '90 min', '111 h')
    """
    if seconds < 300:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3 * 3600 else f"{seconds / 3600:.0f} h"
