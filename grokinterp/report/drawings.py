"""What the sections of a report are made of: figures with captions, taken from analyses."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import xarray as xr
from matplotlib.figure import Figure

from grokinterp.numbers import whole
from grokinterp.page.pictures import Gallery, picture
from grokinterp.report.absence import Part, not_shown
from grokinterp.report.pictures import at_few
from grokinterp.runs.results import Results, merged

HALF = 6.0
"""Inches below which a figure takes half of the page."""


class Table(NamedTuple):
    """Rows under named columns, with a caption."""

    caption: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


class Section(NamedTuple):
    """A part of the page with figures: its place, its heading, what it says first, and a table, if any."""

    name: str
    title: str
    lead: str
    gallery: Gallery
    table: Table | None = None


class Drawing(NamedTuple):
    """A figure, what it shows, and the analyses that it is drawn from."""

    figure: Figure | None
    caption: str
    analyses: tuple[str, ...]


def dataset(results: Results, *names: str) -> xr.Dataset:
    """Some analyses over the steps that they have in common; empty without any."""
    found = {name: part for name in names if (part := results.analyses.get(name)) is not None}
    return merged(found)


def gallery(results: Results, drawn: Iterable[Drawing], parts: Iterable[Part]) -> Gallery:
    """The figures that there are, with captions that say at how many checkpoints they were measured."""
    shown = []
    for figure, caption, names in drawn:
        if figure is not None:
            text, wide = f"{caption}{at_few(results, *names)}", float(figure.get_figwidth()) > HALF
            shown.append(picture(figure, text, text, wide=wide))
    return Gallery(shown, not_shown(parts, results))


def last_step(of: xr.Dataset) -> str:
    """Which checkpoint is shown where it is the last."""
    return f", at step {whole(int(of['step'].values[-1]))}" if of.sizes.get("step") else ""
