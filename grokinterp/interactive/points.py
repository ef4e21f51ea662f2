"""Scatter charts of two arrays with the same axes, with a slider along the steps."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from grokinterp.errors import ConfigError, require
from grokinterp.figures.style import BLUE
from grokinterp.interactive.arrays import STEP, axis_name, labels_of, one_of, value_name
from grokinterp.interactive.layout import HEIGHT, laid_out, with_slider
from grokinterp.interactive.packages import Chart, go


def scatter(x: xr.DataArray, y: xr.DataArray, *, color: xr.DataArray | str = "", title: str = "") -> Chart:
    """Draw a point for each pair of values of two arrays with the same axes; its hover text names its coordinates.

    Where the arrays have several steps, a slider moves along them.

    Args:
        x: an array with named axes.
        y: another array with the same axes.
        color: an array with the same axes or some of them, or the name of an axis.
        title: a title.

    Returns:
        A plotly figure, which a notebook shows.

    Raises:
        ConfigError: the arrays have different axes or labels, or the color is not one of their axes.
        GrokinterpError: plotly is not installed.
    """
    given = aligned(x, y, color)
    colors = given.get("color")
    scale = {} if colors is None else color_range(colors)
    names = (value_name(x), value_name(y))
    layout = laid_out(title, *names, height=HEIGHT + 60)
    for axis, values in (("xaxis", given["x"]), ("yaxis", given["y"])):
        layout[axis] |= {"range": padded(values)}
    if STEP not in given["x"].dims or given["x"].dims == (STEP,):
        return go.Figure([points(given, names, scale)], layout)
    keys = {"x": "x", "y": "y", "color": "marker.color"}

    def values(place: int) -> dict[str, np.ndarray]:
        return {keys[key]: one.isel(step=place).values.astype(float).ravel() for key, one in given.items()}

    last = points({key: one.isel(step=-1) for key, one in given.items()}, names, scale)
    return with_slider(last, values, labels_of(given["x"], STEP).tolist(), STEP, layout)


def aligned(x: xr.DataArray, y: xr.DataArray, color: xr.DataArray | str) -> dict[str, xr.DataArray]:
    """Return the arrays with the same axes in the same order."""
    for key, values in (("x", x), ("y", y)):
        require(
            isinstance(values, xr.DataArray), key, type(values).__name__, "must be a DataArray, which names its axes"
        )
    x, y = x.squeeze(), y.squeeze()
    require(set(x.dims) == set(y.dims), "y", y.dims, f"must have the axes of x, {x.dims}")
    given = {"x": x, "y": y.transpose(*x.dims)}
    if isinstance(color, str) and color:
        one_of(x.dims, "color", color)
        given["color"] = xr.DataArray(np.arange(x.sizes[color]), dims=(color,), name=color).broadcast_like(x)
        given["color"] = given["color"].transpose(*x.dims)
    elif not isinstance(color, str):
        color = color.squeeze()
        require(set(color.dims) <= set(x.dims), "color", color.dims, f"must have axes of x, {x.dims}")
        given["color"] = color.broadcast_like(x).transpose(*x.dims)
    try:
        xr.align(*(values.drop_vars(set(values.coords) - set(values.dims)) for values in given.values()), join="exact")
    except ValueError:
        raise ConfigError("y", "other labels", "must have the labels of x along every axis") from None
    return given


def points(given: Mapping[str, xr.DataArray], names: tuple[str, str], scale: Mapping[str, Any]) -> Any:
    """Return the trace of the points."""
    x, y = given["x"], given["y"]
    shown = [f"{names[0]} %{{x:.4g}}", f"{names[1]} %{{y:.4g}}"]
    texts, marker = places(x), {"color": BLUE, "opacity": 0.8, "size": 7}
    if "color" in given:
        marker |= {"color": given["color"].values.ravel(), **scale}
    return go.Scatter(
        x=x.values.ravel(), y=y.values.ravel(), mode="markers", marker=marker, text=texts,
        hovertemplate="<br>".join(["%{text}", *shown]) + "<extra></extra>",
    )  # fmt: skip


def places(values: xr.DataArray) -> list[str]:
    """Return the coordinates of every value of an array in words.

    >>> places(xr.DataArray([0.5, 0.1], coords={"neuron": [3, 4]}))
    ['neuron 3', 'neuron 4']
    """
    labels: list[tuple[Hashable, np.ndarray]] = [(dim, labels_of(values, dim)) for dim in values.dims]
    return [
        ", ".join(f"{axis_name(dim)} {of[i]}" for (dim, of), i in zip(labels, place, strict=True))
        for place in np.ndindex(values.shape)
    ]


def color_range(values: xr.DataArray) -> dict[str, Any]:
    """Return the color scale of points, with the same range at every step."""
    numbers = values.values.astype(float)
    finite = numbers[np.isfinite(numbers)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    bar = {"title": {"text": value_name(values)}}
    return {"colorscale": "Viridis", "cmin": low, "cmax": high, "showscale": True, "colorbar": bar}


def padded(values: xr.DataArray) -> list[float] | None:
    """Return the range of an axis that holds all values at every step; None without finite values."""
    numbers = values.values.astype(float)
    finite = numbers[np.isfinite(numbers)]
    if not finite.size:
        return None
    low, high = float(finite.min()), float(finite.max())
    margin = 0.04 * (high - low) or 0.5
    return [low - margin, high + margin]
