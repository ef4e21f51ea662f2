"""Intervals cover what they promise, whatever the noise; unfinished runs only widen them."""

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.prediction import planted, planted_coverage
from grokinterp.sweeps.prediction import OURS, PREDICTORS, Outcome, calibrate
from grokinterp.sweeps.prediction.predictors import Predictor

FIXED = Predictor("returns a feature", "control", lambda runs, *, seeds: lambda run: run.features["weight decay"])
"""A predictor that learns nothing, so that CV+ is plain conformal prediction."""


def population(seed: int = 0, **changes):
    values = {"settings": 20, "seeds": 3, "noise": "normal", "budget": 10**9} | changes
    return planted(seed, **values)


def test_the_ends_are_order_statistics_of_the_errors():
    *runs, new = population()
    interval = calibrate(FIXED, runs, seeds=True).interval(new, level=0.8)
    errors = sorted(run.target - run.features["weight decay"] for run in runs)
    n = len(errors)
    low, high = errors[int(0.1 * (n + 1)) - 1], errors[n - int(0.1 * (n + 1))]
    center = new.features["weight decay"]
    assert interval.low == pytest.approx(max(math.exp(center + low), 2))
    assert interval.high == pytest.approx(max(math.exp(center + high), 2))


def test_every_setting_has_the_same_weight():
    runs = [run for run in population(seeds=4) if run.setting < "0010" or run.run_id.endswith("0000")]
    made = calibrate(FIXED, runs, seeds=False)
    settings = np.array([run.setting for run in runs])
    assert {round(float(made.weights[settings == name].sum()), 12) for name in settings} == {round(1 / 21, 12)}
    assert made.free == 1 / 21


@pytest.mark.parametrize("noise", ["normal", "Student t, 2 degrees of freedom"])
@pytest.mark.parametrize(("budget", "unfinished"), [(10**9, 0.0), (1500, 0.0), (1500, 0.2)])
def test_planted_populations_are_covered(noise, budget, unfinished, monkeypatch):
    monkeypatch.setitem(PREDICTORS, OURS, FIXED)
    population = {"settings": 20, "seeds": 2, "noise": noise, "budget": budget, "unfinished": unfinished}
    for _, coverage, _, wrong in planted_coverage(100, **population):
        assert coverage >= 0.9 - 2.5 * math.sqrt(0.9 * 0.1 / 100)
        assert wrong <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 100)


def test_our_predictor_is_covered_and_narrower_than_the_median():
    inside, ratios = [], []
    for seed in range(6):
        *runs, new = population(seed, settings=14, seeds=2)
        ours, median = (
            calibrate(PREDICTORS[name], runs, seeds=True).interval(new, level=0.9) for name in (OURS, "sweep median")
        )
        inside.append(ours.contains(new))
        ratios.append(math.log(ours.high / ours.low) / math.log(median.high / median.low))
    assert sum(inside) >= 4
    assert np.median(ratios) < 0.6


def test_a_run_that_did_not_grok_is_an_outcome():
    *runs, new = population(budget=1500)
    interval = calibrate(FIXED, runs, seeds=True).interval(replace(new, outcome=Outcome(None, 1500)), level=0.9)
    assert interval.contains(replace(new, outcome=Outcome(None, 1500))) == math.isinf(interval.high)
    assert interval.contains(replace(new, outcome=Outcome(None, 700))) is None
    hopeless = replace(new, features={**new.features, "weight decay": 50.0})
    assert calibrate(FIXED, runs, seeds=True).interval(hopeless, level=0.9)[:2] == (math.inf, 1500)


def test_unfinished_runs_only_widen():
    *runs, new = population(budget=1500)
    stopped = [replace(run, outcome=Outcome(None, 40)) if place % 4 == 0 else run for place, run in enumerate(runs)]
    whole, less = (calibrate(FIXED, each, seeds=True).interval(new, level=0.8) for each in (runs, stopped))
    assert less.low <= whole.low
    assert less.high >= whole.high


def test_few_runs_bound_nothing():
    runs = population(settings=5, seeds=2)
    interval = calibrate(FIXED, runs[:-1], seeds=True).interval(runs[-1], level=0.9)
    assert interval[1:] == (2.0, math.inf)
