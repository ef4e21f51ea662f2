"""The values in a figure and where they lie, so that a page can show them under the pointer and save them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from grokinterp.figures.series import STEP
from grokinterp.figures.style import COLOR_BAR
from grokinterp.page.drawn_cells import heatmap, n_cells, spans
from grokinterp.page.drawn_curves import curves_and_points
from grokinterp.page.drawn_names import numbers, one_line

POINTS = 72.0
"""Units of an SVG image per inch."""

Reading = dict[str, Any]


def readings(figure: Figure) -> list[Reading]:
    """Return a reading for each axes that shows curves, points, bars, spans, or a heatmap.

    A reading has the ``box`` [left, top, width, height] of the axes in the units of the SVG image, its ``title``, the
    names ``x`` and ``y`` of its axes, ``limits`` of the horizontal axis, whether it is ``log``arithmic, and whether it
    counts ``steps``. Its values are one of

    * ``curves`` (label, color, ``at``, ``values``, and ``low`` and ``high`` of error bars), ``points`` (label, color,
      ``x``, ``y``, and what they are points ``of``), and ``names`` of the rows if the vertical axis has words;
    * ``bars`` (names and values); or ``spans`` (name, start, and end);
    * ``rows`` and ``columns`` (names), ``edges`` of the columns, and ``cells`` [row, column] of a heatmap, packed if
      they are many, with the ``kinds`` that they stand for if they are no numbers.
    """
    shown = [axes for axes in figure.axes if axes.axison and axes.get_label() != COLOR_BAR and axes.name != "3d"]
    total = sum(map(n_cells, shown))
    return labeled([found for axes in shown if (found := _reading(axes, total)) is not None])


def labeled(found: Sequence[Reading]) -> list[Reading]:
    r"""Return readings with the labels and the names of their rows and columns, which only the outer axes show.

    >>> row = [{"box": [x, 5], "title": f"head {x}", "x": "a", "y": y} for x, y in ((0, "step 9\nb"), (1, ""))]
    >>> [(one["title"], one["y"]) for one in labeled(row)]
    [('step 9, head 0', 'b'), ('step 9, head 1', 'b')]
    """
    names = {one["box"][1]: one["y"].partition("\n")[0] for one in found if "\n" in one["y"]}
    below = {one["box"][0]: one["x"] for one in found if one["x"]}
    beside = {one["box"][1]: one["y"].rpartition("\n")[2] for one in found if one["y"]}
    rows = {(one["box"][1], len(one["rows"])): one["rows"] for one in reversed(found) if "rows" in one}
    return [
        one
        | {
            "title": ", ".join(filter(None, (names.get(one["box"][1], ""), one["title"]))),
            "x": one["x"] or below.get(one["box"][0], ""),
            "y": one["y"].rpartition("\n")[2] or beside.get(one["box"][1], ""),
        }
        | ({"rows": rows[one["box"][1], len(one["rows"])]} if "rows" in one and not one["y"] else {})
        for one in found
    ]


def _reading(axes: Axes, total: int) -> Reading | None:
    figure = axes.get_figure(root=True)
    assert figure is not None
    (width, height), place = figure.get_size_inches() * POINTS, axes.get_position()
    content = heatmap(axes, total) or _bars(axes) or curves_and_points(axes) or spans(axes)
    if not content:
        return None
    box = (place.x0 * width, (1 - place.y1) * height, place.width * width, place.height * height)
    return {
        "box": [round(float(length), 1) for length in box],
        "title": axes.get_title(loc="left") or axes.get_title(),
        "x": axes.get_xlabel(),
        "y": axes.get_ylabel(),
        "limits": numbers(axes.get_xlim()),
        "range": numbers(axes.get_ylim()),
        "log": axes.get_xscale() == "log",
        "tall": axes.get_yscale() == "log",
        "steps": axes.get_gid() == STEP or axes.get_xlabel() == STEP,
        **content,
    }


def _bars(axes: Axes) -> Reading:
    found = [container for container in axes.containers if isinstance(container, BarContainer)]
    if not found:
        return {}
    upright = found[0].orientation != "horizontal"
    ticks = axes.xaxis if upright else axes.yaxis
    texts = (one_line(text.get_text()) for text in ticks.get_ticklabels())
    names = dict(zip(np.round(ticks.get_ticklocs(), 6), texts, strict=False))
    bars = []
    for container in found:
        label = str(container.get_label())
        prefix = "" if label.startswith("_") else f"{label}, "
        for bar in container.patches:
            middle = bar.get_x() + bar.get_width() / 2 if upright else bar.get_y() + bar.get_height() / 2
            place = middle if len(found) == 1 else round(middle)  # bars of several series are beside their tick
            name = names.get(round(float(place), 6), "") or f"{place:.4g}"
            size = bar.get_height() if upright else bar.get_width()
            bars.append([f"{prefix}{name}", *numbers([float(size)]), float(f"{middle:.6g}")])
    return {"bars": bars, "upright": upright}
