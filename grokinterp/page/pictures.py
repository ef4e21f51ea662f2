"""Embed figures in a page as images."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from matplotlib.figure import Figure

from grokinterp import figures

ESCAPED = re.compile(rb"[^ !$()*+,\-./:;=?@\[\]^_`{|}~0-9A-Za-z]")
"""Bytes that need an escape in a data URL inside double quotes; the URL is a third smaller than base64."""

ESCAPES = [b"%%%02X" % byte for byte in range(256)]

HALF = 6.0
"""Maximum width in inches of a figure that takes half the width of the page."""


class Picture(NamedTuple):
    """An SVG image with its caption and alternative text; ``source`` is a data URL.

    Attributes:
        wide: whether the image takes the full width of the page.
        width, height: in CSS pixels, so that the page keeps its layout while it loads.
    """

    caption: str
    alt: str
    source: str
    wide: bool
    width: int
    height: int


class Gallery(NamedTuple):
    """The images of a section, and a sentence about missing figures."""

    pictures: list[Picture]
    missing: str = ""


def picture(figure: Figure, caption: str, alt: str) -> Picture:
    """Return a figure as an image; figures wider than HALF inches take the full width of the page."""
    inches = figure.get_size_inches()
    width, height = (round(96 * length) for length in inches)
    svg = " ".join(figures.to_svg(figure).decode("utf-8").split()).encode("utf-8")
    source = f"data:image/svg+xml,{ESCAPED.sub(_escape, svg).decode('ascii')}"
    return Picture(caption, alt, source, bool(inches[0] > HALF), width, height)


def _escape(found: re.Match[bytes]) -> bytes:
    return ESCAPES[found[0][0]]


def gallery(drawn: Iterable[tuple[Figure | None, str, str]], missing: str = "") -> Gallery:
    """Return the figures that exist as images, each with its caption and alternative text."""
    shown = [picture(figure, caption, alt) for figure, caption, alt in drawn if figure is not None]
    return Gallery(shown, missing)
