"""The data of a figure as a CSV table with a row for each value."""

from collections.abc import Iterable

import pandas as pd
import xarray as xr

from grokinterp.runs.datasets import CHECKPOINTS

MEASURE, VALUE = "measure", "value"
"""The columns with the name of a measure and its value; the other columns are the labels of its axes."""


def csv_of(datasets: Iterable[xr.Dataset]) -> str:
    """Return datasets as CSV with a row for each value: the measure, a label for each axis, and the value.

    Axes that a measure does not have are empty, and so are missing values.

    >>> print(csv_of([xr.Dataset({"loss": ("step", [2.0, 1.0])}, {"step": [0, 10]})]))
    measure,step,value
    loss,0,2.0
    loss,10,1.0
    <BLANKLINE>
    """
    parts = [rows_of(str(name), values) for dataset in datasets for name, values in dataset.data_vars.items()]
    axes = dict.fromkeys(name for part in parts for name in part if name not in (MEASURE, VALUE))
    columns = [MEASURE, *axes, VALUE]
    lines = [part.reindex(columns=columns).to_csv(index=False, header=False, lineterminator="\n") for part in parts]
    return "".join([f"{','.join(columns)}\n", *lines])


def rows_of(name: str, values: xr.DataArray) -> pd.DataFrame:
    """Return the rows of one measure; none for the digests of the checkpoints."""
    if name == CHECKPOINTS:
        return pd.DataFrame(columns=[MEASURE, VALUE])
    labeled = values.assign_coords({dim: range(values.sizes[dim]) for dim in values.dims if dim not in values.coords})
    extra = [coordinate for coordinate in labeled.coords if coordinate not in labeled.dims]
    plain = labeled.drop_vars(extra).rename(VALUE)
    rows = plain.to_series().reset_index() if plain.ndim else pd.DataFrame({VALUE: [plain.item()]})
    rows.insert(0, MEASURE, name)
    return rows
