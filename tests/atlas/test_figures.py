"""All figures of a run as files: labeled axes, the data beside them, the index, formats, bad input."""

import io
import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import grokinterp
from grokinterp import figures
from grokinterp.atlas.plates import AT_LAST, AT_STEPS
from grokinterp.atlas.tables import csv_of
from grokinterp.atlas.weights import weight_plates
from grokinterp.atlas.write import view_at
from grokinterp.cli.entry import code_of
from grokinterp.errors import ConfigError
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory
from tests.support.figure_axes import assert_labeled, assert_nothing_leaves
from tests.support.report_data import write_run
from tests.support.small_runs import draw_checkpoints

ANALYSES = (
    "pair_answers", "neuron_grids", "pair_waves", "neuron_logit_map", "neuron_logit_waves", "neuron_frequencies",
    "embedding_spectrum", "embedding_circles", "logit_spectrum", "performance",
)  # fmt: skip
FEW = ("structure_prediction_field", "weights_unembed.W_U", "run_curves_over_the_optimizer_steps")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    run = draw_checkpoints(tmp_path_factory.mktemp("atlas") / "run")
    grokinterp.analyze(run, only=ANALYSES)
    return run.path


@pytest.fixture
def run(path) -> Trajectory:
    return Trajectory.open(path)


@pytest.mark.parametrize("plate", [*AT_STEPS, *AT_LAST], ids=lambda plate: plate.title)
@pytest.mark.parametrize("steps", [None, (20,)])
def test_every_axis_is_labeled_and_nothing_leaves_the_figure(plate, steps, run):
    view = view_at(run.results, steps)
    figure = plate.draw(plate.data(view), view)
    assert_labeled(figure)
    assert_nothing_leaves(figure)
    assert plate.text(plate.data(view), view).endswith(".")


@pytest.mark.parametrize("plate", [*AT_STEPS, *AT_LAST], ids=lambda plate: plate.title)
def test_values_that_are_not_finite_are_not_drawn(plate, run):
    view = view_at(run.results, None)
    data = plate.data(view).map(lambda values: values.where(False) if values.dtype.kind == "f" else values)
    assert plate.draw(data, view) is None


def test_figures_of_the_weights_are_labeled(run):
    view = view_at(run.results, None)
    plates = {plate.title: plate for plate in weight_plates(run, [0, 20])}
    assert {"Weights embed.W_E", "Weights blocks.0.attn.W_Q"} <= {*plates}
    for name in ("Path of the weights", "Paths of the embeddings", "Weights blocks.0.attn.W_Q"):
        figure = plates[name].draw(plates[name].measure(run), view)
        assert_labeled(figure)
        assert_nothing_leaves(figure)


def test_planted_values_are_what_is_drawn(run):
    view = view_at(run.results, (0, 20))
    data = view.results.analyses["pair_answers"]
    image = figures.prediction_field(data, view.steps).axes[0].images[0]
    at = data.sel(step=0)
    kinds = 2 * at["pair_is_correct"] + 1 - at["pair_is_trained"]
    assert np.array_equal(image.get_array(), kinds.transpose("b", "a"))
    weights = next(plate for plate in weight_plates(run, [0, 20]) if plate.title == "Weights unembed.W_U")
    figure = weights.draw(weights.measure(run), view)
    assert np.allclose(figure.axes[1].images[0].get_array(), run.weights(20).state["unembed.W_U"])


