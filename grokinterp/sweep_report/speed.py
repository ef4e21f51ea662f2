"""The chapter on the time to grok: its shape over the axis, its survival curves, and its delay after memorization."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from grokinterp.figures.sweeps.lifetimes import Survival, survival_by_setting
from grokinterp.figures.sweeps.panels import MOST
from grokinterp.figures.sweeps.times import Capacity, Times, grok_times, memorized_and_generalized
from grokinterp.numbers import number, percent, whole
from grokinterp.statistics.crossings import LEAST_RUNS, Crossing, crossing
from grokinterp.statistics.shapes import Shape, fitted_time
from grokinterp.statistics.survival import kaplan_meier, median
from grokinterp.sweep_report.boundary import NO_AXIS
from grokinterp.sweep_report.plate import Absent, Drawn, Plate, Table
from grokinterp.sweep_report.study import Study, evaluated, times_of
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
    fitted = scale_of(study).between(*found.span)
    ends = (columns[0].min(), columns[0].max())
    is_turn = found.kind in ("U-shaped", "inverted U")
    turning = (found.turning, *np.clip(found.turning_interval, *ends)) if is_turn else None
    curve = fitted_time(found, fitted, log=is_log)
    return Times(study.series[series], *columns, (fitted, curve), turning)


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
        np.array([median(times_of(runs[runs["place"] == place], column)).value for place in places])
        for column in ("memorized_epoch", "grok_epoch")
    ]
    found = crossing_of(study, series)
    crossed = (found.value, *found.interval) if found is not None and found.is_found else None
    return Capacity(name, both[0], both[1], (study.xs[places], medians[0], medians[1]), crossed)


def crossing_of(study: Study, series: int) -> Crossing | None:
    """Return where the medians of the times to memorize and to grok of a series coincide; None without numbers."""
    cells = [evaluated(cell.runs) for cell in study.cells if cell.series == series]
    cells = [runs for runs in cells if len(runs)]
    if study.x is None or not study.x.is_numeric or not cells:
        return None
    sides = [[times_of(runs, column) for runs in cells] for column in ("memorized_epoch", "grok_epoch")]
    times, seen = (
        [[np.array(part) for part in parts] for parts in side]
        for side in (
            [[one.times for one in side] for side in sides],
            [[one.observed for one in side] for side in sides],
        )
    )
    values = [float(study.xs[runs["place"].iloc[0]]) for runs in cells]
    return crossing(values, *times, log=study.x.is_logarithmic, observed=(seen[0], seen[1]))


def table(study: Study) -> Table | None:
    """Return the shape of the grok step of every series."""
    if study.x is None or not study.x.is_numeric:
        return None
    rows = []
    for series, found in enumerate(study.shapes):
        times = times_of(study.of_series(series))
        middle = median(times)
        crossed = crossing_of(study, series)
        kind = f"{found.kind}; a turn only through censored runs" if found.turns_by_censoring else found.kind
        rows.append(
            (study.series[series] or "all runs", f"{times.solved} of {len(times.times)}",
             whole(round(middle.value)) if math.isfinite(middle.value) else "not reached",
             kind, probability(found.p_curvature), probability(found.p_u),
             interval_text(*found.slope_interval, study.xs) if math.isfinite(found.slope) else "—",
             number(crossed.value) if crossed is not None and crossed.is_found else "none")
        )  # fmt: skip
    exponent = "exponent of the power law" if study.x.is_logarithmic else "slope of the log step"
    columns = ("series", "observed", "median grok step", "shape", "p (curvature)", "p (U-shape)", exponent,
               "crossing of memorization and grokking at")  # fmt: skip
    return Table(f"Grok step over the {study.x.name}, with 95 % intervals", columns, rows)


def findings(study: Study) -> Iterator[str]:
    """Yield the shape of the grok step of every series, and where memorization and generalization coincide."""
    if study.x is None or not study.x.is_numeric:
        return
    for series, found in enumerate(study.shapes):
        text = shape_sentence(study, found)
        if text:
            yield f"{at_series(study, series)}{text}"
    crossings = [crossing_of(study, series) for series in range(len(study.points))]
    for series, crossed in enumerate(crossings):
        if crossed is not None and math.isfinite(crossed.value):
            yield f"{at_series(study, series)}{crossing_sentence(study, crossed)}"
    if all(one is None or math.isnan(one.value) for one in crossings):
        least = [one.smallest for one in crossings if one is not None and math.isfinite(one.smallest)]
        if least and min(least) >= 1:
            yield (
                "Wherever at least half of the runs grokked, the median grok step is at least "
                f"{number(min(least))} times the median memorization step."
            )


def crossing_sentence(study: Study, crossed: Crossing) -> str:
    """Return a sentence on where memorization and grokking coincide, and whether this may be noise."""
    assert study.x is not None
    name, value = study.x.name, number(crossed.value)
    if crossed.is_found:
        inside = interval_text(*crossed.interval, study.xs)
        return f"the median grok step and memorization step cross at {name} = {value} (95 % CI {inside})."
    if math.isnan(crossed.share):
        why = f"too few values have {LEAST_RUNS} runs to test this against noise"
    else:
        why = f"they do so in only {percent(crossed.share)} of the resamples, so no crossing is established"
    return f"the median grok step and memorization step seem to cross near {name} = {value}, but {why}."


def shape_sentence(study: Study, found: Shape) -> str:
    """Return a sentence on the shape of the grok step of a series; "" if it is not testable."""
    assert study.x is not None
    text = shape_text(study, found)
    if text and found.turns_by_censoring:
        return f"{text}; a turn appears only if runs that did not grok count as late ones ({p_text(found.p_censored)})."
    return f"{text}." if text else ""


def shape_text(study: Study, found: Shape) -> str:
    """Return the shape of the grok step of a series, without a full stop; "" if it is not testable."""
    assert study.x is not None
    name, is_log = study.x.name, study.x.is_logarithmic
    if found.kind in ("U-shaped", "inverted U"):
        extreme = "shortest" if found.kind == "U-shaped" else "longest"
        where = f"{name} = {number(found.turning)} (95 % CI {interval_text(*found.turning_interval, study.xs)})"
        return f"the grok step is {found.kind} over {name} ({p_text(found.p_u)}), {extreme} at {where}"
    if found.kind == "curved":
        extreme = "minimum" if found.parabola[2] > 0 else "maximum"
        return (
            f"log grok step is nonlinear in {f'log({name})' if is_log else name} ({p_text(found.p_curvature)}), but a "
            f"{extreme} inside the range is not significant"
        )
    if found.kind == "monotone" and is_log:
        base = name if name.isalpha() else f"({name})"
        interval = interval_text(*found.slope_interval, study.xs)
        return f"the grok step scales as {base}^{number(found.slope)} (95 % CI {interval})"
    if found.kind == "monotone":
        return f"the grok step {'increases' if found.slope > 0 else 'decreases'} with {name}; a U is not significant"
    return f"the grok step shows no trend over {name}, and a U is not significant" if found.kind == "no trend" else ""


def doubts(study: Study) -> Iterator[str]:
    """Yield where censoring leaves little to fit."""
    for series, found in enumerate(study.shapes):
        tried = len({*evaluated(study.of_series(series))["place"]})
        if not math.isnan(found.center) and found.values < tried and study.x is not None:
            yield (
                f"{at_series(study, series)}the shape of the grok step is that among the {found.values} of {tried} "
                f"values of {study.x.name} at which at least half of the runs grokked."
            )


def steps_caption(study: Study) -> str:
    """Return the caption of the grok steps."""
    return (
        "Step at which every run grokked. The fit is a parabola of the logarithm of the step, drawn over the values at "
        "which at least half of the runs grokked, to which it was fitted; runs at these values that did not grok count "
        "as later than their last observation."
        f"{panels_shown(len(study.points))}"
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
