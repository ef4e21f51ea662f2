"""The values of a figure: complete for every kind of drawing, with the names that the figure shows."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from grokinterp.figures.heatmaps import heatmap
from grokinterp.figures.landscape.learning_coefficient import learning_coefficient
from grokinterp.figures.landscape.weights import gradient_shares
from grokinterp.figures.structure.attention import attention
from grokinterp.figures.structure.order import learning_order
from grokinterp.figures.structure.pairs import prediction_field
from grokinterp.numbers import change, number, percent, whole
from grokinterp.page.html import in_full
from grokinterp.page.inline import inline
from grokinterp.page.packing import pack, pack_coarsely
from grokinterp.page.readings import readings
from tests.support.unpacked import unpack


def read(figure: Figure | None) -> list[dict]:
    assert figure is not None
    inline(figure, "drawn")  # fills in the labels of the ticks
    return readings(figure)


@pytest.mark.parametrize(("packing", "error"), [(pack, 3e-5), (pack_coarsely, 0.004)])
def test_packed_numbers_come_back(packing, error):
    values = np.random.default_rng(0).random((3, 40, 50))
    values[0, 1, 2] = np.nan
    again = unpack(packing(values))
    assert np.abs(again - values)[np.isfinite(values)].max() <= error / 2
    assert np.isnan(again).sum() == 1


def test_a_large_heatmap_is_read_from_its_top_row_to_its_bottom_row():
    values = np.arange(60 * 60.0).reshape(60, 60)
    figure = Figure()
    heatmap(figure.add_subplot(), values, Normalize(), "viridis", every=2)
    (reading,) = read(figure)
    assert (reading["rows"][0], reading["rows"][-1], reading["columns"][:3]) == (118, 0, [0, 2, 4])
    assert np.abs(unpack(reading["cells"]) - values[::-1]).max() < 0.03


def test_every_head_of_an_attention_map_has_its_step_and_the_names_of_its_axes():
    data = xr.DataArray(
        np.random.default_rng(0).random((2, 2, 5, 5)), dims=("step", "head", "a", "b"),
        coords={"step": [0, 40], "head": [0, 1], "a": range(5), "b": range(5)},
    )  # fmt: skip
    found = read(attention(xr.Dataset({"attention_to_a": data}), [0, 40]))
    assert [one["title"] for one in found] == ["step 0, head 0", "step 0, head 1", "step 40, head 0", "step 40, head 1"]
    assert {(one["x"], one["y"]) for one in found} == {("operand a", "operand b")}
    expected = data.sel(step=40, head=1).transpose("b", "a").values[::-1]
    assert np.abs(np.array(found[3]["cells"]) - expected).max() < 1e-5


def test_the_kinds_of_pairs_have_their_words():
    pairs = xr.DataArray([[1.0, 0.0], [0.0, 1.0]], dims=("a", "b"), coords={"a": [0, 1], "b": [0, 1]})
    dataset = xr.Dataset({"pair_is_correct": pairs.expand_dims(step=[7]), "pair_is_trained": pairs.roll(a=1)})
    (reading,) = read(prediction_field(dataset, [7]))
    words = [[reading["kinds"][int(cell)] for cell in row] for row in reading["cells"]]
    assert words == [["trained, wrong", "held out, correct"], ["held out, correct", "trained, wrong"]]


def test_the_order_of_learning_has_the_names_of_its_rows():
    order = xr.Dataset(
        {"half_from": ("learned", [10, 30]), "key_from": ("learned", [20, 40])}, coords={"learned": ["k = 4", "k = 8"]}
    )
    (reading,) = read(learning_order(order, last=100))
    assert reading["names"] == {0: "k = 4", 1: "k = 8"}
    assert (reading["x"], reading["y"]) == ("optimizer step", "learned")
    assert [curve["label"] for curve in reading["curves"]] == ["half of the final similarity", "key from this step"]
    assert reading["curves"][1]["at"] == [20.0, 40.0]


def test_stacked_areas_are_read_as_shares():
    parts = xr.DataArray(
        [[0.25, 0.5], [0.75, 0.5]], dims=("part", "step"), coords={"part": ["embed", "mlp"], "step": [0, 9]}
    )
    (reading,) = read(gradient_shares(xr.Dataset({"gradient_share_of_layer": parts})))
    assert {curve["label"]: curve["values"] for curve in reading["curves"]} == {
        "embed": [0.25, 0.5],
        "mlp": [0.75, 0.5],
    }


def test_error_bars_have_ends():
    dataset = xr.Dataset({"llc": ("step", [5.0, 7.0]), "llc_spread": ("step", [0.5, 1.0])}, coords={"step": [0, 100]})
    (reading,) = read(learning_coefficient(dataset))
    curve = next(curve for curve in reading["curves"] if curve["label"])
    assert (curve["values"], curve["low"], curve["high"]) == ([5.0, 7.0], [4.5, 6.0], [5.5, 8.0])


def test_scattered_points_keep_what_their_colors_stand_for():
    axes = Figure().add_subplot()
    axes.scatter([0.0, 1.0], [2.0, 3.0], c=[5, 6])
    axes.plot([0.0, 1.0, 0.0], [2.0, 3.0, 2.0])  # joins them
    (reading,) = read(axes.figure)
    assert [(one["x"], one["y"], one["of"]) for one in reading["points"]] == [([0.0, 1.0], [2.0, 3.0], [5.0, 6.0])]
    assert "curves" not in reading


@pytest.mark.parametrize(
    ("cell", "full"),
    [(number(1 / 3), "0.3333333333333333"), (whole(25000), "25000"), (percent(0.12345678), "0.12345678"),
     (change(2.0, 0.5, ratio=True), "0.25"), (change(0.5, 0.25, ratio=False), "-0.25")],
)  # fmt: skip
def test_a_cell_has_its_number_in_full(cell, full):
    assert in_full(cell) == f' data-value="{full}"'


@pytest.mark.parametrize("cell", [number(float("nan")), number(None), "clock", f"> {whole(7)}"])
def test_words_stay_words(cell):
    assert in_full(cell) == ""
