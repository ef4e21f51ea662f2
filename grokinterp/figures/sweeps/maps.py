"""Maps over two axes of a sweep: a cell for every setting, with its value in color and in words."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from grokinterp.figures.heatmaps import BAR, CHARACTER, WIDE, short
from grokinterp.figures.series import log_axis
from grokinterp.figures.style import INK, NOTHING, SEQUENTIAL, blank, color_bar, place, styled

CELL, LEAST_CELL = 0.5, 0.2
"""Height of a row with words and without, in inches."""

MOST_ROWS = 60


@styled()
def setting_map(
    values: np.ndarray,
    words: Sequence[Sequence[str]],
    *,
    x: tuple[str, Sequence[str]],
    y: tuple[str, Sequence[str]],
    title: str,
    label: str,
    norm: Normalize,
    hatched: np.ndarray | None = None,
) -> Figure:
    """Draw a map of settings; cells without runs are gray, and hatched cells have a lower bound in words, not in color.

    Args:
        values: [row, column], NaN where there are no runs.
        words: the text in every cell, shown if there is room.
        x: the name of the columns, and a text for each.
        y: the name of the rows, and a text for each.
        title: the title.
        label: the label of the color bar, with a unit.
        norm: the range of the colors.
        hatched: [row, column], the cells to hatch.
    """
    rows, columns = (list(map(short, texts)) for texts in (y[1], x[1]))
    left = 0.62 + CHARACTER * max(map(len, rows))
    width = WIDE - left - BAR
    longest = max((len(part) for row in words for text in row for part in text.split("\n")), default=0)
    has_room = width / len(columns) > 0.075 * longest + 0.06
    height = max((CELL if has_room else LEAST_CELL) * min(len(rows), MOST_ROWS), 1.1)
    figure = blank(WIDE, height + 0.95)
    axes = place(figure, left, 0.3, width, height)
    shown = np.ma.masked_invalid(values if hatched is None else np.where(hatched, np.nan, values))
    mesh = axes.pcolormesh(shown, norm=norm, cmap=SEQUENTIAL, edgecolors="white", linewidth=1.0)
    axes.set_facecolor(NOTHING)
    every = max(1, -(-len(rows) // MOST_ROWS))
    axes.set_yticks((np.arange(len(rows)) + 0.5)[::every], rows[::every])
    every = max(1, -(-len(columns) * max(map(len, columns)) * CHARACTER * 1.2 // width))
    axes.set_xticks((np.arange(len(columns)) + 0.5)[:: int(every)], columns[:: int(every)])
    axes.set(title=title, xlabel=f"{x[0]} [1]", ylabel=y[0])
    axes.tick_params(length=0)
    if hatched is not None:
        hatch(axes, hatched & np.isfinite(values))
    if has_room:
        write(axes, shown, words, norm)
    bar = place(figure, left + width + 0.1, 0.3, 0.12, height)
    color_bar(bar, mesh, label)
    if bar.get_yscale() == "log":
        log_axis(bar)
    mesh.set_rasterized(False)
    return figure


def hatch(axes: Axes, cells: np.ndarray) -> None:
    """Mark some cells by hatching."""
    for i, j in zip(*np.nonzero(cells), strict=True):
        axes.add_patch(Rectangle((j, i), 1, 1, facecolor="white", hatch="////", edgecolor="#aab4be", linewidth=0))


def write(axes: Axes, values: np.ma.MaskedArray, words: Sequence[Sequence[str]], norm: Normalize) -> None:
    """Write the words of every cell in a color that contrasts with the cell."""
    colors = colormaps[SEQUENTIAL]
    for i, row in enumerate(words):
        for j, text in enumerate(row):
            if text:
                is_bound = values[i, j] is np.ma.masked
                at = 1.0 if is_bound else float(norm(values[i, j]))
                face = "white" if is_bound else colors(at)
                box = {"boxstyle": "square,pad=0.1", "linewidth": 0, "facecolor": face}
                ink = INK if is_bound else "white" if at < 0.55 else "black"
                axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=9, color=ink, bbox=box)
