"""Figures of one weight matrix: its entries at some checkpoints, and its change over the whole run."""

from collections.abc import Sequence

import xarray as xr
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from grokinterp.figures.heatmaps import MOST_CELLS, heatmap, largest, short
from grokinterp.figures.series import has
from grokinterp.figures.squares import squares, titled
from grokinterp.figures.structure.pairs import shown
from grokinterp.figures.style import DIVERGING, styled

__all__ = ["weight_matrix"]

Steps = Sequence[int]


@styled()
def weight_matrix(dataset: xr.Dataset, steps: Steps, *, name: str = "weights") -> Figure | None:
    """Draw a weight matrix at some steps, with one color scale, so that its evolution can be seen.

    Args:
        dataset: the variable ``weight`` over ``step``, ``row`` and ``column``.
        steps: checkpoints to show.
        name: the name of the matrix.
    """
    if not has(dataset, "weight"):
        return None
    steps = shown(dataset, steps)
    weights = dataset["weight"].sel(step=steps)
    every = {dim: -(-weights.sizes[dim] // MOST_CELLS) for dim in ("row", "column")}
    weights = weights.isel({dim: slice(None, None, n) for dim, n in every.items()})
    reach = largest(weights.values)
    grid = squares(len(steps))
    for axes, step in zip(grid.axes, steps, strict=True):
        values = weights.sel(step=step).transpose("row", "column").values
        image = heatmap(axes, values, Normalize(-reach, reach), DIVERGING)
        image.set_extent((-0.5, values.shape[1] * every["column"] - 0.5, -0.5, values.shape[0] * every["row"] - 0.5))
        axes.set_aspect("auto")
    titled(grid.axes, [f"step {step}" for step in steps])
    grid.label("column", f"{short(name)}\nrow")
    grid.bar(image, "weight [1]")
    return grid.figure
