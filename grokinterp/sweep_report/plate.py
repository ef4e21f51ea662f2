"""Plates: the figures of a sweep's page, each with its title and caption, or the reason why it is absent."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from matplotlib.figure import Figure

from grokinterp.numbers import listed
from grokinterp.page.pictures import Gallery, Picture, picture
from grokinterp.sweep_report.study import Study


class Absent(NamedTuple):
    """The reason why a figure cannot be drawn, as the end of a sentence: "no run grokked"."""

    why: str


Drawn = Figure | Absent


@dataclass(frozen=True)
class Plate:
    """One figure of a page.

    Args:
        title: names the figure for readers who do not see it, and where it is absent.
        draw: returns the figure of a study, or the reason why there is none.
        caption: a text, or a function that returns it.
    """

    title: str
    draw: Callable[[Study], Drawn]
    caption: str | Callable[[Study], str]

    def text(self, study: Study) -> str:
        """Return the caption."""
        return self.caption if isinstance(self.caption, str) else self.caption(study)

    def picture(self, study: Study) -> Picture | Absent:
        """Return the figure as an image with its caption, or the reason why it is absent."""
        drawn = self.draw(study)
        if isinstance(drawn, Absent):
            return drawn
        return picture(drawn, self.text(study), f"{self.title}. {self.text(study)}")


class Table(NamedTuple):
    """Rows under named columns, with a caption; the first cell of a row is its heading."""

    caption: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def gallery(plates: Iterable[Plate], study: Study) -> Gallery:
    """Return the figures of a study, and a sentence about those that are absent, with the reasons."""
    shown: list[Picture] = []
    absent: dict[str, list[str]] = {}
    for plate in plates:
        found = plate.picture(study)
        if isinstance(found, Absent):
            absent.setdefault(found.why, []).append(f"{plate.title[:1].lower()}{plate.title[1:]}")
        else:
            shown.append(found)
    reasons = [f"{listed(titles)} ({why})" for why, titles in absent.items()]
    return Gallery(shown, f"Not shown: {'; '.join(reasons)}." if reasons else "")
