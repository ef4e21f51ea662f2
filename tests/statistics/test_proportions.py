"""Wilson's interval is that of its equation, and never leaves [0, 1]."""

import math

import pytest
from scipy.stats import norm

from grokinterp.errors import ConfigError
from grokinterp.statistics import threshold, u_shape, wilson


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 5), (2, 5), (5, 5), (37, 40)])
def test_the_ends_solve_the_score_equation(k, n):
    z = norm.ppf(0.975)
    for end in wilson(k, n):
        assert 0 <= end <= 1
        if 0 < end < 1:
            assert abs(k / n - end) == pytest.approx(z * math.sqrt(end * (1 - end) / n), abs=1e-6)


def test_without_runs_nothing_is_known():
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [((3, 2), "successes=3: must be"), ((-1, 2), "successes=-1"), ((0, -1), "runs=-1: must be an integer from 0")],
    ids=str,
)
def test_impossible_counts_are_refused(arguments, why):
    with pytest.raises(ConfigError, match=why):
        wilson(*arguments)


@pytest.mark.parametrize(
    ("values", "succeeded", "why"),
    [
        ([1, math.nan], [True, False], "values=nan: must be finite and above 0"),
        ([0, 1], [True, False], "values=0.0: must be finite and above 0, because its logarithm is fitted"),
        ([1, 2, 3], [True, False], "succeeded=2 values: must be as many as values, 3"),
        (["a", "b"], [True, False], "values=.*: must be a sequence of numbers"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_fitted_are_refused(values, succeeded, why):
    with pytest.raises(ConfigError, match=why):
        threshold(values, succeeded, log=True)
    with pytest.raises(ConfigError, match=why.replace("succeeded", "times")):
        u_shape(values, succeeded, succeeded, succeeded, log=True)
