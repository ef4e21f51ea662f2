"""The rows of metrics.jsonl as one labelled dataset."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

LONG_NAMES = {
    "train_loss": ("training loss", "nats"),
    "test_loss": ("test loss", "nats"),
    "train_accuracy": ("training accuracy", "1"),
    "test_accuracy": ("test accuracy", "1"),
    "gradient_norm": ("norm of the training-loss gradient", "1"),
    "learning_rate": ("learning rate", "1"),
    "weight_norm": ("sum of squared weights", "1"),
    "weight_norm_of": ("sum of squared weights of the parameter", "1"),
    "logit_mean_abs": ("mean absolute logit", "1"),
    "logit_max_abs": ("largest absolute logit", "1"),
    "logit_margin": ("mean correct minus runner-up logit", "1"),
}


def metrics_table(rows: Sequence[Mapping[str, Any]]) -> xr.Dataset:
    """Metrics over ``step``; a nested {parameter: value} becomes a ``parameter`` dimension. JSON null is NaN."""
    names = [name for name in (rows[0] if rows else {}) if name != "step"]
    variables = {name: _column(name, [row.get(name) for row in rows]) for name in names}
    return xr.Dataset(variables, coords={"step": np.array([row["step"] for row in rows], dtype=np.int64)})


def _column(name: str, values: list[Any]) -> xr.DataArray:
    long_name, units = LONG_NAMES.get(name, (name.replace("_", " "), "1"))
    labels = {"long_name": long_name, "units": units}
    if isinstance(values[0], dict):
        parameters = list(values[0])
        table = [[_number(row.get(parameter)) for parameter in parameters] for row in values]
        return xr.DataArray(table, dims=("step", "parameter"), coords={"parameter": parameters}, attrs=labels)
    return xr.DataArray([_number(value) for value in values], dims=("step",), attrs=labels)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
