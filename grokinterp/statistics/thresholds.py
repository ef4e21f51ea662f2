"""Find the critical value of a setting: where the probability of success passes one half."""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import expit, log_expit, xlogy
from scipy.stats import t as student

from grokinterp.statistics.columns import Column, fitted_scale
from grokinterp.statistics.survival import CONFIDENCE

PLACES, SLOPES = 201, 81
"""Number of critical values and of slopes on the grid over which the likelihood is maximized."""

STEEPEST, FLATTEST = 2000.0, 0.05
"""Range of the slopes, relative to the smallest gap and to the whole range of the values."""

PERMUTATIONS, SIMULATIONS = 1_999, 999
SIGNIFICANT = 0.05


class Threshold(NamedTuple):
    """The critical value, with an interval whose ends are infinite where the runs do not bound it.

    Attributes:
        kind: "found"; "all" or "none" if every run, or no run, succeeds; "not monotone" if the success rates differ
            among the values without a trend, as in a window; "unclear" if neither is detectable; "one value" if the
            runs have fewer than two values.
        value: where half of the runs succeed; NaN if it is not between the smallest and the largest value.
        low, high: the interval; -inf and inf where it reaches the smallest and the largest value.
        rises: whether runs succeed above the critical value, as opposed to below it.
        slope: the slope of the log-odds over the (logarithmic) setting, infinite if the values separate the runs.
        p_value: of a permutation test of no monotone trend over the setting.
        p_difference: of a permutation test of equal success rates at all values; only if there is no trend.
        highest: the values with the highest success rate; only if "not monotone".
        p_fit: of a simulated test that the success rates follow the fitted curve; small if they are not monotone.
    """

    kind: str
    value: float = math.nan
    low: float = -math.inf
    high: float = math.inf
    rises: bool | None = None
    slope: float = math.nan
    p_value: float = math.nan
    p_fit: float = math.nan
    p_difference: float = math.nan
    highest: tuple[float, ...] = ()


class Counts(NamedTuple):
    """Successes and runs at every value of the setting, on the scale of the fit."""

    at: np.ndarray
    successes: np.ndarray
    runs: np.ndarray


