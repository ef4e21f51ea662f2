"""Success rates over a setting with their intervals and the critical value, and its shift between series."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from grokinterp.figures.heatmaps import CHARACTER, WIDE
from grokinterp.figures.style import BLUE, INK, ORANGE, QUIET, blank, place, styled
from grokinterp.figures.sweeps.panels import BAND, label, marked_value, panels, share_axis, threshold_line
from grokinterp.figures.sweeps.scale import Scale


class Rates(NamedTuple):
    """The success rates of a series with their intervals, and the fitted curve with its critical value, if any.

    Attributes:
        name: the series.
        at: the values of the setting.
        rate, low, high: for every value.
        curve: the values and the fitted rates; None without a fit.
        critical: the critical value and its interval, clipped to the values; None without a fit.
    """

    name: str
    at: np.ndarray
    rate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    curve: tuple[np.ndarray, np.ndarray] | None = None
    critical: tuple[float, float, float] | None = None


@styled()
def success_rates(series: Sequence[Rates], x: Scale) -> Figure:
    """Draw the success rates of every series in a panel."""
    legend = [
        Line2D([], [], linestyle="", marker="o", markersize=4.5, color=BLUE, label="runs that grokked, 95 % interval"),
        *(
            [
                Line2D([], [], color=INK, linewidth=1.2, label="logistic fit"),
                Patch(color=BAND, alpha=0.6, label="critical value, 95 % interval"),
            ]
            if any(one.curve for one in series)
            else []
        ),
    ]
    figure, axes, inches = panels(len(series), legend=legend)
    for one, of in zip(axes, series, strict=True):
        error = np.stack([of.rate - of.low, of.high - of.rate]).clip(min=0)
        one.errorbar(of.at, of.rate, error, fmt="o", color=BLUE, markersize=4.5, elinewidth=1.1, capsize=2, zorder=3)
        if of.curve is not None:
            one.plot(*of.curve, color=INK, linewidth=1.2, zorder=2)
        marked_value(one, of.critical)
        threshold_line(one, 0.5)
        share_axis(one)
        x.draw(one, inches=inches)
        one.set_title(of.name)
    label(axes, "share of runs [1]")
    return figure


class Critical(NamedTuple):
    """The critical value of a series, clipped to the values that were tried, and whether each end is open."""

    name: str
    value: float
    low: float
    high: float
    open_low: bool
    open_high: bool


@styled()
def critical_values(series: Sequence[Critical], x: Scale, rows: str) -> Figure:
    """Draw the critical value of every series as a row; arrows mark intervals without a bound on that side."""
    left = 0.7 + CHARACTER * max(len(one.name) for one in series)
    height = max(0.3 * len(series), 1.1)
    figure = blank(WIDE, height + 1.0)
    axes = place(figure, left, 0.3, WIDE - left - 0.3, height)
    for row, one in enumerate(series):
        axes.plot([one.low, one.high], [row, row], color=BAND, linewidth=5, solid_capstyle="butt", zorder=1)
        for is_open, end, marker in ((one.open_low, one.low, "<"), (one.open_high, one.high, ">")):
            if is_open:
                axes.plot([end], [row], marker, color=ORANGE, markersize=7, zorder=2)
        if np.isfinite(one.value):
            axes.plot([one.value], [row], "o", color=BLUE, markersize=6, zorder=3)
    axes.set_yticks(range(len(series)), [one.name for one in series])
    axes.set(ylim=(len(series) - 0.5, -0.5), ylabel=rows, title="Critical value")
    axes.grid(visible=True, axis="x", color="#eef1f4", linewidth=0.8)
    axes.set_axisbelow(True)
    x.draw(axes, inches=WIDE - left - 0.3)
    axes.tick_params(axis="y", colors=QUIET, labelcolor=INK)
    return figure
