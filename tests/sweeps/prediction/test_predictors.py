"""Every predictor finds what is planted for it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.prediction import planted, planted_run
from grokinterp.sweeps.prediction import PREDICTORS, EarlyRun, Outcome
from grokinterp.sweeps.prediction.early_run import early_run
from grokinterp.sweeps.prediction.regression import fit_line


def test_the_regression_finds_the_slopes_although_half_of_the_times_are_censored():
    draw = np.random.default_rng(0)
    x = draw.standard_normal((2000, 3))
    y = 7 + x @ [1.0, -0.5, 0.0] + 0.3 * draw.standard_normal(2000)
    seen = y < 7
    line = fit_line(x, np.minimum(y, 7), seen)
    assert np.allclose(line.slopes / line.scale, [1, -0.5, 0], atol=0.03)
    assert line.at(np.zeros(3)) == pytest.approx(7, abs=0.05)
    assert line.sigma == pytest.approx(0.3, abs=0.02)
    naive = np.linalg.lstsq(np.c_[np.ones(2000), x], np.minimum(y, 7), rcond=None)[0]
    assert abs(naive[1] - 1) > 0.3  # the control: censored times as if they were observed


def test_the_regression_ignores_features_without_variation_and_stands_few_times():
    x, y = np.c_[np.arange(8.0), np.ones(8)], np.arange(8.0)
    assert fit_line(x, y, np.ones(8, bool)).slopes[1] == 0
    assert fit_line(x, y, np.arange(8) < 2).at(x[0]) == 7


def decaying(run_id: str, start: int, *, share: float = 0.25, kappa: float = 0.5, rate: float = 1e-3) -> EarlyRun:
    """A run whose Σθ² falls from its value at memorization to a share of the initial one at rate 2 η λ κ."""
    norm = 4.0 + start / 100
    step = round(start + math.log(norm / (share * 2.0)) / (2 * rate * kappa))
    run = planted_run(run_id, run_id, [0.0, 0.0, 0.0], 10**6, Outcome(step, 10**6, share * 2.0))
    return replace(run, memorized=start, initial_norm=2.0, norm=norm, decay=rate, at=start + 10)


def test_the_law_of_weight_decay_is_met_where_it_holds():
    predict = PREDICTORS["weight decay"].fit([decaying(str(start), start) for start in (20, 50, 90)], seeds=False)
    other = decaying("new", 70, rate=3e-4)
    assert predict(other) == pytest.approx(other.target, abs=1e-3)
    assert predict(replace(other, decay=0.0)) == other.limit
    assert math.exp(predict(replace(other, norm=0.1))) == pytest.approx(other.at)


def test_medians_are_of_all_runs_and_of_the_setting():
    runs = [
        planted_run(str(n), f"{n % 2}", [0.0] * 3, 900, Outcome(s, 900)) for n, s in enumerate([100, 400, 200, 500])
    ]
    new = planted_run("new", "0", [0.0] * 3, 900, Outcome(None, 900))
    assert math.exp(PREDICTORS["setting median"].fit(runs, seeds=True)(new)) == pytest.approx(100)
    assert math.exp(PREDICTORS["sweep median"].fit(runs, seeds=True)(new)) == pytest.approx(200)
    never = [replace(run, outcome=Outcome(None, 900)) for run in runs[:3]]
    assert math.exp(PREDICTORS["sweep median"].fit([*never, runs[3]], seeds=True)(new)) == pytest.approx(900)


def test_other_seeds_help_only_where_there_are_some():
    runs = planted(3, settings=40, seeds=4, noise="normal", budget=10**9)
    first = [run for run in runs if run.setting < "0030"]
    with_seeds, without = (PREDICTORS["early curve"].fit(first, seeds=seeds) for seeds in (True, False))
    assert "other seeds" in with_seeds.parts(first[0])
    assert "other seeds" not in without.parts(first[0])
    errors = [np.mean([abs(fit(run) - run.target) for run in first]) for fit in (with_seeds, without)]
    assert errors[0] < 0.9 * errors[1]


ROW = {"run_id": "a", "setting": "b", "epochs": 400, "evaluate_every": 10, "learning_rate": 0.01, "weight_decay": 1.0}


def curves(accuracy) -> tuple:
    steps = 10 * np.arange(len(accuracy))
    ones = np.ones(len(steps))
    columns = {"train_loss": ones, "test_loss": 2 * ones, "train_accuracy": ones, "test_accuracy": np.array(accuracy)}
    return steps, columns | {"weight_norm": 50 * ones}


def test_a_run_that_has_grokked_or_begun_is_not_predicted():
    outcome = Outcome(None, 0)
    assert early_run(ROW, *curves([0.1] * 5 + [1.0] * 10), outcome) is None
    assert early_run(ROW, *curves([0.1] * 3), outcome) is None
    found = early_run(ROW, *curves([0.1] * 5 + [1.0] * 9), outcome)
    assert found is not None
    assert (found.at, found.earliest, found.memorized, found.horizon) == (130, 50, 0, 310)
    assert found.features["squared weight norm, change"] == 0
    assert "gradient norm" not in found.features
