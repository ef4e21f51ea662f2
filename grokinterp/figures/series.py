"""Curves over the optimizer steps, with phases in the background."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from grokinterp.figures.style import GRAY, INK, PHASE_COLORS, QUIET, blank, place, styled
from grokinterp.numbers import compact
from grokinterp.phases import Event, Phase

STEP = "optimizer step"
MOST_TICKS = 7
FINEST = 800
"""Number of lines that can be distinguished over the width of a plot."""
MOST_MARKS = 32
"""Largest number of points of a curve that are marked individually."""

SMALL = 4.1
"""Width in inches of a small figure; three fit side by side on a page, and one on a phone."""

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Phases = Sequence[Phase]


class Line(NamedTuple):
    """One curve: values over steps, label, color, and style."""

    label: str
    values: xr.DataArray
    color: str
    style: str = "-"


def has(dataset: xr.Dataset, name: str) -> bool:
    """Return whether a variable is in the dataset with a finite value."""
    return name in dataset and bool(np.isfinite(dataset[name]).any())


def lines_of(dataset: xr.Dataset, looks: Mapping[str, tuple[str, ...]]) -> list[Line]:
    """Return a curve for each variable with a finite value, given its label, color and, if not solid, style."""
    return [Line(label, dataset[name], *look) for name, (label, *look) in looks.items() if has(dataset, name)]


def draw_lines(axes: Axes, lines: Sequence[Line], *, log: bool = False, marks: bool = False) -> None:
    """Draw curves over ``step``; with ``log``, values that are not positive are omitted.

    ``marks`` marks the checkpoints that have a value.
    """
    for line in lines:
        steps, values = line.values["step"].values, line.values.values.astype(float)
        if log:
            values = np.where(values > 0, values, np.nan)
        alone = "." if np.isfinite(values).sum() < 3 or (marks and len(steps) <= MOST_MARKS) else None
        axes.plot(steps, values, line.style, color=line.color, label=line.label, marker=alone)
    if log and any((line.values > 0).any() for line in lines):
        log_axis(axes)
    step_ticks(axes)


@styled()
def curves(
    title: str,
    y_label: str,
    lines: Sequence[Line],
    phases: Phases,
    *,
    log: bool = False,
    zero: bool = False,
    limits: tuple[float, float] | None = None,
    shares: bool = False,
    marks: bool = False,
) -> Figure | None:
    """Draw a small plot over the steps with its legend below; return None without a finite value.

    ``zero`` draws the zero line; ``shares`` makes the y axis include the range from 0 to 1. A single checkpoint is
    drawn as bars.
    """
    lines = [line for line in lines if np.isfinite(line.values).any()]
    if not lines:
        return None
    if lines[0].values.sizes["step"] == 1:
        return bars(title, y_label, [(line.label, float(line.values[0]), line.color) for line in lines])
    figure, axes = small([line.label for line in lines])
    draw_lines(axes, lines, log=log, marks=marks)
    if zero:
        axes.axhline(0, color=GRAY, linewidth=0.8, zorder=0)
    if limits:
        axes.set_ylim(limits)
    if shares:
        whole_shares(axes)
    return finish(figure, axes, title, y_label, phases, lines[0].values["step"].values)


def bars(title: str, label: str, values: Sequence[tuple[str, float, str]]) -> Figure:
    """Draw the values of a single checkpoint as labeled bars, each followed by its value."""
    left = min(max(0.3 + 0.075 * max(len(name) for name, _, _ in values), 0.9), 2.0)
    figure = blank(SMALL, 0.95 + 0.3 * len(values))
    axes = place(figure, left, 0.3, SMALL - left - 0.6, 0.3 * len(values))
    numbers = np.nan_to_num([value for _, value, _ in values])
    axes.barh(range(len(values)), numbers, color=[color for _, _, color in values], height=0.7, linewidth=0)
    axes.set_yticks(range(len(values)), [name for name, _, _ in values])
    axes.set(xlabel=label, ylim=(len(values) - 0.5, -0.5))
    width, height = SMALL - left - 0.6, 0.3 * len(values)
    axes.set_title(title, x=(0.1 - left) / width)
    axes.set_ylabel("measure", rotation=0, ha="right", va="center")
    axes.yaxis.set_label_coords(-0.08 / width, -0.36 / height)
    axes.axvline(0, color=GRAY, linewidth=0.8, zorder=0)
    if not numbers.any():
        axes.set_xlim(0, 1)
    for i, (_, value, _) in enumerate(values):
        text = compact(float(f"{value:.3g}")) if np.isfinite(value) else "not finite"
        axes.annotate(text, (max(numbers[i], 0), i), (3, 0), textcoords="offset points", va="center", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _position: compact(value)))
    return figure


def whole_shares(axes: Axes) -> None:
    """Extend the y axis to at least 0 to 1, so that a small share looks small."""
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -0.04), max(high, 1.04))


def small(labels: Sequence[str]) -> tuple[Figure, Axes]:
    """Return a half-page figure with room below for a legend of these labels."""
    below = 0.6 + 0.22 * -(-len(labels) // _columns(labels))
    figure = blank(SMALL, 2.3 + below)
    return figure, place(figure, 0.7, 0.3, SMALL - 0.95, 1.9)


def finish(figure: Figure, axes: Axes, title: str, y_label: str, phases: Phases, steps: np.ndarray) -> Figure:
    """Add title, axes, phases, and legend to a small plot over steps."""
    draw_phases(axes, phases)
    axes.set(title=title, xlabel=STEP, ylabel=y_label)
    if axes.get_yscale() == "linear":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: compact(value)))
    step_limits(axes, steps)
    step_ticks(axes)
    axes.yaxis.set_label_coords(-0.53 / (SMALL - 0.95), 0.5)
    legend_below(figure, axes)
    return figure


def legend_below(figure: Figure, axes: Axes) -> None:
    """Add the legend of a small plot at the bottom of its figure."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=min(_columns(labels), len(labels)), columnspacing=1.4)


