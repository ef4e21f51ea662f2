"""Heatmaps of arrays with named axes, with a slider along a third axis."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from grokinterp.figures.style import NOTHING
from grokinterp.interactive.arrays import axis_name, labels_of, named_array, require_axes, slider_axis, value_name
from grokinterp.interactive.layout import laid_out, with_slider
from grokinterp.interactive.packages import Chart, go

SEQUENTIAL, DIVERGING = "Viridis", "RdBu_r"
SIDE = 520
"""Height of a heatmap in pixels."""


def imshow(values: Any, *, dims: Sequence[str] = (), title: str = "") -> Chart:
    """Draw a heatmap of the first axis (down) and the second (right), named after the axes of the array.

    A third axis gets a slider, which moves along the steps if there are any. Colors are the same at every position of
    the slider, and centered at 0 where values have both signs. Missing values are gray.

    Args:
        values: a DataArray with two or three axes with more than one label, or a tensor or array with ``dims``.
        dims: the names of the axes of a tensor or an array.
        title: a title (default: the name of the values).

    Returns:
        A plotly figure, which a notebook shows.

    Raises:
        ConfigError: the array has another number of axes, or its axes have no names.
        GrokinterpError: plotly is not installed.
    """
    array = named_array(values, dims)
    require_axes(array, 2, 3, "a heatmap")
    moving = slider_axis(array, 2)
    down, right = (dim for dim in array.dims if dim != moving)
    layout = laid_out(title or value_name(array), axis_name(right), axis_name(down), height=SIDE, width=SIDE + 110)
    layout["yaxis"] |= {"autorange": "reversed", "showgrid": False}
    layout |= {"plot_bgcolor": NOTHING, "xaxis": layout["xaxis"] | {"showgrid": False}}
    scale = color_scale(array)
    if moving is None:
        return go.Figure([heat(array, scale)], layout)
    labels = labels_of(array, moving).tolist()
    last = heat(array.isel({moving: -1}), scale)
    return with_slider(last, lambda place: {"z": array.isel({moving: place}).values}, labels, moving, layout)


def heat(values: xr.DataArray, scale: dict[str, Any]) -> Any:
    """Return the trace of a heatmap, whose hover texts name both axes and the value."""
    down, right = values.dims
    numbers = values.values.astype(np.float32)
    return go.Heatmap(
        z=numbers, x=labels_of(values, right), y=labels_of(values, down), colorbar={"title": {"text": ""}}, **scale,
        hovertemplate=f"{axis_name(down)} %{{y}}<br>{axis_name(right)} %{{x}}<br>{value_name(values)} "
        "%{z:.4g}<extra></extra>",
    )  # fmt: skip


def color_scale(values: xr.DataArray) -> dict[str, Any]:
    """Return the colors of a heatmap and their range: centered at 0 for values of both signs."""
    numbers = values.values.astype(float)
    finite = numbers[np.isfinite(numbers)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low < 0 < high:
        reach = max(-low, high)
        return {"colorscale": DIVERGING, "zmin": -reach, "zmax": reach}
    return {"colorscale": SEQUENTIAL, "zmin": low, "zmax": high}
