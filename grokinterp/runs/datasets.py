"""Training metrics and results of analyses as xarray datasets, and the netCDF files of results, analysis/NAME.nc."""

import re
from array import array
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import xarray as xr

from grokinterp.errors import RunDirectoryError, short, warn
from grokinterp.runs.labels import with_short_names
from grokinterp.runs.netcdf import decode_dataset, encode_dataset
from grokinterp.storage import LogCheck, MetricsTable, RunDirectory, write_atomic
from grokinterp.storage.atomic import make_directory, remove
from grokinterp.storage.files import read_regular
from grokinterp.storage.run_directory import NOT_DEFINED

OF_ANSWER = "_of_answer"
"""The ending of the names of metrics that are measured at each of several answers."""

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


def read_metrics(run: RunDirectory, *, loss: str) -> tuple[xr.Dataset, LogCheck]:
    """Return the metrics of a run over ``step``, and the result of the checks of their log.

    Damaged rows are left out, and a warning counts and names them.

    Raises:
        RunDirectoryError: if the log cannot be read.
    """
    table, check = run.read_metrics()
    if check.faults:
        warn(f"{run.metrics.path}: {check.faults}", stacklevel=1)  # from one line, so that Python shows it once
    return metrics_table(table, loss=loss), check


def metrics_table(table: MetricsTable, *, loss: str = "softplus") -> xr.Dataset:
    """Return the metrics over ``step``; null becomes NaN.

    A nested {parameter: value} gets a ``parameter`` dimension, and {answer: value} an ``answer`` dimension.

    Args:
        table: the metrics of each evaluation, as stored.
        loss: the run's ``optimization.loss``. Squared errors have no unit; all cross-entropies, including StableMax,
            are in nats.
    """
    names = dict.fromkeys(name if isinstance(name, str) else name[0] for name in table.columns)
    variables = {name: _column(name, table) for name in names}
    if loss == "mse":
        for name, variable in variables.items():
            is_loss = name.removesuffix(OF_ANSWER).endswith("_loss")
            variable.attrs["units"] = "1" if is_loss else variable.attrs["units"]
    return xr.Dataset(variables, coords={"step": np.array(table.steps, dtype=np.int64)})


def _column(name: str, table: MetricsTable) -> xr.DataArray:
    of_answer = name.endswith(OF_ANSWER)
    long_name, units = LONG_NAMES.get(name.removesuffix(OF_ANSWER), (name.replace("_", " "), "1"))
    long_name += " of the answer" if of_answer else ""
    labels = {"long_name": long_name, "units": units}
    if name in table.columns:
        return xr.DataArray(_numbers(table.columns[name]), dims=("step",), attrs=labels)
    parts = {key[1]: _numbers(column) for key, column in table.columns.items() if key[0] == name and key != name}
    values = np.stack(list(parts.values()), axis=1)
    dim, coordinate = ("answer", list(map(int, parts))) if of_answer else ("parameter", list(parts))
    return xr.DataArray(values, dims=("step", dim), coords={dim: coordinate}, attrs=labels)


def _numbers(column: array) -> np.ndarray:
    """Return a column as a NumPy array that shares its memory."""
    return np.frombuffer(column, dtype=np.float64) if column else np.zeros(0)


def write_not_defined(run: Path, reasons: Mapping[str, str]) -> None:
    """Write the reason why each undefined analysis is undefined for this run; without any, remove the file."""
    if reasons:
        make_directory(run / "analysis")
        RunDirectory(run).write_document(NOT_DEFINED, {"reasons": dict(sorted(reasons.items()))})
    else:
        remove(run / NOT_DEFINED)


def read_not_defined(run: Path) -> dict[str, str]:
    """Return the reason why each undefined analysis is undefined for this run, by name."""
    found = RunDirectory(run).document(NOT_DEFINED)
    reasons = found.get("reasons")
    reasons = reasons if isinstance(reasons, Mapping) else found  # files of earlier versions hold the reasons alone
    return {str(name): str(why) for name, why in reasons.items()}


NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""Names of result files."""

OUTSIDE = "defined_in"
"""Attribute with the module of an analysis that does not belong to grokinterp."""

RUN_ID = "run_id"
"""Attribute with the run that was analyzed."""

ANALYSIS = "analysis"
"""Attribute with the name of the analysis, which is also the name of its file."""

ANSWER = "answer"
"""Attribute with the index of the answer that was analyzed, of several."""

CHECKPOINTS = "checkpoint_digest"
"""Variable with the digest of the checkpoint of each step."""

LARGEST = 4 * 2**30
"""Largest result file that is read, in bytes."""


def result_file(name: str) -> str:
    """Return the path of the results of an analysis within its run."""
    return f"analysis/{name}.nc"


def write_analysis(run: Path, name: str, dataset: xr.Dataset) -> None:
    """Write or replace the results of one analysis, atomically."""
    make_directory(run / "analysis")
    data = encode_dataset(dataset.assign_attrs({RUN_ID: RunDirectory(run).run_id}))
    write_atomic(run / result_file(name), data, replace=True)


def read_analysis(run: Path, name: str) -> xr.Dataset | None:
    """Return the results of an analysis; None if there are none.

    Raises:
        RunDirectoryError: the file is damaged, belongs to another run, or was written by another program.
    """
    try:
        return _read(RunDirectory(run), name)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RunDirectoryError(run, f"{result_file(name)} is left out: {error}") from None


def read_analyses(run: RunDirectory) -> tuple[dict[str, xr.Dataset], dict[str, str]]:
    """Return the results of every analysis by name, and the reason why each other result file is left out.

    A file is left out if it is damaged or belongs to another run, or if one of the checkpoints that were analyzed has
    been replaced since. Where checkpoint files are missing or damaged, their results remain.
    """
    found, left_out, is_replaced = {}, {}, cache(run.is_replaced)
    for name in analysis_names(run.path):
        try:
            dataset = _read(run, name)
            _require_same_checkpoints(dataset, is_replaced)
            found[name] = dataset
        except FileNotFoundError:  # removed meanwhile
            continue
        except ValueError as error:
            left_out[result_file(name)] = str(error)
    return found, left_out


def analysis_names(run: Path) -> tuple[str, ...]:
    """Return the names of the analyses that have results."""
    found = [path.stem for path in (run / "analysis").glob("*.nc")]
    return tuple(sorted(name for name in found if NAME.fullmatch(name)))


def _read(run: RunDirectory, name: str) -> xr.Dataset:
    """Return the results of an analysis of this run.

    Raises:
        FileNotFoundError: there are none.
        ValueError: the file cannot be used, with a short reason.
    """
    try:
        data = read_regular(run.path / result_file(name), limit=LARGEST)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    dataset = with_short_names(decode_dataset(data))
    analyzed = dataset.attrs.pop(RUN_ID, None)
    if analyzed not in (None, run.run_id):  # files of earlier versions do not name their run
        raise ValueError(f"belongs to run {short(analyzed)}")
    if (of := dataset.attrs.get(ANALYSIS, name)) != name:
        raise ValueError(f"holds the results of {short(of)}")
    if "step" not in dataset.indexes or dataset["step"].dtype.kind not in "iu":
        raise ValueError("no axis of steps")
    return dataset


def _require_same_checkpoints(dataset: xr.Dataset, is_replaced: Callable[[int, str], bool]) -> None:
    """Raise ValueError if a checkpoint has another digest than when it was analyzed."""
    if CHECKPOINTS not in dataset:
        return
    analyzed = zip(dataset["step"].values.tolist(), dataset[CHECKPOINTS].values.astype(str).tolist(), strict=True)
    for step, digest in analyzed:
        if is_replaced(step, digest):
            raise ValueError(f"checkpoint {step} has been replaced since it was analyzed")
