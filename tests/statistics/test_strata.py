"""Mantel's trend: by hand for two groups, and nothing where nothing varies."""

import math

import numpy as np
import pytest

from grokinterp.statistics import stratified_trend


def test_two_groups_agree_with_the_test_of_mantel_and_haenszel():
    rng = np.random.default_rng(0)
    strata, groups = rng.integers(0, 4, 60), rng.integers(0, 2, 60)
    y = rng.random(60) < 0.3 + 0.4 * groups
    excess = variance = 0.0
    for stratum in range(4):
        of = strata == stratum
        n, ours, events = of.sum(), (of & (groups == 1)).sum(), (of & y).sum()
        excess += (of & (groups == 1) & y).sum() - ours * events / n
        variance += ours * (n - ours) * events * (n - events) / (n * n * (n - 1))
    assert stratified_trend(strata, groups, y).z == pytest.approx(excess / math.sqrt(variance))


def test_a_difference_between_strata_is_no_difference_between_groups():
    strata, groups = np.repeat([0, 1], 20), np.tile([0, 1], 20)
    assert math.isnan(stratified_trend(strata, groups, strata == 1).p_value)


def test_the_sign_says_which_groups_succeed_more():
    groups = np.repeat([0, 1, 2], 10)
    assert stratified_trend([0] * 30, groups, groups == 2).z > 3
    assert stratified_trend([0] * 30, groups, groups == 0).z < -3
