"""Plates: the figures of a page, each with its analyses, title, and caption."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import xarray as xr
from matplotlib.figure import Figure

from grokinterp.numbers import listed, whole
from grokinterp.page.pictures import Picture, picture
from grokinterp.phases import History, Phase
from grokinterp.report.vocabulary import Vocabulary, by_exponent, order_note
from grokinterp.runs.results import Results


class View(NamedTuple):
    """A run as its page shows it.

    Attributes:
        results: metrics and analyses.
        history: phases and events; None if the run has no curves.
        vocabulary: the names of examples, labels, and units.
        steps: the checkpoints shown by plates of single checkpoints.
    """

    results: Results
    history: History | None
    vocabulary: Vocabulary
    steps: Sequence[int] = ()

    @property
    def phases(self) -> Sequence[Phase]:
        """The phases of the run; none without a history."""
        return self.history.phases if self.history else ()


Draw = Callable[[xr.Dataset, View], Figure | None]
Caption = Callable[[xr.Dataset, View], str]


@dataclass(frozen=True)
class Plate:
    """One figure of a page.

    Args:
        draw: returns the figure, given the results of ``analyses`` if there are any; None if there is nothing to draw.
        analyses: names of the analyses, merged over their common steps.
        title: names the figure for readers who do not see it.
        caption: a text, or a function that returns it. The text may contain the names of a Vocabulary in braces, and
            ``{step}`` for the last step.
        of_some: whether its analyses are of some tasks only, so that a page of another task does not mention them.
    """

    draw: Draw
    analyses: tuple[str, ...]
    title: str
    caption: str | Caption
    of_some: bool = False

    def data(self, view: View) -> xr.Dataset:
        """Return the results of the analyses over their common steps."""
        return by_exponent(view.results.joined(*self.analyses), view.vocabulary)

    def text(self, data: xr.Dataset, view: View) -> str:
        """Return the caption, with a note on the measured checkpoints unless all were measured."""
        if isinstance(self.caption, str):
            last = whole(int(data["step"].values[-1])) if data.sizes.get("step") else ""
            text = self.caption.format(step=last, **view.vocabulary._asdict())
        else:
            text = self.caption(data, view)
        return f"{text}{order_note(data, view.vocabulary)}{measured_at(self.analyses, view.results)}"

    def picture(self, view: View) -> Picture | None:
        """Return the figure as an image with its caption; None if there is nothing to draw."""
        data = self.data(view)
        figure = self.draw(data, view) if data or not self.analyses else None
        return picture(figure, self.text(data, view), self.title) if figure is not None else None


class Table(NamedTuple):
    """Rows under named columns, with a caption."""

    caption: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def pictures(plates: Iterable[Plate], view: View) -> list[Picture]:
    """Return the images of the plates that have something to draw."""
    return [found for plate in plates if (found := plate.picture(view)) is not None]


def not_shown(analyses: Iterable[str], view: View) -> str:
    """Return a sentence on the analyses without results, grouped by reason; "" if all have results."""
    reasons: dict[str, list[str]] = {}
    for name in dict.fromkeys(analyses):
        if name not in view.results.analyses:
            why = view.results.not_defined.get(name, "not analyzed")
            reasons.setdefault(why, []).append(name.replace("_", " "))
    parts = [f"{listed(names)} ({why})" for why, names in reasons.items()]
    return f"Not shown: {'; '.join(parts)}." if parts else ""


def measured_at(analyses: Iterable[str], results: Results) -> str:
    """Return a sentence on the checkpoints on which some analyses were run; "" if they were run on all."""
    found = [results.analyses[name] for name in analyses if name in results.analyses]
    marks = dict.fromkeys(str(part.attrs["thinned"]) for part in found if "thinned" in part.attrs)
    return f" Measured at {listed(marks)}." if marks else ""
