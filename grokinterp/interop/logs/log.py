"""A run of a log: its curves by this package's names, their sources, and notes on how they were read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.interop.logs.columns import choose, require_pair
from grokinterp.interop.logs.formats import read_tables
from grokinterp.interop.logs.names import without_roles, words
from grokinterp.interop.logs.runs import in_order, runs_of
from grokinterp.interop.logs.steps import Series, has_steps_by_split, step_column, with_steps
from grokinterp.interop.logs.table import Table
from grokinterp.interop.logs.values import checked
from grokinterp.interop.text_files import ForeignFileError, listed
from grokinterp.phases import Curves


@dataclass(frozen=True)
class Log:
    """The curves of a run.

    Attributes:
        sources: the files that contain the curves.
        run: the label of the run in its file, empty if the file holds a single run.
        series: the curves by this package's names.
        columns: the names in the files by this package's names.
        names: all names in the files.
        theirs: the files' own claims about memorization and grokking.
        notes: what was decided or inferred during reading, a line each.
        n_test: the number of test examples, if a file states it.
    """

    sources: tuple[Path, ...]
    run: str
    series: Mapping[str, Series]
    columns: Mapping[str, str]
    names: tuple[str, ...]
    theirs: Mapping[str, Any]
    notes: tuple[str, ...]
    n_test: int | None

    @property
    def steps(self) -> np.ndarray:
        """The steps at which any curve was recorded."""
        return np.unique(np.concatenate([series.steps for series in self.series.values()]))

    def curves(self) -> Curves:
        """Return all curves over all steps; gaps are NaN. Raises ForeignFileError, ConfigError."""
        self.require_pair()
        steps, columns = self.steps, {}
        for name, series in self.series.items():
            column = np.full(len(steps), np.nan)
            column[np.searchsorted(steps, series.steps)] = series.values
            columns[name] = column
        return Curves(steps=steps, n_test=self.n_test, **columns)

    @property
    def has_pair(self) -> bool:
        """Whether both losses or both accuracies are present."""
        return {"train_loss", "test_loss"} <= self.series.keys() or {
            "train_accuracy",
            "test_accuracy",
        } <= self.series.keys()

    def require_pair(self) -> None:
        """Raise ForeignFileError unless both losses or both accuracies are present."""
        require_pair(self.series, self.sources[0], self.names, self.notes)


def read_logs(path: Path, given: Mapping[str, str], *, percent: bool = False) -> list[Log]:
    """Read the runs in a file or run directory, complete or not.

    Args:
        path: the file, or a run directory.
        given: the user's names of columns, by this package's names.
        percent: whether accuracies are percentages.

    Raises:
        ForeignFileError: if the file is not as expected, or curves cannot be read.
    """
    return logs_of(read_tables(path, given.values()), given, percent=percent)


def logs_of(tables: Sequence[Table], given: Mapping[str, str], *, percent: bool = False) -> list[Log]:
    """Return the runs in tables. Raises ForeignFileError."""
    return [log for table in tables for log in _of_table(table, given, percent)]


def _of_table(table: Table, given: Mapping[str, str], percent: bool) -> list[Log]:
    for ours, theirs in given.items():
        if theirs not in table.columns and theirs not in table.labels:
            raise ForeignFileError(table.source, f"has no column {theirs!r} for {ours}; it has {listed(table.names)}")
    if not table.rows or (has_steps_by_split(table) and "step" not in given):
        return _of_run(table, given, percent)
    table.axis = step_column(table, given.get("step"))
    return [log for part in runs_of(table, given.get("run")) for log in _of_run(part, given, percent)]


def _of_run(table: Table, given: Mapping[str, str], percent: bool) -> list[Log]:
    """Return the logs in the table of a run: one log, or several whose columns are side by side."""
    logs = []
    for choice in choose(table, given):
        own = replace(table, notes=[*table.notes, *choice.notes])
        curves = with_steps(own, choice.columns, given.get("step"))
        curves = checked(curves, choice.columns, own, percent=percent)
        ordered = {ours: in_order(series, choice.columns[ours], own) for ours, series in curves.items()}
        series = {ours: each for ours, each in ordered.items() if each.steps.size}
        run = " ".join(filter(None, (table.run, choice.run)))
        columns = {ours: choice.columns[ours] for ours in series}
        logs.append(
            Log(
                sources=(table.source,),
                run=run,
                series=series,
                columns=columns,
                names=tuple(table.names),
                theirs=table.theirs,
                notes=tuple(own.notes),
                n_test=table.n_test,
            )
        )
    return logs


def joined(logs: Sequence[Log]) -> list[Log]:
    """Join the logs that hold different curves of the same run.

    Files belong to the same run if their paths differ only in words for splits, quantities and steps (or, in exports of
    several runs, have runs of the same name), no curve is in both, and they share at least half of the steps of the
    shorter file.
    """
    found: list[Log] = []
    for log in logs:
        place = next((place for place, other in enumerate(found) if _belong(other, log)), None)
        if place is None:
            found.append(log)
        else:
            found[place] = _joined(found[place], log)
    return found


def joined_by_hand(logs: Sequence[Log]) -> list[Log]:
    """Join all logs as a single run. Raises ConfigError if two have the same curve, or share no steps."""
    first, *rest = logs
    for log in rest:
        both = sorted(first.series.keys() & log.series.keys())
        if both:
            raise ConfigError("join", log.sources[0], f"{', '.join(both)} already occurs in {first.sources[0]}")
        if not np.intersect1d(first.steps, log.steps).size:
            raise ConfigError("join", log.sources[0], f"shares no step with {first.sources[0]}")
        first = _joined(first, log)
    return [first]


def _belong(log: Log, other: Log) -> bool:
    if {*log.sources} & {*other.sources} or log.series.keys() & other.series.keys():
        return False
    if not (log.series and other.series):
        return False
    named = bool(log.run) and log.run == other.run and not log.run.startswith("#")
    if not named and _key(log) != _key(other):
        return False
    shared = np.intersect1d(log.steps, other.steps).size
    return 2 * shared >= min(len(log.steps), len(other.steps))


def _key(log: Log) -> tuple[object, ...]:
    """Return the parts that files of a run share: words of their path that name no curve, and the label of the run."""
    source = log.sources[0]
    return without_roles(words(str(source.with_suffix("")))), source.suffix, log.run


def _joined(log: Log, other: Log) -> Log:
    shared = np.intersect1d(log.steps, other.steps).size
    note = f"joined with {other.sources[0].name}: {shared} steps in common, other curves"
    return Log(
        sources=(*log.sources, *other.sources),
        run=log.run or other.run,
        series={**log.series, **other.series},
        columns={**log.columns, **other.columns},
        names=(*log.names, *other.names),
        theirs={**log.theirs, **other.theirs},
        notes=(*log.notes, *other.notes, note),
        n_test=log.n_test or other.n_test,
    )
