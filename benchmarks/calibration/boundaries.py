"""Statistics of sweeps on planted runs: coverage of intervals, and size and power of tests.

``python -m benchmarks.calibration.boundaries [--small]`` prints the tables of docs/formulas.md, Boundaries. Planted
sweeps have the eight ratios .25 to 4 of the named sweeps and a number of seeds for each.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
from scipy.stats import binom

from benchmarks.report import table
from grokinterp.statistics import crossing, stratified_trend, threshold, u_shape, wilson

RATIOS = np.array([0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0])
CENTERED = np.log(RATIOS)
HORIZON = math.log(4000)

Numbers = dict[str, int]
FULL: Numbers = {"threshold": 200, "shape": 100, "shift": 2000, "crossing": 200}
SMALL: Numbers = {"threshold": 1, "shape": 1, "shift": 2, "crossing": 1}


def share(values: Sequence[bool]) -> str:
    """Return a share as a percentage; a dash without values."""
    return f"{100 * float(np.mean(values)):.1f} %" if len(values) else "—"


def of_wilson() -> Iterator[list[str]]:
    """Yield the exact coverage of Wilson's interval over 999 probabilities, its mean and its minimum."""
    grid = np.arange(1, 1000) / 1000
    for n in (1, 3, 5, 10, 20, 50):
        ends = np.array([wilson(k, n) for k in range(n + 1)])
        inside = (ends[:, :1] <= grid) & (grid <= ends[:, 1:])
        coverage = (binom.pmf(np.arange(n + 1)[:, None], n, grid) * inside).sum(axis=0)
        yield [str(n), share(coverage), f"{100 * coverage.min():.1f} %"]


def planted_successes(rng: np.random.Generator, seeds: int, slope: float, critical: float, spread: float) -> np.ndarray:
    """Return successes [ratio, seed] of a logistic boundary; seeds shift it by a normal amount of the logarithm."""
    distance = CENTERED[:, None] - math.log(critical) - spread * rng.standard_normal(seeds)
    chance = (distance >= 0).astype(float) if math.isinf(slope) else 1 / (1 + np.exp(-slope * distance))
    return rng.random(chance.shape) < chance


def of_thresholds(number: int) -> Iterator[list[str]]:
    """Yield, for planted critical ratios, which answers are given and how often the interval contains the truth."""
    cases = [(slope, seeds, 0.0) for slope, seeds in product((2.0, 5.0, math.inf), (1, 3, 5, 10))]
    cases += [(5.0, 5, 0.3), (math.inf, 5, 0.3)]
    for slope, seeds, spread in [*cases, (0.0, 5, 0.0)]:
        kinds, covered, bounded, widths = [], [], [], []
        for i in range(number):
            rng = np.random.default_rng([seeds, i])
            critical = float(np.exp(rng.uniform(math.log(0.4), math.log(2.5))))
            y = planted_successes(rng, seeds, slope, critical, spread)
            found = threshold(np.repeat(RATIOS, seeds), y.ravel(), log=True)
            kinds.append(found.kind)
            if found.kind == "found":
                covered.append(found.low <= critical <= found.high)
                bounded.append(math.isfinite(found.low) and math.isfinite(found.high))
                widths += [found.high / found.low] if bounded[-1] else []
        yield [
            "step" if math.isinf(slope) else f"{slope:g}", str(seeds), f"{spread:g}",
            *(share([kind == name for kind in kinds]) for name in ("found", "unclear")),
            share(covered) if slope else "—", share(bounded), f"× {np.median(widths):.2f}" if widths else "—",
        ]  # fmt: skip


Noise = Callable[[np.random.Generator, int], np.ndarray]


