"""Columns of values, one for each run: their type, and the scale on which a setting is fitted."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from grokinterp.errors import require, short

Column = Sequence[Any] | np.ndarray


def fitted_scale(values: Column, *, log: bool, **others: Column) -> np.ndarray:
    """Return a setting on the scale on which it is fitted: its values, or their logarithms.

    Args:
        values: the setting of every run.
        log: whether the logarithm is fitted.
        others: further columns of the same runs by their names.

    Raises:
        ConfigError: a value is not finite, or not positive if ``log``, or a column has another length.

    >>> fitted_scale([1, 2], log=False)
    array([1., 2.])
    """
    column = numbers("values", values)
    rule = "must be finite and above 0, because its logarithm is fitted" if log else "must be finite"
    wrong = column[~np.isfinite(column) | (log & (column <= 0))]
    require(not wrong.size, "values", wrong[0] if wrong.size else "", rule)
    for name, other in others.items():
        require(len(other) == len(column), name, f"{len(other)} values", f"must be as many as values, {len(column)}")
    return np.log(column) if log else column


def numbers(name: str, values: Column) -> np.ndarray:
    """Return a column as an array of floats. Raises ConfigError if it contains anything else, or is not a column."""
    try:
        column = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        column = np.zeros((0, 0))
    require(column.ndim == 1, name, short(values), "must be a sequence of numbers, one for each run")
    return column
