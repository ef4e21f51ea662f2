"""Test whether times over a setting are U-shaped: among the values at which most runs have one."""

import math
from typing import NamedTuple

import numpy as np

from grokinterp.statistics.censored import Fit, censored_fit
from grokinterp.statistics.columns import Column, fitted_scale
from grokinterp.statistics.proportions import Interval
from grokinterp.statistics.turns import Turn, valley

SIMULATIONS = 399
SIGNIFICANT = 0.05

LEAST_OBSERVED, LEAST_VALUES = 6, 3
"""Least number of observed times, and of values of the setting with one, for a parabola and its noise."""

EARLY = 0.1
"""Largest share of runs that are left out because they were censored before the others."""


class Shape(NamedTuple):
    """The shape of log times over a (logarithmic) setting, at the values where at least half of the times are known.

    Attributes:
        kind: "U-shaped", "inverted U", "curved" (without a significant turn), "monotone", "no trend", or "not
            testable".
        p_curvature: of a parabola against a line.
        p_u: that the times do not both fall and later rise (for an inverted U, the reverse), whatever monotone curve
            they follow; known times only.
        p_censored: the same of all values, if the unknown times count as the latest ones; NaN if all are known. A small
            one next to a large ``p_u`` is a turn that exists only through censored runs.
        turning: the value at which the parabola turns, or, if that is outside, the one with the most extreme times; NaN
            without a turn.
        turning_interval: its interval.
        slope: the exponent of the fitted power law (times proportional to setting^slope), or the slope of the log time.
        slope_interval: its interval.
        parabola: the coefficients of the log time over the centered (logarithmic) setting.
        center: the center.
        observed: the number of observed times.
        values: the number of values at which at least half of the times are known.
        span: the smallest and the largest of these values, between which the parabola was fitted.
    """

    kind: str
    p_curvature: float = math.nan
    p_u: float = math.nan
    p_censored: float = math.nan
    turning: float = math.nan
    turning_interval: Interval = Interval(math.nan, math.nan)
    slope: float = math.nan
    slope_interval: Interval = Interval(math.nan, math.nan)
    parabola: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    center: float = math.nan
    observed: int = 0
    values: int = 0
    span: Interval = Interval(math.nan, math.nan)

    @property
    def turns_by_censoring(self) -> bool:
        """Whether the times turn only if unknown times count as the latest ones."""
        return self.p_censored < SIGNIFICANT and not self.p_u < SIGNIFICANT


def u_shape(
    values: Column, times: Column, observed: Column, horizons: Column, *, log: bool,
    simulations: int = SIMULATIONS,
) -> Shape:  # fmt: skip
    """Return the shape of the times over a setting; times that were not observed are bounds, never values.

    Times are compared up to a common bound; values of the setting at which fewer than half of the runs have a time by
    then are left out, because nothing but the bound is known of their times. Times are U-shaped if the known ones fall
    and later rise, both significantly, against every monotone curve (``turns.valley``). That this would hold only with
    unknown times as the latest ones is stated by ``p_censored``.

    For the line, the curvature and the turning point, the logarithm of the time is a parabola in z, the value or its
    logarithm, with normal noise, right-censored at the horizon of each run. Curvature is tested by the likelihood ratio
    to a line, against its distribution in samples simulated from the fitted line with the same horizons.

    Source: Simonsohn 2018; Tobin 1958; docs/formulas.md, "Boundaries".

    Args:
        values: the setting of every run, positive if ``log``.
        times: the time, or the bound that it exceeds, positive.
        observed: whether the time is known.
        horizons: the time at which each run would have been censored.
        log: whether the logarithm of the setting is used.
        simulations: number of samples for the line and the parabola.

    Raises:
        ConfigError: a value is not finite, or not positive if ``log``, or the columns have different lengths.
    """
    z = fitted_scale(values, log=log, times=times, observed=observed, horizons=horizons)
    seen, raw = np.asarray(observed, dtype=bool), np.asarray(times, dtype=float)
    y = np.log(np.maximum(raw, 1.0))
    bounds = np.log(np.maximum(np.asarray(horizons, dtype=float), raw).clip(min=1.0))
    last, usable = common_bound(y, seen)
    known = seen & (y <= last) & usable
    inside = usable & np.isin(z, most_known(z[usable], known[usable]))
    compared = known & inside
    if compared.sum() < LEAST_OBSERVED or len(np.unique(z[compared])) < LEAST_VALUES:
        return Shape("not testable", observed=int(seen.sum()), values=len(np.unique(z[inside])))
    valleys = {sign: valley(z[compared], sign * y[compared]) for sign in (1, -1)}
    late = np.where(known, y, last)[usable]
    p_censored = valley(z[usable], late).p_value if not known[usable].all() else math.nan
    fitted = fitted_shape(z[inside], y[inside], seen[inside], bounds[inside], simulations)
    ends = np.asarray(values, dtype=float)[inside]
    return shape_of(fitted, valleys, log=log)._replace(
        p_censored=p_censored,
        observed=int(seen.sum()),
        values=len(np.unique(z[inside])),
        span=Interval(float(ends.min()), float(ends.max())),
    )


