"""Small plots side by side, one for each series of a sweep, with a common legend below."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from grokinterp.figures.heatmaps import WIDE
from grokinterp.figures.series import SMALL, log_axis
from grokinterp.figures.style import INK, QUIET, blank, place
from grokinterp.numbers import compact

MOST = 12
"""Largest number of panels; more settings are too small to compare."""

TOP, GAP, SIDE, UNDER = 0.3, 0.62, 0.68, 0.62
"""Room above a panel, between rows, left of a panel, and below the last row, in inches."""

BAND = "#b9c4cf"

LETTER = 0.068
"""Mean width of a letter of a legend in inches."""

Handle = Line2D | Patch


def panels(count: int, *, legend: Sequence[Handle] = ()) -> tuple[Figure, list[Axes], float]:
    """Return a figure with a number of panels, its axes row by row, and the width of a panel in inches.

    A single panel takes half the width of a page. The legend is drawn below all panels.
    """
    across = min(count, 3)
    width = SMALL if across == 1 else WIDE
    columns = fitting(legend, width)
    inner = width / across - SIDE - 0.15
    height = 2.35 if across == 1 else 2.1
    rows = -(-count // across)
    lines = -(-len(legend) // columns)
    below = UNDER + (0.1 + 0.22 * lines if legend else 0)
    figure = blank(width, TOP + rows * height + (rows - 1) * (GAP + 0.12) + below)
    axes = [
        place(
            figure,
            SIDE + (i % across) * (inner + SIDE + 0.15),
            TOP + (i // across) * (height + GAP + 0.12),
            inner,
            height,
        )
        for i in range(count)
    ]
    if legend:
        figure.legend(handles=list(legend), loc="lower center", ncols=columns, columnspacing=1.4)
    return figure, axes, inner


def fitting(legend: Sequence[Handle], width: float) -> int:
    """Return the number of columns of a legend that fit into a width in inches, at most its entries."""
    longest = max((len(str(handle.get_label())) for handle in legend), default=1)
    return max(min(int((width - 0.1) / (0.48 + LETTER * longest)), len(legend)), 1)


def label(axes: Sequence[Axes], y_label: str) -> None:
    """Set the label of the vertical axis of the first panel of each row."""
    left = min(one.get_position().x0 for one in axes)
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    inches = float(figure.get_size_inches()[0]) * axes[0].get_position().width
    for one in axes:
        one.set_ylabel(y_label if one.get_position().x0 < left + 1e-6 else "")
        one.yaxis.set_label_coords(-0.52 / inches, 0.5)


def share_axis(axes: Axes) -> None:
    """Set a vertical axis of shares."""
    axes.set_ylim(-0.05, 1.05)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])


def log_steps(axes: Sequence[Axes], values: np.ndarray) -> None:
    """Set the same logarithmic axis of steps on all panels."""
    found = values[np.isfinite(values) & (values > 0)]
    low, high = (float(found.min()), float(found.max())) if found.size else (1.0, 10.0)
    for one in axes:
        one.set_ylim(low / 1.25, high * 1.25)
        log_axis(one)
        one.set_ylim(low / 1.25, high * 1.25)
        one.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: compact(value)))


def marked_value(axes: Axes, found: tuple[float, float, float] | None) -> None:
    """Mark a value on the x axis, if there is one, and its interval: (value, low, high). The value may be NaN."""
    if found is None:
        return
    value, low, high = found
    axes.axvspan(low, high, color=BAND, alpha=0.6, linewidth=0, zorder=0)
    if np.isfinite(value):
        axes.axvline(value, color=INK, linewidth=0.9, linestyle="--", zorder=1)


def threshold_line(axes: Axes, at: float) -> None:
    """Draw a dotted horizontal line."""
    axes.axhline(at, color=QUIET, linewidth=0.8, linestyle=":", zorder=0)
