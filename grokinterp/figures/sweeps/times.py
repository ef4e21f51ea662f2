"""Times over a setting: grokking with its fitted parabola, and memorization beside generalization."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from grokinterp.figures.series import STEP
from grokinterp.figures.style import BLUE, GREEN, INK, ORANGE, styled
from grokinterp.figures.sweeps.panels import BAND, label, log_steps, marked_value, panels
from grokinterp.figures.sweeps.scale import Scale


class Times(NamedTuple):
    """The times of the runs of a series over a setting.

    Attributes:
        name: the series.
        at: the value of the setting of every run.
        time: its time, or the bound that it exceeds.
        observed: whether the time is known.
        curve: the values and the times of a fitted curve; None without a fit.
        turning: where the curve turns, with its interval; None without a turning point.
    """

    name: str
    at: np.ndarray
    time: np.ndarray
    observed: np.ndarray
    curve: tuple[np.ndarray, np.ndarray] | None = None
    turning: tuple[float, float, float] | None = None


@styled()
def grok_times(series: Sequence[Times], x: Scale) -> Figure:
    """Draw the grok step of every run, and the fitted parabola; runs that did not grok are lower bounds."""
    legend = [
        Line2D([], [], linestyle="", marker="o", color=BLUE, markersize=4.5, label="run that grokked"),
        lower_bound(),
        *([Line2D([], [], color=INK, linewidth=1.2, label="fit")] if any(one.curve for one in series) else []),
        *(
            [Patch(color=BAND, alpha=0.6, label="turning point, 95 % interval")]
            if any(s.turning for s in series)
            else []
        ),
    ]
    figure, axes, inches = panels(len(series), legend=legend)
    for one, of in zip(axes, series, strict=True):
        draw_runs(one, of.at, of.time, of.observed, BLUE, "o")
        if of.curve is not None:
            one.plot(*of.curve, color=INK, linewidth=1.2, zorder=2)
        marked_value(one, of.turning)
        x.draw(one, inches=inches)
        one.set_title(of.name)
    log_steps(axes, np.concatenate([of.time for of in series]))
    label(axes, STEP)
    return figure


class Capacity(NamedTuple):
    """Times to memorize and to generalize of the runs of a series, with their medians and where these coincide."""

    name: str
    memorized: Times
    generalized: Times
    medians: tuple[np.ndarray, np.ndarray, np.ndarray]
    crossing: tuple[float, float, float] | None = None


@styled()
def memorized_and_generalized(series: Sequence[Capacity], x: Scale) -> Figure:
    """Draw the times to memorize and to generalize of every run, and their medians over the seeds."""
    legend = [
        Line2D([], [], marker="s", markersize=4.5, color=GREEN, label="memorized: run, and median"),
        Line2D([], [], marker="o", markersize=4.5, color=BLUE, label="grokked: run, and median"),
        lower_bound(),
        *([Patch(color=BAND, alpha=0.6, label="crossing, 95 % interval")] if any(s.crossing for s in series) else []),
    ]
    figure, axes, inches = panels(len(series), legend=legend)
    for one, of in zip(axes, series, strict=True):
        for times, color, marker in ((of.memorized, GREEN, "s"), (of.generalized, BLUE, "o")):
            draw_runs(one, times.at, times.time, times.observed, color, marker, size=3.2)
        places, memorized, generalized = of.medians
        for values, color in ((memorized, GREEN), (generalized, BLUE)):
            one.plot(places, np.where(np.isfinite(values), values, np.nan), color=color, linewidth=1.6, zorder=2)
        marked_value(one, of.crossing)
        x.draw(one, inches=inches)
        one.set_title(of.name)
    log_steps(axes, np.concatenate([t.time for of in series for t in (of.memorized, of.generalized)]))
    label(axes, STEP)
    return figure


def draw_runs(
    axes: Axes, at: np.ndarray, time: np.ndarray, observed: np.ndarray, color: str, marker: str, size: float = 4.5
) -> None:
    """Draw runs with known times as points, and the others as open triangles at the bound that they exceed."""
    axes.plot(at[observed], time[observed], marker, color=color, markersize=size, alpha=0.75, zorder=3, linewidth=0)
    axes.plot(
        at[~observed], time[~observed], "^", color=ORANGE, markerfacecolor="none", markersize=size + 1.5, zorder=3
    )


def lower_bound() -> Line2D:
    """Return the legend of runs whose time is a lower bound."""
    return Line2D(
        [], [], linestyle="", marker="^", color=ORANGE, markerfacecolor="none", markersize=6,
        label="not reached (lower bound)",
    )  # fmt: skip
