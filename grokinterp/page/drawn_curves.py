"""The curves, bands, and points of a plot, read from a figure."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection, FillBetweenPolyCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.lines import Line2D

from grokinterp.page.drawn_names import name_of_color, name_of_line, numbers, tick_names

Drawn = dict[str, Any]


def curves_and_points(axes: Axes) -> Drawn:
    """Return the curves and the points of an axes, and the names of its rows if its vertical axis has words."""
    points = [found for artist in axes.collections if isinstance(artist, PathCollection) for found in _points(artist)]
    curves = [*_lines(axes, points), *_bands(axes)]
    for curve in curves[1:]:
        if curve["at"] == curves[0]["at"]:
            del curve["at"]
    names = tick_names(axes.yaxis)
    return {
        **({"curves": curves} if curves else {}),
        **({"points": points} if points else {}),
        **({"names": names} if names and (curves or points) else {}),
    }


def _lines(axes: Axes, points: list[Drawn]) -> Iterator[Drawn]:
    """Yield the lines with a name or, if none has a label of its own, all lines except those that only join points."""
    bars = [container for container in axes.containers if isinstance(container, ErrorbarContainer)]
    errors = {container.lines[0]: container for container in bars}
    lines = [line for line in axes.lines if line not in _caps(errors)]
    named = {line: _name(errors.get(line), line) for line in lines}
    are_labeled = any(not str(artist.get_label()).startswith("_") for artist in (*lines, *bars))
    for line in lines:
        is_shown = bool(named[line]) or (not are_labeled and _is_data(line) == (True, True))
        if is_shown and np.size(line.get_xdata()) and (named[line] or not _joins(line, points)):
            at, values = _ends(line, axes)
            curve = {"label": named[line], "color": to_hex(line.get_color()), "at": at, "values": values}
            yield curve | (_errors(errors[line]) if line in errors else {})


def _name(errors: ErrorbarContainer | None, line: Line2D) -> str:
    """Return the name of a line or of the error bars around it."""
    label = "_" if errors is None else str(errors.get_label())
    return name_of_line(line) if label.startswith("_") else label


def _caps(errors: dict[Line2D, ErrorbarContainer]) -> set[Line2D]:
    """Return the caps of error bars."""
    return {cap for container in errors.values() for cap in container.lines[1]}


def _errors(container: ErrorbarContainer) -> Drawn:
    """Return the ends of vertical error bars."""
    bars = [np.asarray(bar) for part in container.lines[2] for bar in part.get_segments()] if container.has_yerr else []
    return {"low": numbers(bar[:, 1].min() for bar in bars), "high": numbers(bar[:, 1].max() for bar in bars)}


def _is_data(line: Line2D) -> tuple[bool, bool]:
    """Return whether the horizontal and the vertical coordinates of a line are data, not shares of the axes."""
    assert line.axes is not None
    across, up = line.get_transform().contains_branch_seperately(line.axes.transData)
    return across, up


def _ends(line: Line2D, axes: Axes) -> tuple[list[float | None], list[float | None]]:
    """Return the points of a line; a line across the axes has its limits, and a line up the axes has no values."""
    across, up = _is_data(line)
    x, y = (np.atleast_1d(np.asarray(part, dtype=float)) for part in (line.get_xdata(), line.get_ydata()))
    x = x if across else np.linspace(*axes.get_xlim(), len(x))
    return numbers(x, 8), numbers(y if up else np.full(len(y), np.nan))


def _joins(line: Line2D, points: list[Drawn]) -> bool:
    """Return whether a line without a name only joins points of the axes."""
    known = {place for one in points for place in zip(one["x"], one["y"], strict=True)}
    at = zip(*(numbers(np.asarray(part, dtype=float)) for part in (line.get_xdata(), line.get_ydata())), strict=True)
    return bool(known) and known.issuperset(at)


def _points(artist: PathCollection) -> Iterator[Drawn]:
    """Yield the points of a scatter plot, if it has any, with the numbers that their colors stand for."""
    offsets, array = np.ma.asarray(artist.get_offsets(), dtype=float).filled(np.nan), artist.get_array()
    if not len(offsets):
        return
    label = str(artist.get_label())
    yield {
        "label": "" if label.startswith("_") else label,
        "color": _color(artist),
        "x": numbers(offsets[:, 0]),
        "y": numbers(offsets[:, 1]),
        **({} if array is None else {"of": numbers(np.ma.asarray(array, dtype=float).filled(np.nan))}),
    }


def _bands(axes: Axes) -> Iterator[Drawn]:
    """Yield the areas between two curves: the height of those with a name of their own, else both of their ends.

    An area between zero and a line repeats that line.
    """
    for area in axes.collections:
        if isinstance(area, FillBetweenPolyCollection):
            x, low, high = _outline(area)
            label, color = str(area.get_label()), _color(area)
            if not label.startswith("_"):
                yield {"label": label, "color": color, "at": numbers(x, 8), "values": numbers(high - low)}
            elif np.mean((low != 0) & (high != 0)) > 0.1:
                name = name_of_color(axes, tuple(np.asarray(area.get_facecolor())[0].tolist())) or "range"
                for end, values in (("lowest", low), ("highest", high)):
                    yield {"label": f"{name}, {end}", "color": color, "at": numbers(x, 8), "values": numbers(values)}


def _color(artist: Collection) -> str:
    """Return the color of the first of some areas or points."""
    return to_hex(tuple(np.asarray(artist.get_facecolor())[0].tolist()))


def _outline(area: FillBetweenPolyCollection) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the places of an area in ascending order, with its lower and upper end at each."""
    corners = np.concatenate([np.asarray(path.vertices, dtype=float) for path in area.get_paths()])
    x, place = np.unique(corners[:, 0], return_inverse=True)
    low, high = np.full(len(x), np.inf), np.full(len(x), -np.inf)
    np.minimum.at(low, place, corners[:, 1])
    np.maximum.at(high, place, corners[:, 1])
    return x, low, high
