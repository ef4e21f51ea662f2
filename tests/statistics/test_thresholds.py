"""Critical values: of planted boundaries, of separated runs, and the answers where there is none."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2_contingency

from grokinterp.statistics import threshold
from grokinterp.statistics.thresholds import counted, profile, success_curve

RATIOS = np.repeat([0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4], 5)


def test_separated_runs_have_the_middle_of_the_gap_and_an_interval_that_contains_it():
    found = threshold(RATIOS, RATIOS > 1, log=True)
    assert found.value == pytest.approx(math.sqrt(1.5), rel=0.01)
    assert 0.9 < found.low <= 1.01
    assert 1.49 <= found.high < 1.7
    assert found.rises
    assert math.isinf(found.slope)
    assert success_curve(found, np.array([1.0, 2.0]), log=True).tolist() == [0, 1]


def test_runs_that_grok_below_the_critical_value_are_the_mirror_image():
    rises, falls = (threshold(RATIOS, RATIOS > 1, log=True), threshold(1 / RATIOS, RATIOS > 1, log=True))
    assert (rises.rises, falls.rises) == (True, False)
    assert falls.value == pytest.approx(1 / rises.value, rel=1e-6)
    assert (falls.low, falls.high) == pytest.approx((1 / rises.high, 1 / rises.low), rel=0.02)


@pytest.mark.parametrize(("succeeded", "kind"), [
    (RATIOS > 0, "all"), (RATIOS < 0, "none"), (np.arange(40) % 2 == 0, "unclear"),
])  # fmt: skip
def test_without_a_boundary_there_is_no_value(succeeded, kind):
    found = threshold(RATIOS, succeeded, log=True)
    assert found.kind == kind
    assert math.isnan(found.value)
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_runs_of_one_value_have_no_critical_value():
    assert threshold([2.0, 2.0], [True, False], log=False).kind == "one value"
    assert threshold([], [], log=False).kind == "one value"


def test_an_interval_that_reaches_the_last_value_is_open():
    values = np.repeat([1.0, 2, 3, 4, 5, 6], 4)
    succeeded = (values == 6) & (np.arange(24) % 4 < 3)
    found = threshold(values, succeeded, log=False)
    assert found.kind == "found"
    assert (found.high, found.rises) == (math.inf, True)
    assert 5 < found.low < 6


def test_a_graded_boundary_agrees_with_an_optimizer():
    rng = np.random.default_rng(3)
    y = rng.random(40) < 1 / (1 + np.exp(-3 * np.log(RATIOS / 1.2)))
    found = threshold(RATIOS, y, log=True)

    def loss(parameters):
        logit = parameters[1] * (np.log(RATIOS) - parameters[0])
        return np.logaddexp(0, np.where(y, -logit, logit)).sum()

    best = minimize(loss, [0.0, 1.0])
    assert math.log(found.value) == pytest.approx(best.x[0], abs=0.01)
    assert found.slope == pytest.approx(best.x[1], rel=0.1)
    places = np.array([best.x[0], math.log(found.low), math.log(found.high)])
    likelihood, _ = profile(counted(np.log(RATIOS), y), places, rises=True)
    assert likelihood[0] == pytest.approx(-best.fun, abs=0.03)
    limit = 2.0244**2  # Student's quantile for 38 degrees of freedom
    assert 2 * (likelihood[0] - likelihood[1:]) == pytest.approx([limit, limit], rel=0.1)


def test_success_in_a_window_only_does_not_fit_a_boundary():
    window = (RATIOS > 0.6) & (RATIOS < 3.5)
    found = threshold(np.append(RATIOS, [0.25] * 10), np.append(window, [False] * 10), log=True)
    assert found.kind == "found"
    assert found.p_fit < 0.01


def grok(*successes: int, of: int = 5) -> np.ndarray:
    return np.concatenate([np.arange(of) < k for k in successes])


def test_success_in_a_symmetric_window_is_a_dependence_without_a_critical_value():
    found = threshold(RATIOS, grok(0, 0, 5, 5, 5, 5, 0, 0), log=True)
    assert (found.kind, found.p_difference) == ("not monotone", 1 / 2000)
    assert found.highest == pytest.approx((0.75, 1, 1.5, 2))
    assert math.isnan(found.value)


def test_the_dependence_agrees_with_an_independent_permutation_test():
    """Measured successes by ratio at weight decay 0.1, with 3 runs at the first ratio."""
    y = np.concatenate([np.zeros(3, bool), grok(0, 2, 2, 5, 2, 3, 0)])
    ratios = RATIOS[2:]
    found = threshold(ratios, y, log=True)
    assert (found.kind, found.highest) == ("not monotone", pytest.approx((1.5,)))

    def chi_square(values):
        counted = np.array([[np.sum(values[ratios == r] == kind) for kind in (0, 1)] for r in np.unique(ratios)])
        return chi2_contingency(counted).statistic

    rng, observed = np.random.default_rng(1), chi_square(y)
    p = np.mean([chi_square(rng.permutation(y)) >= observed - 1e-9 for _ in range(400)])
    assert found.p_difference == pytest.approx(p, abs=0.02)
