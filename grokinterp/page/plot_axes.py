"""Axes of line plots: linear or logarithmic, with few round ticks."""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from grokinterp.numbers import compact, whole

WIDE_RANGE = 30.0
"""Ratio of the largest to the smallest positive value from which an axis of values is logarithmic."""


class Tick(NamedTuple):
    """A tick: its value or its place, and its text."""

    at: float
    text: str


class Axis(NamedTuple):
    """An axis: its label, its ends, its ticks, and whether it is logarithmic.

    Attributes:
        first: on a logarithmic axis of steps, the place at which step 0 is drawn.
    """

    label: str
    low: float
    high: float
    ticks: list[Tick]
    is_log: bool = False
    first: float = 0.0

    def over(self, start: int | float, stop: int | float) -> Callable[[np.ndarray | int | float], np.ndarray]:
        """Return the function from values to places between ``start`` and ``stop``; NaN where a value has no place."""
        low, high = (math.log(self.low), math.log(self.high)) if self.is_log else (self.low, self.high)

        def place(values: np.ndarray | int | float) -> np.ndarray:
            found = np.array(values, dtype=float)
            if self.is_log:
                found = np.where(found == 0, self.first, found)
                found = np.log(found, out=np.full_like(found, np.nan), where=found > 0)
            return np.asarray(start + (np.clip(found, low, high) - low) / (high - low) * (stop - start))

        return place


def step_axis(steps: Iterable[np.ndarray], label: str = "optimizer step (logarithmic)") -> Axis:
    """Return a logarithmic axis of steps; step 0 is drawn at half of the first positive step.

    >>> axis = step_axis([np.array([0, 10, 2000])])
    >>> axis.low, [tick.text for tick in axis.ticks]
    (5.0, ['0', '10', '100', '1,000'])
    """
    found = np.concatenate([np.zeros(0), *steps])
    positive = found[found > 0]
    first, last = (float(positive.min()), float(positive.max())) if positive.size else (1.0, 2.0)
    low = first / 2 if (found == 0).any() else first
    high = last if last > low else 2 * low
    ticks = [Tick(low, "0")] if (found == 0).any() else []
    at = [float(tick) for tick in powers(first, high) if not ticks or tick > 1.8 * low]
    return Axis(label, low, high, [*ticks, *(Tick(tick, whole(round(tick))) for tick in at)], is_log=True, first=low)


def ratio_axis(values: Iterable[np.ndarray], label: str) -> Axis:
    """Return a logarithmic axis of ratios; 0 is drawn at half of the smallest positive ratio."""
    found = np.concatenate([np.zeros(0), *values])
    positive = found[found > 0]
    first, last = (float(positive.min()), float(positive.max())) if positive.size else (0.1, 1.0)
    low, high = min(first / 2 if (found == 0).any() else first, 0.5), max(last, 2.0)
    ticks = [Tick(at, compact(at)) for at in powers(low, high, fine=300.0)]
    return Axis(label, low, high, ticks, is_log=True, first=low)


def powers(low: float, high: float, *, fine: float = 100.0) -> list[float]:
    """Return powers of 10 between two bounds, at most six; also their double and fivefold below a ratio ``fine``.

    >>> powers(5.0, 2000.0), powers(1.0, 4.0)
    ([10.0, 100.0, 1000.0], [1.0, 2.0])
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if high / low < fine else (1,)
    every = max(1, -(-(last - first) // 6))
    found = [factor * 10.0**power for power in range(first, last + 1, every) for factor in factors]
    return [value for value in found if low * 0.999 <= value <= high * 1.001]


def value_axis(values: Iterable[np.ndarray], label: str, *, is_share: bool = False) -> Axis:
    """Return an axis of values: 0 to 1 for shares, logarithmic for positive values over a wide range."""
    found = np.concatenate([np.zeros(0), *values])
    found = found[np.isfinite(found)]
    if is_share and (not found.size or (found.min() >= 0 and found.max() <= 1)):
        return Axis(label, -0.03, 1.03, [Tick(at, f"{at:g}") for at in (0, 0.25, 0.5, 0.75, 1)])
    if not found.size:
        return Axis(label, 0, 1, [])
    low, high = float(found.min()), float(found.max())
    if low >= 0 and (positive := found[found > 0]).size and high > WIDE_RANGE * positive.min():
        low = max(float(positive.min()), high * 1e-12)
        ticks = [Tick(at, compact(at)) for at in powers(low, high)]
        return Axis(label, low / 1.15, high * 1.15, ticks, is_log=True)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - margin, high + margin
    ticks = [float(at) for at in MaxNLocator(5).tick_values(low, high) if low <= at <= high]
    return Axis(label, low, high, [Tick(at, compact(float(f"{at:.6g}"))) for at in ticks])
