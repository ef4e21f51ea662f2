"""The chapter on the weights: their norm at the end of the runs."""

import numpy as np

from grokinterp.experiment.varied import WEIGHT_DECAY
from grokinterp.figures.sweeps.norms import Norms, final_norms
from grokinterp.figures.sweeps.scale import Scale
from grokinterp.numbers import whole
from grokinterp.sweep_report.axes import Axis
from grokinterp.sweep_report.boundary import NO_AXIS
from grokinterp.sweep_report.plate import Absent, Drawn, Plate
from grokinterp.sweep_report.study import Study

MOST_SERIES = 16
"""Largest number of series whose markers and colors can be distinguished."""


def axis_of(study: Study) -> tuple[int, Axis] | None:
    """Return the axis over which norms are drawn, with its place: weight decay, if it is varied."""
    axes = [axis for axis in (study.x, *study.others) if axis is not None]
    decays = [(i, axis) for i, axis in enumerate(axes) if axis.key == WEIGHT_DECAY]
    return next(iter([*decays, *enumerate(axes)]), None)


def norms(study: Study) -> Drawn:
    """Draw the final weight norm of every run over the weight decay, or over the first axis."""
    chosen = axis_of(study)
    if chosen is None:
        return NO_AXIS
    runs = study.runs.assign(at=axis_values(chosen[1]))
    runs = runs[runs["final_weight_norm"] > 0]
    if not len(runs):
        return Absent("no run has a recorded weight norm")
    axes = [axis for axis in (study.x, *study.others) if axis is not None]
    names = [name_others(axes, chosen[0], row) for row in runs.index]
    order = list(dict.fromkeys(name for _, name in sorted(names)))
    texts = np.array([name for _, name in names])
    series = [
        Norms(name, *(runs[column].to_numpy()[texts == name] for column in ("at", "final_weight_norm", "grokked")))
        for name in order[:MOST_SERIES]
    ]
    axis = chosen[1]
    return final_norms(series, Scale(axis.name, axis.numbers, axis.texts, axis.is_logarithmic))


def axis_values(axis: Axis) -> np.ndarray:
    """Return the value of an axis for every run, as a number."""
    return axis.numbers[list(axis.codes)]


def name_others(axes: list[Axis], place: int, row: int) -> tuple[tuple[int, ...], str]:
    """Return the values of a run on the other axes, as places for sorting and as text."""
    others = [axis for i, axis in enumerate(axes) if i != place]
    text = ", ".join(f"{axis.name} {axis.texts[axis.codes[row]]}" for axis in others)
    return tuple(axis.codes[row] for axis in others), text


def caption(study: Study) -> str:
    """Return the caption of the norms."""
    early = study.decided[study.decided["last_epoch"] < study.decided["epochs"]]
    text = "Sum of squared weights at the last evaluation of every run; lines are the medians."
    if not len(early):
        return text
    grokked = int(early["grokked"].sum())
    share = "all" if grokked == len(early) else f"{whole(grokked)} of them" if grokked else "none"
    return f"{text} {whole(len(early))} of {whole(len(study.runs))} runs stopped early, {share} after grokking."


PLATES = (Plate("Weight norm at the end", norms, caption),)
