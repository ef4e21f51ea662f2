"""Read the outcome of a run from its directory: events, times, final measures, and early stopping."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from grokinterp.errors import GrokinterpError, RunDirectoryError
from grokinterp.phases import Curves, History, find_phases, sustained_step
from grokinterp.runs.results import Results
from grokinterp.sweeps.clock import Clock
from grokinterp.sweeps.horizon import horizon_of


class Stop(NamedTuple):
    """The step at which early stopping ends a run, and the step with the lowest loss, whose weights it keeps."""

    stopped: int
    kept: int
    test_accuracy: float


def measured(path: Path, *, patience: int) -> dict[str, Any]:
    """Return the outcome of a run as JSON values; null if unknown.

    Args:
        path: the run directory.
        patience: evaluations without a lower held-out loss after which early stopping would end the run.

    Raises:
        GrokinterpError: the run is damaged.
    """
    results = Results.open(path)
    if results.log_check.faults:  # dates and losses of damaged curves are not comparable
        raise RunDirectoryError(path, f"metrics.jsonl: {results.log_check.faults}")
    metrics = judged(results.metrics)
    status, history = results.directory.status, history_of(metrics)
    steps = metrics["step"].values
    horizon = horizon_of(results.directory.experiment, status, steps)
    event = sustained_step(steps, metrics["test_accuracy"].values) if history and "test_accuracy" in metrics else None
    time = horizon if event is None else event
    clock = Clock.read(path, steps)
    values = {
        "status": str(status.get("status", "unknown")),
        "step": int(steps[-1]) if len(steps) else 0,
        "why": status.get("why"),
        "verdict": history.verdict if history else None,
        "memorized_step": history.memorized_step if history else None,
        "event_step": event,
        "time_step": time,
        "time_seconds": clock.at(time),
        "seconds": clock.at(int(steps[-1])) if len(steps) else None,
        "seconds_per_1000": 1000 * clock.rate,
        "cpu_seconds_per_1000": 1000 * clock.cpu_rate,
        **clock.memory,
        **final(metrics),
        **analyzed(results),
        "early": early_stop(metrics, patience)._asdict() if len(steps) else None,
    }
    return {key: _plain(value) for key, value in values.items()}


def judged(metrics: xr.Dataset) -> xr.Dataset:
    """Return the metrics by which a run is evaluated: those of the averaged weights, if there are any."""
    averaged = [str(name) for name in metrics if str(name).startswith("average_")]
    return metrics.assign({name.removeprefix("average_"): metrics[name] for name in averaged})


def history_of(metrics: xr.Dataset) -> History | None:
    """Return the phases and events of a run; None if its metrics do not determine them."""
    try:
        return find_phases(Curves.from_dataset(metrics)) if metrics.sizes["step"] else None
    except GrokinterpError:
        return None


def early_stop(metrics: xr.Dataset, patience: int) -> Stop:
    """Replay early stopping on the held-out loss; exact, because training is the same up to the stop.

    Training stops at the ``patience``-th consecutive evaluation without a loss below the lowest so far, and the weights
    with the lowest loss are kept. The held-out loss is the validation loss if there is one, else the test loss.
    """
    loss = metrics["validation_loss" if "validation_loss" in metrics else "test_loss"].values
    best = stop = 0
    for stop in range(len(loss)):
        if loss[stop] < loss[best] or np.isnan(loss[best]):
            best = stop
        elif stop - best >= patience:
            break
    steps = metrics["step"].values
    return Stop(int(steps[stop]), int(steps[best]), float(metrics["test_accuracy"].values[best]))


def final(metrics: xr.Dataset) -> dict[str, float | None]:
    """Return the accuracies, the losses, and Σθ² at the last evaluation."""
    names = ("train_accuracy", "test_accuracy", "train_loss", "test_loss", "weight_norm")
    there = metrics.sizes["step"] > 0
    return {f"final_{name}": float(metrics[name].values[-1]) if there and name in metrics else None for name in names}


def analyzed(results: Results) -> dict[str, float | None]:
    """Return softmax collapse in float32 and the cosine between gradient and weights at the last checkpoint."""
    try:
        found = results.measures()
    except GrokinterpError:
        found = {}
    collapse = found.get("collapsed_share") or {}
    return {
        "collapsed_share": collapse.get("float32"),
        "gradient_weight_cosine": found.get("gradient_weight_cosine_total"),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
