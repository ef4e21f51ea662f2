"""Accuracy over training for every setting: the median over the seeds, with the range of the runs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from grokinterp.figures.series import STEP, step_ticks
from grokinterp.figures.style import BLUE, GRAY, styled
from grokinterp.figures.sweeps.panels import label, panels, share_axis, threshold_line
from grokinterp.phases import SUSTAINED


class Course(NamedTuple):
    """Accuracies [run, step] of the runs of a setting, NaN where not evaluated."""

    name: str
    steps: np.ndarray
    train: np.ndarray
    test: np.ndarray


@styled()
def courses(settings: Sequence[Course]) -> Figure:
    """Draw the train and test accuracy of every setting: median, quartiles, and range over the runs."""
    legend = [
        Line2D([], [], color=BLUE, label="test: median"),
        Patch(color=BLUE, alpha=0.35, linewidth=0, label="quartiles"),
        Patch(color=BLUE, alpha=0.15, linewidth=0, label="all runs"),
        Line2D([], [], color=GRAY, linestyle="--", label="train: median"),
    ]
    figure, axes, _ = panels(len(settings), legend=legend)
    last = max(int(of.steps.max(initial=1)) for of in settings)
    for one, of in zip(axes, settings, strict=True):
        if len(of.test) > 1:
            for low, high, alpha in ((0, 1, 0.15), (0.25, 0.75, 0.25)):
                ends = np.quantile(of.test, [low, high], axis=0)
                one.fill_between(of.steps, *ends, color=BLUE, alpha=alpha, linewidth=0)
        one.plot(of.steps, np.median(of.train, axis=0), color=GRAY, linewidth=1.2, linestyle="--")
        one.plot(of.steps, np.median(of.test, axis=0), color=BLUE, linewidth=1.4)
        threshold_line(one, SUSTAINED.threshold)
        share_axis(one)
        one.set_xlim(0, last)
        step_ticks(one, most=4)
        one.set_title(of.name, fontsize=8.5)
        one.set_xlabel(STEP)
    label(axes, "accuracy [1]")
    return figure
