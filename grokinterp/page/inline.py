"""Turn a figure into an SVG element of the page: text stays text, and no attribute needs a style policy."""

import re
import zlib
from collections.abc import Iterable
from xml.etree import ElementTree

from markupsafe import Markup, escape
from matplotlib.figure import Figure

from grokinterp import figures

REFERENCE = re.compile(r"(?:url\()?#([\w-]+)\)?")
"""Matches a reference to an element of the same image."""

UNUSED = {"font-family", "stroke-linecap", "stroke-linejoin"}
"""Properties that the style sheet of the page sets, or that have no effect."""

Element = ElementTree.Element


def inline(figure: Figure, alt: str) -> Markup:
    """Return a figure as an ``<svg>`` element that is scaled to its place, with selectable text.

    Styles become presentation attributes, because the policy of a page allows no ``style`` attribute, and the style
    sheet of the page can replace the colors of text, axes, and phases in dark mode. Identifiers are unique per figure.

    Args:
        figure: the figure.
        alt: the text for readers who do not see it.
    """
    svg = figures.to_svg(figure, outlines=False)
    root = ElementTree.fromstring(svg)
    prefix = f"s{zlib.crc32(svg):x}-"
    names = {name: f"{prefix}{i}" for i, name in enumerate(sorted(_referenced(root)))}
    box = escape(root.get("viewBox", "0 0 1 1"))
    inside = "".join(_written(child, names) for child in root)
    return Markup(f'<svg class="drawn" viewBox="{box}" role="img" aria-label="{escape(alt)}">{inside}</svg>')


def _referenced(root: Element) -> set[str]:
    """Return the identifiers to which some element of the image refers."""
    values = (value for element in root.iter() for value in element.attrib.values() if "#" in value)
    return {found[1] for value in values for found in REFERENCE.finditer(value)}


def _written(element: Element, names: dict[str, str]) -> str:
    """Return an element as HTML: without empty groups, global styles, and metadata."""
    tag = _local(element.tag)
    if tag in ("style", "metadata"):
        return ""
    inside = "".join(_written(child, names) for child in element)
    attributes = "".join(f' {key}="{escape(value)}"' for key, value in _attributes(element, names))
    text = "" if element.text is None or not element.text.strip() else escape(element.text)
    if tag == "tspan" and element.text == " ":
        text = Markup(" ")
    if tag in ("g", "defs") and not inside:
        return ""
    if tag == "g" and not attributes:
        return inside
    return f"<{tag}{attributes}>{text}{inside}</{tag}>" if text or inside else f"<{tag}{attributes}/>"


def _attributes(element: Element, names: dict[str, str]) -> Iterable[tuple[str, str]]:
    """Yield the attributes of an element, and its styles as attributes."""
    for key, value in element.attrib.items():
        name = _local(key)
        if name == "id":
            if value in names:
                yield "id", names[value]
        elif name == "style":
            yield from _styles(value)
        elif name == "transform":
            if not value.startswith("rotate(-0 "):
                yield name, value
        elif name not in UNUSED:
            yield name, REFERENCE.sub(lambda found: found[0].replace(found[1], names.get(found[1], found[1])), value)


def _styles(text: str) -> Iterable[tuple[str, str]]:
    for declaration in text.split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name and name not in UNUSED:
            yield name, value


def _local(name: str) -> str:
    """Return a name without its namespace."""
    return name.rpartition("}")[2]
