"""Figures as images that travel inside a page."""

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote

from matplotlib.figure import Figure

from grokinterp import figures

READABLE = " !$()*+,-./:;=?@[]^_`{|}~"
"""What stays as it is in a data URL inside a double-quoted attribute; a third smaller than base64."""


class Picture(NamedTuple):
    """An SVG image with its caption and the text that stands for it; ``source`` is a data URL.

    Attributes:
        wide: takes the whole width of the page.
        width, height: in CSS pixels, so that nothing moves while the page loads.
    """

    caption: str
    alt: str
    source: str
    wide: bool
    width: int
    height: int


class Gallery(NamedTuple):
    """The images of a section, and one sentence on those that are not there."""

    pictures: list[Picture]
    missing: str = ""


def picture(figure: Figure, caption: str, alt: str, *, wide: bool = True) -> Picture:
    """A figure as an image."""
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    svg = " ".join(figures.to_svg(figure).decode("utf-8").split())
    source = f"data:image/svg+xml,{quote(svg, safe=READABLE)}"
    return Picture(caption, alt, source, wide, width, height)


def gallery(drawn: Iterable[tuple[Figure | None, str, str]], missing: str = "", *, wide: bool = True) -> Gallery:
    """Those figures that there are, each with caption and text."""
    shown = [picture(figure, caption, alt, wide=wide) for figure, caption, alt in drawn if figure is not None]
    return Gallery(shown, missing)
