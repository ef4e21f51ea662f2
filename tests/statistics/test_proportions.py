"""Wilson's interval is that of its equation, and never leaves [0, 1]."""

import math

import pytest
from scipy.stats import norm

from grokinterp.statistics import wilson


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 5), (2, 5), (5, 5), (37, 40)])
def test_the_ends_solve_the_score_equation(k, n):
    z = norm.ppf(0.975)
    for end in wilson(k, n):
        assert 0 <= end <= 1
        if 0 < end < 1:
            assert abs(k / n - end) == pytest.approx(z * math.sqrt(end * (1 - end) / n), abs=1e-6)


def test_without_runs_nothing_is_known():
    assert wilson(0, 0) == (0, 1)
