"""Statistics of sweeps on planted runs: coverage of intervals, and size and power of tests.

``python -m benchmarks.calibration.boundaries [--small]`` prints the tables of docs/formulas.md, Boundaries. Planted
sweeps have the eight ratios .25 to 4 of the named sweeps and a number of seeds for each.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.stats import binom

from benchmarks.report import table
from grokinterp.statistics import crossing, stratified_trend, threshold, u_shape, wilson

RATIOS = np.array([0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0])
CENTERED = np.log(RATIOS)
HORIZON = math.log(4000)

Numbers = dict[str, int]
FULL: Numbers = {"threshold": 200, "window": 200, "shape": 40, "monotone": 100, "shift": 2000, "crossing": 100}
SMALL: Numbers = {"threshold": 1, "window": 1, "shape": 1, "monotone": 1, "shift": 2, "crossing": 1}


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
            *(share([kind in names for kind in kinds]) for names in (("found",), ("unclear", "not monotone"))),
            share(covered) if slope else "—", share(bounded), f"× {np.median(widths):.2f}" if widths else "—",
        ]  # fmt: skip


WINDOWS = {
    "flat, 1/2": np.full(8, 0.5),
    "step at 1": np.array([0, 0, 0, 1, 1, 1, 1, 1.0]),
    "window from 0.75 to 2": np.array([0, 0, 1, 1, 1, 1, 0, 0.0]),
    "window, rates .1 and .8": np.array([0.1, 0.1, 0.8, 0.8, 0.8, 0.8, 0.1, 0.1]),
    "window, rates .1 and .5": np.array([0.1, 0.1, 0.5, 0.5, 0.5, 0.5, 0.1, 0.1]),
}
"""Planted success rates at the eight ratios."""


def of_windows(number: int) -> Iterator[list[str]]:
    """Yield which answers are given for success rates that are flat, a step or a window."""
    for (name, rates), seeds in product(WINDOWS.items(), (3, 5)):
        drawn = [np.random.default_rng([seeds, i]).random((8, seeds)) < rates[:, None] for i in range(number)]
        kinds = [threshold(np.repeat(RATIOS, seeds), y.ravel(), log=True).kind for y in drawn]
        yield [
            name,
            str(seeds),
            *(share([kind == of for kind in kinds]) for of in ("found", "not monotone", "unclear")),
        ]


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
        kinds, curved, named, lost = [], [], [], []
        for i in range(number):
            rng = np.random.default_rng([seeds, round(10 * censored), i])
            z = np.repeat(CENTERED, seeds)
            y = slope * z + square * z * z + noise * law(rng, len(z))
            y += math.log(100) - y.min()
            horizon = np.quantile(y, 1 - censored) if censored else y.max() + 1
            seen, bound = y <= horizon, np.full(len(z), math.exp(horizon))
            found = u_shape(np.exp(z), np.minimum(np.exp(y), bound), seen, bound, log=True, simulations=199)
            kinds.append(found.kind)
            curved.append(found.p_curvature < 0.05)
            named.append(found.turns_by_censoring)
            lost.append(1 - seen.mean())
        yield [
            name, str(seeds), law.__name__, share(lost), share(curved),
            *(share([kind == wanted for kind in kinds]) for wanted in ("U-shaped", "not testable")), share(named),
        ]  # fmt: skip


NEVER = math.inf


class Monotone(NamedTuple):
    """Times that never turn: their logarithm at every ratio, the probability of grokking there, and the ratios."""

    times: Callable[[np.ndarray], np.ndarray]
    chance: Callable[[np.ndarray], np.ndarray] = np.ones_like
    ratios: np.ndarray = RATIOS


def above(critical: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return a probability of grokking that is 1 above a critical ratio, and 0 below it."""
    return lambda ratio: (ratio > critical).astype(float)


