"""Where two times coincide: planted crossings, and none where one is always later."""

import math

import numpy as np
import pytest

from grokinterp.statistics import Times, crossing, median
from grokinterp.statistics.crossings import medians_of

VALUES = [0.25, 0.5, 1.0, 2.0, 4.0]


def times(slope: float, level: float, noise: float = 0.0) -> list[np.ndarray]:
    rng = np.random.default_rng([round(level)])
    return [level * value**slope * np.exp(noise * rng.standard_normal(5)) for value in VALUES]


def test_the_medians_of_planted_power_laws_cross_where_they_are_equal():
    found = crossing(VALUES, times(-1.0, 100), times(0.0, 70), log=True)
    assert found.value == pytest.approx(100 / 70, rel=1e-3)
    assert found.interval == pytest.approx((found.value, found.value))
    assert (found.share, found.largest) == (1, pytest.approx(2.8))


def test_noise_widens_the_interval_around_the_truth():
    found = crossing(VALUES, times(-1.0, 100, 0.3), times(0.5, 70, 0.3), log=True)
    assert found.interval.low < (100 / 70) ** (1 / 1.5) < found.interval.high
    assert found.interval.low < found.value < found.interval.high


def test_times_that_never_coincide_have_no_crossing():
    found = crossing(VALUES, times(0.0, 10), times(-1.0, 100), log=True)
    assert math.isnan(found.value)
    assert (found.smallest, found.largest) == (pytest.approx(2.5), pytest.approx(40))


def test_a_time_that_is_not_reached_is_later_than_any_other():
    never = [np.full(5, math.inf)] * 4
    found = crossing(VALUES, times(0.0, 10), [np.array([5.0] * 5), *never], log=True)
    assert found.value == pytest.approx(math.sqrt(0.25 * 0.5))
    assert math.isinf(found.largest)
    assert math.isnan(crossing(VALUES, [np.full(3, math.inf)] * 5, [np.full(3, math.inf)] * 5, log=True).largest)


def rows(*values: float, runs: int = 4) -> list[np.ndarray]:
    return [np.full(runs, float(value)) for value in values]


def test_a_crossing_at_a_tried_value_is_that_value():
    found = crossing([1, 2, 4], rows(100, 100, 100), rows(50, 100, 200), log=True)
    assert found.value == pytest.approx(2)
    assert found.is_found


@pytest.mark.parametrize("second", [(100, 200, 400), (100, math.inf, math.inf), (50, 100, 50), (100, 100, 100)])
def test_a_touch_is_no_crossing(second, recwarn):
    assert math.isnan(crossing([1, 2, 4], rows(100, 100, 100), rows(*second), log=True).value)
    assert not recwarn.list


def test_medians_are_those_of_kaplan_and_meier():
    rng = np.random.default_rng(0)
    times, observed = rng.integers(1, 6, (50, 7)).astype(float), rng.random((50, 7)) < 0.6
    expected = [median(Times(tuple(row), tuple(seen))).value for row, seen in zip(times, observed, strict=True)]
    assert medians_of(times, observed).tolist() == expected


def test_an_interrupted_run_is_censored_and_not_late():
    """Three of five runs stopped early: the two others say when runs grok."""
    first = rows(100, 100, 100, runs=5)
    second = [np.array([50.0] * 5), np.array([40.0, 45.0, 45.0, 150.0, 160.0]), np.array([300.0] * 5)]
    seen = [np.ones(5, bool), np.array([False, False, False, True, True]), np.ones(5, bool)]
    found = crossing([1, 2, 4], first, second, log=True, observed=([np.ones(5, bool)] * 3, seen))
    assert 1 < found.value < 2
    late = [second[0], np.where(seen[1], second[1], math.inf), second[2]]
    assert crossing([1, 2, 4], first, late, log=True).largest == math.inf
    assert found.largest == pytest.approx(3)


def test_noise_without_a_crossing_is_not_reported():
    reported = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        first, second = ([m * np.exp(0.5 * rng.standard_normal(5)) for _ in VALUES] for m in (100, 105))
        reported.append(crossing(VALUES, first, second, log=True).is_found)
    assert sum(reported) <= 1
    assert math.isnan(crossing([1, 2], rows(1, 9, runs=1), rows(2, 3, runs=1), log=True).share)
