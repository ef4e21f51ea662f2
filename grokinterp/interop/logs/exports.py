"""Exports of experiment trackers: Weights & Biases tables with runs side by side, TensorBoard event files."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from grokinterp.interop.logs.names import is_step, words
from grokinterp.interop.logs.table import Table
from grokinterp.interop.text_files import ForeignFileError

SIDE_BY_SIDE = re.compile(r"(?P<run>.+) - (?P<name>.+?)(?P<extreme>__MIN|__MAX)?")
"""A column of a Weights & Biases chart as CSV: run, metric, and the extremes where points were merged."""


def by_run(table: Table) -> list[Table]:
    """Split a chart exported by Weights & Biases into tables of its runs; return any other table unchanged.

    Its columns are ``RUN - METRIC``, with ``RUN - METRIC__MIN`` and ``__MAX`` next to each, which are omitted.
    """
    columns = {name: SIDE_BY_SIDE.fullmatch(name) for name in table.columns if not is_step(name)}
    if not columns or not all(columns.values()):
        return [table]
    steps = {name: table.columns[name] for name in table.columns if name not in columns}
    runs: dict[str, Table] = {}
    for name, found in columns.items():
        if found is None or found["extreme"]:
            continue
        run = runs.setdefault(found["run"], Table(table.source, dict(steps), names=table.names, run=found["run"]))
        run.columns[found["name"]] = table.columns[name]
        if name in table.bad:
            run.bad[found["name"]] = table.bad[name]
    return list(runs.values())


def read_events(path: Path, wanted: Iterable[str] = ()) -> list[Table]:
    """Return the scalars in a TensorBoard event file, or in a folder of them, each with its own steps.

    Raises:
        ForeignFileError: if tensorboard is not installed, or the file holds no scalars.
    """
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        why = "is an event file: reading it needs tensorboard, pip install 'grokinterp[loggers]'"
        raise ForeignFileError(path, why) from None
    events = EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    table = Table(path)
    for tag in events.Tags()["scalars"]:
        _add(table, tag, [(event.step, event.value) for event in events.Scalars(tag)])
    for tag in events.Tags()["tensors"]:
        _add(table, tag, _scalars(events, tag))
    if not table.columns:
        raise ForeignFileError(path, "holds no scalars")
    return [table]


def _scalars(events: object, tag: str) -> list[tuple[int, float]]:
    """Return the values of a tag that TensorFlow 2 wrote as tensors, or [] if they are not scalars."""
    from tensorboard.util.tensor_util import make_ndarray

    found = [(event.step, make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]  # ty: ignore
    return [(step, float(value)) for step, value in found if value.ndim == 0 and value.dtype.kind in "fiu"]


def _add(table: Table, tag: str, points: list[tuple[int, float]]) -> None:
    """Add a curve under its tag; epochs logged by trackers are not curves."""
    if not points or is_step(tag) or not words(tag):
        return
    table.columns[tag] = np.array([value for _, value in points], dtype=np.float64)
    table.own_steps[tag] = np.array([step for step, _ in points], dtype=np.float64)
    table.names.append(tag)
