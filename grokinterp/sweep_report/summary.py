"""The first screen of a sweep's page in words and key numbers: what was varied, and what may mislead."""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from grokinterp.experiment.varied import ABSENT, name_of, text_of
from grokinterp.numbers import listed, number, percent, whole
from grokinterp.phases import GENERALIZED
from grokinterp.sweep_report.axes import ordered
from grokinterp.sweep_report.listing import Missing
from grokinterp.sweep_report.study import Study
from grokinterp.sweeps.entry import COMPLETE, ENDED
from grokinterp.sweeps.ingest import Changes

MOST_TIED = 4
"""Largest number of settings, and of their values, that one sentence names."""

MOST_UNDECIDED = 8
"""Largest number of settings with undecided runs that one sentence names."""

STATUSES = {
    "running": "Still running, or killed; censored at the last evaluation",
    "interrupted": "Interrupted; censored at the last evaluation",
    "unknown": "Of unknown status; censored at the last evaluation",
    "stopped": "Stopped by a prediction; censored at the last evaluation, and failures for the success rates",
    "diverged": "Diverged; failures unless they grokked before",
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
    return f"{whole(number_of)} {noun}{'' if number_of == 1 else 's'}"


def grokked_in(runs: pd.DataFrame) -> int:
    """Return how many runs grokked."""
    return int(runs["grok_epoch"].notna().sum())


def lead(found: Sequence[Study], runs: pd.DataFrame, missing: Sequence[Missing]) -> str:
    """Return sentences on what was varied, and on how many runs are censored.

    Args:
        found: the studies that are shown.
        runs: all runs.
        missing: the sweeps with runs that the database does not contain.
    """
    varied = "; ".join(f"{study.title} ({whole(len(study.runs))} runs)" for study in found)
    same = "All runs that have begun have the same setting." if missing else "All runs have the same setting."
    text = f"Varied: {varied}." if any(study.x for study in found) else same
    without = runs["grok_epoch"].isna()
    ended, stopped = (int((without & runs["status"].isin(which)).sum()) for which in (ENDED, ("stopped",)))
    if ended:
        they = "they enter" if ended > 1 else "it enters"
        share = percent(ended / len(runs))
        text += f" {count(ended, 'run')} ({share}) ended without grokking; {they} the analysis as right-censored."
    if stopped:
        were = "were" if stopped > 1 else "was"
        text += f" {count(stopped, 'run')} {were} stopped because of a prediction not to grok within the budget."
    return text


def about(study: Study) -> str:
    """Return sentences on the runs and axes of a study."""
    seeds = [len(cell.runs) for cell in study.cells]
    each = f"{min(seeds)} to {max(seeds)}" if min(seeds) < max(seeds) else f"{max(seeds)}"
    text = f"{count(len(study.runs), 'run')} of {listed(name.rstrip('/') or name for name in study.experiments)}: "
    text += f"{count(len(seeds), 'setting')} with {each} seed{'s' if max(seeds) > 1 else ''} each."
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
    yield from undecided(study)
    yield from unsettled(study)
    if study.predicted:
        failures, predicted = int((~study.decided["grokked"]).sum()), study.predicted
        which = "predictions, not observations" if predicted > 1 else "a prediction, not an observation"
        verb = "are" if predicted > 1 else "is"
        all_of_them = count(failures, "failure")
        yield f"{whole(predicted)} of {all_of_them} to grok {verb} {which}, because these runs were stopped."
    if study.repeated:
        verbs = ("repeat", "are") if study.repeated > 1 else ("repeats", "is")
        repeated = count(study.repeated, "run")
        yield f"{repeated} that {verbs[0]} another run with another budget {verbs[1]} not counted twice."


def undecided(study: Study) -> Iterator[str]:
    """Yield the settings with runs that may still go on or failed, and so are excluded from the success rates."""
    counts = {study.name_cell(cell): int((~cell.runs["decided"]).sum()) for cell in study.cells}
    found = {name: number_of for name, number_of in counts.items() if number_of}
    if not found:
        return
    names = [f"{name}: {whole(number_of)}" for name, number_of in found.items()]
    more = f"; {count(len(names) - MOST_UNDECIDED, 'more setting')}" if len(names) > MOST_UNDECIDED else ""
    total = sum(found.values())
    yield (
        f"{count(total, 'run')} {'are' if total > 1 else 'is'} undecided and excluded from the success rates "
        f"({'; '.join(names[:MOST_UNDECIDED])}{more}). These rates may be too high, because runs that grok can end "
        "earlier."
    )


def unsettled(study: Study) -> Iterator[str]:
    """Yield how many runs generalize by their verdict but not by the rule of ten evaluations, and what that changes."""
    runs = study.decided
    between = int((~runs["grokked"] & runs["verdict"].isin(GENERALIZED)).sum())
    if not between:
        return
    do, their = ("do", "their verdicts say") if between > 1 else ("does", "its verdict says")
    changed = []
    for series, (of, other) in enumerate(zip(study.critical, study.critical_by_verdict, strict=True)):
        if of.kind == other.kind == "found":
            value = f"{number(other.value)} (95 % CI {number(other.low)} to {number(other.high)})"
            changed.append(f"{value} instead of {number(of.value)}{of_series(study, series)}")
    name = "" if study.x is None else study.x.name
    counted = f" Counted as grokked, they give a critical {name} of {listed(changed)}." if changed else ""
    yield (
        f"{count(between, 'run')} {do} not grok by the rule of ten consecutive evaluations, although {their} that the "
        f"network generalizes.{counted}"
    )


def of_series(study: Study, series: int) -> str:
    """Return which series is meant, if there are several."""
    return f" at {study.series[series]}" if len(study.series) > 1 else ""


def tied_values(study: Study, key: str) -> str:
    """Return the values of a setting as text."""
    values = [text_of(value) for value in ordered(one.get(key, ABSENT) for one in study.runs["settings"])]
    return ", ".join(values[:MOST_TIED]) + (" …" if len(values) > MOST_TIED else "")


def doubts(runs: pd.DataFrame, changes: Changes, missing: Sequence[Missing]) -> Iterator[str]:
    """Yield what may mislead about all runs, and which runs that sweeps list are missing."""
    statuses = runs["status"].value_counts()
    failed = int(statuses.get("failed", 0))
    if failed:
        yield f"{count(failed, 'run')} failed and {'are' if failed > 1 else 'is'} excluded from the success rates."
    for status, meaning in STATUSES.items():
        if status in statuses:
            yield f"{meaning}: {count(int(statuses[status]), 'run')}."
    for one in missing:
        have, are = ("have", "are") if one.missing > 1 else ("has", "is")
        why = f"{have} not begun, or {are} left out" if changes.left_out else f"{have} not begun"
        yield f"{one.experiment}: {whole(one.missing)} of {count(one.listed, 'run')} of this sweep {why}."
    lost = int((runs["grok_epoch"].notna() & ~runs["verdict"].isin(GENERALIZED)).sum())
    if lost:
        its = "their verdicts" if lost > 1 else "its verdict"
        yield f"{count(lost, 'run')} grokked but later lost generalization (see {its})."
    if changes.left_out:
        yield f"Left out because they cannot be read (named below): {count(len(changes.left_out), 'path')}."
    if changes.damaged:
        yield f"Partly damaged (named below): {count(len(changes.damaged), 'run')}."
    splits = runs["configuration"].map(split_of)
    if splits.duplicated().any():
        yield "Some runs share a train/test split, so the intervals may be too narrow."


def split_of(configuration: str) -> str:
    """Return what determines the training examples of a run: its task, its split, and the seed that draws it.

    >>> split_of('{"seed": 1, "split": {"seed": null}}') == split_of('{"seed": 2, "split": {"seed": null}}')
    False
    """
    values = json.loads(configuration)
    split = values.get("split") or {}
    seed = values.get("seed") if split.get("seed") is None else split["seed"]
    return json.dumps([values.get("task"), {**split, "seed": seed}], sort_keys=True)


def tiles(runs: pd.DataFrame) -> list[Tile]:
    """Return the key numbers."""
    grokked, decided = grokked_in(runs), int(runs["status"].isin(COMPLETE).sum())
    censored = runs["grok_epoch"].isna() & runs["horizon"].notna()
    steps = runs["grok_epoch"].dropna()
    delays = (runs["grok_epoch"] / runs["memorized_epoch"].where(runs["memorized_epoch"] > 0)).dropna()
    seconds = runs["seconds"].dropna()
    fastest = f"{whole(int(steps.min()))} to {whole(int(steps.max()))}" if len(steps) else "—"
    return [
        Tile("runs", whole(len(runs)), f"{whole(decided)} decided"),
        Tile("grokked", whole(grokked), "test accuracy ≥ 0.95, ten evaluations"),
        Tile("censored", whole(int(censored.sum())), "did not grok within the observed steps"),
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
