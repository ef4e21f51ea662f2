"""Group the runs of a league by method and seed: times to generalization, survival curves, and accuracy curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from grokinterp.runs.results import Results
from grokinterp.statistics.survival import Times, kaplan_meier, median
from grokinterp.sweeps.outcome import judged

OVER = ("step", "seconds")


def times_of(runs: Sequence[Mapping[str, Any]], over: str = "step") -> Times:
    """Return the times to generalization of the runs, omitting runs whose time is unknown."""
    known = [run for run in runs if run[f"time_{over}"] is not None]
    return Times(
        tuple(float(run[f"time_{over}"]) for run in known), tuple(run["event_step"] is not None for run in known)
    )


def by_method(found: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Group the runs by method, in the order of the league; methods without runs are omitted."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for run in found["runs"]:
        groups.setdefault(run["method"], []).append(run)
    return groups


def league_dataset(found: Mapping[str, Any], top: Path) -> xr.Dataset:
    """Return times, survival curves with medians, and accuracy curves of every method and seed; NaN where missing.

    Args:
        found: the content of ``league.json``.
        top: the directory of the league.
    """
    groups = by_method(found)
    seeds = sorted({run["seed"] for run in found["runs"]})
    variables: dict[str, Any] = {
        "observed": _table(groups, seeds, lambda run: run["event_step"] is not None, False),
    }
    coordinates: dict[str, Any] = {"method": list(groups), "seed": seeds}
    for over in OVER:
        variables[f"time_{over}_of"] = _table(groups, seeds, lambda run, key=f"time_{over}": _number(run[key]), np.nan)
        times = {name: times_of(runs, over) for name, runs in groups.items()}
        grid = np.array(sorted({0.0, *(time for one in times.values() for time in one.times)}))
        coordinates[f"time_{over}"] = grid
        shares = np.array([_on(grid, one) for one in times.values()])
        variables[f"unsolved_share_{over}"] = (("method", f"time_{over}"), shares)
        medians = [median(one) for one in times.values()]
        for part, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
            variables[f"median{suffix}_{over}"] = ("method", [getattr(one, part) for one in medians])
    return xr.Dataset(variables, coords=coordinates).merge(curves(found, top, seeds), join="exact")


def curves(found: Mapping[str, Any], top: Path, seeds: Sequence[int]) -> xr.Dataset:
    """Return the train and test accuracy of every run [method, seed, step], with averaged weights where available."""
    metrics = [judged(Results.open(top / run["directory"]).metrics) for run in found["runs"]]
    steps = np.unique(np.concatenate([one["step"].values for one in metrics]))
    methods = list(by_method(found))
    empty = xr.DataArray(
        np.full((len(methods), len(seeds), len(steps)), np.nan),
        coords={"method": methods, "seed": list(seeds), "step": steps},
        dims=("method", "seed", "step"),
    )
    filled = {name: empty.copy() for name in ("train_accuracy", "test_accuracy")}
    for run, one in zip(found["runs"], metrics, strict=True):
        for name, table in filled.items():
            if name in one:
                table.loc[{"method": run["method"], "seed": run["seed"], "step": one["step"].values}] = one[name].values
    return xr.Dataset(filled)


def _table(groups: Mapping[str, Any], seeds: Sequence[int], value: Any, absent: Any) -> Any:
    rows = [{run["seed"]: value(run) for run in runs} for runs in groups.values()]
    return ("method", "seed"), np.array([[row.get(seed, absent) for seed in seeds] for row in rows])


def _on(grid: np.ndarray, runs: Times) -> np.ndarray:
    """Return the Kaplan-Meier curve at every time of the grid."""
    curve = kaplan_meier(runs)
    at = np.searchsorted(np.array(curve.times), grid, side="right")
    return np.array([1.0, *curve.share])[at]


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
