"""The rows of the database that describe a run."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from math import isnan
from typing import Any

import numpy as np

from grokinterp.storage import MetricsTable, configuration_hash
from grokinterp.storage.files import canonical_json
from grokinterp.sweeps.clock import Clock
from grokinterp.sweeps.found import Found
from grokinterp.sweeps.horizon import horizon_of
from grokinterp.sweeps.record import AVERAGE, Record

SETTINGS = {
    "name": "name",
    "task": "task.kind",
    "prime": "task.p",
    "train_fraction": "split.fraction",
    "model": "model.kind",
    "d_model": "model.d_model",
    "d_mlp": "model.d_mlp",
    "n_layers": "model.n_layers",
    "n_heads": "model.n_heads",
    "optimizer": "optimization.optimizer",
    "loss": "optimization.loss",
    "learning_rate": "optimization.lr",
    "weight_decay": "optimization.weight_decay",
    "batch_size": "optimization.batch_size",
    "seed": "seed",
    "epochs": "steps",
    "evaluate_every": "evaluate_every",
}
"""The columns of ``runs`` that are settings, with their dotted keys."""

FINAL = ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "weight_norm")
"""The measures whose last values are columns of ``runs``, named ``final_...``."""


def run_values(record: Record, found: Found) -> dict[str, Any]:
    """Return the values of a run by the columns of ``runs``, except those of its experiments and files."""
    settings, history, steps = record.settings, record.history, record.table.steps
    named = {column: plain(settings.get(key)) for column, key in SETTINGS.items()}
    last, not_finite = last_values(record.table)
    width, prime = named["d_model"], named["prime"]
    horizon, seconds = observed(record, found)
    return {
        "run_id": record.run_id,
        "directory": record.directory,
        **named,
        "setting_id": configuration_hash({key: value for key, value in record.configuration.items() if key != "seed"}),
        "ratio": width / prime if type(width) is int and type(prime) is int and prime > 0 else None,
        "configuration": canonical_json(record.configuration),
        "status": record.status["status"],
        "why": plain(record.status.get("why")),
        "verdict": history.verdict if history else None,
        "phases": json.dumps([phase.__dict__ for phase in history.phases] if history else []),
        "memorized_epoch": history.memorized_step if history else None,
        "generalized_epoch": history.generalized_step if history else None,
        "grok_epoch": record.grok_step,
        "horizon": horizon,
        "last_epoch": steps[-1] if steps else None,
        "evaluations": len(steps),
        **last,
        "not_finite": not_finite,
        "seconds": seconds,
        "damage": record.damage or None,
    }


def observed(record: Record, found: Found) -> tuple[int | None, float | None]:
    """Return the last epoch at which grokking could have been observed, and the seconds of training, where known."""
    if found.path is None or not record.table.steps:
        return None, None
    steps = np.frombuffer(record.table.steps, dtype=np.int64)
    try:
        horizon = horizon_of(record.configuration, record.status, steps)
    except (KeyError, TypeError, ValueError):  # a recorded run of unknown length
        horizon = None
    return horizon, Clock.read(found.path, steps).at(int(steps[-1]))


def plain(value: Any) -> Any:
    """Return a value that SQLite can store: JSON for lists and tables, text for integers of more than 64 bits."""
    if isinstance(value, list | dict):
        return canonical_json(value)
    if isinstance(value, int) and abs(value) >= 2**63:
        return str(value)
    return value


def last_values(table: MetricsTable) -> tuple[dict[str, float | None], str | None]:
    """Return the measures of the last evaluation by column, and the names of those that are not finite, if any."""
    last: dict[str, float | None] = {}
    not_finite = []
    for name in FINAL:
        source = AVERAGE + name if AVERAGE + name in table.columns else name
        value = table.columns[source][-1] if table.steps and source in table.columns else None
        last[f"final_{name}"] = value
        if value is not None and isnan(value) and table.lines[-1] in table.undefined.get(source, ()):
            not_finite.append(f"final_{name}")
    return last, " ".join(not_finite) or None


def metric_rows(record: Record, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the table ``metrics`` of a run; SQLite stores NaN as NULL.

    Args:
        record: the run.
        columns: the names of the columns of the table.
    """
    table = record.table
    scalars = {name: column for name, column in table.columns.items() if isinstance(name, str)}
    values: dict[str, Iterable[Any]] = {name: scalars.get(name, repeat(None)) for name in columns}
    values |= {
        "run_id": repeat(record.run_id),
        "epoch": table.steps,
        "not_finite": not_finite(table, columns),
        "others": other_metrics(table, [name for name in scalars if name not in columns]),
    }
    return zip(*values.values(), strict=False)


def not_finite(table: MetricsTable, columns: Sequence[str]) -> Iterable[str | None]:
    """Return, for every row, the names of the metrics that were recorded but not finite, None if all were finite."""
    names: defaultdict[int, list[str]] = defaultdict(list)
    for name in columns:
        for line in table.undefined.get(name, ()):
            names[line].append(name)
    return (" ".join(names[line]) if line in names else None for line in table.lines) if names else repeat(None)


def other_metrics(table: MetricsTable, names: Sequence[str]) -> Iterable[str | None]:
    """Return, for every row, the metrics of some names as JSON, null if not finite; None if none was recorded."""
    return (other_metrics_of(table, names, place) for place in range(len(table.lines))) if names else repeat(None)


def other_metrics_of(table: MetricsTable, names: Sequence[str], place: int) -> str | None:
    """Return the metrics of some names in a row as JSON."""
    found: dict[str, float | None] = {}
    for name in names:
        value = table.columns[name][place]
        if not isnan(value):
            found[name] = value
        elif table.lines[place] in table.undefined.get(name, ()):
            found[name] = None
    return canonical_json(found) if found else None
