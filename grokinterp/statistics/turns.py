"""Test whether values over an ordered setting both fall and rise, against every monotone curve."""

import math
from typing import NamedTuple

import numpy as np

MOST_GROUPS = 12
"""Largest number of groups of runs; more values of the setting are joined with their neighbors."""

SIMULATIONS = 1_999


class Turn(NamedTuple):
    """A test of a fall that is followed by a rise.

    Attributes:
        p_value: the larger of the p-values of the fall and of the rise; NaN with fewer than three values of the
            setting, or without noise to compare with.
        at: the value of the setting between the fall and the rise with the lowest mean.
    """

    p_value: float
    at: float


class Groups(NamedTuple):
    """Runs in the order of the setting: the place, the mean and the size of every group, and the variance of a run.

    ``freedom`` is the number of degrees of freedom of the variance within groups; 0 if it is that among neighbors.
    """

    at: np.ndarray
    means: np.ndarray
    sizes: np.ndarray
    variance: float
    freedom: int


def valley(z: np.ndarray, y: np.ndarray, *, simulations: int = SIMULATIONS) -> Turn:
    """Return a test that y falls and later rises over z; pass -y for a rise that is followed by a fall.

    A change is the slope of the regression line through all values up to one of them, or from one of them on, divided
    by its standard error. The statistic is the largest size that both a fall up to some value and a rise from that
    value on have. If the true curve never rises, then every slope is at most that of its noise alone, so the largest
    rise is at most that of a flat curve with the same noise; likewise for a curve that never falls. The p-values under
    a flat curve, simulated with normal noise, are therefore bounds under every monotone curve: a line, a step or
    a saturating one. The noise is that within values; where few values have several runs, it is the distance of the
    means from the lines through their neighbors.

    Source: the two lines of Simonsohn 2018; their common size and its bound are ours; docs/formulas.md, "Boundaries".

    Args:
        z: [run], the setting.
        y: [run], the value of every run.
        simulations: number of flat curves.

    >>> z, noise = np.repeat([0.0, 1, 2, 3], 3), np.tile([-0.1, 0.0, 0.1], 4)
    >>> [valley(z, np.repeat(means, 3) + noise).p_value < 0.05 for means in ([3.0, 1, 1, 3], [3.0, 1, 1, 1])]
    [True, False]
    """
    found = grouped(z, y)
    if len(found.at) < 3 or not found.variance > 0:
        return Turn(math.nan, math.nan)
    places = np.arange(1, len(found.at) - 1)
    fall, rise = changes(found, found.means[None], np.array([found.variance]))
    sizes = np.minimum(fall[0, places], rise[0, places])
    largest = sizes.max()
    noise = flat_curves(found, simulations)
    exceeds = max(int((side.max(axis=1) >= largest - 1e-9).sum()) for side in noise)
    between = places[np.isclose(sizes, largest)]
    lowest = between[found.means[between].argmin()]
    return Turn((1 + exceeds) / (1 + simulations), float(found.at[lowest]))


def grouped(z: np.ndarray, y: np.ndarray) -> Groups:
    """Return the runs in groups of equal values, joined with their neighbors where there are too many values."""
    values, place = np.unique(z, return_inverse=True)
    joined = np.arange(len(values)) * min(MOST_GROUPS, len(values)) // max(len(values), 1)
    group = joined[place]
    sizes = np.bincount(group)
    means, at = (np.bincount(group, of) / sizes for of in (y, z))
    freedom = int((sizes - 1).sum())
    if freedom >= len(sizes) - 2:
        variance = float(((y - means[group]) ** 2).sum() / max(freedom, 1))
        return Groups(at, means, sizes, variance, freedom)
    return Groups(at, means, sizes, float(variance_among_neighbors(at, means[None], sizes)[0]), 0)


def variance_among_neighbors(at: np.ndarray, means: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the variance of a run from the distances of the means [sample, group] from the lines through neighbors."""
    part = (at[2:] - at[1:-1]) / (at[2:] - at[:-2])
    distance = means[:, 1:-1] - part * means[:, :-2] - (1 - part) * means[:, 2:]
    return (distance**2 / (1 / sizes[1:-1] + part**2 / sizes[:-2] + (1 - part) ** 2 / sizes[2:])).mean(axis=1)


def changes(groups: Groups, means: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the falls up to every group, and the rises from it on, in standard errors: [sample, group] each.

    -inf where there is only one group.
    """
    count = len(groups.at)
    falls, rises = np.zeros((count, count)), np.zeros((count, count))
    for place in range(count):
        falls[place, : place + 1] = -line_weights(groups.at[: place + 1], groups.sizes[: place + 1])
        rises[place, place:] = line_weights(groups.at[place:], groups.sizes[place:])
    found = (means @ weights.T / np.sqrt(variance)[:, None] for weights in (falls, rises))
    fall, rise = found
    fall[:, 0] = rise[:, -1] = -np.inf
    return fall, rise


def line_weights(at: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the weights of means whose sum is the slope of the regression line for a standard error of 1.

    >>> line_weights(np.array([0.0, 1.0]), np.array([2, 2])).tolist()
    [-1.0, 1.0]
    """
    centered = sizes * (at - np.average(at, weights=sizes))
    return centered / math.sqrt(max(float((centered**2 / sizes).sum()), 1e-300))


def flat_curves(groups: Groups, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the falls and rises of flat curves with normal noise, [sample, group] each."""
    rng = np.random.default_rng(0)
    means = rng.standard_normal((count, len(groups.at))) / np.sqrt(groups.sizes)
    if groups.freedom:
        variance = rng.chisquare(groups.freedom, count) / groups.freedom
    else:
        variance = variance_among_neighbors(groups.at, means, groups.sizes)
    return changes(groups, means, variance)
