"""Figure of the embedding circles at selected checkpoints."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from grokinterp.figures.heatmaps import largest, name_row
from grokinterp.figures.style import (
    GRAY,
    SEQUENTIAL,
    blank,
    place,
    styled,
)

__all__ = ["circles"]

MOST_CIRCLES = 6

Steps = Sequence[int]


@styled()
def circles(dataset: xr.Dataset, steps: Steps) -> Figure | None:
    """Draw the tokens in the embedding's plane of each key frequency, with a common scale per frequency."""
    if "embedding_circle" not in dataset or not dataset.sizes["key"]:
        return None
    keys = dataset["key"].values[:MOST_CIRCLES]
    side = min((8.9 + 0.4) / len(keys) - 0.4, 2.4)
    figure = blank(10.0, (side + 0.55) * len(steps) + 0.35)
    rows = [
        [place(figure, 0.85 + (side + 0.4) * j, 0.3 + (side + 0.55) * i, side, side) for j in range(len(keys))]
        for i in range(len(steps))
    ]
    for column, key in enumerate(keys):
        points = dataset["embedding_circle"].sel(step=list(steps)).isel(key=column)
        reach = largest(points.values) * 1.12
        for step, row in zip(steps, rows, strict=True):
            draw_circle(row[column], points.sel(step=step), int(key), reach)
            if row is rows[-1]:
                row[column].set_xlabel("cosine direction [1]")
    for step, row in zip(steps, rows, strict=True):
        name_row(row[0], step, "sine direction [1]")
    return figure


def draw_circle(axes: Axes, points: xr.DataArray, key: int, reach: float) -> None:
    """Draw the tokens, connected in the order of their angle 2πkt/n, so that a circle appears as a closed curve."""
    x, y = points.sel(axis="cos").values, points.sel(axis="sin").values
    exponents = np.arange(len(x))
    order = np.argsort(key * exponents % len(x), kind="stable")
    closed = np.append(order, order[:1])
    axes.plot(x[closed], y[closed], color=GRAY, linewidth=0.6, alpha=0.7, zorder=1)
    axes.scatter(x, y, c=exponents, cmap=SEQUENTIAL, s=14, linewidths=0, zorder=2)
    axes.set(title=f"k = {key}", xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    for locator in (axes.xaxis, axes.yaxis):
        locator.set_major_locator(MaxNLocator(3))
