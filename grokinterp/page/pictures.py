"""Embed figures in a page as drawings with selectable text."""

from collections.abc import Iterable
from typing import NamedTuple

from markupsafe import Markup
from matplotlib.figure import Figure

from grokinterp.page.html import for_attribute
from grokinterp.page.inline import inline
from grokinterp.page.readings import readings

HALF = 6.0
"""Maximum width in inches of a small figure, of which several fit beside each other."""


class Picture(NamedTuple):
    """A figure as an element of a page, with its caption and alternative text.

    Attributes:
        svg: the ``<svg>`` element.
        readings: the values that the figure shows, as JSON; "" if it shows none that can be read.
        wide: whether the figure takes the full width of the page.
        width: in CSS pixels, above which the figure is not enlarged.
    """

    caption: str
    alt: str
    svg: Markup
    readings: str
    wide: bool
    width: int


class Gallery(NamedTuple):
    """The figures of a section, and a sentence about missing figures."""

    pictures: list[Picture]
    missing: str = ""


def picture(figure: Figure, caption: str, alt: str) -> Picture:
    """Return a figure as an element of the page; figures wider than HALF inches take the full width of the page."""
    inches = float(figure.get_figwidth())
    svg = inline(figure, alt)  # drawing fills in the labels of the ticks, which the readings name
    values = readings(figure)
    written = for_attribute(values) if values else ""
    return Picture(caption, alt, svg, written, inches > HALF, round(96 * inches))


def gallery(drawn: Iterable[tuple[Figure | None, str, str]], missing: str = "") -> Gallery:
    """Return the figures that exist as elements, each with its caption and alternative text."""
    shown = [picture(figure, caption, alt) for figure, caption, alt in drawn if figure is not None]
    return Gallery(shown, missing)
