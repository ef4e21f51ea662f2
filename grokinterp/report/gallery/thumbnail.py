"""Thumbnails of a run: its accuracies over the steps with the phases, and the circle that its embedding forms."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from grokinterp.errors import GrokinterpError
from grokinterp.page.plot_axes import Axis, step_axis
from grokinterp.page.plots import Curve, reduced, stroke
from grokinterp.phases import History
from grokinterp.runs.datasets import read_analysis

WIDTH, HEIGHT, SIDE = 228.0, 84.0, 84.0
"""Size of the drawing of the accuracies, and side of that of the circle, in units of the drawing."""

SHADES = 8
"""Number of colors of the points of a circle."""

PARTS = {"train_accuracy": "faint-train", "test_accuracy": "test"}
"""The curves of a thumbnail, with their style classes."""


class Band(NamedTuple):
    """A phase behind the curves: its style class, its left end, and its width."""

    css: str
    x: float
    width: float


class Thumbnail(NamedTuple):
    """The accuracies of a run as paths by style class, the bands of its phases, and a description."""

    bands: list[Band]
    curves: list[tuple[str, str]]
    description: str


class Circle(NamedTuple):
    """The tokens in the plane of the strongest key frequency: places with the number of a color, and a description."""

    points: list[tuple[float, float, int]]
    description: str


def thumbnail(steps: np.ndarray, columns: Mapping[str, np.ndarray], history: History | None) -> Thumbnail | None:
    """Return the accuracies of a run over logarithmic steps; None without curves."""
    known = {name: css for name, css in PARTS.items() if name in columns and np.isfinite(columns[name]).sum() > 1}
    if not known:
        return None
    axis = step_axis([steps.astype(float)])
    across, up = axis.over(0.0, WIDTH), Axis("", -0.04, 1.04, []).over(HEIGHT, 0.0)
    curves = []
    for name, css in known.items():
        curve = reduced(Curve("", "", 0, steps.astype(float), columns[name]))
        curves.append((css, stroke(curve, across(curve.x), up(curve.y)).path))
    bands = []
    for phase in history.phases if history else ():
        start, stop = (float(across(float(step))) for step in (phase.start, phase.stop))
        bands.append(Band(f"p-{phase.name.replace(' ', '-')}", round(start, 1), round(max(stop - start, 0.5), 1)))
    ends = ", ".join(f"{name.replace('_', ' ')} {last_of(columns[name]):.3g}" for name in known)
    return Thumbnail(bands, curves, f"Accuracies up to step {int(steps[-1]):,}; at the end, {ends}")


def last_of(values: np.ndarray) -> float:
    """Return the last finite value."""
    return float(values[np.isfinite(values)][-1])


def circle(run: Path) -> Circle | None:
    """Return the embedding of the last analyzed checkpoint in its widest circle; None if it was not analyzed."""
    try:
        found = read_analysis(run, "embedding_circles")
    except GrokinterpError:
        return None
    if found is None or "embedding_circle" not in found or not found.sizes["step"] or not found.sizes.get("key"):
        return None
    last = found["embedding_circle"].isel(step=-1).transpose("key", "exponent", "axis")
    values = last.values
    if not np.isfinite(values).all() or not np.abs(values).max() > 0:
        return None
    widest = int(np.square(values).mean(axis=(1, 2)).argmax())
    places = values[widest] / (np.abs(values[widest]).max() * 1.1)
    middle, n = SIDE / 2, len(places)
    points = [
        (round(middle + middle * float(x), 1), round(middle - middle * float(y), 1), i * SHADES // n)
        for i, (x, y) in enumerate(places)
    ]
    return Circle(points, f"Embedding of the tokens at key frequency {int(last['key'][widest])}")
