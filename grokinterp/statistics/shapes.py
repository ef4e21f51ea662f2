"""Test whether times over a setting are U-shaped, against noise by simulation."""

import math
from typing import NamedTuple

import numpy as np

from grokinterp.statistics.censored import Fit, censored_fit
from grokinterp.statistics.columns import Column
from grokinterp.statistics.proportions import Interval

SIMULATIONS = 399
SIGNIFICANT = 0.05

LEAST_OBSERVED, LEAST_VALUES = 6, 3
"""Least number of observed times, and of values of the setting with one, for a parabola and its noise."""


class Shape(NamedTuple):
    """The shape of log times over a (logarithmic) setting.

    Attributes:
        kind: "U-shaped", "inverted U", "curved" (without a turning point within the values), "monotone", "no trend", or
            "not testable".
        p_curvature: of a parabola against a line.
        p_u: that the times do not fall at the first value and rise at the last one (for an inverted U, the reverse).
        turning: the value at which the parabola turns; NaN outside the values.
        turning_interval: its interval.
        slope: the exponent of the fitted power law (times proportional to setting^slope), or the slope of the log time.
        slope_interval: its interval.
        parabola: the coefficients of the log time over the centered (logarithmic) setting.
        center: the center.
        observed: the number of observed times.
    """

    kind: str
    p_curvature: float = math.nan
    p_u: float = math.nan
    turning: float = math.nan
    turning_interval: Interval = Interval(math.nan, math.nan)
    slope: float = math.nan
    slope_interval: Interval = Interval(math.nan, math.nan)
    parabola: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    center: float = math.nan
    observed: int = 0


def u_shape(
    values: Column, times: Column, observed: Column, horizons: Column, *, log: bool,
    simulations: int = SIMULATIONS,
) -> Shape:  # fmt: skip
    """Return the shape of the times over a setting; times that were not observed are bounds, never values.

    The logarithm of the time is a parabola in z, the value or its logarithm, with normal noise, right-censored at the
    horizon of each run. Curvature is tested by the likelihood ratio to a line, against its distribution in samples
    simulated from the fitted line with the same horizons. The times are U-shaped if they fall at the smallest value and
    rise at the largest, both significantly, against the deviations of samples simulated from the parabola: a parabola
    with a significant square alone may be monotone over all values.

    Source: Sasabuchi 1980; Lind and Mehlum 2010; docs/formulas.md, "Boundaries".

    Args:
        values: the setting of every run, positive if ``log``.
        times: the time, or the bound that it exceeds, positive.
        observed: whether the time is known.
        horizons: the time at which each run would have been censored.
        log: whether the logarithm of the setting is used.
        simulations: number of samples for each test.
    """
    z = np.log(np.asarray(values, dtype=float)) if log else np.asarray(values, dtype=float)
    seen = np.asarray(observed, dtype=bool)
    if seen.sum() < LEAST_OBSERVED or len(np.unique(z[seen])) < LEAST_VALUES:
        return Shape("not testable", observed=int(seen.sum()))
    center = float((z.min() + z.max()) / 2)
    square = np.stack([np.ones_like(z), z - center, (z - center) ** 2], axis=1)
    y = np.log(np.maximum(np.asarray(times, dtype=float), 1.0))
    bounds = np.log(np.maximum(np.asarray(horizons, dtype=float), np.asarray(times, dtype=float)).clip(min=1.0))
    line, parabola = (censored_fit(design, y[None], seen[None]) for design in (square[:, :2], square))
    rng = np.random.default_rng(0)
    straight = simulated(line, square[:, :2], bounds, simulations, rng)
    ratios = censored_fit(square, *straight).likelihood - censored_fit(square[:, :2], *straight).likelihood
    ratio = float(parabola.likelihood[0] - line.likelihood[0])
    p_curvature = share(ratios >= ratio - 1e-6)
    slopes = censored_fit(square[:, :2], *straight).coefficients[:, 1]
    curved = censored_fit(square, *simulated(parabola, square, bounds, simulations, rng)).coefficients
    ends = np.array([z.min() - center, z.max() - center])
    p_u, is_valley = turning_p_value(parabola.coefficients[0], curved, ends)
    slope_interval = basic_interval(float(line.coefficients[0, 1]), slopes)
    a, b, c = parabola.coefficients[0]
    turning, interval = turning_point(parabola.coefficients[0], curved, ends)
    return Shape(
        kind=kind_of(p_curvature, p_u, is_valley, slope_interval),
        p_curvature=p_curvature,
        p_u=p_u,
        turning=located(turning, center, log),
        turning_interval=Interval(located(interval.low, center, log), located(interval.high, center, log)),
        slope=float(line.coefficients[0, 1]),
        slope_interval=slope_interval,
        parabola=(float(a), float(b), float(c)),
        center=center,
        observed=int(seen.sum()),
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


def turning_p_value(parabola: np.ndarray, simulated: np.ndarray, ends: np.ndarray) -> tuple[float, bool]:
    """Return the p-value of slopes of opposite sign at both ends, and whether the parabola is a valley.

    Each slope is compared with the deviations of its simulated values; the larger p-value counts.
    """
    slopes = parabola[1] + 2 * parabola[2] * ends
    deviations = simulated[:, 1:2] + 2 * simulated[:, 2:3] * ends - slopes
    is_valley = bool(parabola[2] > 0)
    sign = np.array([-1, 1]) if is_valley else np.array([1, -1])
    return max(share(row) for row in (sign * deviations >= sign * slopes).T), is_valley


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
    if p_u < SIGNIFICANT and p_curvature < SIGNIFICANT:
        return "U-shaped" if is_valley else "inverted U"
    if p_curvature < SIGNIFICANT:
        return "curved"
    return "monotone" if slope.low > 0 or slope.high < 0 else "no trend"


def located(place: float, center: float, log: bool) -> float:
    """Return a place on the scale of the fit as a value of the setting."""
    return math.exp(place + center) if log else place + center


def fitted_time(shape: Shape, values: np.ndarray, *, log: bool) -> np.ndarray:
    """Return the time that the parabola assigns to some values: its median."""
    z = (np.log(values) if log else values) - shape.center
    a, b, c = shape.parabola
    return np.exp(a + b * z + c * z * z)
