"""Figures and the slider's frames: from a dataset that was written to netCDF and read again, every axis labeled."""

import base64
import io

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.image import imread

from grokinterp import figures
from grokinterp.figures import style
from grokinterp.figures.landscape.ranks import dense
from grokinterp.figures.series import Line, draw_lines
from grokinterp.page.packing import COARSE
from grokinterp.phases import Event, History, Phase
from grokinterp.report.explorer import choose, frames
from grokinterp.report.panels import PANELS, pack_attention, separate
from grokinterp.report.plate import View
from grokinterp.report.vocabulary import Vocabulary, vocabulary_of
from grokinterp.runs.results import Results
from tests.support import report_data
from tests.support.report_data import KINDS
from tests.support.unpacked import unpack


def view(results: Results, history: History | None = None) -> View:
    """A run with the names of the vocabulary by default."""
    return View(results, history, Vocabulary())


def two(data: xr.Dataset) -> list[int]:
    steps = data["step"].values
    return sorted({int(steps[0]), int(steps[-1])}) if len(steps) else []


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    return Results.open(report_data.write_run(tmp_path_factory.mktemp("runs") / "planted"))


@pytest.fixture(scope="module")
def kinds(tmp_path_factory) -> dict[str, Results]:
    folder = tmp_path_factory.mktemp("kinds")
    return {kind: Results.open(report_data.write_kind(folder / f"{i}", kind)) for i, kind in enumerate(KINDS)}


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


def test_a_timeline_draws_the_metrics_its_run_has(kinds):
    def legends(kind: str) -> list[set]:
        results = kinds[kind]
        drawn = figures.timeline(results.metrics, results.dataset, results.history, loss="squared error [1]")
        assert drawn.axes[1].get_ylabel() == "squared error [1]"
        return [{text.get_text() for text in axes.get_legend().get_texts()} for axes in drawn.axes[1:]]

    loss, accuracy, *_ = legends("label noise")
    assert loss == {"train", "validation", "test"}
    assert accuracy == loss | {"mislabeled, as labeled", "mislabeled, true answer"}
    assert legends("group by MLP") == [{"train", "test"}, {"train", "test"}, {"all weights"}]


def test_a_pair_that_is_not_defined_is_empty(kinds):
    data = kinds["division"].dataset
    axes = figures.attention(data, [two(data)[1]]).axes[0]
    missing = np.ma.getmaskarray(axes.images[0].get_array())
    assert missing[0].all()  # b = 0
    assert not missing[1:].any()
    assert mpl.colors.to_hex(axes.get_facecolor()) == style.NOTHING


def test_the_circuits_of_heads_are_distinguished_from_matrices_with_a_dot():
    assert dense(["W_E", "layers.0.W_in", "QK.0", "OV.12"]) == ["W_E", "layers.0.W_in"]


def test_an_axis_of_less_than_a_decade_has_several_numbers():
    axes = Figure().add_subplot()
    values = xr.DataArray([0.69, 0.9, 1.2], dims="step", coords={"step": [0, 1, 2]})
    draw_lines(axes, [Line("x", values, "k")], log=True)
    low, high = axes.get_ylim()
    assert len([tick for tick in axes.get_yticks() if low <= tick <= high]) >= 3


def test_many_parameters_keep_readable_names(results):
    names = [f"blocks.{i}.a_long_name_of_a_module.W_in" for i in range(400)]
    values = xr.DataArray(np.zeros((25, 400)), dims=("step", "parameter"), coords={"parameter": names})
    data = xr.Dataset({"gradient_weight_cosine": values}, {"step": results.dataset["step"]})
    axes = figures.alignment_by_parameter(data).axes[0]
    shown = [text.get_text() for text in axes.get_yticklabels()]
    assert len(shown) == 40
    assert max(map(len, shown)) <= 24


def test_a_palette_changes_no_pixel(kinds):
    data = kinds["division"].dataset

    def pixels(*, palettes: bool) -> list[np.ndarray]:
        svg = figures.to_svg(figures.attention(data, two(data)), palettes=palettes)
        return [imread(io.BytesIO(base64.b64decode(part)), format="png") for part in style.EMBEDDED.findall(svg)]

    small, plain = pixels(palettes=True), pixels(palettes=False)
    assert len(small) == 6
    assert all(np.array_equal(a, b) for a, b in zip(small, plain, strict=True))


def test_what_is_not_positive_has_no_place_on_a_log_axis():
    axes = Figure().add_subplot()
    values = xr.DataArray([1.0, 0.0, 2.0], dims="step", coords={"step": [0, 1, 2]})
    draw_lines(axes, [Line("x", values, "k")], log=True)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [1.0, np.nan, 2.0])


