"""The chapters of a report, in page order."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from grokinterp.page.pictures import Gallery
from grokinterp.report import circuit, groups, health, inside, landscape, structure
from grokinterp.report.plate import Plate, Table, View, not_shown, pictures


class Chapter(NamedTuple):
    """A chapter of the report; analyses and figures are divided in the same way.

    Attributes:
        name: the name of its files.
        title: its heading.
        plates: its figures.
        checkpoint_plates: figures of single checkpoints, shown in every phase or, without phases, in the chapter.
        lead: returns its first sentences.
        table: returns a table to show above its figures, if any.
    """

    name: str
    title: str
    plates: tuple[Plate, ...]
    checkpoint_plates: tuple[Plate, ...] = ()
    lead: Callable[[View], str] = lambda _: ""
    table: Callable[[View], Table | None] = lambda _: None


class Section(NamedTuple):
    """A chapter as plain values for the template."""

    name: str
    title: str
    lead: str
    table: Table | None
    gallery: Gallery


CHAPTERS = (
    Chapter("structure", "Structure", structure.PLATES, structure.CHECKPOINT_PLATES, table=structure.order_table),
    Chapter("groups", "Groups", groups.PLATES),
    Chapter("circuit", "Circuit", circuit.PLATES, lead=circuit.lead),
    Chapter("inside", "Inside the network", inside.PLATES, lead=lambda _: inside.LEAD),
    Chapter("landscape", "Loss landscape", landscape.PLATES),
    Chapter("health", "Numerical health", health.PLATES),
)


def sections(chapters: Iterable[Chapter], view: View) -> list[Section]:
    """Return the chapters with at least one figure."""
    found = []
    for chapter in chapters:
        both = (*chapter.checkpoint_plates, *chapter.plates)
        if shown := pictures(chapter.plates if view.phases else both, view):
            missing = not_shown([name for plate in both if not plate.of_some for name in plate.analyses], view)
            gallery = Gallery(shown, missing)
            found.append(Section(chapter.name, chapter.title, chapter.lead(view), chapter.table(view), gallery))
    return found
