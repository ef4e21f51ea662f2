"""Censored fits against independent ones, and the shapes of planted times."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from grokinterp.statistics import u_shape
from grokinterp.statistics.censored import censored_fit
from grokinterp.statistics.shapes import fitted_time

RATIOS = np.repeat([0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4], 5)
Z = np.log(RATIOS)


def planted(slope: float, square: float, *, horizon: float = 4000.0, seed: int = 0, noise: float = 0.2):
    rng = np.random.default_rng(seed)
    times = np.exp(7 + slope * Z + square * Z * Z + noise * rng.standard_normal(len(Z)))
    return np.minimum(times, horizon), times <= horizon, np.full(len(Z), horizon)


def test_without_censoring_the_fit_is_least_squares():
    times, observed, _ = planted(-0.5, 0.3, horizon=math.inf)
    design = np.stack([np.ones_like(Z), Z, Z * Z], axis=1)
    found = censored_fit(design, np.log(times)[None], observed[None])
    expected, residual, *_ = np.linalg.lstsq(design, np.log(times), rcond=None)
    assert found.coefficients[0] == pytest.approx(expected, abs=1e-5)
    assert found.deviation[0] == pytest.approx(math.sqrt(residual[0] / len(Z)), abs=1e-5)


def test_with_censoring_the_fit_agrees_with_an_optimizer_in_every_sample():
    design, y, seen = np.stack([np.ones_like(Z), Z], axis=1), [], []
    for seed in range(3):
        times, observed, _ = planted(-0.7, 0.0, horizon=1100.0, seed=seed)
        y.append(np.log(times))
        seen.append(observed)
    found = censored_fit(design, np.array(y), np.array(seen))
    for i in range(3):

        def loss(p, y=y[i], seen=seen[i]):
            center, deviation = design @ p[:2], math.exp(p[2])
            parts = np.where(seen, norm.logpdf(y, center, deviation), norm.logsf(y, center, deviation))
            return -parts.sum()

        best = minimize(loss, [7.0, 0.0, -1.0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9})
        assert 0.3 < np.mean(seen[i]) < 0.9
        assert found.coefficients[i] == pytest.approx(best.x[:2], abs=1e-3)
        assert found.deviation[i] == pytest.approx(math.exp(best.x[2]), rel=1e-3)


@pytest.mark.parametrize(("slope", "square", "kind"), [
    (0.0, 0.8, "U-shaped"), (0.0, -0.8, "inverted U"), (-0.9, 0.0, "monotone"), (0.0, 0.0, "no trend"),
    (-2.5, 0.9, "curved"),
])  # fmt: skip
def test_planted_shapes_are_found(slope, square, kind):
    found = u_shape(RATIOS, *planted(slope, square, horizon=math.exp(20)), log=True)
    assert found.kind == kind
    assert found.observed == 40


def test_the_minimum_is_found_although_the_slow_half_is_censored():
    found = u_shape(RATIOS, *planted(-1.1, 0.8, horizon=2500.0), log=True)
    assert found.kind == "U-shaped"
    minimum = math.exp(1.1 / 1.6)
    assert found.turning_interval.low < minimum < found.turning_interval.high
    assert found.turning == pytest.approx(minimum, rel=0.15)
    assert fitted_time(found, np.array([1.0]), log=True)[0] == pytest.approx(math.exp(7), rel=0.15)


def test_censored_times_are_bounds_and_not_values():
    """Runs that stop at the budget would feign a flat curve if the budget were their time."""
    times, observed, horizons = planted(-1.0, 0.0, horizon=1200.0)
    assert observed.mean() < 0.7
    found = u_shape(RATIOS, times, observed, horizons, log=True)
    assert found.slope_interval.low < -1 < found.slope_interval.high
    flat = u_shape(RATIOS, times, np.ones(40, bool), horizons, log=True)
    assert flat.slope > found.slope_interval.high


def test_few_observed_times_are_not_tested():
    times, observed, horizons = planted(-1.0, 0.0, horizon=300.0)
    assert u_shape(RATIOS, times, observed, horizons, log=True).kind == "not testable"
    assert u_shape([], [], [], [], log=True).kind == "not testable"


def test_one_noiseless_run_for_each_value_is_no_error():
    z = np.log([0.5, 1.0, 2.0, 3.0, 4.0, 6.0])
    found = u_shape(np.exp(z), np.exp(6 - z), [True] * 6, [1e6] * 6, log=True)
    assert found.slope == pytest.approx(-1, abs=1e-3)


def threshold_times(law, critical: float, seed: int, noise: float = 0.2):
    time = np.where(critical < RATIOS, law(RATIOS), np.inf)
    time = time * np.exp(noise * np.random.default_rng(seed).standard_normal(len(RATIOS)))
    return np.minimum(time, 4000.0), time <= 4000, np.full(len(RATIOS), 4000.0)


LAWS = [lambda r: 1500 * np.exp(0.15 * r), lambda r: 1500 * r**-0.3, lambda r: 1000 * (1 + 0.5 / r)]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("critical", [0.4, 0.6, 0.9])
def test_a_threshold_of_grokking_is_no_u(law, critical):
    found = [u_shape(RATIOS, *threshold_times(law, critical, seed), log=True, simulations=19) for seed in range(3)]
    assert [one.kind for one in found].count("U-shaped") == 0
    assert {one.values for one in found} == {int(np.sum(np.unique(RATIOS) > critical))}


def test_a_turn_that_exists_only_through_censored_runs_is_named():
    found = u_shape(RATIOS, *threshold_times(LAWS[0], 0.6, 1), log=True, simulations=19)
    assert found.turns_by_censoring
    assert found.p_censored < 0.01 < 0.05 < found.p_u
    assert not u_shape(RATIOS, *planted(0.0, 0.8, horizon=math.inf), log=True, simulations=19).turns_by_censoring


@pytest.mark.parametrize(("law", "runs"), [
    (lambda r: np.where(r < 1, 3000, 500), 5), (lambda r: 300 * (1 + 0.5 / r), 5), (lambda r: 500 * r, 1),
])  # fmt: skip
def test_steps_and_saturating_times_are_no_u(law, runs):
    ratios = np.repeat([0.25, 0.5, 1, 2, 4, 8, 16], runs)
    kinds = []
    for seed in range(4):
        times = law(ratios) * np.exp(0.2 * np.random.default_rng(seed).standard_normal(len(ratios)))
        kinds.append(u_shape(ratios, times, times > 0, times + 1e5, log=True, simulations=19).kind)
    assert "U-shaped" not in kinds


def test_a_run_that_has_just_begun_does_not_change_the_shape():
    times, observed, horizons = planted(0.0, 0.8, horizon=math.exp(20))
    whole = u_shape(RATIOS, times, observed, horizons, log=True, simulations=19)
    begun = [np.append(one, last) for one, last in ((RATIOS, 1.0), (times, 5.0), (observed, False), (horizons, 5.0))]
    found = u_shape(*begun, log=True, simulations=19)
    assert (found.kind, found.p_u) == (whole.kind, whole.p_u)
