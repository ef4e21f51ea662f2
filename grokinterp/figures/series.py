"""Curves over the optimizer steps, and the phases behind them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from grokinterp.figures.style import INK, PHASE_COLORS, QUIET
from grokinterp.phases import Event, Phase

STEP = "optimizer step"
MOST_TICKS = 7


class Line(NamedTuple):
    """One curve: values over steps, how it is named and drawn."""

    label: str
    values: xr.DataArray
    color: str
    style: str = "-"


def draw_lines(axes: Axes, lines: Sequence[Line], *, log: bool = False) -> None:
    """Draw curves over ``step``; with ``log``, what is not positive has no place and is left out."""
    for line in lines:
        steps, values = line.values["step"].values, line.values.values.astype(float)
        if log:
            values = np.where(values > 0, values, np.nan)
        alone = "." if np.isfinite(values).sum() < 3 else None
        axes.plot(steps, values, line.style, color=line.color, label=line.label, marker=alone)
    if log and any((line.values > 0).any() for line in lines):
        log_axis(axes)
    step_ticks(axes)


def step_ticks(axes: Axes) -> None:
    """Whole steps, few enough to be read."""
    axes.xaxis.set_major_locator(MaxNLocator(MOST_TICKS, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands))


def log_axis(axes: Axes) -> None:
    """A logarithmic y axis with a readable number of ticks, plain numbers where it spans less than two decades."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high < 5 * low:
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g}"))
    elif high < 100 * low:
        axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5), numticks=8))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g}"))
    else:
        axes.yaxis.set_major_locator(LogLocator(base=10, numticks=6))
    axes.yaxis.set_minor_formatter(NullFormatter())


def legend_beside(axes: Axes) -> None:
    """The legend right of the axes, where it hides nothing."""
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), borderaxespad=0.0, labelspacing=0.35)


def step_limits(axes: Axes, steps: np.ndarray) -> None:
    """All steps, and a sliver where there is only one."""
    first, last = (int(steps.min()), int(steps.max())) if len(steps) else (0, 1)
    axes.set_xlim(first, max(last, first + 1))


def draw_phases(axes: Axes, phases: Sequence[Phase]) -> None:
    """Tint the background of each phase."""
    for phase in phases:
        axes.axvspan(phase.start, phase.stop, color=PHASE_COLORS[phase.name], linewidth=0, zorder=-2)


def draw_events(axes: Axes, events: Sequence[Event]) -> None:
    """A dotted line at each instability."""
    for event in events:
        axes.axvline(event.step, color=QUIET, linestyle=":", linewidth=0.7, zorder=-1)


def name_phases(axes: Axes, phases: Sequence[Phase], *, inches: float) -> None:
    """A strip of named phases above the curves; a name that does not fit goes above the strip with a leader."""
    axes.set_ylim(0, 2.4)
    axes.axis("off")
    first, last = axes.get_xlim()
    free_from = -np.inf
    for phase in phases:
        start, stop = max(phase.start, first), min(phase.stop, last)
        axes.axvspan(start, stop, ymax=1 / 2.4, color=PHASE_COLORS[phase.name], linewidth=0)
        width = 0.078 * len(phase.name) * (last - first) / inches
        if stop - start >= width:
            axes.text((start + stop) / 2, 0.5, phase.name, ha="center", va="center", fontsize=9, color=INK)
            continue
        left = min(max(start, free_from), last - width)
        axes.plot([start, start], [0, 1.35], color=QUIET, linewidth=0.8, clip_on=False)
        axes.text(left, 1.45, phase.name, ha="left", va="bottom", fontsize=9, color=INK)
        free_from = left + width * 1.08


def _thousands(value: float, _position: int | None) -> str:
    r"""Steps with a thin space between thousands.

    >>> _thousands(25000.0, None)
    '25\u2009000'
    """
    return f"{value:,.0f}".replace(",", "\u2009")
