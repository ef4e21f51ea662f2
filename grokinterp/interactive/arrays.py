"""Arrays with named axes, their labels, and the texts that appear under the pointer."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from grokinterp.errors import ConfigError, require

STEP = "step"


def named_array(values: Any, dims: Sequence[str] = ()) -> xr.DataArray:
    """Return an array with named axes, without axes of a single label.

    Args:
        values: a DataArray, or a tensor or array together with ``dims``.
        dims: the names of the axes of a tensor or an array.

    Raises:
        ConfigError: the names are missing, or their number is not that of the axes.

    >>> named_array([[1, 2], [3, 4]], ("a", "b")).dims
    ('a', 'b')
    """
    if isinstance(values, xr.DataArray):
        require(not dims, "dims", dims, "must be left out, because the array names its axes")
        return values.squeeze()
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    rule = f"must name the axes of the array of shape {array.shape}, as in dims=('token', 'd_model')"
    require(len(dims) == array.ndim, "dims", tuple(dims), rule)
    return xr.DataArray(array, dims=tuple(dims)).squeeze()


def require_axes(values: xr.DataArray, least: int, most: int, chart: str) -> None:
    """Raise ConfigError, which says how to choose, unless an array has as many axes as a chart can show."""
    wanted = f"{least} to {most} axes" if least < most else f"{most} axes"
    sizes = ", ".join(f"{dim} ({size})" for dim, size in values.sizes.items()) or "none"
    chosen = next((dim for dim in values.dims if dim != STEP), STEP)
    example = f"; choose with .sel, as in .sel({chosen}={text_of(values, chosen, 0)})" if values.ndim else ""
    rule = f"must have {wanted} with more than one label for {chart}{example if values.ndim > most else ''}"
    require(least <= values.ndim <= most, "axes", sizes, rule)


def slider_axis(values: xr.DataArray, most: int) -> Hashable | None:
    """Return the axis that a slider moves along: the steps, or else the first; None if a chart shows all axes."""
    if values.ndim <= most:
        return None
    return STEP if STEP in values.dims else values.dims[0]


def labels_of(values: xr.DataArray, dim: Hashable) -> np.ndarray:
    """Return the labels along an axis: its coordinates, or else positions."""
    return values[dim].values if dim in values.coords else np.arange(values.sizes[dim])


def text_of(values: xr.DataArray, dim: Hashable, place: int) -> str:
    """Return a label of an axis as Python text, as ``2000`` or ``'train'``."""
    return repr(labels_of(values, dim)[place].item())


def axis_name(dim: Hashable) -> str:
    """Return the name of an axis in words; steps are those of the optimizer.

    >>> axis_name("other_class"), axis_name("step")
    ('other class', 'optimizer step')
    """
    return "optimizer step" if dim == STEP else str(dim).replace("_", " ")


def value_name(values: xr.DataArray) -> str:
    """Return the name of the values of an array with their unit, unless the unit is 1.

    >>> value_name(xr.DataArray(0.0, name="test_loss", attrs={"units": "nats"}))
    'test loss [nats]'
    """
    name = str(values.attrs.get("long_name") or values.name or "value").replace("_", " ")
    unit = values.attrs.get("units", "1")
    return name if unit == "1" else f"{name} [{unit}]"


def one_of(names: Sequence[Any], key: str, value: object) -> None:
    """Raise ConfigError unless a value is among some names of axes or variables."""
    if value not in names:
        raise ConfigError(key, value, f"must be one of {', '.join(map(str, names)) or 'no axes'}")
