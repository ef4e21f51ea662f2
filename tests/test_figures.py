"""Figures: drawn from a dataset that was written to netCDF and read again, every axis labelled, bytes repeatable."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokinterp import figures
from grokinterp.figures.series import draw_lines
from grokinterp.phases import Event, History, Phase
from grokinterp.results import Results
from tests import report_data

Draw = Callable[[Results, xr.Dataset], Figure | None]
DRAWN: dict[str, Draw] = {
    "timeline": lambda results, data: figures.timeline(results.metrics, data, results.history),
    "spectra": lambda results, data: figures.spectra(data, two(data)),
    "attention": lambda results, data: figures.attention(data, two(data)),
    "circles": lambda results, data: figures.circles(data, two(data)),
    "softmax_collapse": lambda results, data: figures.softmax_collapse(data, results.history.phases),
    "logit_magnitude": lambda results, data: figures.logit_magnitude(data, results.history.phases),
    "logit_margin": lambda results, data: figures.logit_margin(data),
    "class_cosine": lambda results, data: figures.class_cosine(data),
    "alignment": lambda results, data: figures.alignment(data),
    "effective_rank": lambda results, data: figures.effective_rank(data),
    "alignment_by_parameter": lambda results, data: figures.alignment_by_parameter(data),
    "singular_values": lambda results, data: figures.singular_values(data, two(data)),
}


def two(data: xr.Dataset) -> list[int]:
    steps = data["step"].values
    return sorted({int(steps[0]), int(steps[-1])}) if len(steps) else []


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    return Results.open(report_data.write_run(tmp_path_factory.mktemp("runs") / "planted"))


def no_steps(results: Results) -> xr.Dataset:
    return results.dataset.isel(step=slice(0, 0))


def plots(figure: Figure) -> list:
    return [axes for axes in figure.axes if axes.axison]


def labelled(figure: Figure, axes: Axes, side: str) -> bool:
    """Whether the axis says what it shows, or shares the label of one in its column (x) or row (y)."""
    edge = 0 if side == "x" else 1
    peers = [
        other for other in plots(figure) if abs(other.get_position().p0[edge] - axes.get_position().p0[edge]) < 1e-6
    ]
    return any(getattr(other, f"get_{side}label")() for other in peers)


def is_color_bar(axes: Axes) -> bool:
    return hasattr(axes, "_colorbar")


@pytest.mark.parametrize("name", DRAWN)
def test_every_axis_is_labelled(name, results):
    figure = DRAWN[name](results, results.dataset)
    figure.draw_without_rendering()
    for axes in plots(figure):
        assert is_color_bar(axes) or labelled(figure, axes, "x"), axes.get_title(loc="left")
        assert labelled(figure, axes, "y") or is_color_bar(axes), axes.get_title(loc="left")
    bars = [axes for axes in plots(figure) if is_color_bar(axes)]
    assert all("[" in axes.get_ylabel() for axes in bars)


@pytest.mark.parametrize("name", DRAWN)
def test_nothing_leaves_the_figure(name, results):
    figure = DRAWN[name](results, results.dataset)
    figure.draw_without_rendering()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert drawn.x0 > -0.01
    assert drawn.y0 > -0.01
    assert drawn.x1 < width + 0.01
    assert drawn.y1 < height + 0.01


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_data_give_the_same_bytes(name, results):
    once, again = (figures.to_svg(DRAWN[name](results, results.dataset)) for _ in range(2))
    assert once == again
    assert b"<dc:date>" not in once
    ElementTree.fromstring(once)


@pytest.mark.parametrize("name", DRAWN)
def test_nothing_is_drawn_from_nothing(name, results):
    empty = xr.Dataset(coords={"step": np.array([], dtype=np.int64)})
    assert DRAWN[name](results, empty) is None or name == "timeline"


@pytest.mark.parametrize("name", ["timeline", *list(DRAWN)[4:11]])
def test_one_checkpoint_and_values_that_are_not_finite(name, results):
    one = results.dataset.isel(step=[-1])
    nan = results.dataset.map(lambda values: values.where(False) if values.dtype.kind == "f" else values)
    assert figures.to_svg(DRAWN[name](results, one))
    figure = DRAWN[name](results, nan)
    assert figure is None or figures.to_svg(figure)


@pytest.mark.parametrize("name", ["spectra", "attention", "circles"])
def test_steps_with_nan_are_drawn(name, results):
    nan = results.dataset.map(lambda values: values.where(False) if values.dtype.kind == "f" else values)
    assert figures.to_svg(DRAWN[name](results, nan))


def test_the_timeline_names_its_phases_and_marks_events(results):
    history = History(
        phases=(Phase("memorization", 0, 100), Phase("circuit formation", 100, 3001)),
        events=(Event("loss spike", 500, "up"),), verdict="grokked", memorized_step=100, generalized_step=None,
        grok_step=None, sentence="",
    )  # fmt: skip
    figure = figures.timeline(results.metrics, results.dataset, history)
    assert [text.get_text() for text in figure.axes[0].texts] == ["memorization", "circuit formation"]
    assert figure.axes[1].get_title(loc="left") == "Loss"
    assert figure.axes[1].get_yscale() == "log"
    assert any(list(line.get_xdata()) == [500, 500] for line in figure.axes[1].lines)


def test_names_of_short_phases_do_not_overlap(results):
    names = ("memorization", "circuit formation", "cleanup", "generalization")
    bounds = (0, 20, 40, 60, 3001)
    phases = tuple(Phase(*phase) for phase in zip(names, bounds[:-1], bounds[1:], strict=True))
    history = History(phases, (), "grokked", 20, 60, 60, "")
    figure = figures.timeline(results.metrics, results.dataset, history)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_planted_values_are_what_is_drawn(results):
    data = results.dataset
    figure = figures.spectra(data, [two(data)[1]])
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    np.testing.assert_allclose(heights, data["embedding_power"].isel(step=-1).values)
    colors = [bar.get_facecolor() for bar in figure.axes[0].patches]
    assert [k + 1 for k, color in enumerate(colors) if color != colors[0]] == list(report_data.KEYS)
    image = figures.attention(data, [two(data)[1]]).axes[0].images[0]
    np.testing.assert_allclose(image.get_array(), data["attention_to_a"].isel(step=-1, head=0).values.T)


def test_what_is_not_positive_has_no_place_on_a_log_axis():
    from grokinterp.figures.series import Line

    axes = Figure().add_subplot()
    values = xr.DataArray([1.0, 0.0, 2.0], dims="step", coords={"step": [0, 1, 2]})
    draw_lines(axes, [Line("x", values, "k")], log=True)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [1.0, np.nan, 2.0])


def test_no_setting_of_matplotlib_changes(results):
    before = dict(mpl.rcParams)
    figures.to_svg(figures.softmax_collapse(results.dataset))
    assert dict(mpl.rcParams) == before


def test_no_figure_is_left_with_pyplot(results):
    from matplotlib import pyplot

    for draw in DRAWN.values():
        draw(results, results.dataset)
    assert pyplot.get_fignums() == []
