"""The chapter on the course of training: accuracies of every setting, with the spread of its seeds."""

from typing import TypeVar

import numpy as np
import pandas as pd

from grokinterp.figures.sweeps.courses import Course, courses
from grokinterp.figures.sweeps.panels import MOST
from grokinterp.sweep_report.plate import Absent, Drawn, Plate
from grokinterp.sweep_report.study import Cell, Study

Value = TypeVar("Value")

POINTS = 160
"""Number of steps at which the curves of a setting are drawn."""

METRICS = """
SELECT run_id, epoch, coalesce(average_train_accuracy, train_accuracy) AS train,
       coalesce(average_test_accuracy, test_accuracy) AS test
FROM metrics WHERE run_id IN ({}) ORDER BY run_id, epoch
"""


def chosen(study: Study) -> list[Cell]:
    """Return the settings whose curves are drawn: all, or in some series as many, evenly spread over the axis."""
    cells = with_curves(study)
    if len(cells) <= MOST:
        return cells
    series = spread(sorted({cell.series for cell in cells}), MOST // 3)
    each = MOST // len(series) // 3 * 3
    return [cell for one in series for cell in spread([cell for cell in cells if cell.series == one], each)]


def with_curves(study: Study) -> list[Cell]:
    """Return the settings with evaluated runs."""
    return [cell for cell in study.cells if (cell.runs["evaluations"] > 1).any()]


def spread(values: list[Value], count: int) -> list[Value]:
    """Return at most a number of values, evenly spread.

    >>> spread([0, 1, 2, 3, 4, 5], 3)
    [0, 2, 5]
    """
    places = np.linspace(0, len(values) - 1, min(len(values), count)).round().astype(int)
    return [values[place] for place in dict.fromkeys(places)]


def accuracy_curves(study: Study) -> Drawn:
    """Draw the accuracies of the settings over the steps."""
    shown = [course for cell in chosen(study) if (course := course_of(study, cell)) is not None]
    return courses(shown) if shown else Absent("no run has accuracies")


def course_of(study: Study, cell: Cell) -> Course | None:
    """Return the accuracies of the runs of a setting; None if none was recorded."""
    ids = list(cell.runs["run_id"])
    metrics = study.database.query(METRICS.format(", ".join("?" for _ in ids)), ids).dropna()
    if not len(metrics):
        return None
    steps = np.unique(np.linspace(0, metrics["epoch"].max(), POINTS).round().astype(int))
    runs = [run for _, run in metrics.groupby("run_id")]
    train, test = (np.stack([held(run, name, steps) for run in runs]) for name in ("train", "test"))
    return Course(study.name_cell(cell), steps, train, test)


def held(run: pd.DataFrame, name: str, steps: np.ndarray) -> np.ndarray:
    """Return a metric of a run at some steps: the last value before each, also after the end of the run."""
    at = np.searchsorted(run["epoch"].to_numpy(), steps, side="right") - 1
    return run[name].to_numpy(dtype=float)[at.clip(min=0)]


def caption(study: Study) -> str:
    """Return the caption of the curves."""
    shown, cells = len(chosen(study)), len(with_curves(study))
    some = f" {shown} of {cells} settings are shown, evenly spread." if shown < cells else ""
    return (
        "Accuracy over training, as median, quartiles and range over the runs of a setting. A run that has ended keeps "
        f"its last value, so that the median does not change when runs stop after grokking.{some}"
    )


PLATES = (Plate("Accuracy curves with the spread of the seeds", accuracy_curves, caption),)
