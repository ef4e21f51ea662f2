"""A run of a comparison: its settings, dates, final measures, and its curves over the steps, with what it has."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from grokinterp.errors import GrokinterpError
from grokinterp.phases import History
from grokinterp.report.phase_table import MEASURES, Measure, series
from grokinterp.report.vocabulary import Vocabulary, vocabulary_of
from grokinterp.runs.results import Results
from grokinterp.runs.summary import final_measures

FEWEST = 2
"""Smallest number of steps of a curve."""


class Series(NamedTuple):
    """A measure of one run over steps.

    Attributes:
        label: the name of the measure, with its split or part, if any.
        unit: its unit; "1" for a pure number.
        is_chosen: whether reports follow the measure through the phases.
    """

    label: str
    unit: str
    steps: np.ndarray
    values: np.ndarray
    is_chosen: bool


class Compared(NamedTuple):
    """A run as plain values.

    Attributes:
        path: the run directory.
        name: its directory, relative to the folder of all compared runs.
        configuration: the nested configuration.
        status: the status with its step and reason.
        verdict, sentence: the verdict, alone and in a sentence with numbers.
        history: the phases; None if they cannot be dated, for the reason ``no_history``.
        curves: its series by measure.
        measures: the scalar measures of the last checkpoint.
        last: the last evaluated or analyzed step; None without one.
        doubts: what is missing or damaged, one phrase each.
    """

    path: Path
    name: str
    configuration: Mapping[str, Any]
    status: Mapping[str, Any]
    verdict: str
    sentence: str
    history: History | None
    no_history: str
    curves: Mapping[str, Series]
    measures: Mapping[str, Any]
    last: int | None
    doubts: tuple[str, ...]

    @property
    def memorized(self) -> int | None:
        """The step of memorization, if it was seen."""
        return self.history.memorized_step if self.history else None

    @property
    def generalized(self) -> int | None:
        """The step of generalization, if it was seen."""
        return self.history.generalized_step if self.history else None

    @property
    def delay(self) -> float | None:
        """The time to generalize in units of the time to memorize, if both were seen."""
        if self.memorized is None or self.generalized is None:
            return None
        return self.generalized / max(self.memorized, 1)


def read_compared(path: Path, name: str) -> Compared:
    """Return what a run has: metrics, history and analyses are each optional.

    Raises:
        RunDirectoryError: it is not a run directory, or its configuration or its metrics cannot be read.
    """
    results = Results.open(path)
    metrics, vocabulary = results.metrics, vocabulary_of(results)
    try:
        history, why = (results.history, "") if metrics.sizes["step"] else (None, "has no evaluations")
    except GrokinterpError as error:
        history, why = None, getattr(error, "why", str(error))
    judged = bool(metrics.sizes["step"]) or results.no_history is not None
    curves = dict(curves_of(results, vocabulary))
    steps = [int(found.steps[-1]) for found in curves.values()]
    return Compared(
        path=path,
        name=name,
        configuration=results.directory.experiment,
        status=results.directory.status,
        verdict=(results.verdict if judged else None) or "no verdict",
        sentence=results.sentence if judged else f"The run {why}.",
        history=history,
        no_history=why,
        curves=curves,
        measures=final_measures(results),
        last=max(steps, default=None),
        doubts=tuple(doubts_of(results)),
    )


def curves_of(results: Results, vocabulary: Vocabulary) -> Iterator[tuple[str, Series]]:
    """Yield every measure over the steps: those that reports follow, then the other scalars of metrics and analyses."""
    sources = [results.metrics, *results.analyses.values()]
    seen = set()
    for measure in MEASURES:
        for source in sources:
            values = series(source, measure)
            if values is not None and (found := chosen_series(values, measure, vocabulary)) is not None:
                key = "_".join((measure.name, *measure.at.values()))
                seen.add(key)
                yield key, found
                break
    for source in sources:
        for key, values in source.data_vars.items():
            if key not in seen and (found := other_series(values)) is not None:
                seen.add(key)
                yield str(key), found


def chosen_series(values: xr.DataArray, measure: Measure, vocabulary: Vocabulary) -> Series | None:
    """Return a measure that reports follow; None without enough finite values."""
    words = vocabulary._asdict()
    label, unit = measure.label.format(examples=vocabulary.examples), measure.unit.format(**words)
    return series_of(label, unit, values, is_chosen=True)


def other_series(values: xr.DataArray) -> Series | None:
    """Return any other number over the steps; None for other shapes and kinds, and without enough finite values."""
    if values.dims != ("step",) or values.dtype.kind not in "fiub":
        return None
    label, unit = str(values.attrs.get("long_name", values.name)), str(values.attrs.get("units", "1"))
    return series_of(label, unit, values, is_chosen=False)


def series_of(label: str, unit: str, values: xr.DataArray, *, is_chosen: bool) -> Series | None:
    """Return the finite values over the steps; None if there are too few."""
    steps, numbers = values["step"].values.astype(np.int64), values.values.astype(float)
    kept = np.isfinite(numbers)
    if kept.sum() < FEWEST:
        return None
    return Series(label, unit, steps[kept], numbers[kept], is_chosen)


def doubts_of(results: Results) -> Iterator[str]:
    """Yield what a run lacks, or what is damaged in it."""
    status = str(results.directory.status.get("status", "unknown"))
    if status not in ("finished", "unknown"):
        yield f"status {status}"
    if not results.analyses:
        yield "not analyzed"
    if results.skipped:
        yield f"{len(results.skipped)} damaged checkpoints skipped"
    if results.left_out:
        yield f"{len(results.left_out)} files left out"
    if results.log_check.n_skipped:
        yield f"{results.log_check.n_skipped} damaged rows of metrics skipped"