@pytest.mark.parametrize("format", ["png", "svg", "pdf"])
def test_every_format_is_written_with_its_data(format, path, tmp_path):
    written = grokinterp.write_figures(path, tmp_path / "out", format=format, only=FEW)
    assert [file.name for file in written] == [f"{name}.{format}" for name in FEW]
    head = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[format]
    assert all(file.read_bytes().startswith(head) for file in written)
    before = [file.read_bytes() for file in written]
    again = grokinterp.write_figures(path, tmp_path / "out", format=format, only=FEW)
    assert [file.read_bytes() for file in again] == before
    field = pd.read_csv(written[0].with_suffix(".csv"))
    assert field.columns.tolist() == ["measure", "step", "a", "b", "value"]
    stored = Results.open(path).analyses["pair_answers"]
    assert len(field) == sum(values.size for name, values in stored.items() if name != "checkpoint_digest")
    index = pd.read_csv(tmp_path / "out" / "index.csv", keep_default_na=False)
    assert index["figure"].tolist() == [file.name for file in written]
    assert index["caption"].str.endswith(".").all()


def test_a_figure_that_cannot_be_drawn_has_its_reason_in_the_index(tmp_path):
    run = write_run(tmp_path / "run", without=("attention_map", "attention_pattern", "attention_periodicity"))
    names = ("structure_attention_patterns", "structure_spectra_and_logits", "run_curves_over_the_optimizer_steps")
    grokinterp.write_figures(run, tmp_path / "out", only=names)
    index = pd.read_csv(tmp_path / "out" / "index.csv", keep_default_na=False).set_index("name")
    assert index.loc["structure_attention_patterns", "caption"] == "not drawn: not analyzed"
    assert index.loc["structure_attention_patterns", "figure"] == ""
    drawn = index[index["figure"] != ""]
    assert set(drawn.index) == set(names[1:])
    for _, row in drawn.iterrows():
        assert (tmp_path / "out" / row["figure"]).stat().st_size > 1000
        table = pd.read_csv(tmp_path / "out" / row["data"])
        assert len(table) > 0
        assert {"measure", "value"} <= {*table.columns}


def test_a_table_has_a_row_for_each_value():
    first = xr.Dataset({"loss": (("step", "split"), [[2.0, np.nan]])}, {"step": [5], "split": ["train", "test"]})
    second = xr.Dataset({"share": ("direction", [0.5])})
    table = pd.read_csv(io.StringIO(csv_of([first, second])))
    assert table.columns.tolist() == ["measure", "step", "split", "direction", "value"]
    assert table["value"].fillna(-1).tolist() == [2.0, -1, 0.5]
    assert csv_of([]) == "measure,value\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "jpg"}, "format=jpg: must be one of png, svg, pdf"),
        ({"only": ["none"]}, "only=none: must be among run_curves"),
    ],
)
def test_bad_input_is_named(options, message, path, tmp_path):
    with pytest.raises(ConfigError, match=message):
        grokinterp.write_figures(path, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_run_that_was_not_analyzed_has_its_weights_and_curves(tmp_path):
    run = draw_checkpoints(tmp_path / "run")
    names = ["weights_embed.W_E", "weights_path_of_the_weights", "run_curves_over_the_optimizer_steps"]
    written = grokinterp.write_figures(run, tmp_path / "out", only=[*names, "structure_prediction_field"])
    assert [file.stem for file in written] == names
    empty = draw_checkpoints(tmp_path / "empty", steps=())
    with pytest.raises(ConfigError, match="has nothing to draw: analyze it first"):
        grokinterp.write_figures(empty, tmp_path / "nothing")


def test_the_command_names_bad_arguments_before_any_work(path, tmp_path, capsys):
    copied = shutil.copytree(path, tmp_path / "run")
    (tmp_path / "file").write_text("")
    for arguments, message in {
        ("--format", "jpg"): "format=jpg: must be one of png, svg, pdf",
        ("--steps", "1,x"): "steps=x: must be steps, as in --steps 0,100,2000",
        ("--out", str(tmp_path / "file")): "must be a folder, not a file",
        ("--out", str(tmp_path / "file" / "deep" / "er")): "file: is not a directory",
    }.items():
        out = () if "--out" in arguments else ("--out", str(tmp_path / "out"))
        assert code_of(["figures", str(copied), *out, *arguments]) == 2
        assert message in capsys.readouterr().err
