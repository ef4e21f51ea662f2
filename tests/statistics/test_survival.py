"""Time to generalization as survival: by hand, against published numbers, against plain twins."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import norm

from grokinterp.statistics.survival import Times, exact_log_rank, kaplan_meier, log_rank, median

# Freireich et al. 1963, weeks of remission of 21 + 21 children; the example of Kalbfleisch and Prentice, and of R
DRUG_TIMES = (6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35)
DRUG_CENSORED = (0, 0, 0, 1, 0, 1, 0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1)
PLACEBO_TIMES = (1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23)
DRUG = Times(tuple(map(float, DRUG_TIMES)), tuple(not censored for censored in DRUG_CENSORED))
PLACEBO = Times(tuple(map(float, PLACEBO_TIMES)), (True,) * 21)


def runs(*times: float) -> Times:
    """Negative times are those of censored runs."""
    return Times(tuple(abs(time) for time in times), tuple(time > 0 for time in times))


def naive_kaplan_meier(of: Times) -> dict[float, float]:
    share, found = 1.0, {}
    for time in sorted(set(of.times)):
        at_risk = sum(other >= time for other in of.times)
        events = sum(other == time and seen for other, seen in zip(of.times, of.observed, strict=True))
        share *= 1 - events / at_risk
        found[time] = share
    return found


def naive_log_rank(a: Times, b: Times) -> float:
    """Z of the log-rank test, by sums over the events."""
    excess = variance = 0.0
    both = [(t, seen, 1) for t, seen in zip(*a, strict=True)] + [(t, seen, 0) for t, seen in zip(*b, strict=True)]
    for time in sorted({t for t, seen, _ in both if seen}):
        risk = [(t, seen, ours) for t, seen, ours in both if t >= time]
        n, ours = len(risk), sum(one[2] for one in risk)
        d = sum(t == time and seen for t, seen, _ in risk)
        excess += sum(t == time and seen and mine for t, seen, mine in risk) - d * ours / n
        variance += d * ours * (n - ours) * (n - d) / (n * n * (n - 1)) if n > 1 else 0
    return excess / math.sqrt(variance) if variance else 0.0


def test_the_published_example():
    curve = dict(zip(kaplan_meier(DRUG).times, kaplan_meier(DRUG).share, strict=True))
    published = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert {week: round(curve[week], 3) for week in published} == published
    assert median(DRUG) == (23, 13, math.inf)
    assert median(PLACEBO) == (8, 4, 11)
    assert norm.isf(log_rank(DRUG, PLACEBO) / 2) ** 2 == pytest.approx(16.79, abs=0.005)


@pytest.mark.parametrize("seed", range(20))
def test_curves_and_tests_equal_plain_ones(seed):
    rng = np.random.default_rng(seed)
    a, b = (
        Times(tuple(map(float, rng.integers(1, 9, n))), tuple(map(bool, rng.random(n) < 0.7)))
        for n in rng.integers(2, 6, 2)
    )
    curve = kaplan_meier(a)
    assert dict(zip(curve.times, curve.share, strict=True)) == pytest.approx(naive_kaplan_meier(a))
    assert all(low <= share <= high for share, low, high in zip(curve.share, curve.low, curve.high, strict=True))
    z = naive_log_rank(a, b)
    if a.solved + b.solved and z:
        assert log_rank(a, b) == pytest.approx(2 * norm.sf(abs(z)))
    if a.solved + b.solved:
        assert exact_log_rank(a, b) == pytest.approx(naive_permutations(a, b))


def naive_permutations(a: Times, b: Times) -> float:
    both, n = list(zip(*(x + y for x, y in zip(a, b, strict=True)), strict=True)), len(a.times)
    found = []
    for chosen in combinations(range(len(both)), n):
        ours = [both[i] for i in chosen]
        rest = [both[i] for i in range(len(both)) if i not in chosen]
        found.append(abs(naive_log_rank(*(Times(*zip(*part, strict=True)) for part in (ours, rest)))))
    return sum(value >= found[0] - 1e-9 for value in found) / len(found)


def test_the_band_by_hand():
    """For three runs, σ²(log Ŝ) = 1/6 + 1/2 at Ŝ = 1/3."""
    curve = kaplan_meier(runs(5, 6, 7))
    spread = math.exp(1.959964 * math.sqrt(1 / 6 + 1 / 2) / math.log(3))
    assert (curve.low[1], curve.high[1]) == pytest.approx(((1 / 3) ** spread, (1 / 3) ** (1 / spread)), rel=1e-5)


@pytest.mark.parametrize(
    ("of", "value", "bounds"),
    [
        (runs(5, 6, 7), 6, (5, math.inf)),
        (runs(5, 6), 5, (5, math.inf)),
        (runs(5, -9, -9), math.inf, (5, math.inf)),
        (runs(5), 5, None),
        (runs(5, 5, 5), 5, None),
        (runs(-9, -9, -9), math.inf, None),
        (runs(), math.inf, None),
    ],
    ids=str,
)
def test_few_runs_have_honest_intervals(of, value, bounds):
    found = median(of)
    assert found.value == value
    assert (found.low, found.high) == bounds if bounds else math.isnan(found.low) and math.isnan(found.high)


def test_three_against_three_cannot_be_significant():
    early, late = runs(1, 2, 3), runs(4, 5, 6)
    assert exact_log_rank(early, late) == pytest.approx(2 / 20)
    assert log_rank(early, late) < 0.03  # from the normal approximation
    assert exact_log_rank(early, early) == 1


def test_nothing_is_tested_where_there_is_nothing():
    assert math.isnan(log_rank(runs(-9, -9), runs(-9, -9)))
    assert math.isnan(exact_log_rank(runs(-9, -9), runs(-9, -9)))
    assert math.isnan(exact_log_rank(DRUG, PLACEBO))  # far too many ways
    assert math.isnan(log_rank(runs(), runs(5)))
