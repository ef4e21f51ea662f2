"""List the results of single analyses as lines of text: every field at the last checkpoint."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import xarray as xr

from grokinterp.numbers import number
from grokinterp.runs import summary
from grokinterp.runs.datasets import CHECKPOINTS
from grokinterp.runs.results import Results

STATED: dict[str, Callable[[Results], list[str]]] = {
    "head_roles": summary.heads,
    "circuit_verdict": lambda results: summary.circuit(results.measures()),
    "local_learning_coefficient": lambda results: summary.sampled(results, results.measures()),
}
"""The lines of the summary that state the result of an analysis."""

MOST_LABELS = 40
"""Largest number of labels of a mask that are listed."""

MOST_VALUES = 8
"""Largest number of values of an axis that are listed one by one."""


def analysis_lines(results: Results, names: Sequence[str]) -> Iterator[str]:
    """Yield the results of the named analyses, or the reason why there are none.

    The lines of the summary that state the result of an analysis come first. Numbers are listed with their unit, short
    axes value by value, and larger arrays by their axes and range.

    Args:
        results: the results of a run.
        names: the names of the analyses.
    """
    yield from summary.answers(results)
    for name in names:
        if name in STATED and name in results.analyses:
            yield from STATED[name](results)
        if name in results.not_defined:
            yield f"{name}: not defined: {results.not_defined[name]}"
        elif name in results.analyses:
            yield from dataset_lines(name, results.analyses[name])
        else:
            yield f"{name}: no results"


def dataset_lines(name: str, dataset: xr.Dataset) -> Iterator[str]:
    """Yield the steps of an analysis, and a line per field with its value at the last step.

    >>> values = xr.Dataset({"loss": ("step", [3.0, 0.5], {"units": "nats"})}, coords={"step": [0, 10]})
    >>> list(dataset_lines("performance", values))
    ['performance: 2 checkpoints, step 10:', '  loss  0.5 nats']
    """
    steps = dataset["step"].values
    plural = "" if len(steps) == 1 else "s"
    yield f"{name}: {len(steps):,} checkpoint{plural}, step {steps[-1]:,}:"
    fields = {str(field): array for field, array in dataset.isel(step=-1).data_vars.items() if field != CHECKPOINTS}
    width = max(map(len, fields), default=0)
    for field, array in fields.items():
        units = array.attrs.get("units", "")
        yield f"  {field:{width}}  {value_text(array)}{f' {units}' if units not in ('', '1') else ''}"


def value_text(array: xr.DataArray) -> str:
    """Return a number, a short list of labeled numbers, the labels of a mask, or the axes and the range of an array.

    >>> value_text(xr.DataArray([False, True, True], dims="frequency", coords={"frequency": [1, 2, 3]}))
    'frequency 2, 3'
    >>> value_text(xr.DataArray([0.5, 2.0], dims="head", coords={"head": [0, 1]}))
    'head 0: 0.5, 1: 2'
    >>> value_text(xr.DataArray(np.eye(30), dims=("a", "b")))
    'a 30 × b 30, from 0 to 1'
    """
    if array.ndim == 0:
        return one(array.values)
    if array.ndim == 1:
        axis = array.dims[0]
        labels = array[axis].values if axis in array.coords else np.arange(array.size)
        if array.dtype == bool and array.sum() <= MOST_LABELS:
            return f"{axis} {', '.join(map(str, labels[array.values]))}" if array.any() else f"no {axis}"
        if array.size <= MOST_VALUES:
            pairs = (f"{label}: {one(value)}" for label, value in zip(labels, array.values, strict=True))
            return f"{axis} {', '.join(pairs)}"
    shape = " × ".join(f"{axis} {size}" for axis, size in array.sizes.items())
    if array.dtype.kind not in "iufb":
        return shape
    values = array.values[np.isfinite(array.values)]
    missing = array.size - values.size
    ranged = f"from {one(values.min())} to {one(values.max())}" if values.size else "no finite value"
    return f"{shape}, {ranged}{f', {missing:,} not finite' if missing and values.size else ''}"


def one(value: np.ndarray | np.generic) -> str:
    """Return a single value as text."""
    plain = value.item()
    if isinstance(plain, float):
        return number(plain) if np.isfinite(plain) else str(plain)
    return str(plain).lower() if isinstance(plain, bool) else str(plain)
