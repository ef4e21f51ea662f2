"""The outcome of a run: early stopping, averaged weights, the horizon of an unobserved event, wall time."""

import numpy as np
import pytest
import xarray as xr

from grokinterp.sweeps.horizon import horizon_of
from grokinterp.sweeps.outcome import Clock, early_stop, judged


def curve(**columns: list[float]) -> xr.Dataset:
    length = len(next(iter(columns.values())))
    return xr.Dataset({k: ("step", np.array(v)) for k, v in columns.items()}, coords={"step": 10 * np.arange(length)})


def test_early_stopping_by_hand():
    metrics = curve(test_loss=[3, 2, 5, 6, 7, 1, 0], test_accuracy=[0, 0.1, 0.2, 0.3, 0.4, 0.9, 1])
    assert early_stop(metrics, 3) == (40, 10, 0.1)
    assert early_stop(metrics, 2) == (30, 10, 0.1)
    assert early_stop(metrics, 4) == (60, 60, 1)
    validated = metrics.assign(validation_loss=("step", np.array([3.0, 4, 4, 4, 4, 1, 0])))
    assert early_stop(validated, 2) == (20, 0, 0)


def test_runs_that_average_are_judged_by_the_average():
    metrics = curve(test_accuracy=[0, 1.0], average_test_accuracy=[0, 0.5])
    assert judged(metrics)["test_accuracy"].values.tolist() == [0, 0.5]


@pytest.mark.parametrize(
    ("status", "steps", "horizon"),
    [("finished", 201, 1910), ("diverged", 3, 1910), ("interrupted", 21, 110), ("running", 5, 0)],
)
def test_the_horizon_is_a_window_before_the_end_of_the_budget(status, steps, horizon):
    experiment = {"steps": 2_000, "evaluate_every": 10}
    assert horizon_of(experiment, {"status": status}, 10 * np.arange(steps)) == horizon


def test_the_times_of_several_processes_are_pieced_together():
    sessions = [
        {"steps": [0, 10, 20], "seconds": [0.0, 1.0, 2.0], "cpu_seconds": 1.0, "peak_bytes": 5, "program_bytes": 3},
        {"steps": [30, 40], "seconds": [0.0, 4.0], "cpu_seconds": 2.0, "peak_bytes": 7, "program_bytes": 2},
    ]
    clock = Clock(sessions, np.array([0, 10, 20, 30, 40]))
    assert clock.rate == pytest.approx(6 / 30)
    assert clock.cpu_rate == pytest.approx(3 / 30)
    assert [clock.at(step) for step in (0, 15, 20, 30, 40, 50)] == pytest.approx([0, 1.5, 2, 4, 8, 10])
    assert clock.memory == {"peak_bytes": 7, "program_bytes": 3}
    assert np.isnan(Clock([], np.array([0, 10])).at(5))
