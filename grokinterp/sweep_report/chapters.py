"""The chapters of a sweep's page, in page order."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from grokinterp.page.pictures import Gallery
from grokinterp.sweep_report import boundary, course, networks, speed, weights
from grokinterp.sweep_report.plate import Plate, Table, gallery
from grokinterp.sweep_report.study import Study


class Chapter(NamedTuple):
    """A chapter of the page.

    Attributes:
        name: the name of its file.
        title: its heading.
        plates: its figures.
        table: returns a table to show above its figures, if any.
        findings: returns sentences with numbers for the first screen, the most important first.
        doubts: returns sentences about what may mislead, for the first screen.
    """

    name: str
    title: str
    plates: tuple[Plate, ...]
    table: Callable[[Study], Table | None] = lambda _: None
    findings: Callable[[Study], Iterable[str]] = lambda _: ()
    doubts: Callable[[Study], Iterable[str]] = lambda _: ()


class Section(NamedTuple):
    """A chapter as plain values for the template."""

    name: str
    title: str
    table: Table | None
    gallery: Gallery


CHAPTERS = (
    Chapter("boundary", "Boundary", boundary.PLATES, boundary.table, boundary.findings, boundary.doubts),
    Chapter("speed", "Time to grok", speed.PLATES, speed.table, speed.findings, speed.doubts),
    Chapter("course", "Course of training", course.PLATES),
    Chapter("weights", "Weights", weights.PLATES),
    Chapter("networks", "Networks", networks.PLATES, networks.table, networks.findings),
)


def sections(chapters: Iterable[Chapter], study: Study) -> list[Section]:
    """Return the chapters of a study with its figures, and the reasons for those that are absent."""
    return [Section(one.name, one.title, one.table(study), gallery(one.plates, study)) for one in chapters]
