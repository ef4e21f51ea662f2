"""Everything that the public readers return about a run, and the comparison of two readings."""

import json
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import xarray as xr

from benchmarks.reliability.processes import Hanging
from benchmarks.reliability.trial import End, Trial
from grokinterp.diagnostics import diagnose
from grokinterp.errors import GrokinterpError
from grokinterp.runs.completeness import is_complete
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory, Weights
from grokinterp.storage import RunDirectory

Values = dict[str, Any]

ABSENT = ({}, None, (), [])
"""Values that mark something as absent."""


class Reading(NamedTuple):
    """The values that the readers returned, and their messages.

    Attributes:
        numbers: stored numbers by name (a row of metrics, a checkpoint, a variable of an analysis): never different
            from those of the intact run, with or without a message; they may be missing if a message says so.
        derived: documents and everything computed from several files, which may differ if a message says why.
        said: one-line errors and warnings.
        tracebacks: exceptions that are not one-line errors.
    """

    numbers: Values
    derived: Values
    said: list[str]
    tracebacks: list[str]


def read(path: Path, readers: Mapping[str, Callable[[Path], tuple[Values, Values]]]) -> Reading:
    """Call every reader on a run directory, and return all values and messages."""
    reading = Reading({}, {}, [], [])
    for name, reader in readers.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                numbers, derived = reader(path)
                reading.numbers.update(numbers)
                reading.derived.update(derived)
            except GrokinterpError as error:
                reading.said.append(str(error))
            except Exception as error:
                reading.tracebacks.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
        for warning in caught:
            if issubclass(warning.category, UserWarning):
                reading.said.append(str(warning.message))
            else:
                reading.tracebacks.append(f"{name}: {warning.category.__name__}: {warning.message}")
    return reading


def judge(fault: str, intact: Reading, found: Reading | Hanging, named: str) -> Trial:
    """Return the trial: the numbers must be equal, or a message must match the regular expression ``named``."""
    if isinstance(found, Hanging):
        return Trial(fault, End.SILENT, str(found))
    if found.tracebacks:
        return Trial(fault, End.TRACEBACK, found.tracebacks[0])
    if broken := [line for line in found.said if len(line.splitlines()) != 1]:
        return Trial(fault, End.TRACEBACK, f"a message of several lines: {broken[0]!r}")
    for name, value in found.numbers.items():
        if value not in ABSENT and intact.numbers.get(name) != value:
            return Trial(fault, End.SILENT, f"{name} changed")
    lines = [line for line in found.said if re.search(named, line)]
    both = {**intact.numbers, **intact.derived}
    after = {**found.numbers, **found.derived}
    if after == both:
        return Trial(fault, End.EQUAL, lines[0] if lines else "")
    if lines:
        return Trial(fault, End.NAMED, lines[0])
    different = [name for name in both | after if both.get(name) != after.get(name)]
    return Trial(fault, End.SILENT, f"{different[0]} {'changed' if different[0] in after else 'missing'}")


def exact(value: Any) -> Any:
    """Return a value in a form that compares exactly: tensors and arrays as shape and bytes, the rest as JSON text."""
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), str(value.dtype), value.detach().contiguous().view(-1).numpy().tobytes()
    if isinstance(value, xr.DataArray | xr.Variable):
        values = value.values
        return value.dims, values.shape, values.tolist() if values.dtype.kind in "OUS" else values.tobytes()
    return json.dumps(value, sort_keys=True, default=str)


def tensors_of(path: Path) -> tuple[Values, Values]:
    """Read every checkpoint; an unreadable one is left out and its error becomes a warning."""
    run = Trajectory.open(path)
    numbers: Values = {}
    for step in run.steps:
        try:
            numbers[f"checkpoint {step}"] = exact_weights(run.weights(step))
        except GrokinterpError as error:
            warnings.warn(str(error), stacklevel=1)
    return numbers, {}


def exact_weights(weights: Weights) -> Any:
    """Return the content of a checkpoint in a form that compares exactly."""
    parts = {"state": weights.state, "update": weights.update, "average": weights.average}
    return {f"{part}/{name}": exact(value) for part, of in parts.items() for name, value in (of or {}).items()}


def resume_of(path: Path) -> tuple[Values, Values]:
    """Read the newest usable resume state; the skipped states become warnings."""
    saved = RunDirectory.open(path).resume.load()
    if saved is None:
        return {}, {}
    for line in saved.skipped:
        warnings.warn(line, stacklevel=1)
    content = {name: exact(value) for name, value in saved.tensors.items()}
    return {f"resume {saved.step}": (content, exact(saved.state))}, {}


def metrics_of(path: Path) -> tuple[Values, Values]:
    """Read the metrics; each evaluated step is one value."""
    return rows(Trajectory.open(path).metrics), {}


def rows(table: xr.Dataset) -> Values:
    """Return the rows of metrics by step; a repeated step, or a step out of order, gets its own name."""
    found: Values = {}
    for place, step in enumerate(table["step"].values.tolist()):
        row = {str(name): exact(table[name].isel(step=place)) for name in table.data_vars}
        name = f"metrics of step {step}"
        found[f"{name} again" if name in found else name] = row
    return found


def documents_of(path: Path) -> tuple[Values, Values]:
    """Read the configuration, the environment and the status."""
    run = RunDirectory.open(path)
    kept: Values = {}
    for name in ("experiment", "environment", "status"):
        try:
            kept[name] = exact(getattr(run, name))
        except GrokinterpError as error:
            warnings.warn(str(error), stacklevel=1)
    return {}, kept | {"steps": exact(run.steps())}


def analyses_of(path: Path) -> tuple[Values, Values]:
    """Read the results of every analysis; each variable is one value."""
    found = Results.open(path).analyses
    numbers = {
        f"{name}.{variable}": exact(part[variable]) for name, part in found.items() for variable in part.variables
    }
    attributes = {f"attributes of {name}": exact(dict(part.attrs)) for name, part in found.items()}
    return numbers, attributes


def conclusions_of(path: Path) -> tuple[Values, Values]:
    """Read everything that ``Results`` derives: measures, phases, verdict, summary, and the diagnoses."""
    results = Results.open(path)
    derived = {
        "not defined": exact(results.not_defined),
        "skipped": exact(results.skipped),
        "measures": exact(results.measures()),
        "history": exact([results.history.phases, results.history.events, results.history.verdict]),
        "verdict": exact([results.verdict, results.sentence]),
        "summary": exact(results.summary() | {"run": ""}),
        "diagnoses": exact([str(found) for found in diagnose(results)]),
    }
    return {}, derived


def completeness_of(path: Path) -> tuple[Values, Values]:
    """Read whether the results are complete; incomplete results do no harm, since they are measured again."""
    is_complete(path)
    return {}, {}


TENSORS = {"checkpoints": tensors_of, "resume": resume_of}
RECORDS = {
    "documents": documents_of,
    "metrics": metrics_of,
    "analyses": analyses_of,
    "conclusions": conclusions_of,
    "completeness": completeness_of,
}
EVERYTHING = TENSORS | RECORDS