def common_bound(y: np.ndarray, seen: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the bound up to which times are compared, and which runs were observed as long, or have a time.

    It is the first censoring, after those before any time and those of at most a tenth of the runs.

    >>> bound, usable = common_bound(np.array([1.0, 2.0, 0.5, 3.0, 4.0]), np.array([True, True, False, False, False]))
    >>> bound, usable.tolist()
    (3.0, [True, True, False, True, True])
    """
    if seen.all() or not seen.any():
        return math.inf, np.ones(len(y), dtype=bool)
    censored = np.sort(y[~seen & (y >= y[seen].min())])
    early = min(int(EARLY * len(y)), len(censored) - 1)
    last = float(censored[early]) if len(censored) else math.inf
    return last, seen | (y >= last)


def most_known(z: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the values at which at least half of the times are known.

    >>> most_known(np.array([1, 1, 2, 2, 2]), np.array([True, False, True, False, False])).tolist()
    [1]
    """
    return np.array([value for value in np.unique(z) if known[z == value].mean() >= 0.5])


def fitted_shape(z: np.ndarray, y: np.ndarray, seen: np.ndarray, bounds: np.ndarray, simulations: int) -> Shape:
    """Return the line and the parabola with censoring, and the test of the curvature, on the scale of the fit."""
    center = float((z.min() + z.max()) / 2)
    square = np.stack([np.ones_like(z), z - center, (z - center) ** 2], axis=1)
    line, parabola = (censored_fit(design, y[None], seen[None]) for design in (square[:, :2], square))
    rng = np.random.default_rng(0)
    straight = simulated(line, square[:, :2], bounds, simulations, rng)
    lines = censored_fit(square[:, :2], *straight)
    ratios = censored_fit(square, *straight).likelihood - lines.likelihood
    ratio = float(parabola.likelihood[0] - line.likelihood[0])
    curved = censored_fit(square, *simulated(parabola, square, bounds, simulations, rng)).coefficients
    ends = np.array([z.min() - center, z.max() - center])
    turning, interval = turning_point(parabola.coefficients[0], curved, ends)
    a, b, c = parabola.coefficients[0]
    return Shape(
        kind="",
        p_curvature=share(ratios >= ratio - 1e-6),
        turning=turning + center,
        turning_interval=Interval(interval.low + center, interval.high + center),
        slope=float(line.coefficients[0, 1]),
        slope_interval=basic_interval(float(line.coefficients[0, 1]), lines.coefficients[:, 1]),
        parabola=(float(a), float(b), float(c)),
        center=center,
    )


def shape_of(fitted: Shape, valleys: dict[int, Turn], *, log: bool) -> Shape:
    """Return a fitted shape with its name, and its turning point as a value of the setting.

    Args:
        fitted: the line and the parabola.
        valleys: the tests of a U and of an inverted U, by the sign of the times.
        log: whether the logarithm of the setting was fitted.
    """
    sign = -1 if valleys[-1].p_value < min(SIGNIFICANT, valleys[1].p_value) else 1
    turn = valleys[sign]
    turning, interval = fitted.turning, fitted.turning_interval
    if turn.p_value < SIGNIFICANT and not (math.isfinite(turning) and sign * fitted.parabola[2] > 0):
        turning, interval = turn.at, Interval(-math.inf, math.inf)
    ends = (math.exp(end) if log else end for end in interval)
    return fitted._replace(
        kind=kind_of(fitted.p_curvature, turn.p_value, sign > 0, fitted.slope_interval),
        p_u=turn.p_value,
        turning=math.exp(turning) if log else turning,
        turning_interval=Interval(*ends) if math.isfinite(interval.low) else interval,
    )


def simulated(
    fit: Fit, design: np.ndarray, bounds: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return samples [sample, run] from a fit, censored at the bounds, and which of their values are observed.

    The deviation is corrected for the number of coefficients, as in least squares.
    """
    rows, columns = design.shape
    deviation = fit.deviation[0] * math.sqrt(rows / max(rows - columns, 1))
    values = fit.coefficients[0] @ design.T + deviation * rng.standard_normal((count, rows))
    return np.minimum(values, bounds), values <= bounds


def share(holds: np.ndarray) -> float:
    """Return a p-value from simulated samples, which is never 0.

    >>> share(np.array([False] * 19))
    0.05
    """
    return float((1 + np.sum(holds)) / (1 + len(holds)))


def basic_interval(value: float, simulated: np.ndarray) -> Interval:
    """Return the 95 % interval of a coefficient from the deviations of its simulated values."""
    low, high = np.quantile(simulated - value, [0.975, 0.025])
    return Interval(float(value - low), float(value - high))


def turning_point(parabola: np.ndarray, simulated: np.ndarray, ends: np.ndarray) -> tuple[float, Interval]:
    """Return where a parabola turns, NaN outside the ends, and the 95 % interval of the simulated turning points.

    Turning points beyond an end count as that end.
    """

    def turns(of: np.ndarray) -> np.ndarray:
        return np.asarray(-of[..., 1] / np.where(of[..., 2] == 0, np.nan, 2 * of[..., 2]))

    place = float(turns(parabola))
    if not ends[0] < place < ends[1]:
        return math.nan, Interval(math.nan, math.nan)
    low, high = np.nanquantile(np.clip(turns(simulated), *ends), [0.025, 0.975])
    return place, Interval(float(low), float(high))


def kind_of(p_curvature: float, p_u: float, is_valley: bool, slope: Interval) -> str:
    """Return the name of a shape."""
    if p_u < SIGNIFICANT:
        return "U-shaped" if is_valley else "inverted U"
    if p_curvature < SIGNIFICANT:
        return "curved"
    return "monotone" if slope.low > 0 or slope.high < 0 else "no trend"


def fitted_time(shape: Shape, values: np.ndarray, *, log: bool) -> np.ndarray:
    """Return the time that the parabola assigns to some values: its median."""
    z = (np.log(values) if log else values) - shape.center
    a, b, c = shape.parabola
    return np.exp(a + b * z + c * z * z)
