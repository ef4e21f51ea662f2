"""Every figure and table of a report has its numbers in the page, and every axes its part of them."""

import json
from pathlib import Path

import pytest
from matplotlib.axes import Axes

from grokinterp.figures.style import COLOR_BAR
from grokinterp.page import pictures
from grokinterp.page.readings import readings
from grokinterp.report import render
from grokinterp.runs.results import Results
from tests.support.blank_figures import blank_figures
from tests.support.report_data import write_kind, write_run
from tests.support.report_page import Page


def unread(run: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Page, list[str]]:
    """The page of a run, and the axes of its figures that show something without a reading."""
    missing: list[str] = []

    def seen(figure):
        found = readings(figure)
        boxes = {tuple(one["box"][:2]) for one in found}
        missing.extend(axes.get_title(loc="left") for axes in figure.axes if shows(axes) and corner(axes) not in boxes)
        return found

    monkeypatch.setattr(pictures, "readings", seen)
    with blank_figures():
        return Page(render(Results.open(run))), missing


def shows(axes: Axes) -> bool:
    return bool(axes.axison and axes.get_label() != COLOR_BAR and axes.has_data())


def corner(axes: Axes) -> tuple[float, float]:
    figure, place = axes.get_figure(root=True), axes.get_position()
    assert figure is not None
    width, height = figure.get_size_inches() * 72
    return round(float(place.x0 * width), 1), round(float((1 - place.y1) * height), 1)


@pytest.mark.parametrize("kind", ["deep", "group by MLP"])
def test_every_figure_and_table_has_its_numbers(kind, tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", deep=True) if kind == "deep" else write_kind(tmp_path / "run", kind)
    page, missing = unread(run, monkeypatch)
    assert missing == []
    frames = json.loads(next(text for tag, text in page.inside if tag == "script"))
    panels = [svg["data-panel"] for svg in page.all("svg") if "data-panel" in svg]
    assert set(panels) == frames["panels"].keys()
    assert any(svg.get("id") == "lead" for svg in page.all("svg"))
    assert all(panel["curves"] for panel in frames["lead"]["panels"])
    drawn = [figure for figure in page.all("figure") if "live" not in str(figure["class"]).split()]
    without = [figure for figure in drawn if not figure.get("data-readings")]
    assert len(without) == 1  # the lead figure for readers without a script
    assert all(one["x"] or one["y"] for figure in drawn for one in json.loads(figure.get("data-readings") or "[]"))
    cells = [float(str(cell["data-value"])) for cell in page.all("td") if "data-value" in cell]
    assert len(cells) > 20
    assert any(len(repr(value)) > 12 for value in cells)
