"""The horizontal axis of the figures of a sweep: a setting with few values."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.ticker import NullFormatter, NullLocator
from seaborn import color_palette

from grokinterp.figures.style import BLUE, BROWN, GREEN, INK, ORANGE, PINK, PURPLE, RED, SEQUENTIAL

COLORS = (BLUE, ORANGE, GREEN, PURPLE, BROWN, PINK, RED, INK)
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
"""Few series differ in color and in marker, many in shade."""

CHARACTER = 0.075
"""Width of a letter of a tick label in inches."""


class Scale(NamedTuple):
    """A setting: its name, its values, their texts, and whether the axis is logarithmic."""

    name: str
    values: np.ndarray
    texts: list[str]
    log: bool = False

    def between(self, first: float, last: float, count: int = 200) -> np.ndarray:
        """Return values that are evenly spaced on the axis between two of its values, for fitted curves.

        >>> Scale("p", np.array([1, 2, 4, 8]), ["1", "2", "4", "8"], log=True).between(1.0, 4.0, 3).round(6).tolist()
        [1.0, 2.0, 4.0]
        """
        return np.geomspace(first, last, count) if self.log else np.linspace(first, last, count)

    def draw(self, axes: Axes, *, inches: float) -> None:
        """Set limits, ticks at the values, and the label of the horizontal axis; values without room have no text."""
        if self.log:
            axes.set_xscale("log")
            margin = (self.values.max() / self.values.min()) ** 0.06
            low, high = self.values.min() / margin, self.values.max() * margin
        else:
            margin = 0.06 * float(np.ptp(self.values)) or 0.5
            low, high = self.values.min() - margin, self.values.max() + margin
        axes.set_xlim(low, high)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(self.values, self.readable(low, high, inches))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(f"{self.name} [1]")

    def readable(self, low: float, high: float, inches: float) -> list[str]:
        """Return the texts of the ticks, empty where one would overlap the text before it.

        >>> Scale("p", np.array([10, 11, 50]), ["10", "11", "50"]).readable(10.0, 50.0, 4.0)
        ['10', '', '50']
        """
        ends = np.array([low, high, *self.values], dtype=float)
        first, last, *places = np.log(ends) if self.log else ends
        texts, free_from = [], -np.inf
        for place, text in zip(places, self.texts, strict=True):
            at, half = (place - first) / (last - first) * inches, CHARACTER * (len(text) + 1) / 2
            texts.append(text if at - half >= free_from else "")
            free_from = at + half if texts[-1] else free_from
        return texts


def shades(count: int) -> list[str]:
    """Return colors from dark to bright for values in order; the brightest is still visible on white."""
    return [to_hex(color) for color in color_palette(SEQUENTIAL, count + 1)[:count]]


def look(series: int, count: int) -> dict[str, str]:
    """Return the color and the marker of one of several series; no two series have the same color.

    >>> len({look(i, 12)["color"] for i in range(12)})
    12
    """
    colors = COLORS if count <= len(COLORS) else shades(count)
    return {"color": colors[series], "marker": MARKERS[series % len(MARKERS)]}
