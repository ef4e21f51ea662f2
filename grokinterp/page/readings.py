"""The values in a figure and where they lie, so that a page can show them under the pointer and save them."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from grokinterp.figures.series import STEP
from grokinterp.figures.style import COLOR_BAR

MOST_CELLS = 6000
"""Maximum number of cells of a heatmap whose values a page contains."""

POINTS = 72.0
"""Units of an SVG image per inch."""

Reading = dict[str, Any]


def readings(figure: Figure) -> list[Reading]:
    """Return a reading for each axes that shows curves, bars, or a small heatmap.

    A reading has the ``box`` [left, top, width, height] of the axes in the units of the SVG image, its ``title``, the
    names ``x`` and ``y`` of its axes, ``limits`` of the horizontal axis, whether it is ``log``arithmic, and whether it
    counts ``steps``; and either ``curves`` (label, color, ``at`` and ``values``), or ``bars`` (names and values), or
    ``rows`` (names), ``edges`` and ``cells`` [row, column] of a heatmap.
    """
    found = (_reading(axes) for axes in figure.axes if axes.axison and axes.get_label() != COLOR_BAR)
    return [reading for reading in found if reading is not None]


def _reading(axes: Axes) -> Reading | None:
    figure = axes.get_figure(root=True)
    assert figure is not None
    (width, height), place = figure.get_size_inches() * POINTS, axes.get_position()
    content = _heatmap(axes) or _bars(axes) or _curves(axes)
    if not content:
        return None
    box = (place.x0 * width, (1 - place.y1) * height, place.width * width, place.height * height)
    return {
        "box": [round(float(length), 1) for length in box],
        "title": axes.get_title(loc="left") or axes.get_title(),
        "x": axes.get_xlabel(),
        "y": axes.get_ylabel(),
        "limits": [float(f"{limit:.6g}") for limit in axes.get_xlim()],
        "log": axes.get_xscale() == "log",
        "steps": axes.get_gid() == STEP or axes.get_xlabel() == STEP,
        **content,
    }


def _curves(axes: Axes) -> Reading:
    shown = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    shown = shown or [line for line in axes.lines if line.get_transform() == axes.transData and len(_x(line)) > 2]
    curves = [
        {
            "label": "" if str(line.get_label()).startswith("_") else str(line.get_label()),
            "color": str(line.get_color()),
            "at": _numbers(_x(line), 8),
            "values": _numbers(np.asarray(line.get_ydata(), dtype=float)),
        }
        for line in shown
    ]
    shared = bool(curves) and all(curve["at"] == curves[0]["at"] for curve in curves)
    if shared:
        for curve in curves[1:]:
            del curve["at"]
    return {"curves": curves} if curves else {}


def _x(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_xdata(), dtype=float)


def _bars(axes: Axes) -> Reading:
    found = [container for container in axes.containers if isinstance(container, BarContainer)]
    if not found:
        return {}
    upright = found[0].orientation != "horizontal"
    ticks = axes.xaxis if upright else axes.yaxis
    names = dict(
        zip(np.round(ticks.get_ticklocs(), 6), (text.get_text() for text in ticks.get_ticklabels()), strict=False)
    )
    bars = []
    for container in found:
        label = str(container.get_label())
        prefix = "" if label.startswith("_") else f"{label}, "
        for bar in container.patches:
            middle = bar.get_x() + bar.get_width() / 2 if upright else bar.get_y() + bar.get_height() / 2
            name = names.get(round(float(middle), 6), "") or f"{middle:.4g}"
            size = bar.get_height() if upright else bar.get_width()
            bars.append([f"{prefix}{name}", *_numbers([float(size)]), float(f"{middle:.6g}")])
    return {
        "bars": bars,
        "upright": upright,
        "range": [float(limit) for limit in (axes.get_xlim() if upright else axes.get_ylim())],
    }


def _heatmap(axes: Axes) -> Reading:
    meshes = [found for found in axes.collections if isinstance(found, QuadMesh)]
    if not meshes:
        return {}
    array = np.ma.asarray(meshes[0].get_array(), dtype=float).filled(np.nan)
    corners = np.asarray(meshes[0].get_coordinates(), dtype=float)
    rows, columns = corners.shape[0] - 1, corners.shape[1] - 1
    if rows * columns > MOST_CELLS:
        return {}
    names = {int(at): text.get_text() for at, text in zip(axes.get_yticks(), axes.get_yticklabels(), strict=False)}
    columns_named = {
        int(at): text.get_text() for at, text in zip(axes.get_xticks(), axes.get_xticklabels(), strict=False)
    }
    by_step = axes.get_xlabel() == STEP
    return {
        "rows": [names.get(row, str(row)) for row in range(rows)],
        "columns": None if by_step else [columns_named.get(column, str(column)) for column in range(columns)],
        "edges": _numbers(corners[0, :, 0], 8),
        "cells": [_numbers(row) for row in array.reshape(rows, columns)],
    }


def _numbers(values: Iterable[float], digits: int = 4) -> list[float | None]:
    """Return numbers rounded to a few significant digits; None where they are not finite."""
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values]
