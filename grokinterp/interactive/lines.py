"""Line charts of arrays with named axes, and of the variables of a dataset."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import xarray as xr

from grokinterp.errors import require
from grokinterp.interactive.arrays import STEP, axis_name, labels_of, named_array, one_of, value_name
from grokinterp.interactive.layout import LINES, add_phases, laid_out
from grokinterp.interactive.packages import Chart, go
from grokinterp.phases import Phase

MOST = 64
"""Largest number of lines of a chart."""


def line(
    values: Any,
    *,
    x: str = "",
    dims: Sequence[str] = (),
    log: bool = False,
    phases: Sequence[Phase] = (),
    title: str = "",
) -> Chart:
    """Draw lines along one axis, with a line for each label of the other axes and for each variable.

    >>> import grokinterp
    >>> run = grokinterp.latest_run()  # doctest: +SKIP
    >>> grokinterp.line(run.metrics[["train_loss", "test_loss"]], log=True)  # doctest: +SKIP

    Args:
        values: a DataArray, a Dataset, or a tensor or array with ``dims``.
        x: the axis along which lines run (default: the steps, or else the last axis).
        dims: the names of the axes of a tensor or an array.
        log: whether the vertical axis is logarithmic.
        phases: phases drawn as bands behind lines over steps, as ``results.history.phases``.
        title: a title.

    Returns:
        A plotly figure, which a notebook shows.

    Raises:
        ConfigError: there is no such axis, there are no values or too many lines, or the axes have no names.
        GrokinterpError: plotly is not installed.
    """
    arrays = [array.rename(name) for name, array in variables(values, dims).items()]
    require(bool(arrays), "values", "no variables", "must hold at least one")
    along = axis_along(arrays, x)
    drawn = [(name, one) for array in arrays for name, one in lines(array, along, several=len(arrays) > 1)]
    rule = f"must be at most {MOST} lines; choose some with .sel or .isel"
    require(len(drawn) <= MOST, "values", f"{len(drawn)} lines", rule)
    names = dict.fromkeys(map(value_name, arrays))
    layout = laid_out(title, axis_name(along), next(iter(names)) if len(names) == 1 else unit_of(arrays))
    layout["yaxis"] |= {"type": "log" if log else "linear"}
    chart = go.Figure([trace(name, one, along, i) for i, (name, one) in enumerate(drawn)], layout)
    add_phases(chart, phases if along == STEP else ())
    return chart


def variables(values: Any, dims: Sequence[str]) -> Mapping[Hashable, xr.DataArray]:
    """Return the arrays of a dataset by name, or a single array."""
    if isinstance(values, xr.Dataset):
        return {name: array.squeeze() for name, array in values.data_vars.items()}
    array = named_array(values, dims)
    return {array.name: array}


def axis_along(arrays: Sequence[xr.DataArray], x: str) -> Hashable:
    """Return the axis along which lines run. Raises ConfigError unless every array has it."""
    shared = [dim for dim in arrays[0].dims if all(dim in array.dims for array in arrays)]
    if x:
        one_of(shared, "x", x)
        return x
    require(bool(shared), "values", "no common axis", "must share an axis along which lines run")
    return STEP if STEP in shared else shared[-1]


def lines(array: xr.DataArray, along: Hashable, *, several: bool) -> Iterator[tuple[str, xr.DataArray]]:
    """Yield the lines of an array with their names: the labels of its other axes, after its name if ``several``."""
    others = [dim for dim in array.dims if dim != along]
    start = [str(array.attrs.get("long_name") or array.name).replace("_", " ")] if several or not others else []
    if not others:
        yield start[0], array
        return
    for labels in pd.MultiIndex.from_product([range(array.sizes[dim]) for dim in others]):
        chosen = dict(zip(others, labels, strict=True))
        words = [f"{axis_name(dim)} {labels_of(array, dim)[place]}" for dim, place in chosen.items()]
        yield ", ".join([*start, *words]), array.isel(chosen)


def trace(name: str, values: xr.DataArray, along: Hashable, place: int) -> Any:
    """Return the trace of a line."""
    hover = f"{axis_name(along)} %{{x}}<br>{name} %{{y:.4g}}<extra></extra>"
    style = {"color": LINES[place % len(LINES)], "dash": ("solid", "dash", "dot", "dashdot")[place // len(LINES) % 4]}
    return go.Scatter(
        x=labels_of(values, along), y=values.values.astype(float), name=name, mode="lines", line=style,
        hovertemplate=hover,
    )  # fmt: skip


def unit_of(arrays: Sequence[xr.DataArray]) -> str:
    """Return the unit of several arrays as the name of their axis; "value" if they differ or have none."""
    units = {array.attrs.get("units", "1") for array in arrays}
    unit = units.pop()
    return "value" if units or unit == "1" else f"[{unit}]"
