"""Parts of a dataset as plain values, which JSON can hold: numbers, labels, and rows."""

import math
from collections.abc import Mapping
from typing import Any

import xarray as xr


def records(table: xr.Dataset) -> list[dict[str, Any]]:
    """Return the rows of a dataset with a single axis."""
    columns = {str(name): table[name].values.tolist() for name in table.variables}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def labels(mask: xr.DataArray) -> list[Any]:
    """Return the labels at which a one-dimensional mask is true."""
    return mask[mask.dims[0]].values[mask.values.astype(bool)].tolist()


def finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with None for numbers that are not finite."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def plain(variable: xr.DataArray) -> Any:
    """Return a number, or {label: number} for a labeled axis; values that are not finite become None."""
    if variable.ndim:
        axis = variable.dims[0]
        return {str(label): plain(variable.sel({axis: label})) for label in variable[axis].values}
    value = variable.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
