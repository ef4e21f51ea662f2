"""Training metrics and results of analyses as xarray datasets, and the netCDF files of results, analysis/NAME.nc."""

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from grokinterp.errors import RunDirectoryError
from grokinterp.shared import WARNING_FILTERS
from grokinterp.storage import write_atomic
from grokinterp.storage.files import read_json_object, read_regular

LONG_NAMES = {
    "train_loss": ("training loss", "nats"),
    "test_loss": ("test loss", "nats"),
    "validation_loss": ("validation loss", "nats"),
    "train_accuracy": ("training accuracy", "1"),
    "test_accuracy": ("test accuracy", "1"),
    "validation_accuracy": ("validation accuracy", "1"),
    "noisy_accuracy": ("share of noisy examples answered as labeled", "1"),
    "clean_accuracy": ("training accuracy on the correctly labeled examples", "1"),
    "restored_accuracy": ("share of noisy examples answered correctly", "1"),
    "gradient_norm": ("norm of the training-loss gradient", "1"),
    "learning_rate": ("learning rate", "1"),
    "weight_decay": ("weight decay per unit of learning rate", "1"),
    "batch_size": ("batch size", "examples"),
    "lamb": ("amplification λ of the slow gradient", "1"),
    "examples": ("training examples in use", "examples"),
    "average_train_loss": ("training loss of the averaged weights", "nats"),
    "average_test_loss": ("test loss of the averaged weights", "nats"),
    "average_validation_loss": ("validation loss of the averaged weights", "nats"),
    "average_train_accuracy": ("training accuracy of the averaged weights", "1"),
    "average_test_accuracy": ("test accuracy of the averaged weights", "1"),
    "average_validation_accuracy": ("validation accuracy of the averaged weights", "1"),
    "weight_norm": ("sum of squared weights", "1"),
    "weight_norm_of": ("sum of squared weights of the parameter", "1"),
    "logit_mean_abs": ("mean absolute logit", "1"),
    "logit_max_abs": ("largest absolute logit", "1"),
    "logit_margin": ("mean correct minus runner-up logit", "1"),
}


def metrics_table(rows: Sequence[Mapping[str, Any]], *, loss: str = "softplus") -> xr.Dataset:
    """Return the metrics over ``step``; a nested {parameter: value} gets a ``parameter`` dimension, null becomes NaN.

    Args:
        rows: the metrics of each evaluation, as stored.
        loss: the run's ``optimization.loss``. Squared errors have no unit; all cross-entropies, including StableMax,
            are in nats.
    """
    names = dict.fromkeys(name for row in rows for name in row if name != "step")
    variables = {name: _column(name, [row.get(name) for row in rows]) for name in names}
    if loss == "mse":
        for name, variable in variables.items():
            variable.attrs["units"] = "1" if name.endswith("_loss") else variable.attrs["units"]
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


NOT_DEFINED = "not_defined.json"


def write_not_defined(run: Path, reasons: Mapping[str, str]) -> None:
    """Write the reason why each undefined analysis is undefined for this run; without any, remove the file."""
    path = run / "analysis" / NOT_DEFINED
    if not reasons:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, json.dumps(dict(sorted(reasons.items())), indent=1).encode("utf-8"), replace=True)


def read_not_defined(run: Path) -> dict[str, str]:
    """Return the reason why each undefined analysis is undefined for this run, by name."""
    try:
        found = read_json_object(run / "analysis" / NOT_DEFINED)
    except (OSError, ValueError):
        return {}
    return {str(name): str(why) for name, why in found.items()}


NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""Names of result files."""

DIGEST = "content_digest"

OUTSIDE = "defined_in"
"""Attribute with the module of an analysis that does not belong to grokinterp."""

MAX_ANALYSIS_BYTES = 2**32
"""Largest file of results that is read, in bytes."""

PART = 2**20
"""The number of bytes of a variable that are converted at a time."""


def write_analysis(run: Path, name: str, dataset: xr.Dataset) -> None:
    """Write or replace the results of one analysis, atomically."""
    (run / "analysis").mkdir(exist_ok=True)
    marked = dataset.assign_attrs({DIGEST: _digest(dataset)})
    write_atomic(run / "analysis" / f"{name}.nc", bytes(marked.to_netcdf(engine="scipy")), replace=True)


def read_analysis(run: Path, name: str) -> xr.Dataset | None:
    """Return the results of an analysis; None if there are none or the file was written by another program.

    Raises:
        RunDirectoryError: the file is damaged.
    """
    path = run / "analysis" / f"{name}.nc"
    try:
        content = read_regular(path, limit=MAX_ANALYSIS_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunDirectoryError(run, f"analysis/{name}.nc cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise RunDirectoryError(run, f"analysis/{name}.nc {error}") from None
    try:
        with WARNING_FILTERS.held():  # xarray adds one whenever it decodes
            dataset = xr.load_dataset(io.BytesIO(content), engine="scipy")
        expected = dataset.attrs.pop(DIGEST, None)
        damaged = expected is not None and expected != _digest(dataset)
    except Exception as error:  # a damaged header can raise anything
        raise RunDirectoryError(run, f"analysis/{name}.nc is damaged ({type(error).__name__})") from None
    if damaged:
        raise RunDirectoryError(run, f"analysis/{name}.nc is damaged: its content does not match its digest")
    return None if expected is None else dataset


def _digest(dataset: xr.Dataset) -> str:
    """Return the SHA-256 over the name, shape and values of every variable, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(map(str, dataset.variables)):
        values = dataset[name].values
        digest.update(f"{name}{values.shape}".encode())
        if values.dtype.kind in "SOUT":
            digest.update(np.char.encode(values.astype(str)).tobytes())
            continue
        for part in np.array_split(values.reshape(-1), values.nbytes // PART + 1):
            digest.update(part.astype("<f8").tobytes())
    return digest.hexdigest()


def analysis_names(run: Path) -> tuple[str, ...]:
    """Return the names of the analyses that have results."""
    found = [path.stem for path in (run / "analysis").glob("*.nc")]
    return tuple(sorted(name for name in found if NAME.fullmatch(name)))
