"""The final weight norm over a setting, for every run."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from grokinterp.figures.heatmaps import WIDE
from grokinterp.figures.series import log_axis
from grokinterp.figures.style import QUIET, blank, place, styled
from grokinterp.figures.sweeps.scale import Scale, look


class Norms(NamedTuple):
    """The norms of the runs of a series at their values of the setting, and which of them grokked."""

    name: str
    at: np.ndarray
    norm: np.ndarray
    grokked: np.ndarray


@styled()
def final_norms(series: Sequence[Norms], x: Scale) -> Figure:
    """Draw the sum of squared weights at the end of every run, filled if the run grokked, and the medians."""
    height = max(2.6, 0.21 * (len(series) + 2))
    figure = blank(WIDE, height + 0.95)
    width = 6.2 if len(series) > 1 or series[0].name else 7.6
    axes = place(figure, 0.75, 0.3, width, height)
    for i, of in enumerate(series):
        style = look(i, len(series))
        places = np.unique(of.at)
        medians = [np.median(of.norm[of.at == value]) for value in places]
        axes.plot(places, medians, color=style["color"], linewidth=1.2)
        for grokked in (True, False):
            at = of.grokked == grokked
            face = style["color"] if grokked else "none"
            axes.plot(
                of.at[at], of.norm[at], style["marker"], color=style["color"], markerfacecolor=face, markersize=4.5
            )
    log_axis(axes)
    x.draw(axes, inches=width)
    axes.set(title="Weight norm at the end", ylabel="Σθ² [1]")
    handles = [Line2D([], [], label=of.name, **look(i, len(series))) for i, of in enumerate(series) if of.name]  # ty: ignore[invalid-argument-type]
    handles += [
        Line2D([], [], linestyle="", marker="o", color=QUIET, label="grokked"),
        Line2D([], [], linestyle="", marker="o", color=QUIET, markerfacecolor="none", label="did not grok"),
    ]
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), borderaxespad=0.0, labelspacing=0.35)
    return figure
