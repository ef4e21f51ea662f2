"""Results of a run as one table with a row for each step."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from grokinterp.errors import require_choice
from grokinterp.phases import Phase
from grokinterp.runs.datasets import CHECKPOINTS

SHOWN = {"step", "split", "precision"}
"""Dimensions of the measures that a table shows by default, with a column for each label."""

PHASE = "phase"
"""The column with the name of the phase."""


def frame_of(datasets: Iterable[xr.Dataset], phases: Sequence[Phase] = (), names: Sequence[str] = ()) -> pd.DataFrame:
    """Return the measures of several datasets with a row for each of their steps.

    Args:
        datasets: measures over steps; the first that has a measure at a step provides it.
        phases: the phases of the run, named in the first column.
        names: measures to show, with any axes (default: all that are one number, or one for each split).

    Raises:
        ConfigError: a measure is unknown.
    """
    found = [values for dataset in datasets for values in variables(dataset)]
    known = dict.fromkeys(str(values.name) for values in found)
    for name in names:
        require_choice("names", name, known)
    columns: dict[str, pd.Series] = {}
    for values in found:
        if values.name in names if names else set(values.dims) <= SHOWN:
            for name, column in columns_of(values):
                columns[name] = columns[name].combine_first(column) if name in columns else column
    table = pd.DataFrame(columns).sort_index().rename_axis("step")
    return with_phase(table, phases) if phases else table


def variables(dataset: xr.Dataset) -> Iterator[xr.DataArray]:
    """Yield the numbers over steps that a dataset holds."""
    for name, values in dataset.data_vars.items():
        if name != CHECKPOINTS and "step" in values.dims and values.dtype.kind in "biuf":
            yield values.rename(name)


def columns_of(values: xr.DataArray) -> Iterator[tuple[str, pd.Series]]:
    """Yield the columns of a measure over the steps, named by the labels of its other axes.

    >>> loss = xr.DataArray([[1.0, 2.0]], coords={"step": [0], "split": ["train", "test"]}, name="trig_loss")
    >>> [name for name, _ in columns_of(loss)]
    ['trig_loss.train', 'trig_loss.test']
    """
    axes = [dim for dim in values.dims if dim != "step"]
    flat = values.transpose("step", *axes).values.astype(float).reshape(values.sizes["step"], -1)
    labels = [values[dim].values.tolist() if dim in values.coords else range(values.sizes[dim]) for dim in axes]
    names = pd.MultiIndex.from_product(labels) if axes else [()]
    for place, label in enumerate(names):
        yield ".".join(map(str, (values.name, *label))), pd.Series(flat[:, place], values["step"].values)


def with_phase(table: pd.DataFrame, phases: Sequence[Phase]) -> pd.DataFrame:
    """Return a table over steps with the name of the phase as its first column."""
    starts = np.array([phase.start for phase in phases[1:]], dtype=np.int64)
    names = np.array([phase.name for phase in phases])
    table.insert(0, PHASE, names[np.searchsorted(starts, table.index.to_numpy(dtype=np.int64), side="right")])
    return table