def gradual(critical: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return a probability of grokking that is 1/2 at a critical ratio, with slope 5."""
    return lambda ratio: 1 / (1 + (ratio / critical) ** -5.0)


WIDE = np.array([0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0])
MONOTONE = {
    "1500 exp(.15 r), grok above .4": Monotone(lambda r: 1500 * np.exp(0.15 * r), above(0.4)),
    "1500 exp(.15 r), grok above .6": Monotone(lambda r: 1500 * np.exp(0.15 * r), above(0.6)),
    "1500 exp(.15 r), grok above .9": Monotone(lambda r: 1500 * np.exp(0.15 * r), above(0.9)),
    "1500 exp(.15 r), gradual at .9": Monotone(lambda r: 1500 * np.exp(0.15 * r), gradual(0.9)),
    "1500, grok above .6": Monotone(lambda r: np.full_like(r, 1500), above(0.6)),
    "1500 r^-.3, grok above .6": Monotone(lambda r: 1500 * r**-0.3, above(0.6)),
    "1500 r^-.3, gradual at .9": Monotone(lambda r: 1500 * r**-0.3, gradual(0.9)),
    "1000 (1 + .5/r), grok above .4": Monotone(lambda r: 1000 * (1 + 0.5 / r), above(0.4)),
    "1500 r^.3": Monotone(lambda r: 1500 * r**0.3),
    "2500 r^.5, late ones censored": Monotone(lambda r: 2500 * r**0.5),
    "3000 below 1, 500 above": Monotone(lambda r: np.where(r < 1, 3000, 500), ratios=WIDE),
    "300 (1 + .5/r)": Monotone(lambda r: 300 * (1 + 0.5 / r), ratios=WIDE),
    "500": Monotone(lambda r: np.full_like(r, 500)),
}
"""Planted times without a turn, censored at 4,000 steps."""


def of_monotone(number: int, names: Sequence[str] = tuple(MONOTONE)) -> Iterator[list[str]]:
    """Yield how often monotone times with a threshold are found to be U-shaped, or only by their censored runs."""
    laws = ((5, 0.2, normal), (5, 0.4, skewed), (3, 0.3, normal), (1, 0.3, normal))
    for name, (seeds, noise, law) in product(names, laws):
        case, found = MONOTONE[name], []
        for i in range(number):
            rng = np.random.default_rng([seeds, round(10 * noise), i])
            ratio = np.repeat(case.ratios, seeds)
            time = np.where(rng.random(len(ratio)) < case.chance(ratio), case.times(ratio), NEVER)
            time = time * np.exp(noise * law(rng, len(ratio)))
            bound = np.full(len(ratio), math.exp(HORIZON))
            found.append(u_shape(ratio, np.minimum(time, bound), time <= bound, bound, log=True, simulations=19))
        kinds = [[one.kind == kind for one in found] for kind in ("U-shaped", "inverted U", "not testable")]
        by_censoring = [one.turns_by_censoring for one in found]
        yield [name, str(seeds), f"{noise:g} {law.__name__}", *map(share, kinds), share(by_censoring)]


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
    """Yield how often two times cross, how often this is reported, and how often the interval contains the crossing.

    Without a crossing, the second time is a constant multiple of the first one.
    """
    for factor, seeds, noise in product((None, 1.0, 1.05), (3, 5), (0.1, 0.3, 0.5)):
        covered, seen, reported = [], [], []
        for i in range(number):
            rng = np.random.default_rng([seeds, i])
            at = rng.uniform(math.log(0.4), math.log(2.5))
            mean = [6 - at + 0.5 * (z - at) if factor is None else 6 - z + math.log(factor) for z in CENTERED]
            first = [np.exp(6 - z + noise * rng.standard_normal(seeds)) for z in CENTERED]
            second = [np.exp(one + noise * rng.standard_normal(seeds)) for one in mean]
            result = crossing(list(RATIOS), first, second, log=True)
            seen.append(math.isfinite(result.value))
            reported.append(result.is_found)
            if reported[-1]:
                covered.append(result.interval.low <= math.exp(at) <= result.interval.high)
        kind = "crosses" if factor is None else f"× {factor:g} everywhere"
        yield [kind, str(seeds), f"{noise:g}", share(seen), share(reported), share(covered) if factor is None else "—"]


def tables(numbers: Numbers) -> Iterator[str]:
    """Yield the Markdown tables."""
    yield table(["runs", "mean coverage of Wilson's 95 %", "smallest"], list(of_wilson()))
    yield table(
        ["slope", "seeds", "spread of seeds", "found", "no trend", "interval contains it", "two-sided", "median width"],
        list(of_thresholds(numbers["threshold"])),
    )
    yield table(
        ["success rates", "seeds", "critical value", "not monotone", "no trend"], list(of_windows(numbers["window"]))
    )
    yield table(
        [
            "times",
            "seeds",
            "noise",
            "censored",
            "curved (p < .05)",
            "U-shaped",
            "not testable",
            "turn only through censored runs",
        ],
        list(of_shapes(numbers["shape"])),
    )
    yield table(
        ["times", "seeds", "noise", "U-shaped", "inverted U", "not testable", "turn only through censored runs"],
        list(of_monotone(numbers["monotone"])),
    )
    yield table(["seeds", "shift of the critical ratio", "found (p < .05)"], list(of_shifts(numbers["shift"])))
    yield table(
        ["second time", "seeds", "noise", "medians cross", "reported", "interval contains it"],
        list(of_crossings(numbers["crossing"])),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration.boundaries", description=__doc__)
    parser.add_argument("--small", action="store_true", help="toy size for the test suite; the numbers are meaningless")
    for text in tables(SMALL if parser.parse_args(arguments).small else FULL):
        print(text, end="\n\n", flush=True)


if __name__ == "__main__":
    main()
