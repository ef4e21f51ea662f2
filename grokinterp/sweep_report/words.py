"""Words and numbers that the chapters of a sweep's page share."""

import math
from collections.abc import Sequence

import numpy as np

from grokinterp.figures.sweeps.panels import MOST
from grokinterp.figures.sweeps.scale import Scale
from grokinterp.numbers import number
from grokinterp.sweep_report.study import Study


def scale_of(study: Study) -> Scale:
    """Return the horizontal axis of the figures of a study."""
    if study.x is None:
        return Scale("setting", np.zeros(1), ["all runs"])
    return Scale(study.x.name, study.xs, study.x_texts, study.x.is_logarithmic)


def at_series(study: Study, series: int) -> str:
    """Return the beginning of a sentence about a series; "" if there is only one."""
    name = study.series[series]
    return f"At {name}: " if name else ""


def interval_text(low: float, high: float, tried: Sequence[float] | np.ndarray) -> str:
    """Return an interval as text; an open end is the first or the last value that was tried.

    >>> interval_text(0.5, 0.75, [0.25, 4.0]), interval_text(-math.inf, 0.75, [0.25, 4.0])
    ('0.5 to 0.75', 'below 0.25 to 0.75')
    """
    first = f"below {number(float(min(tried)))}" if math.isinf(low) else number(low)
    last = f"above {number(float(max(tried)))}" if math.isinf(high) else number(high)
    return f"{first} to {last}"


def probability(value: float) -> str:
    """Return a p-value as text.

    >>> probability(0.1), probability(0.02461), probability(4.1e-5), probability(math.nan)
    ('0.10', '0.025', '< 0.001', '—')
    """
    if math.isnan(value):
        return "—"
    return "< 0.001" if value < 0.001 else f"{value:.2f}" if value >= 0.0995 else f"{value:.3f}"


def p_text(value: float) -> str:
    """Return a p-value in a sentence.

    >>> p_text(0.02), p_text(1e-9)
    ('p = 0.020', 'p < 0.001')
    """
    return f"p {probability(value)}" if value < 0.001 else f"p = {probability(value)}"


def panels_shown(count: int, name: str = "series") -> str:
    """Return a sentence on the panels that are left out; "" if all are shown.

    >>> panels_shown(3), panels_shown(40)
    ('', ' The first 12 of 40 series are shown.')
    """
    return f" The first {MOST} of {count} {name} are shown." if count > MOST else ""
