"""The cells of a heatmap and the spans of a strip, read from a figure."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap, to_hex
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from grokinterp.figures.series import STEP
from grokinterp.page.drawn_names import name_of_color, numbers, tick_names
from grokinterp.page.packing import Packed, pack, pack_coarsely

MOST_WRITTEN = 1200
"""Maximum number of cells that a page contains as written numbers; more cells are packed."""

MOST_FINE = 400_000
"""Maximum number of cells of a figure that are packed finely, with two bytes each."""

MOST_KINDS = 16
"""Maximum number of colors that stand for kinds instead of numbers."""


def meshes(axes: Axes) -> list[QuadMesh | AxesImage]:
    """Return the heatmaps of an axes."""
    return [found for found in (*axes.images, *axes.collections) if isinstance(found, QuadMesh | AxesImage)]


def n_cells(axes: Axes) -> int:
    """Return the number of cells of the heatmap of an axes."""
    return sum(np.ma.asarray(mesh.get_array()).size for mesh in meshes(axes))


def heatmap(axes: Axes, total: int) -> dict[str, Any]:
    """Return the cells from the top to the bottom and the names of their rows and columns; empty without a heatmap.

    Args:
        axes: the axes.
        total: the number of cells of the whole figure, which limits the bytes of each.
    """
    found = meshes(axes)
    if not found:
        return {}
    values, across, down = _values(found[0])
    rows = _names(axes.yaxis, down)
    if not axes.yaxis_inverted():
        values, rows = values[::-1], rows[::-1]
    kinds = kinds_of(axes, found[0])
    return {
        "rows": rows,
        "columns": steps_between(across) if axes.get_xlabel() == STEP else _names(axes.xaxis, across),
        "edges": numbers(across, 8),
        "cells": written(values, total, is_coarse=bool(kinds)),
        "value": "" if found[0].colorbar is None else found[0].colorbar.ax.get_ylabel(),
        **({"kinds": kinds} if kinds else {}),
    }


def written(values: np.ndarray, total: int, *, is_coarse: bool = False) -> list[list[float | None]] | Packed:
    """Return cells as numbers or, if they are many, packed."""
    if values.size <= MOST_WRITTEN:
        return [numbers(row) for row in values]
    if is_coarse:
        return pack_coarsely(values, 0.0, 254.0)
    finite = values[np.isfinite(values)]
    return pack(values) if total <= MOST_FINE or not finite.size else pack_coarsely(values, finite.min(), finite.max())


def kinds_of(axes: Axes, mesh: QuadMesh | AxesImage) -> list[str]:
    """Return the names of the kinds that whole numbers stand for; empty if the cells are numbers."""
    colors = getattr(mesh.cmap, "colors", ()) if isinstance(mesh.cmap, ListedColormap) else ()
    if not 0 < len(colors) <= MOST_KINDS:
        return []
    names = [name_of_color(axes, color) for color in colors]
    return names if all(names) else []


def spans(axes: Axes) -> dict[str, Any]:
    """Return the named spans of a strip; empty if the axes shows none."""
    patches = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    named = [(name_of_color(axes, to_hex(patch.get_facecolor())), patch) for patch in patches]
    found = [[name, *numbers([patch.get_x(), patch.get_x() + patch.get_width()], 8)] for name, patch in named if name]
    return {"spans": found} if found else {}


def steps_between(edges: np.ndarray) -> list[int]:
    """Return the steps whose cells have these edges, which lie halfway between them, except the first and the last.

    >>> steps_between(np.array([0.0, 5.0, 20.0, 30.0])), steps_between(np.array([6.5, 7.5]))
    ([0, 10, 30], [7])
    """
    if len(edges) == 2:
        return [round(float(edges.mean()))]
    steps = [float(edges[0])]
    for edge in edges[1:-1]:
        steps.append(2 * float(edge) - steps[-1])
    return [round(step) for step in steps]


def _values(mesh: QuadMesh | AxesImage) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the values [row, column], and the edges of the columns and of the rows."""
    array = np.ma.asarray(mesh.get_array(), dtype=float).filled(np.nan)
    if isinstance(mesh, AxesImage):
        left, right, bottom, top = mesh.get_extent()
        rows, columns = array.shape
        return array, np.linspace(left, right, columns + 1), np.linspace(bottom, top, rows + 1)
    corners = np.asarray(mesh.get_coordinates(), dtype=float)
    shape = corners.shape[0] - 1, corners.shape[1] - 1
    return array.reshape(shape), corners[0, :, 0], corners[:, 0, 1]


def _names(axis: Axis, edges: np.ndarray) -> list[str | int]:
    """Return the names of cells between edges: those of their ticks or, without words, their whole number."""
    named, middle = tick_names(axis), np.floor((edges[1:] + edges[:-1]) / 2 + 1e-6).astype(int)
    return [named.get(at, at) for at in middle.tolist()]
