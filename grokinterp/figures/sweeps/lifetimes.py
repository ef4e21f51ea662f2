"""Survival curves of the grok step: the share of runs that have not grokked, for every value of a setting."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Affine2D

from grokinterp.figures.series import STEP, step_ticks
from grokinterp.figures.style import QUIET, styled
from grokinterp.figures.survival import DASHES
from grokinterp.figures.sweeps.panels import label, panels, share_axis, threshold_line
from grokinterp.figures.sweeps.scale import shades

SPREAD = 0.05
"""Range of the shifts that keep coinciding curves apart."""


class Survival(NamedTuple):
    """A Kaplan-Meier curve of one value of the setting: times, shares, and the times of censored runs."""

    place: int
    times: np.ndarray
    share: np.ndarray
    censored: np.ndarray


@styled()
def survival_by_setting(series: Sequence[tuple[str, Sequence[Survival]]], x: Sequence[str], name: str) -> Figure:
    """Draw the curves of every series in a panel, dark to bright by the value of the setting.

    Args:
        series: for every series, its name and its curves.
        x: the texts of the values of the setting.
        name: the name of the setting.
    """
    colors = shades(len(x))
    used = sorted({curve.place for _, curves in series for curve in curves})
    legend = [
        Line2D([], [], color=colors[i], linestyle=DASHES[i % len(DASHES)], label=f"{name} {x[i]}" if name else x[i])
        for i in used
    ]
    legend.append(Line2D([], [], linestyle="", marker="x", color=QUIET, markersize=5, label="run that has not grokked"))
    figure, axes, _ = panels(len(series), legend=legend)
    last = max((float(curve.times.max(initial=1)) for _, curves in series for curve in curves), default=1.0)
    for one, (title, curves) in zip(axes, series, strict=True):
        for curve in curves:
            shift = SPREAD * (curve.place / max(len(x) - 1, 1) - 0.5)
            times, share = np.append(0.0, curve.times), np.append(1.0, curve.share)
            moved = Affine2D().translate(0, shift) + one.transData  # the values of the curve stay those of the data
            style = {"color": colors[curve.place], "linewidth": 1.4, "transform": moved}
            one.step(times, share, where="post", linestyle=DASHES[curve.place % len(DASHES)], **style)  # ty: ignore
            if curve.censored.size:
                at = share[np.searchsorted(times, curve.censored, side="right") - 1]
                one.plot(curve.censored, at, "x", color=colors[curve.place], markersize=4.5, transform=moved)
        threshold_line(one, 0.5)
        share_axis(one)
        one.set_xlim(0, last * 1.03)
        step_ticks(one, most=4)
        one.set(title=title, xlabel=STEP)
    label(axes, "share not grokked [1]")
    return figure
