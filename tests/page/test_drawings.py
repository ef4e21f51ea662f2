"""Figures inside a page: plain SVG with text, and the values that they show."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from grokinterp.figures.heatmaps import Heat, over_steps
from grokinterp.figures.series import Line, bars, curves
from grokinterp.page.inline import inline
from grokinterp.page.pictures import picture
from grokinterp.page.readings import readings

STEPS = np.array([0, 10, 20])


def values(*numbers: float) -> xr.DataArray:
    return xr.DataArray(list(numbers), dims="step", coords={"step": STEPS})


@pytest.fixture
def figure() -> Figure:
    lines = [Line("train", values(1.0, 0.5, 0.25), "#0173b2"), Line("test", values(2.0, np.nan, 1.0), "#de8f05")]
    found = curves("Loss", "loss [nats]", lines, ())
    assert found is not None
    return found


def test_a_drawing_is_plain_svg_with_text(figure):
    svg = inline(figure, 'Loss of "a" & <b>')
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == 'Loss of "a" & <b>'
    assert {"train", "test", "Loss", "optimizer step"} <= {text.text for text in root.iter("text")}
    names = {name for element in root.iter() for name in element.attrib}
    assert "style" not in names
    assert not any(name.startswith("on") for name in names)
    assert {"style", "script", "metadata"}.isdisjoint(element.tag for element in root.iter())


def test_every_reference_of_a_drawing_is_its_own(figure):
    svg = inline(figure, "Loss")
    ids = re.findall(r' id="([^"]+)"', svg)
    assert len(ids) == len(set(ids)) > 0
    assert set(re.findall(r"url\(#([^)]+)\)", svg)) | set(re.findall(r'href="#([^"]+)"', svg)) == set(ids)
    other = inline(curves("Norm", "norm [1]", [Line("all", values(3.0, 2.0, 1.0), "#0173b2")], ()), "Norm")
    assert set(ids).isdisjoint(re.findall(r' id="([^"]+)"', other))


def test_the_readings_of_curves_are_their_values_and_their_place(figure):
    (reading,) = readings(figure)
    assert reading["steps"]
    assert reading["curves"][0]["at"] == [0.0, 10.0, 20.0]
    assert reading["curves"][1] == {"label": "test", "color": "#de8f05", "values": [2.0, None, 1.0]}
    left, _, width, _ = reading["box"]
    axes = figure.axes[0]
    at, _ = axes.transData.transform((20, 0)) / figure.dpi * 72
    assert left + width == pytest.approx(at, abs=0.2)


def test_the_readings_of_a_heatmap_are_its_cells():
    data = xr.DataArray(
        [[1.0, 2.0, 3.0], [4.0, np.nan, 6.0]], dims=("head", "step"), coords={"head": ["0.0", "0.1"], "step": STEPS}
    )
    drawn = over_steps([Heat("Entropy", data, "entropy [nats]", norm=Normalize(0, 6))], "head")
    assert drawn is not None
    (reading,) = readings(drawn)  # and none of the color bar
    assert reading["cells"] == [[1.0, 2.0, 3.0], [4.0, None, 6.0]]
    assert reading["rows"] == ["0.0", "0.1"]
    assert reading["edges"] == [0.0, 5.0, 15.0, 20.0]


def test_the_readings_of_bars_are_named():
    drawn = bars("At the end", "loss [nats]", [("train", 0.5, "#0173b2"), ("test", 2.0, "#de8f05")])
    shown = picture(drawn, "Caption.", "At the end")
    assert not shown.wide
    (reading,) = readings(drawn)
    assert [(name, value) for name, value, _ in reading["bars"]] == [("train", 0.5), ("test", 2.0)]
