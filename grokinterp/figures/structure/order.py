"""Figure of the order in which key frequencies or representations were learned."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from grokinterp.figures.heatmaps import short
from grokinterp.figures.series import (
    SMALL,
    STEP,
    Phases,
    draw_phases,
    legend_below,
    step_limits,
    step_ticks,
)
from grokinterp.figures.style import (
    BLUE,
    GRAY,
    ORANGE,
    blank,
    place,
    styled,
)

__all__ = ["learning_order"]

MOST_KEYS = 12
"""Largest number of rows in the figure."""


@styled()
def learning_order(order: xr.Dataset, phases: Phases = (), *, last: int = 0) -> Figure | None:
    """Draw when each key frequency or representation reached half of its final similarity, and when it became key.

    Args:
        order: a row per frequency or representation, from ``phases.learning_order``.
        phases: phases drawn as bands.
        last: the last step of the run.
    """
    if not order.sizes.get("learned"):
        return None
    rows = order.isel(learned=slice(MOST_KEYS))
    names = [short(str(name)) for name in rows["learned"].values]
    left = 0.45 + 0.073 * max(map(len, names))
    height = max(0.26 * len(names), 1.0)
    figure = blank(SMALL, height + 1.3)
    axes = place(figure, left, 0.3, SMALL - 0.3 - left, height)
    at = np.arange(len(names))
    axes.hlines(at, rows["half_from"].values, rows["key_from"].values, color=GRAY, linewidth=1.2)
    axes.plot(rows["half_from"].values, at, "o", color=BLUE, label="half of the final similarity")
    axes.plot(rows["key_from"].values, at, "D", color=ORANGE, markersize=4.5, label="key from this step")
    draw_phases(axes, phases)
    axes.set_yticks(at, names)
    axes.set(title="Order of learning", xlabel=STEP, ylim=(len(names) - 0.5, -0.5))
    axes.set_ylabel("learned")
    step_limits(axes, np.array([0, max(last, int(rows["key_from"].max()))]))
    step_ticks(axes)
    legend_below(figure, axes)
    return figure
