"""Read a run for listings and the database: settings, status, curves, dates, and damage; without torch or xarray."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from grokinterp.errors import GrokinterpError
from grokinterp.numbers import flat
from grokinterp.phases import Curves, History, find_phases, sustained_step
from grokinterp.storage import MetricsTable, RunDirectory
from grokinterp.storage.documents import read_document
from grokinterp.storage.run_directory import ENVIRONMENT, STATUS
from grokinterp.sweeps.contents import ABSENT
from grokinterp.sweeps.entry import COMPLETE
from grokinterp.sweeps.found import Found

FAILED, UNKNOWN = "failed", "unknown"

AVERAGE = "average_"
"""The prefix of the metrics of averaged weights, by which a run that has them is evaluated."""


class Record(NamedTuple):
    """A run as its files, and the sweep that lists it, describe it.

    Attributes:
        directory: the run directory, relative to the folder that was read.
        run_id: the hash of the configuration.
        configuration: the nested configuration.
        status: the status with its step and reason.
        table: the metrics; without rows for a run that failed before it began.
        history: the phases and the verdict; None if the metrics do not determine them.
        grok_step: the first step of sustained generalization; None without it.
        damage: what is damaged and was left out; "" if nothing is.
    """

    directory: str
    run_id: str
    configuration: dict[str, Any]
    status: dict[str, Any]
    table: MetricsTable
    history: History | None = None
    grok_step: int | None = None
    damage: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """The settings by dotted key."""
        return flat(self.configuration)


def read_record(found: Found) -> Record:
    """Return what the files of a run say.

    Raises:
        RunDirectoryError: the configuration or the metrics cannot be read.
    """
    if found.path is None:
        status = {"status": FAILED, "why": found.failure}
        return Record(found.directory, str(found.run_id), nested(found.settings), status, MetricsTable())
    run = RunDirectory.open(found.path)
    configuration, status = run.experiment, dict(run.status)
    table, check = run.read_metrics(nested=False)
    sizes = {name: run.environment.get(name) for name in ("n_test", "n_classes")}
    columns, steps = judged(table), np.frombuffer(table.steps, dtype=np.int64) if table.steps else np.zeros(0, np.int64)
    accuracy = columns.get("test_accuracy")
    return Record(
        found.directory,
        run.run_id,
        configuration,
        failed(status, found.failure),
        table,
        history_of(steps, columns, sizes),
        None if accuracy is None else sustained_step(steps, accuracy),
        "; ".join([*([f"metrics.jsonl: {check.faults}"] if check.faults else []), *left_out(run)]),
    )


def failed(status: Mapping[str, Any], failure: str | None) -> dict[str, Any]:
    """Return the status of a run for which a sweep lists a failure, if any; a run that ended has not failed."""
    named = str(status.get("status", UNKNOWN))
    if failure is None or named in (*COMPLETE, "running"):
        return {**status, "status": named}
    return {**status, "status": FAILED, "why": failure}


def left_out(run: RunDirectory) -> list[str]:
    """Return the documents of a run that are damaged, each with the reason."""
    reasons = {name: read_document(run.path / name, run_id=run.run_id)[1] for name in (ENVIRONMENT, STATUS)}
    return [f"{name}: {why}" for name, why in reasons.items() if why]


def judged(table: MetricsTable) -> dict[str, np.ndarray]:
    """Return the columns by which a run is evaluated: those of the averaged weights, if there are any."""
    columns = {
        name: np.frombuffer(column, dtype=np.float64) if column else np.zeros(0)
        for name, column in table.columns.items()
        if isinstance(name, str)
    }
    averaged = {name.removeprefix(AVERAGE): column for name, column in columns.items() if name.startswith(AVERAGE)}
    return columns | averaged


def history_of(steps: np.ndarray, columns: Mapping[str, np.ndarray], sizes: Mapping[str, Any]) -> History | None:
    """Return the phases and the verdict of curves; None if they do not determine them."""
    known = {name: value for name, value in sizes.items() if type(value) is int and value > 0}
    chance = 1 / known["n_classes"] if "n_classes" in known else None
    try:
        return find_phases(Curves.from_columns(steps, columns, n_test=known.get("n_test"), chance=chance))
    except GrokinterpError:
        return None


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by dotted key as a nested configuration.

    >>> nested({"task.p": 53, "task.kind": "modular_addition", "seed": 0})
    {'task': {'p': 53, 'kind': 'modular_addition'}, 'seed': 0}
    """
    whole: dict[str, Any] = {}
    for key, value in settings.items():
        *outer, last = key.split(".")
        inside = whole
        for name in outer:
            inside = inside.setdefault(name, {})
        inside[last] = value
    return whole


def differing(records: list[Record]) -> list[str]:
    """Return the keys of the settings, other than the name, whose values differ among the runs."""
    every = [record.settings for record in records]
    keys = dict.fromkeys(key for settings in every for key in settings)
    return [key for key in keys if key != "name" and len({repr(one.get(key, ABSENT)) for one in every}) > 1]
