"""Line plots as inline SVG: selectable text, colors by style sheet (also dark), and their values.

Reports draw their figures with matplotlib, as for a paper (``grokinterp.figures``), at half a second per figure. Pages
of many runs, and the page that refreshes itself during training, need only curves, but hundreds of them: these take
milliseconds here.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from grokinterp.page.drawn_names import numbers
from grokinterp.page.plot_axes import Axis, Tick

LOOKS = 8
"""Number of colors; further curves repeat them with another dash pattern."""

MOST_POINTS = 220
"""Largest number of points of a curve; of more, the extremes of every interval are kept."""

LETTER, LINE = 6.9, 14.0
"""Width of a letter and height of a line of text, in units of the drawing."""


class Curve(NamedTuple):
    """A curve over steps, with a band if it stands for several runs.

    Attributes:
        label: the text that the curve shows under the pointer.
        mark: a few letters at the end of the curve; "" for none.
        look: the number of its color and dash pattern.
        x, y: its points; NaN interrupts the curve.
        low, high: the band around it; None without a band.
        is_faint: whether it is one of several runs behind their median.
    """

    label: str
    mark: str
    look: int
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    is_faint: bool = False


class Stroke(NamedTuple):
    """A path with its style class and the text under the pointer."""

    css: str
    path: str
    label: str


class Mark(NamedTuple):
    """A few letters at the end of a curve."""

    css: str
    x: float
    y: float
    text: str


class Plot(NamedTuple):
    """A plot as plain values for the template: sizes in units of the drawing, texts, and paths."""

    title: str
    description: str
    y_label: str
    x_label: str
    width: float
    height: float
    left: float
    top: float
    right: float
    bottom: float
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    areas: list[Stroke]
    strokes: list[Stroke]
    marks: list[Mark]
    readings: list[dict[str, Any]]
    """The drawn values, as those of figures: see ``grokinterp.page.readings``."""


def line_plot(
    title: str,
    curves: Sequence[Curve],
    x: Axis,
    y: Axis,
    *,
    description: str = "",
    width: float = 340.0,
    height: float = 218.0,
) -> Plot:
    """Return a plot of curves over given axes."""
    longest = max((len(tick.text) for tick in y.ticks), default=1)
    left, top = 10 + LETTER * longest, 8 + (LINE if y.label else 0.0)
    right = width - (6 + 1.5 * LETTER * max((len(curve.mark) for curve in curves), default=0))
    bottom = height - 8 - 2 * LINE
    across, up = x.over(left, right), y.over(bottom, top)
    shown = [reduced(curve) for curve in curves]
    return Plot(
        title=title,
        description=description or title,
        y_label=y.label,
        x_label=x.label,
        width=width,
        height=height,
        left=left,
        top=top,
        right=right,
        bottom=bottom,
        x_ticks=[Tick(round(float(across(tick.at)), 1), tick.text) for tick in x.ticks],
        y_ticks=[Tick(round(float(up(tick.at)), 1), tick.text) for tick in y.ticks],
        areas=[area(curve, across(curve.x), up) for curve in shown if curve.low is not None],
        strokes=[stroke(curve, across(curve.x), up(curve.y)) for curve in shown],
        marks=marks([(curve, across(curve.x), up(curve.y)) for curve in shown if curve.mark], top, bottom),
        readings=[reading(title, shown, x, y) | {"box": [left, top, right - left, bottom - top]}] if shown else [],
    )


def reading(title: str, curves: Sequence[Curve], x: Axis, y: Axis) -> dict[str, Any]:
    """Return the values of the curves and the limits of their axes."""
    found: list[dict[str, Any]] = []
    for curve in curves:
        places = {"at": numbers(curve.x, 8), "values": numbers(curve.y)}
        band = {name: numbers(ends) for name, ends in (("low", curve.low), ("high", curve.high)) if ends is not None}
        found.append({"label": curve.label, "color": f"var(--c{curve.look % LOOKS})", **places, **band})
    for one in found[1:]:
        if one["at"] == found[0]["at"]:
            del one["at"]
    limits = {"limits": [x.low, x.high], "range": [y.low, y.high], "log": x.is_log, "tall": y.is_log}
    label = f"{title} {y.label}".strip() if y.label.startswith("[") or not y.label else y.label
    return {"title": title, "x": x.label, "y": label, "steps": False, **limits, "curves": found}


def css_of(look: int) -> str:
    """Return the style classes of a color and a dash pattern.

    >>> css_of(0), css_of(9)
    ('look-0', 'look-1 dash-1')
    """
    color, dash = look % LOOKS, look // LOOKS
    return f"look-{color}{f' dash-{dash}' if dash else ''}"


def stroke(curve: Curve, x: np.ndarray, y: np.ndarray) -> Stroke:
    """Return the path of a curve; single points are drawn as short lines with round ends."""
    css = f"{css_of(curve.look)}{' faint' if curve.is_faint else ''}"
    parts = (f"M{' '.join(points(x[part], y[part]))}{'h0' if len(part) == 1 else ''}" for part in runs_of(y))
    return Stroke(css, "".join(parts), curve.label)


def area(curve: Curve, x: np.ndarray, up: Callable[[np.ndarray], np.ndarray]) -> Stroke:
    """Return the path around the band of a curve; empty without a band."""
    if curve.low is None or curve.high is None:
        return Stroke(css_of(curve.look), "", curve.label)
    low, high = up(curve.low), up(curve.high)
    parts = []
    for part in runs_of(low + high):
        outline = [*points(x[part], high[part]), *reversed(list(points(x[part], low[part])))]
        parts.append(f"M{' '.join(outline)}Z")
    return Stroke(css_of(curve.look), "".join(parts), curve.label)


def points(x: np.ndarray, y: np.ndarray) -> Iterator[str]:
    """Yield the coordinates of points as text, to a tenth of a unit."""
    return (f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))


def runs_of(values: np.ndarray) -> list[np.ndarray]:
    """Return the places of the finite values, in uninterrupted stretches.

    >>> [part.tolist() for part in runs_of(np.array([1.0, np.nan, 2.0, 3.0]))]
    [[0], [2, 3]]
    """
    places = np.flatnonzero(np.isfinite(values))
    return [part for part in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if part.size]


def reduced(curve: Curve) -> Curve:
    """Return a curve of at most ``MOST_POINTS`` points, which keeps the extremes of every interval.

    >>> many = Curve("", "", 0, np.arange(9000.0), np.where(np.arange(9000) == 4321, 5.0, 0.0))
    >>> few = reduced(many)
    >>> len(few.x) <= MOST_POINTS, few.y.max().item()
    (True, 5.0)
    """
    if len(curve.x) <= MOST_POINTS:
        return curve
    kept = {0, len(curve.x) - 1}
    for part in np.array_split(np.arange(len(curve.x)), MOST_POINTS // 2 - 1):
        values = curve.y[part]
        if np.isfinite(values).any():
            kept |= {int(part[np.nanargmin(values)]), int(part[np.nanargmax(values)])}
    places = np.array(sorted(kept))
    band = (None, None) if curve.low is None or curve.high is None else (curve.low[places], curve.high[places])
    return curve._replace(x=curve.x[places], y=curve.y[places], low=band[0], high=band[1])


def marks(curves: Iterable[tuple[Curve, np.ndarray, np.ndarray]], top: float, bottom: float) -> list[Mark]:
    """Return the letters at the ends of the curves, moved apart where they would overlap."""
    places = [(curve, x, y, np.flatnonzero(np.isfinite(y))) for curve, x, y in curves]
    ends = [(float(y[last[-1]]), float(x[last[-1]]), curve) for curve, x, y, last in places if last.size]
    found = []
    for column in {round(x / (3 * LETTER)) for _, x, _ in ends}:
        near = sorted((end for end in ends if round(end[1] / (3 * LETTER)) == column), key=lambda end: end[0])
        heights = spread([height for height, _, _ in near], LINE - 2.5, top + 4, bottom)
        for height, (_, x, curve) in zip(heights, near, strict=True):
            found.append(Mark(css_of(curve.look), round(x + 4, 1), round(height + 4, 1), curve.mark))
    return sorted(found, key=lambda mark: mark.text)


def spread(heights: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return ascending heights that are at least ``gap`` apart, between two bounds if they fit.

    >>> spread([10.0, 11.0, 40.0], 8.0, 0.0, 44.0)
    [10.0, 18.0, 40.0]
    >>> spread([43.0, 44.0], 8.0, 0.0, 44.0)
    [36.0, 44.0]
    """
    found: list[float] = []
    for height in heights:
        found.append(max(float(height), found[-1] + gap if found else low))
    for place in range(len(found) - 1, -1, -1):
        limit = high if place == len(found) - 1 else found[place + 1] - gap
        found[place] = min(found[place], limit)
    return found
