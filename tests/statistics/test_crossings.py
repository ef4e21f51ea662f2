"""Where two times coincide: planted crossings, and none where one is always later."""

import math

import numpy as np
import pytest

from grokinterp.statistics import crossing

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
