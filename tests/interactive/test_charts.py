"""Charts of arrays with named axes: labels, hover texts, sliders, and errors that name the axes."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import xarray as xr

import grokinterp
from grokinterp.errors import ConfigError, GrokinterpError
from grokinterp.phases import Phase

ATTRS = {"long_name": "logit", "units": "nats"}
RNG = np.random.default_rng(0)
CUBE = xr.DataArray(
    RNG.normal(size=(3, 4, 5)), coords={"step": [0, 10, 20], "a": [1, 2, 3, 4], "b": list("vwxyz")},
    dims=("step", "a", "b"), name="logits", attrs=ATTRS,
)  # fmt: skip
CURVES = xr.Dataset(
    {
        "train_loss": ("step", [3.0, 2.0, 1.0], {"units": "nats"}),
        "test_loss": ("step", [3.0, 4.0, 0.5], {"units": "nats"}),
    },
    {"step": [0, 10, 20]},
)


def titles(chart) -> tuple[str, str]:
    return chart.layout.xaxis.title.text, chart.layout.yaxis.title.text


def test_a_heatmap_names_its_axes_and_values():
    chart = grokinterp.imshow(CUBE.sel(step=10))
    assert titles(chart) == ("b", "a")
    assert chart.layout.title.text == "logit [nats]"
    assert np.allclose(chart.data[0].z, CUBE.sel(step=10))
    assert list(chart.data[0].x) == list("vwxyz")
    assert "a %{y}<br>b %{x}<br>logit [nats] %{z" in chart.data[0].hovertemplate
    assert chart.data[0].zmin == -chart.data[0].zmax


def test_the_slider_of_a_heatmap_moves_along_the_steps():
    chart = grokinterp.imshow(CUBE.transpose("a", "b", "step"))
    (slider,) = chart.layout.sliders
    assert [stop.label for stop in slider.steps] == ["0", "10", "20"]
    assert slider.active == 2
    assert np.allclose(chart.data[0].z, CUBE.sel(step=20))
    assert np.allclose(slider.steps[0].args[0]["z"][0], CUBE.sel(step=0), rtol=1e-4)
    assert chart.data[0].zmax == pytest.approx(float(abs(CUBE).max()))


def test_tensors_need_names_for_their_axes():
    values = torch.arange(6.0).view(2, 3).requires_grad_(True)
    assert titles(grokinterp.imshow(values, dims=("token", "d_model"))) == ("d model", "token")
    with pytest.raises(ConfigError, match=r"dims=\(\): must name the axes of the array of shape \(2, 3\)"):
        grokinterp.imshow(values)
    with pytest.raises(ConfigError, match=r"dims=.*must be left out, because the array names its axes"):
        grokinterp.imshow(CUBE.sel(step=0), dims=("a", "b"))


def test_too_many_axes_are_named_with_a_way_to_choose():
    whole = CUBE.expand_dims(head=[7, 8]).transpose("step", "head", "a", "b")
    with pytest.raises(ConfigError, match=r"axes=step \(3\), head \(2\), .* choose with .sel, as in .sel\(head=7\)"):
        grokinterp.imshow(whole)
    assert grokinterp.imshow(whole.sel(head=7)).data
    with pytest.raises(ConfigError, match="must have 2 to 3 axes with more than one label for a heatmap"):
        grokinterp.imshow(CUBE.isel(step=0, a=0))


def test_lines_of_a_dataset_are_its_variables():
    chart = grokinterp.line(CURVES, log=True, phases=[Phase("memorization", 0, 15)])
    assert [trace.name for trace in chart.data] == ["train loss", "test loss"]
    assert titles(chart) == ("optimizer step", "[nats]")
    assert chart.layout.yaxis.type == "log"
    assert [band.x1 for band in chart.layout.shapes] == [15]
    assert chart.layout.annotations[0].text == "memorization"


def test_an_array_has_a_line_for_each_label_of_its_other_axes():
    chart = grokinterp.line(CUBE.isel(a=slice(2)))
    assert len(chart.data) == 10
    assert chart.data[3].name == "a 1, b y"
    assert np.allclose(chart.data[3].y, CUBE.sel(a=1, b="y"))
    across = grokinterp.line(CUBE.isel(step=[0, 2], a=0), x="b")
    assert [trace.name for trace in across.data] == ["optimizer step 0", "optimizer step 20"]
    assert titles(across) == ("b", "logit [nats]")


def test_missing_axes_and_too_many_lines_are_refused():
    with pytest.raises(ConfigError, match="x=c: must be one of step, a, b"):
        grokinterp.line(CUBE, x="c")
    with pytest.raises(ConfigError, match="values=100 lines: must be at most 64 lines"):
        grokinterp.line(np.zeros((100, 2)), dims=("line", "x"))
    with pytest.raises(ConfigError, match="values=no variables"):
        grokinterp.line(xr.Dataset())


def test_points_name_their_coordinates():
    chart = grokinterp.scatter(CUBE.sel(step=0), 2 * CUBE.sel(step=0), color="a")
    (trace,) = chart.data
    assert trace.text[:2] == ("a 1, b v", "a 1, b w")
    assert np.allclose(trace.y, 2 * trace.x)
    assert list(trace.marker.color[:6]) == [0, 0, 0, 0, 0, 1]


def test_the_slider_of_points_moves_along_the_steps():
    chart = grokinterp.scatter(CUBE, CUBE.transpose("b", "step", "a"), color=CUBE["step"] * CUBE["a"])
    stop = chart.layout.sliders[0].steps[1].args[0]
    assert np.allclose(stop["x"][0], stop["y"][0])
    assert np.allclose(stop["x"][0], CUBE.sel(step=10).values.ravel(), rtol=1e-4)
    assert set(stop["marker.color"][0]) == {10, 20, 30, 40}
    assert chart.layout.xaxis.range[0] < float(CUBE.min())


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (CUBE.sel(step=0), CUBE.sel(step=0, a=1), "y=.*must have the axes of x"),
        (CUBE.sel(step=0), CUBE.sel(step=0).assign_coords(a=[5, 6, 7, 8]), "y=other labels"),
    ],
)
def test_points_need_the_same_axes(x, y, message):
    with pytest.raises(ConfigError, match=message):
        grokinterp.scatter(x, y)


def test_missing_values_leave_gaps():
    chart = grokinterp.imshow(CUBE.where(CUBE["a"] > 1))
    assert chart.layout.sliders[0].steps[0].args[0]["z"][0][0] == [None] * 5
    assert np.isnan(chart.data[0].z[0]).all()


def test_without_plotly_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(GrokinterpError, match=r'plotly is not installed, .* pip install "grokinterp\[notebooks\]"'):
        grokinterp.imshow(CUBE.sel(step=0))


def test_charts_import_plotly_on_first_use_and_no_torch():
    script = "import sys, grokinterp as g; g.imshow, g.line, g.scatter; print({'plotly', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
