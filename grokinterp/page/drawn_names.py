"""Names and numbers of what a figure shows: ticks in words, entries of legends, and rounding."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axes._base import _AxesBase
from matplotlib.axis import Axis
from matplotlib.colors import to_hex, to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator
from matplotlib.typing import ColorType


def numbers(values: Iterable[float], digits: int = 6) -> list[float | None]:
    """Return numbers rounded to a few significant digits; None where they are not finite.

    >>> numbers([0.123456789, float("nan")])
    [0.123457, None]
    """
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values]


def tick_names(axis: Axis) -> dict[int, str]:
    """Return the names of the ticks by the whole number below them; empty if they only repeat their places."""
    if not isinstance(axis.get_major_locator(), FixedLocator):
        return {}
    ticks = [
        (float(at), one_line(text.get_text()))
        for at, text in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=False)
    ]
    if all(not name or is_number(name, at) for at, name in ticks):
        return {}
    return {math.floor(at + 1e-6): name for at, name in ticks}


def one_line(text: str) -> str:
    r"""Return the lines of a text in one line.

    >>> one_line("1\nk 8")
    '1, k 8'
    """
    return ", ".join(text.split("\n"))


def is_number(text: str, value: float) -> bool:
    """Return whether a text is this number.

    >>> is_number("−0.5", -0.5), is_number("0.1", 1.5), is_number("clock", 0.0)
    (True, False, False)
    """
    try:
        return math.isclose(float(text.replace("−", "-").replace("\u2009", "")), value, rel_tol=0.01)
    except ValueError:
        return False


def entries(axes: Axes | _AxesBase) -> Iterator[tuple[Artist | None, str]]:
    """Yield the entries of the legends of an axes and its figure."""
    figure = axes.get_figure(root=True)
    found = [axes.get_legend(), *(figure.legends if figure is not None else ())]
    for legend in found:
        if legend is not None:
            texts = (text.get_text() for text in legend.get_texts())
            yield from zip(legend.legend_handles, texts, strict=False)


def name_of_line(line: Line2D) -> str:
    """Return the label of a line or, without a label, that of the legend's entry with its look; "" if it has none."""
    label, axes = str(line.get_label()), line.axes
    if not label.startswith("_"):
        return label
    if axes is None or line.get_transform().contains_branch_seperately(axes.transData) != (True, True):
        return ""
    lines = [(_look(entry), text) for entry, text in entries(axes) if isinstance(entry, Line2D)]
    look = _look(line)
    found = [text for known, text in lines if known == look]
    of_color = [text for known, text in lines if known[0] == look[0]]
    return found[0] if found else of_color[0] if len(of_color) == 1 else ""


def name_of_color(axes: Axes, color: ColorType) -> str:
    """Return the legend's name of a color of a patch; "" if it has none."""
    patches = [(to_rgba(entry.get_facecolor()), text) for entry, text in entries(axes) if isinstance(entry, Patch)]
    wanted = to_rgba(color)
    found = [text for known, text in patches if np.allclose(known, wanted)]
    return next(iter([*found, *(text for known, text in patches if np.allclose(known[:3], wanted[:3]))]), "")


def _look(line: Line2D) -> tuple[str, str, bool]:
    """Return the color of a line, its marker, and whether it joins its points."""
    return to_hex(line.get_color()), str(line.get_marker()), line.get_linestyle() in ("None", "")
