"""The chapter on the boundary of grokking: success rates, their critical value, and its shift between series."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm, Normalize

from grokinterp.figures.sweeps.maps import setting_map
from grokinterp.figures.sweeps.panels import MOST
from grokinterp.figures.sweeps.rates import Critical, Rates, critical_values, success_rates
from grokinterp.numbers import listed, number, percent, whole
from grokinterp.phases import SUSTAINED
from grokinterp.statistics.proportions import wilson
from grokinterp.statistics.strata import Shift, stratified_trend
from grokinterp.statistics.survival import median
from grokinterp.statistics.thresholds import SIGNIFICANT, Threshold, success_curve
from grokinterp.sweep_report.plate import Absent, Drawn, Plate, Table
from grokinterp.sweep_report.study import Study, times_of
from grokinterp.sweep_report.words import at_series, interval_text, p_text, panels_shown, probability, scale_of

ONE_AXIS = Absent("the runs vary fewer than two settings")
NO_AXIS = Absent("all runs have the same setting")
NO_NUMBERS = Absent("the values are not numbers")

OPEN = {"all": "every run grokked", "none": "no run grokked", "one value": "there are too few values"}


def rate_of(runs: pd.DataFrame) -> tuple[int, int]:
    """Return how many of the runs that ended grokked, and their number."""
    ended = runs[runs["decided"]]
    return int(ended["grokked"].sum()), len(ended)


def success_map(study: Study) -> Drawn:
    """Draw the share of runs that grokked for every setting of two axes."""
    if study.x is None or len(study.points) < 2:
        return ONE_AXIS
    rates, words = empty_map(study)
    for cell in study.cells:
        k, n = rate_of(cell.runs)
        if n:
            low, high = wilson(k, n)
            rates[cell.series, cell.place] = k / n
            words[cell.series][cell.place] = f"{k}/{n}\n{100 * low:.0f}–{100 * high:.0f} %"
    if np.isnan(rates).all():
        return Absent("no run has ended")
    return setting_map(
        rates, words, x=(study.x.name, study.x_texts), y=(study.series_name, study.short_series),
        title="Runs that grokked", label="share of runs [1]", norm=Normalize(0, 1),
    )  # fmt: skip


def time_map(study: Study) -> Drawn:
    """Draw the median grok step of every setting, as a lower bound where fewer than half of the runs grokked."""
    if study.x is None or len(study.points) < 2:
        return ONE_AXIS
    values, words = empty_map(study)
    hatched = np.zeros(values.shape, dtype=bool)
    for cell in study.cells:
        times = times_of(cell.runs)
        if not times.times:
            continue
        found, (k, n) = median(times), (times.solved, len(times.times))
        is_bound = not math.isfinite(found.value)
        value = max(times.times) if is_bound else found.value
        values[cell.series, cell.place] = max(value, 1)
        hatched[cell.series, cell.place] = is_bound
        note = "" if k == n else f"\n{k}/{n}"
        words[cell.series][cell.place] = f"{'> ' if is_bound else ''}{whole(round(value))}{note}"
    if hatched[np.isfinite(values)].all():
        return Absent("no setting has a median: fewer than half of the runs grokked everywhere")
    known = values[np.isfinite(values) & ~hatched]
    low, high = float(known.min()), float(known.max())
    return setting_map(
        values, words, x=(study.x.name, study.x_texts), y=(study.series_name, study.short_series),
        title="Median grok step", label="optimizer step [1]", norm=LogNorm(low, max(high, 1.01 * low)), hatched=hatched,
    )  # fmt: skip


def empty_map(study: Study) -> tuple[np.ndarray, list[list[str]]]:
    """Return a map without values, and its words."""
    shape = (len(study.points), len(study.xs))
    return np.full(shape, np.nan), [[""] * shape[1] for _ in range(shape[0])]


def rates(study: Study) -> Drawn:
    """Draw the success rates over the axis with their intervals, and the fitted critical value."""
    if study.x is None:
        return NO_AXIS
    shown = [found for series in range(len(study.points)) if (found := rates_of(study, series)).at.size]
    if not shown:
        return Absent("no run has ended")
    return success_rates(shown[:MOST], scale_of(study))


def rates_of(study: Study, series: int) -> Rates:
    """Return the success rates of a series, with its critical value if there is one."""
    rows = []
    for cell in study.cells:
        k, n = rate_of(cell.runs)
        if cell.series == series and n:
            rows.append((study.xs[cell.place], k / n, *wilson(k, n)))
    at, rate, low, high = np.array(rows).reshape(-1, 4).T
    found, (first, last) = study.critical[series], (study.xs.min(), study.xs.max())
    if found.kind != "found":
        return Rates(study.series[series], at, rate, low, high)
    near = scale_of(study).between(at.min(), at.max())
    curve = (near, success_curve(found, near, log=is_log(study))) if math.isfinite(found.value) else None
    critical = (found.value, max(found.low, float(first)), min(found.high, float(last)))
    return Rates(study.series[series], at, rate, low, high, curve, critical)


def is_log(study: Study) -> bool:
    """Return whether the axis is logarithmic."""
    return study.x is not None and study.x.is_logarithmic


def shift(study: Study) -> Drawn:
    """Draw the critical value of every series."""
    if study.x is None or len(study.points) < 2:
        return ONE_AXIS
    if not study.x.is_numeric:
        return NO_NUMBERS
    known = [(name, one) for name, one in zip(study.short_series, study.critical, strict=True) if one.kind == "found"]
    if not known:
        return Absent("no series has a critical value")
    first, last = float(study.xs.min()), float(study.xs.max())
    rows = [
        Critical(name, one.value, max(one.low, first), min(one.high, last), math.isinf(one.low), math.isinf(one.high))
        for name, one in known
    ]
    return critical_values(rows, scale_of(study), study.series_name)


def trend(study: Study) -> Shift:
    """Return the trend of success over the series at equal values of the axis."""
    runs = study.decided
    return stratified_trend(list(runs["place"]), list(runs["series"]), list(runs["grokked"]))


def critical_text(found: Threshold, tried: np.ndarray) -> str:
    """Return the critical value with its interval, or why there is none."""
    if found.kind == "found" and math.isfinite(found.value):
        return f"{number(found.value)} ({interval_text(found.low, found.high, tried)})"
    if found.kind == "found":
        return f"outside the values ({interval_text(found.low, found.high, tried)})"
    if found.kind == "unclear":
        return "none: no monotone trend"
    if found.kind == "not monotone":
        return f"none: not monotone ({p_text(found.p_difference)}), highest at {values_text(found.highest)}"
    return f"none: {OPEN.get(found.kind, 'the values are not numbers')}"


def values_text(values: tuple[float, ...]) -> str:
    """Return values of a setting as text.

    >>> values_text((1.5,)), values_text((0.75, 1.0, 2.0))
    ('1.5', '0.75, 1 and 2')
    """
    return listed(number(value) for value in values)


def too_short(runs: pd.DataFrame) -> int:
    """Return how many runs ended with too few evaluations to see whether they grokked."""
    ended = runs[runs["decided"] & ~runs["grokked"]]
    return int((ended["horizon"].fillna(0) <= 0).sum())


def table(study: Study) -> Table | None:
    """Return the success and the critical value of every series."""
    if study.x is None:
        return None
    rows = []
    for series, found in enumerate(study.critical):
        runs = study.of_series(series)
        k, n = rate_of(runs)
        times = times_of(runs)
        censored = len(times.times) - times.solved
        side = "" if found.rises is None else "above" if found.rises else "below"
        rows.append(
            (study.series[series] or "all runs", whole(len(runs)), f"{k} of {n}",
             percent(censored / len(times.times)) if times.times else "—",
             critical_text(found, study.tried(series)), side, probability(found.p_value), probability(found.p_fit))
        )  # fmt: skip
    columns = ("series", "runs", "grokked, of those that ended", "censored", f"critical {study.x.name}",
               "runs grok", "p (trend)", "p (fit)")  # fmt: skip
    return Table(f"Success rate and critical value of {study.x.name}, with 95 % intervals", columns, rows)


def findings(study: Study) -> Iterator[str]:
    """Yield the critical value of every series, and its shift."""
    if study.x is None or not study.x.is_numeric:
        return
    for series in range(len(study.points)):
        k, n = rate_of(study.of_series(series))
        if n:
            yield f"{at_series(study, series)}{critical_sentence(study, series, k, n)}"
    if len(study.others) == 1 and len(study.points) > 1 and study.others[0].is_numeric:
        moved = trend(study)
        if math.isnan(moved.z):
            return
        name, x = study.others[0].name, study.x.name
        if moved.p_value < SIGNIFICANT:
            change = "increases" if moved.z > 0 else "decreases"
            yield f"At fixed {x}, the success rate {change} with {name} ({p_text(moved.p_value)})."
        else:
            yield f"At fixed {x}, the success rate shows no trend over {name} ({p_text(moved.p_value)})."


def critical_sentence(study: Study, series: int, k: int, n: int) -> str:
    """Return a sentence on the critical value of a series."""
    assert study.x is not None
    found, values, name = study.critical[series], study.tried(series), study.x.name
    tried = f"{number(float(values[0]))} to {number(float(values[-1]))}"
    decided = "runs" if n == len(study.of_series(series)) else "decided runs"
    grokked = f"{k} of {n} {decided} grokked"
    if len(values) == 1:
        return f"{grokked}; only {name} = {number(float(values[0]))} has been run so far."
    if found.kind == "found":
        change = "increases" if found.rises else "decreases"
        interval = f"95 % CI {interval_text(found.low, found.high, values)}"
        if math.isfinite(found.value):
            return (
                f"{grokked}; the success rate reaches 50 % at {name} = {number(found.value)} ({interval}) and {change} "
                f"with {name}."
            )
        return f"{grokked}; the success rate {change} with {name}, but 50 % is not inside {tried} ({interval})."
    if found.kind == "unclear":
        return (
            f"{grokked}; success shows no monotone trend over {name} ({p_text(found.p_value)}); no critical value is "
            "estimated."
        )
    if found.kind == "not monotone":
        return (
            f"{grokked}; success depends on {name} ({p_text(found.p_difference)}), but not monotonically: highest at "
            f"{name} = {values_text(found.highest)}; no critical value is estimated."
        )
    return f"{grokked}; no critical value can be estimated from these runs."


def doubts(study: Study) -> Iterator[str]:
    """Yield where one critical value does not describe the success rates, and where success cannot be seen."""
    short, ended = too_short(study.runs), len(study.decided)
    if short and study.x is not None:
        yield (
            f"{short} of {ended} runs that ended have fewer than {SUSTAINED.window} evaluations, too few for the rule "
            f"of {SUSTAINED.window} consecutive evaluations, and count as not grokked: no critical value can be "
            "estimated from these runs."
        )
    for series, found in enumerate(study.critical):
        if found.p_fit < SIGNIFICANT and study.x is not None:
            yield (
                f"{at_series(study, series)}the success rates do not follow a monotone curve over the {study.x.name} "
                f"({p_text(found.p_fit)}), so its critical value may mislead."
            )


def map_caption(study: Study) -> str:
    """Return the caption of the map of times."""
    return (
        "Median step at which the runs of a setting grokked (Kaplan-Meier), with how many of the runs did where not "
        "all did. Hatched: fewer than half of the runs grokked, so the median is censored, and the number is a lower "
        "bound. Gray: no runs."
    )


def rates_caption(study: Study) -> str:
    """Return the caption of the success rates."""
    return (
        "Share of the runs that grokked within their budget, with Wilson's 95 % interval, the logistic fit, and the "
        f"critical value, at which half of the runs grok.{panels_shown(len(study.points))}"
    )


PLATES = (
    Plate("Grok step by setting", time_map, map_caption),
    Plate(
        "Success rate by setting",
        success_map,
        "Share of the runs of every setting that grokked within their budget, with Wilson's 95 % interval where there "
        "is room for it; the next figure shows all intervals. Undecided runs are not counted; runs that were stopped "
        "by a prediction count as failures.",
    ),
    Plate("Success rates and critical value", rates, rates_caption),
    Plate(
        "Shift of the critical value",
        shift,
        "Critical value of every series with its 95 % interval; a triangle marks an interval that is not bounded on "
        "that side by the values that were tried. Series without a critical value are in the table only.",
    ),
)
