"""The chapter on the time to grok: its shape over the axis, its survival curves, and its delay after memorization."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from grokinterp.figures.sweeps.lifetimes import Survival, survival_by_setting
from grokinterp.figures.sweeps.panels import MOST
from grokinterp.figures.sweeps.times import Capacity, Times, grok_times, memorized_and_generalized
from grokinterp.numbers import number, whole
from grokinterp.statistics.shapes import Shape, fitted_time
from grokinterp.statistics.survival import kaplan_meier, median
from grokinterp.sweep_report.boundary import NO_AXIS
from grokinterp.sweep_report.plate import Absent, Drawn, Plate, Table
from grokinterp.sweep_report.study import Study, evaluated, reached, times_of
from grokinterp.sweep_report.words import at_series, interval_text, p_text, panels_shown, probability, scale_of

NEVER = Absent("no run grokked")
NOT_EVALUATED = Absent("no run was evaluated often enough")
"""Reasons for absent figures."""


def grok_steps(study: Study) -> Drawn:
    """Draw the grok step of every run over the axis, with the fitted parabola."""
    if study.x is None:
        return NO_AXIS
    if not study.runs["grokked"].any():
        return NEVER
    shown = [found for series in range(len(study.points)) if (found := series_times(study, series)).at.size]
    return grok_times(shown[:MOST], scale_of(study))


def series_times(study: Study, series: int) -> Times:
    """Return the grok steps of a series with the fitted curve."""
    runs = evaluated(study.of_series(series))
    found, times = study.shapes[series], times_of(runs)
    is_log = study.x is not None and study.x.is_logarithmic
    columns = (study.xs[runs["place"]], np.array(times.times), np.array(times.observed, dtype=bool))
    if math.isnan(found.center):
        return Times(study.series[series], *columns)
    near = scale_of(study).near()
    inside = (near >= columns[0].min() * 0.999) & (near <= columns[0].max() * 1.001)
    turning = (found.turning, *found.turning_interval) if found.kind in ("U-shaped", "inverted U") else None
    curve = fitted_time(found, near[inside], log=is_log)
    return Times(study.series[series], *columns, (near[inside], curve), turning)


def survival(study: Study) -> Drawn:
    """Draw the share of runs that have not grokked over the steps."""
    series = []
    for i, name in enumerate(study.series):
        curves = [curve for cell in study.cells if cell.series == i and (curve := curve_of(cell.place, cell.runs))]
        if curves:
            series.append((name, curves))
    if not series:
        return NOT_EVALUATED
    if all(len(cell.runs) == 1 for cell in study.cells):
        return Absent("every setting has a single run")
    return survival_by_setting(series[:MOST], study.x_texts, "" if study.x is None else study.x.name)


def curve_of(place: int, runs: pd.DataFrame) -> Survival | None:
    """Return the survival curve of some runs; None if none was evaluated often enough."""
    times = times_of(runs)
    if not times.times:
        return None
    curve = kaplan_meier(times)
    lost = [time for time, seen in zip(times.times, times.observed, strict=True) if not seen]
    return Survival(place, np.array(curve.times), np.array(curve.share), np.array(lost))


def capacity(study: Study) -> Drawn:
    """Draw the times to memorize and to generalize over the axis."""
    if study.x is None:
        return NO_AXIS
    series = range(len(study.points))
    shown = [capacity_of(study, one) for one in series if len(evaluated(study.of_series(one)))]
    if not shown:
        return NOT_EVALUATED
    return memorized_and_generalized(shown[:MOST], scale_of(study))


def capacity_of(study: Study, series: int) -> Capacity:
    """Return the times to memorize and to generalize of a series, with their medians and crossing."""
    runs = evaluated(study.of_series(series))
    at, name = study.xs[runs["place"]], study.series[series]
    both = []
    for column in ("memorized_epoch", "grok_epoch"):
        times = times_of(runs, column)
        both.append(Times(name, at, np.array(times.times), np.array(times.observed, dtype=bool)))
    places = sorted({*runs["place"]})
    medians = [
        np.array([np.median(reached(runs[runs["place"] == place], column)) for place in places])
        for column in ("memorized_epoch", "grok_epoch")
    ]
    found = study.crossings[series]
    crossed = None if found is None or math.isnan(found.value) else (found.value, *found.interval)
    return Capacity(name, both[0], both[1], (study.xs[places], medians[0], medians[1]), crossed)


def table(study: Study) -> Table | None:
    """Return the shape of the grok step of every series."""
    if study.x is None or not study.x.is_numeric:
        return None
    rows = []
    for series, found in enumerate(study.shapes):
        times = times_of(study.of_series(series))
        middle = median(times)
        crossed = study.crossings[series]
        rows.append(
            (study.series[series] or "all runs", f"{times.solved} of {len(times.times)}",
             whole(round(middle.value)) if math.isfinite(middle.value) else "not reached",
             found.kind, probability(found.p_curvature), probability(found.p_u),
             interval_text(*found.slope_interval, study.xs) if math.isfinite(found.slope) else "—",
             number(crossed.value) if crossed is not None and math.isfinite(crossed.value) else "none")
        )  # fmt: skip
    exponent = "exponent of the power law" if study.x.is_logarithmic else "slope of the log step"
    columns = ("series", "observed", "median grok step", "shape", "p of no curvature", "p of no U", exponent,
               "memorization = generalization at")  # fmt: skip
    return Table(f"Grok step over the {study.x.name}, with 95 % intervals", columns, rows)


def findings(study: Study) -> Iterator[str]:
    """Yield the shape of the grok step of every series, and where memorization and generalization coincide."""
    if study.x is None or not study.x.is_numeric:
        return
    for series, found in enumerate(study.shapes):
        text = shape_sentence(study, found)
        if text:
            yield f"{at_series(study, series)}{text}"
    for series, crossed in enumerate(study.crossings):
        if crossed is not None and math.isfinite(crossed.value):
            yield (
                f"{at_series(study, series)}memorization and generalization coincide at a {study.x.name} of "
                f"{number(crossed.value)} (95 % interval {interval_text(*crossed.interval, study.xs)})."
            )
    if all(one is None or math.isnan(one.value) for one in study.crossings):
        least = [one.smallest for one in study.crossings if one is not None and math.isfinite(one.smallest)]
        if least and min(least) >= 1:
            yield (
                "Where half of the runs grokked, their median grok step is at least "
                f"{number(min(least))} times that of memorization."
            )


def shape_sentence(study: Study, found: Shape) -> str:
    """Return a sentence on the shape of the grok step of a series; "" if it is not testable."""
    assert study.x is not None
    name = study.x.name
    if found.kind in ("U-shaped", "inverted U"):
        extreme = "shortest" if found.kind == "U-shaped" else "longest"
        where = f"{number(found.turning)} (95 % interval {interval_text(*found.turning_interval, study.xs)})"
        return f"the grok step is {found.kind} over the {name} ({p_text(found.p_u)}), {extreme} at {where}."
    if found.kind == "curved":
        return (
            f"the grok step is curved over the {name} ({p_text(found.p_curvature)}), but no turning point is "
            f"detectable ({p_text(found.p_u)})."
        )
    if found.kind == "monotone":
        side = "grows" if found.slope > 0 else "falls"
        power = f" as its power {number(found.slope)}" if study.x.is_logarithmic else ""
        inside = f" ({interval_text(*found.slope_interval, study.xs)})" if power else ""
        return f"the grok step {side} with the {name}{power}{inside}; a U-shape is not detectable."
    return f"the grok step shows no trend over the {name}, nor a U-shape." if found.kind == "no trend" else ""


def doubts(study: Study) -> Iterator[str]:
    """Yield where censoring leaves little to fit."""
    for series, found in enumerate(study.shapes):
        times = times_of(study.of_series(series))
        if not math.isnan(found.center) and times.solved < 0.5 * len(times.times):
            yield (
                f"{at_series(study, series)}{len(times.times) - times.solved} of {len(times.times)} grok steps are "
                "censored, so their shape rests on the assumption that these runs would have grokked later."
            )


def steps_caption(study: Study) -> str:
    """Return the caption of the grok steps."""
    return (
        "Step at which every run grokked. The fit is a parabola of the logarithm of the step, in which runs that did "
        f"not grok count as later than their last observation.{panels_shown(len(study.points))}"
    )


def survival_caption(study: Study) -> str:
    """Return the caption of the survival curves."""
    return (
        "Kaplan-Meier curves of the step at which runs grok, slightly offset so that none hides another. A cross marks "
        f"the last observation of a run that has not grokked.{panels_shown(len(study.points))}"
    )


def capacity_caption(study: Study) -> str:
    """Return the caption of the times to memorize and to generalize."""
    return (
        "Step at which every run memorized (train accuracy at least 0.99) and grokked (test accuracy at least 0.95 at "
        "ten consecutive evaluations), with the medians over the seeds; a line ends where fewer than half of the runs "
        f"reached it. The curves cross where the two coincide.{panels_shown(len(study.points))}"
    )


PLATES = (
    Plate("Grok step over the setting", grok_steps, steps_caption),
    Plate("Survival curves", survival, survival_caption),
    Plate("Memorization and generalization", capacity, capacity_caption),
)