def normal(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return the noise of the model."""
    return rng.standard_normal(count)


def skewed(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return the logarithm of exponential times, centered, with deviation 1: noise that the model does not assume."""
    return (np.log(rng.exponential(size=count)) + 0.5772) / 1.2825


SHAPES = {
    "flat": (0.0, 0.0),
    "line, times ∝ ratio^-0.5": (-0.5, 0.0),
    "half a parabola, flat at the last ratio": (-0.5, 0.5 / (2 * CENTERED[-1])),
    "U, minimum at 1, × 1.5 at both ends": (0.0, math.log(1.5) / CENTERED[-1] ** 2),
    "U, minimum at 1, × 3 at both ends": (0.0, math.log(3) / CENTERED[-1] ** 2),
    "U, minimum at 2, × 3 at the last ratio": (-2 * 2.3 * math.log(2), 2.3),
}
"""Slope and square of the planted logarithm of the times over the logarithm of the ratio."""


def of_shapes(number: int, names: Sequence[str] = tuple(SHAPES)) -> Iterator[list[str]]:
    """Yield how often planted times are found to be curved and U-shaped, by noise and censored share."""
    for name, (seeds, noise, law), censored in product(
        names, ((5, 0.3, normal), (1, 0.3, normal), (5, 0.3, skewed)), (0.0, 0.3)
    ):
        if seeds == 1 and censored:
            continue
        slope, square = SHAPES[name]
        kinds, curved, lost = [], [], []
        for i in range(number):
            rng = np.random.default_rng([seeds, round(10 * censored), i])
            z = np.repeat(CENTERED, seeds)
            y = slope * z + square * z * z + noise * law(rng, len(z))
            y += HORIZON - (np.quantile(y, 1 - censored) if censored else y.max() + 1)
            seen = y <= HORIZON
            bound = np.full(len(z), math.exp(HORIZON))
            found = u_shape(np.exp(z), np.minimum(np.exp(y), bound), seen, bound, log=True, simulations=199)
            kinds.append(found.kind)
            curved.append(found.p_curvature < 0.05)
            lost.append(1 - seen.mean())
        yield [
            name, str(seeds), law.__name__, share(lost), share(curved),
            *(share([kind == wanted for kind in kinds]) for wanted in ("U-shaped", "not testable")),
        ]  # fmt: skip


def of_shifts(number: int) -> Iterator[list[str]]:
    """Yield how often a shift of the boundary between two weight decays is found."""
    for seeds, factor in product((1, 3, 5), (1.0, 1.5, 3.0)):
        found = []
        for i in range(number):
            rng = np.random.default_rng([seeds, i])
            y = [planted_successes(rng, seeds, 5.0, critical, 0.0) for critical in (1.0, 1.0 / factor)]
            strata = np.tile(np.repeat(np.arange(len(RATIOS)), seeds), 2)
            groups = np.repeat([0, 1], len(RATIOS) * seeds)
            found.append(stratified_trend(strata, groups, np.concatenate([one.ravel() for one in y])).p_value < 0.05)
        yield [str(seeds), f"× {factor:g}", share(found)]


def of_crossings(number: int) -> Iterator[list[str]]:
    """Yield how often the interval of a planted crossing of two times contains it."""
    for seeds, noise in product((3, 5, 10), (0.1, 0.3)):
        covered, found = [], []
        for i in range(number):
            rng = np.random.default_rng([seeds, i])
            at = rng.uniform(math.log(0.4), math.log(2.5))
            first = [np.exp(6 - z + noise * rng.standard_normal(seeds)) for z in CENTERED]
            second = [np.exp(6 - at + 0.5 * (z - at) + noise * rng.standard_normal(seeds)) for z in CENTERED]
            result = crossing(list(RATIOS), first, second, log=True)
            found.append(math.isfinite(result.value))
            if found[-1]:
                covered.append(result.interval.low <= math.exp(at) <= result.interval.high)
        yield [str(seeds), f"{noise:g}", share(found), share(covered)]


def tables(numbers: Numbers) -> Iterator[str]:
    """Yield the Markdown tables."""
    yield table(["runs", "mean coverage of Wilson's 95 %", "smallest"], list(of_wilson()))
    yield table(
        ["slope", "seeds", "spread of seeds", "found", "unclear", "interval contains it", "two-sided", "median width"],
        list(of_thresholds(numbers["threshold"])),
    )
    yield table(
        ["times", "seeds", "noise", "censored", "curved (p < .05)", "U-shaped", "not testable"],
        list(of_shapes(numbers["shape"])),
    )
    yield table(["seeds", "shift of the critical ratio", "found (p < .05)"], list(of_shifts(numbers["shift"])))
    yield table(["seeds", "noise", "crossing found", "interval contains it"], list(of_crossings(numbers["crossing"])))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration.boundaries", description=__doc__)
    parser.add_argument("--small", action="store_true", help="toy size for the test suite; the numbers are meaningless")
    for text in tables(SMALL if parser.parse_args(arguments).small else FULL):
        print(text, end="\n\n", flush=True)


if __name__ == "__main__":
    main()
