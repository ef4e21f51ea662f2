"""The common look of all charts, the bands of the phases, and the slider through the frames of a chart."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from grokinterp.figures.style import BLUE, BROWN, CYAN, GREEN, INK, ORANGE, PHASE_COLORS, PINK, PURPLE, RED
from grokinterp.interactive.arrays import axis_name
from grokinterp.interactive.packages import Chart, go
from grokinterp.phases import Phase

LINES = (BLUE, ORANGE, GREEN, RED, PURPLE, BROWN, PINK, CYAN)
"""Colors of the lines of a chart, in order."""

WIDTH, HEIGHT = 720, 420
"""Size of a chart in pixels."""

GRID = "#e4e7eb"


def laid_out(title: str, x: str, y: str, **layout: Any) -> dict[str, Any]:
    """Return the layout of a chart with a title and named axes; ``layout`` adds to it."""
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": INK, "ticks": "outside", "exponentformat": "power"}
    common = {
        "title": {"text": title, "font": {"size": 15}},
        "font": {"color": INK},
        "width": WIDTH,
        "height": HEIGHT,
        "margin": {"l": 60, "r": 20, "t": 50 if title else 20, "b": 50},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "xaxis": axis | {"title": {"text": x}},
        "yaxis": axis | {"title": {"text": y}},
    }
    return common | layout


def add_phases(chart: Chart, phases: Sequence[Phase]) -> None:
    """Draw phases as named bands behind the lines of a chart over steps."""
    for phase in phases:
        chart.add_vrect(
            x0=phase.start, x1=phase.stop, fillcolor=PHASE_COLORS[phase.name], layer="below", line_width=0,
            annotation={"text": phase.name, "font": {"size": 10}, "textangle": -90, "yanchor": "top"},
            annotation_position="top left",
        )  # fmt: skip


def with_slider(
    trace: Any, values: Callable[[int], Mapping[str, np.ndarray]], labels: Sequence[Any], dim: Hashable, layout: dict
) -> Chart:
    """Return a chart whose slider replaces the values of a trace, and which begins at the last label.

    Args:
        trace: the trace at the last label.
        values: returns the values of the trace by name, such as ``z``, at a place of the axis.
        labels: the labels of the axis.
        dim: the name of the axis.
        layout: the layout of the chart.
    """
    stops = [
        {
            "method": "restyle",
            "label": str(label),
            "args": [{name: [plain(one)] for name, one in values(place).items()}],
        }
        for place, label in enumerate(labels)
    ]
    slider = {
        "active": len(stops) - 1,
        "steps": stops,
        "currentvalue": {"prefix": f"{axis_name(dim)} "},
        "pad": {"t": 40},
    }
    return go.Figure([trace], layout | {"sliders": [slider], "height": layout["height"] + 90})


def plain(values: np.ndarray) -> list[Any]:
    """Return an array as lists with a few digits, which keep a notebook small; missing values are None.

    >>> plain(np.array([0.123456, np.nan]))
    [0.12346, None]
    """
    if values.ndim > 1:
        return [plain(row) for row in values]
    return [float(f"{value:.5g}") if math.isfinite(value) else None for value in values.tolist()]