@pytest.mark.parametrize(("n", "most"), [(1, 2), (2, 2), (5, 10), (5000, 90), (250, 118)])
def test_chosen_frames(n, most):
    steps = np.arange(n) * 10
    chosen = choose(steps, [n * 5], most)
    assert chosen == sorted(set(chosen))
    assert len(chosen) <= most
    assert chosen[0] == 0
    assert chosen[-1] == n - 1
    if n > 10 * most:
        gaps = np.diff(chosen)
        assert gaps[len(gaps) // 2] < gaps[0] / 2  # denser at the boundary


def test_frames_hold_what_was_measured(results):
    data, packed = results.dataset, frames(results.dataset, view(results, results.history))
    assert packed["steps"] == data["step"].values.tolist()
    assert packed["keys"] == list(report_data.KEYS)
    panels = packed["panels"]
    power = data["embedding_power"].values
    np.testing.assert_allclose(unpack(panels["embedding_power"]), power, atol=np.ptp(power) / 65000)
    f, g = np.moveaxis(unpack(panels["attention_to_a"]), 2, 0)
    again = 1 / (1 + np.exp(g[..., None, :] - f[..., :, None]))
    np.testing.assert_allclose(again, data["attention_to_a"].values, atol=1 / COARSE)
    reach = np.array(panels["logit_by_label"]["reach"])[:, None, None]
    logits = (2 * unpack(panels["logit_by_label"]) - 1) * reach
    assert (np.abs(logits - data["logit_by_label"].values) <= reach / COARSE * 1.15).all()


def test_attention_that_is_not_separable_is_packed_by_pixel(tmp_path):
    data = Results.open(report_data.write_run(tmp_path / "run", separable=False)).dataset
    packed = pack_attention(data)
    assert packed["type"] == "uint8"
    np.testing.assert_allclose(unpack(packed), data["attention_to_a"].values, atol=0.51 / COARSE)


def test_attention_with_nan_is_packed_by_pixel():
    assert separate(np.full((2, 3, 3), np.nan)) is None


def test_operands_without_a_pair_do_not_hinder_separation(kinds):
    data = kinds["division"].dataset
    packed = pack_attention(data)
    assert packed["separable"]
    f, g = np.moveaxis(unpack(packed), 2, 0)
    again = 1 / (1 + np.exp(g[..., None, :] - f[..., :, None]))
    np.testing.assert_allclose(again, data["attention_to_a"].values, atol=1 / COARSE)
    assert np.isnan(again[..., 0]).all()
    holes = data["attention_to_a"].values.copy()
    holes[..., 2, 3] = np.nan
    assert separate(holes) is None


def test_what_a_run_lacks_has_no_panel(kinds):
    panels = {kind: frames(results.dataset, view(results))["panels"].keys() for kind, results in kinds.items()}
    assert panels["group by MLP"] == {"logit_by_label"}
    assert panels["three operands"] == {"logit_by_label", "attention_mean"}
    assert panels["division"] == panels["label noise"] == {panel.name for panel in PANELS} - {"attention_mean"}


def test_the_axes_of_the_slider_have_the_words_of_the_run(kinds):
    squared, division = kinds["squared error"], kinds["division"]
    words = frames(squared.dataset, View(squared, None, vocabulary_of(squared)))["words"]
    assert (words["label"], words["a"], words["logit"]) == ("(a + b) mod p", "operand a", "mean centered logit [1]")
    words = frames(division.dataset, View(division, None, vocabulary_of(division)))["words"]
    assert (words["a"], words["class"]) == ("operand a, as exponent of 2", "class, as exponent of 2")
    assert frames(squared.dataset, view(squared))["words"]["label"] == "label"


def test_a_table_of_a_thousand_is_thinned_and_its_diagonal_stays():
    value = np.random.default_rng(0).normal(size=(2, 1000, 1000))
    value[:, range(1000), range(1000)] = 100.0
    coords = {"step": [0, 1], "label": np.arange(1000), "class": np.arange(1000), "head": [0, 1]}
    data = xr.Dataset({"logit_by_label": (("step", "label", "class"), value)}, coords | {"a": range(1000)})
    data["attention_to_a"] = (("step", "head", "a", "b"), value[:, None, :, :].repeat(2, 1) % 1)
    packed = frames(data, View(None, None, Vocabulary()))
    logits = unpack(packed["panels"]["logit_by_label"])
    assert packed["panels"]["logit_by_label"]["every"] == packed["panels"]["attention_to_a"]["every"] == 8
    np.testing.assert_array_equal(logits.argmax(-1), [range(125)] * 2)
    assert sum(len(panel["data"]) for panel in packed["panels"].values()) < 200_000
    image = figures.spectra(data, [0]).axes[0].images[0]
    np.testing.assert_array_equal(image.get_array(), value[0, ::8, ::8])
    assert tuple(image.get_extent()) == (-4, 996, -4, 996)
    assert len(figures.to_svg(figures.attention(data, [0, 1]))) < 200_000