def threshold(values: Column, succeeded: Column, *, log: bool, confidence: float = CONFIDENCE) -> Threshold:
    """Return where the probability of success passes one half, with its profile-likelihood interval.

    The model is logistic, P(success | z) = 1 / (1 + exp(-b (z - c))), with z the value or its logarithm, and c the
    critical value. The interval contains all c whose log-likelihood, maximized over slopes b of the better sign, is
    within t²/2 of the maximum, where t is Student's quantile for n - 2 degrees of freedom. It exists also if the values
    separate successes from failures, where b is infinite and every c in the gap fits equally well: the estimate is then
    the middle of the gap. Nothing is said about critical values outside the values that were tried: an interval that
    reaches the first or last value is open on that side.

    Without a significant trend there is no critical value; whether the success rates differ at all is then tested by
    Pearson's chi-square among permutations of the successes.

    Source: Venzon and Moolgavkar 1988; docs/formulas.md, "Boundaries".

    Args:
        values: the setting of every run, positive if ``log``.
        succeeded: whether each run succeeded.
        log: whether the logarithm of the setting is used.
        confidence: of the interval.

    Raises:
        ConfigError: a value is not finite, or not positive if ``log``, or the columns have different lengths.

    >>> found = threshold([1, 1, 2, 2, 4, 4, 8, 8], [False] * 4 + [True] * 4, log=True)
    >>> found.kind, round(found.value, 2), found.rises
    ('found', 2.83, True)
    >>> threshold([1, 2, 4], [True] * 3, log=True).kind
    'all'
    """
    z = fitted_scale(values, log=log, succeeded=succeeded)
    y = np.asarray(succeeded, dtype=bool)
    if y.all() or not y.any():
        return Threshold("one value" if not y.size else "all" if y.all() else "none")
    counts = counted(z, y)
    if len(counts.at) < 2:
        return Threshold("one value")
    p_value = trend_p_value(z, y)
    if p_value >= SIGNIFICANT:
        return without_trend(counts, p_value, log=log)
    places = np.linspace(counts.at[0], counts.at[-1], PLACES)
    profiles = {rises: profile(counts, places, rises=rises) for rises in (True, False)}
    rises = bool(profiles[True][0].max() >= profiles[False][0].max())
    likelihood, slopes = profiles[rises]
    best = np.flatnonzero(likelihood >= likelihood.max() - 1e-6)
    center = float(places[[best[0], best[-1]]].mean())
    limit = student.ppf((1 + confidence) / 2, max(len(y) - 2, 1)) ** 2
    inside = np.flatnonzero(2 * (likelihood.max() - likelihood) <= limit)
    low = -math.inf if inside[0] == 0 else float(places[inside[0] - 1])
    high = math.inf if inside[-1] == PLACES - 1 else float(places[inside[-1] + 1])
    at_the_edge = best[0] == 0 or best[-1] == PLACES - 1
    slope = float(slopes[best[len(best) // 2]])
    p_fit = fit_p_value(counts, expit(slope * (counts.at - center)))
    ends = (math.nan if at_the_edge else center, low, high)
    value, low, high = (math.exp(end) if log and math.isfinite(end) else end for end in ends)
    if likelihood.max() > -1e-6:
        slope = math.copysign(math.inf, slope)
    return Threshold("found", value, low, high, rises, slope, p_value, p_fit)


def without_trend(counts: Counts, p_value: float, *, log: bool) -> Threshold:
    """Return the answer without a trend: whether the success rates differ, and where they are highest."""
    p_difference = difference_p_value(counts)
    if p_difference >= SIGNIFICANT:
        return Threshold("unclear", p_value=p_value, p_difference=p_difference)
    rate = counts.successes / counts.runs
    at = counts.at[np.isclose(rate, rate.max())]
    highest = tuple(map(float, np.exp(at) if log else at))
    return Threshold("not monotone", p_value=p_value, p_difference=p_difference, highest=highest)


def difference_p_value(counts: Counts) -> float:
    """Return the p-value of Pearson's chi-square of equal success rates, among permutations of the successes.

    >>> window = Counts(np.arange(4.0), np.array([0, 5, 5, 0]), np.full(4, 5))
    >>> difference_p_value(window), difference_p_value(window._replace(successes=np.array([2, 3, 2, 3]))) > 0.5
    (0.0005, True)
    """
    rate = counts.successes.sum() / counts.runs.sum()
    draws = np.random.default_rng(0).multivariate_hypergeometric(
        counts.runs.astype(int), int(counts.successes.sum()), PERMUTATIONS
    )
    chi_square, drawn = (
        ((one - rate * counts.runs) ** 2 / counts.runs).sum(axis=-1) for one in (counts.successes, draws)
    )
    return float((1 + (drawn >= chi_square - 1e-9).sum()) / (PERMUTATIONS + 1))


def counted(z: np.ndarray, y: np.ndarray) -> Counts:
    """Return the successes and runs at every value."""
    at, place = np.unique(z, return_inverse=True)
    return Counts(at, np.bincount(place, y.astype(float)), np.bincount(place).astype(float))


def profile(counts: Counts, places: np.ndarray, *, rises: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-likelihood of every critical value, maximized over slopes of one sign, and the best slopes."""
    width, gap = counts.at[-1] - counts.at[0], np.diff(counts.at).min()
    slopes = np.append(0.0, np.geomspace(FLATTEST / width, STEEPEST / gap, SLOPES - 1)) * (1 if rises else -1)
    logits = slopes[:, None] * (counts.at - places[:, None])[:, None, :]
    failures = counts.runs - counts.successes
    likelihood = log_expit(logits) @ counts.successes + log_expit(-logits) @ failures
    best = likelihood.argmax(axis=1)
    return likelihood[np.arange(len(places)), best], slopes[best]


def trend_p_value(z: np.ndarray, y: np.ndarray) -> float:
    """Return the p-value of the sum of the values of the runs that succeed, among permutations of the successes."""
    centered = z - z.mean()
    rng = np.random.default_rng(0)
    orders = rng.permuted(np.tile(centered, (PERMUTATIONS, 1)), axis=1)
    observed = abs(centered[y].sum())
    return float((1 + (np.abs(orders[:, y].sum(axis=1)) >= observed - 1e-9).sum()) / (PERMUTATIONS + 1))


def fit_p_value(counts: Counts, expected: np.ndarray) -> float:
    """Return the p-value of the deviance from expected rates, simulated without refitting, which is conservative."""
    draws = np.random.default_rng(0).binomial(counts.runs.astype(int), expected, (SIMULATIONS, len(expected)))
    observed = deviance(counts.successes, counts.runs, expected)
    return float((1 + (deviance(draws, counts.runs, expected) >= observed - 1e-9).sum()) / (SIMULATIONS + 1))


def deviance(successes: np.ndarray, runs: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return twice the log-likelihood ratio of the rates at every value to the expected rates."""
    rates, tiny = successes / runs, np.clip(expected, 1e-12, 1 - 1e-12)
    parts = xlogy(successes, rates / tiny) + xlogy(runs - successes, (1 - rates) / (1 - tiny))
    return np.asarray(2 * parts.sum(axis=-1))


def success_curve(found: Threshold, values: np.ndarray, *, log: bool) -> np.ndarray:
    """Return the fitted probability of success at some values; a step if the values separate the runs."""
    z, c = (np.log(values), np.log(found.value)) if log else (values, found.value)
    if math.isinf(found.slope):
        return np.where((z >= c) == bool(found.rises), 1.0, 0.0)
    return expit(found.slope * (z - c))
