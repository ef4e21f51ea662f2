"""Tables of a comparison: differences of settings, dates by setting, final measures, and the runs."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from grokinterp.numbers import number, whole
from grokinterp.report.comparison.groups import Group, Grouping, value_text
from grokinterp.report.comparison.overlays import Overlay
from grokinterp.report.comparison.run import Compared
from grokinterp.report.plate import Table

UNKNOWN = "—"

MOST_COLUMNS = 6
"""Largest number of settings that are columns; more settings are rows."""


class RunRow(NamedTuple):
    """A run in the table: its name, the link to its report if there is one, and its cells."""

    name: str
    link: str
    cells: tuple[str, ...]


def of_one_group(grouping: Grouping) -> list[tuple[str, str, str]]:
    """Return the settings that a single group has: group, setting, and value."""
    found = []
    for key in grouping.keys:
        having = [group for group in grouping.groups if group.values[key] != UNKNOWN]
        if len(having) == 1 and len(grouping.groups) > 2:
            found.append((having[0].letter, key, having[0].values[key]))
    return sorted(found, key=lambda row: row[0])


def differences(grouping: Grouping) -> Table | None:
    """Return the settings that differ between the groups, except those of one group; None for a single group."""
    groups, alone = grouping.groups, {key for _, key, _ in of_one_group(grouping)}
    keys = [key for key in grouping.keys if key not in alone]
    if len(groups) == 1:
        return None
    caption = "Settings with different values. — marks a setting that a task, model or optimizer does not have."
    if len(groups) > max(MOST_COLUMNS, len(keys)):
        rows = [(group.letter, *(group.values[key] for key in keys), whole(len(group.runs))) for group in groups]
        return Table(caption, ("setting", *keys, "runs"), rows)
    rows = [(key, *(group.values[key] for group in groups)) for key in keys]
    rows.append(("number of runs", *(whole(len(group.runs)) for group in groups)))
    return Table(caption, ("setting", *(group.letter for group in groups)), rows)


def dates(groups: Sequence[Group]) -> Table:
    """Return when the runs of each setting memorized and generalized, and how long their phases are."""
    columns: dict[str, Callable[[Compared], float | None]] = {
        "memorized at": lambda run: run.memorized,
        "generalized at": lambda run: run.generalized,
        "delay": lambda run: run.delay,
    }
    rows = []
    for group in groups:
        cells = [over_runs([of(run) for run in group.runs]) for of in columns.values()]
        verdicts = [run.verdict for run in group.runs]
        counts = {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}
        listed = ", ".join(f"{count} {verdict}" if len(verdicts) > 1 else verdict for verdict, count in counts.items())
        phases = [over_runs([length(run, name) for run in group.runs]) for name in ("circuit formation", "cleanup")]
        rows.append((group.title, listed, *cells, *phases))
    caption = (
        "Steps: the median over all runs of a setting, with the range in parentheses. A run that did not reach an "
        "event counts as later than all others. Delay: step of generalization ÷ step of memorization."
    )
    return Table(caption, ("setting", "verdicts", *columns, "circuit formation lasts", "cleanup lasts"), rows)


def length(run: Compared, name: str) -> float | None:
    """Return the number of steps of a phase; None without it."""
    found = [phase.stop - phase.start for phase in (run.history.phases if run.history else ()) if phase.name == name]
    return float(sum(found)) if found else None


def over_runs(values: Iterable[int | float | None]) -> str:
    """Return the median over runs with its range; None stands for a run that did not reach it.

    >>> over_runs([100, 300, None]), over_runs([100, None, None]), over_runs([7]), over_runs([None])
    ('300 (100 to 300; 2 of 3)', '> 100 (1 of 3)', '7', '—')
    """
    every = list(values)
    known = sorted(value for value in every if value is not None)
    if not known:
        return UNKNOWN
    low, high = figure(known[0]), figure(known[-1])
    if len(every) == 1:
        return low
    share = "" if len(known) == len(every) else f"{len(known)} of {len(every)}"
    middle = float(np.median([*known, *[math.inf] * (len(every) - len(known))]))
    if not math.isfinite(middle):
        return f"> {high} ({share})"
    return f"{figure(middle)} ({'; '.join(text for text in (f'{low} to {high}', share) if text)})"


def figure(value: int | float) -> str:
    """Return a number: steps in full, others with three digits."""
    return whole(round(value)) if float(value).is_integer() else number(float(value))


def final_values(overlays: Sequence[Overlay], groups: Sequence[Group]) -> Table:
    """Return the last value of every measure that reports follow, by setting."""
    rows = []
    for one in overlays:
        if not one.is_chosen:
            continue
        cells = {i: last_values([y[-1] for _, _, y in runs]) for i, runs in one.parts}
        unit = "" if one.unit in ("", "1") else f" [{one.unit}]"
        rows.append((f"{one.label}{unit}", *(cells.get(i, UNKNOWN) for i in range(len(groups)))))
    caption = "The last value of each run: the median over the runs of a setting, with the range in parentheses."
    return Table(caption, ("measure", *(group.title for group in groups)), rows)


def last_values(values: Sequence[float]) -> str:
    """Return the median of values with their range.

    >>> last_values([0.5]), last_values([0.5, 1.0, 2.0])
    ('0.5', '1 (0.5 to 2)')
    """
    middle, low, high = (number(float(value)) for value in (np.median(values), min(values), max(values)))
    return middle if low == high else f"{middle} ({low} to {high})"


def run_columns(grouping: Grouping) -> tuple[str, ...]:
    """Return the names of the columns of the table of runs."""
    letter = ("setting",) if len(grouping.groups) > 1 else ()
    return (
        *letter,
        *grouping.seeds,
        "status",
        "verdict",
        "memorized",
        "generalized",
        "test accuracy",
        "learned",
        "notes",
    )


def run_cells(run: Compared, group: Group, grouping: Grouping) -> tuple[str, ...]:
    """Return the cells of a run."""
    letter = (group.letter,) if len(grouping.groups) > 1 else ()
    accuracy = run.measures.get("test_accuracy")
    return (
        *letter,
        *(value_text(setting_of(run, key)) for key in grouping.seeds),
        str(run.status.get("status", "unknown")),
        run.verdict,
        step_text(run.memorized),
        step_text(run.generalized),
        UNKNOWN if accuracy is None else number(float(accuracy)),
        learned(run),
        "; ".join(run.doubts) or UNKNOWN,
    )


def setting_of(run: Compared, key: str) -> object:
    """Return a setting by its dotted key; a dash without it."""
    found: object = run.configuration
    for name in key.split("."):
        found = found.get(name, UNKNOWN) if hasattr(found, "get") else UNKNOWN
    return found


def step_text(step: int | None) -> str:
    """Return a step, or a dash."""
    return UNKNOWN if step is None else whole(step)


def learned(run: Compared) -> str:
    """Return the circuit and the key frequencies or representations of the last checkpoint."""
    keys = run.measures.get("key_frequencies")
    irreps = run.measures.get("key_irreps") if keys is None else None
    circuit = run.measures.get("circuit")
    parts = [
        *([] if circuit in (None, "none") else [str(circuit)]),
        *([f"frequencies {', '.join(map(str, keys))}"] if keys else []),
        *([f"representations {', '.join(map(str, irreps))}"] if irreps else []),
    ]
    return "; ".join(parts) or UNKNOWN