def _columns(labels: Sequence[str]) -> int:
    """Return the number of columns of a legend below a small plot."""
    entry = 0.47 + 0.073 * max(map(len, labels))  # inches of a line, its name, and the space after it
    return max(1, min(3, int((SMALL + 0.07) / entry)))


def step_ticks(axes: Axes, *, most: int = MOST_TICKS) -> None:
    """Set ticks at integer steps, few enough to be readable."""
    axes.xaxis.set_major_locator(MaxNLocator(min(most, MOST_TICKS), integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands))


def log_axis(axes: Axes) -> None:
    """Set a logarithmic y axis with a readable number of ticks, and plain numbers below two decades."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high < 5 * low:
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: compact(value)))
    elif high < 100 * low:
        axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5), numticks=8))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: compact(value)))
    else:
        axes.yaxis.set_major_locator(LogLocator(base=10, numticks=6))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: power_of_ten(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())


def power_of_ten(value: float) -> str:
    """Return a power of ten in plain characters, which a page shows in its own font.

    >>> power_of_ten(1e-05), power_of_ten(1.0), power_of_ten(10.0)
    ('10⁻⁵', '1', '10')
    """
    exponent = round(float(np.log10(value))) if value > 0 else 0
    return {0: "1", 1: "10"}.get(exponent, f"10{str(exponent).translate(SUPERSCRIPTS)}")


def legend_beside(axes: Axes) -> None:
    """Add the legend to the right of the axes."""
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), borderaxespad=0.0, labelspacing=0.35)


def step_limits(axes: Axes, steps: np.ndarray) -> None:
    """Limit the axis to the steps, with a narrow range for a single step."""
    first, last = (int(steps.min()), int(steps.max())) if len(steps) else (0, 1)
    axes.set_xlim(first, max(last, first + 1))
    axes.set_gid(STEP)


def draw_phases(axes: Axes, phases: Sequence[Phase]) -> None:
    """Tint the background of each phase."""
    for phase in phases:
        axes.axvspan(phase.start, phase.stop, color=PHASE_COLORS[phase.name], linewidth=0, zorder=-2)


def draw_events(axes: Axes, events: Sequence[Event]) -> None:
    """Draw a dotted line at each instability, and a single line for indistinguishable instabilities."""
    first, last = axes.get_xlim()
    for step in {round((event.step - first) / (last - first) * FINEST): event.step for event in events}.values():
        axes.axvline(step, color=QUIET, linestyle=":", linewidth=0.7, zorder=-1)


def name_phases(axes: Axes, phases: Sequence[Phase], *, inches: float) -> None:
    """Draw a strip of named phases above the curves; a name that does not fit is above the strip with a leader."""
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
    r"""Return a step with thin spaces between thousands, which fit where commas do not.

    >>> _thousands(25000.0, None)
    '25\u2009000'
    """
    return f"{value:,.0f}".replace(",", "\u2009")
