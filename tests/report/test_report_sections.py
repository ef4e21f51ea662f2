"""The sections on what the network computes with: their words, what they lack, on how many checkpoints they rest."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from grokinterp.report import render
from grokinterp.report.content import content
from grokinterp.report.sections import MEANINGS
from grokinterp.runs.datasets import read_analysis, write_analysis, write_not_defined
from grokinterp.runs.results import Results
from grokinterp.runs.summary import lines as summary_lines
from tests.support.report_data import LAST, write_run
from tests.support.report_page import Page, report_of


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "planted", deep=True)


@pytest.fixture(scope="module")
def deep(planted) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("grokinterp.figures.to_svg", lambda figure: b"<svg/>")
        return content(Results.open(planted))


def test_what_it_computes_with_is_said_first(deep):
    section = deep["sections"]["circuit"]
    assert section.lead.startswith("The network of the last checkpoint computes with a clock: ")
    assert ("circuit", "clock", "causal score 0.9") in deep["tiles"]
    row = deep["phases"][1].rows[0]
    assert row == ("circuit", "", "memorizer", "clock", "changed")
    assert deep["frames"]["readouts"][-1]["values"][-1] == "clock"


def test_the_order_of_learning_is_a_table_and_the_summary_says_the_same(deep, planted):
    table, said = deep["sections"]["sparse"].table, Results.open(planted).summary()["learning_order"]
    assert [row[0] for row in table.rows] == [row["learned"] for row in said] == ["rho_3", "rho_5"]
    assert [row[2] for row in table.rows] == [str(row["key_from"]) for row in said]
    assert set(said[0]) == {"learned", "half_from", "key_from", "final_similarity"}


def test_every_figure_of_a_thinned_analysis_says_so(deep, planted):
    captions = [picture.caption for section in deep["sections"].values() for picture in section.gallery.pictures]
    thinned = [name for name, part in Results.open(planted).analyses.items() if "thinned" in part.attrs]
    assert sum("Measured at 9 of 25 checkpoints." in caption for caption in captions) == 10
    assert len(thinned) == 9
    assert all(caption.endswith(".") for caption in captions)


@pytest.mark.parametrize(("without", "verdict", "sentence"), [
    ((), "Partly generalized", "A trained network, no history: partly generalized: train accuracy 1.000, test"),
    (("test_loss",), "No verdict", "A trained network, no history"),
])  # fmt: skip
@pytest.mark.usefixtures("quick")
def test_an_imported_network_is_judged_by_its_last_checkpoint_alone(without, verdict, sentence, tmp_path):
    path = write_run(tmp_path / "run", steps=1, evaluations=1)
    (path / "environment.json").write_text(json.dumps({"release": "chughtai"}))
    data = read_analysis(path, "performance")
    numbers = {"train_accuracy": 1.0, "test_accuracy": 0.9, "test_loss": 0.2}
    data = data.assign({name: data[name] * 0 + value for name, value in numbers.items()}).drop_vars(without)
    write_analysis(path, "performance", data)
    text = Page(render(Results.open(path))).text
    assert verdict in text
    assert sentence in text
    assert "No phase could be dated: the run was imported without curves" in text
    assert "unknown" in text


@pytest.mark.usefixtures("quick")
def test_a_section_without_figures_is_not_there(tmp_path):
    html = report_of(tmp_path / "run")
    text = Page(html).text
    for heading in ("What it computes with", "Inside the network", "loss landscape", "Sharpness"):
        assert heading not in text
    assert 'href="#inside"' not in html


@pytest.mark.usefixtures("quick")
def test_a_section_names_what_it_lacks(tmp_path):
    path = write_run(tmp_path / "run", deep=True, without=("logit_attribution", "sharpness", "idealized_network"))
    write_not_defined(path, {"logit_attribution": "the model mlp has no residual stream"})
    found = content(Results.open(path))["sections"]
    said = "Not shown: direct logit attribution (the model mlp has no residual stream)."
    assert found["inside"].gallery.missing == said
    assert found["landscape"].gallery.missing == "Not shown: sharpness (there are no results of sharpness)."
    assert "idealized network" in found["circuit"].gallery.missing


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("circuit", ["clock", "pizza", "mixed", "additive", "irrep-based", "memorizer", "none"])
def test_every_verdict_on_the_circuit_has_a_sentence_and_only_a_found_one_a_tile(circuit, tmp_path):
    path = write_run(tmp_path / "run", steps=2)
    at, names = [0, LAST], list(MEANINGS)
    values = np.repeat([[name == circuit for name in names]], 2, axis=0)
    write_analysis(path, "circuit", xr.Dataset({"is_circuit": (("step", "circuit"), values)},
                                               {"step": at, "circuit": names}))  # fmt: skip
    found = content(Results.open(path))
    assert "{" not in found["sections"]["circuit"].lead
    assert ("circuit" in [tile.label for tile in found["tiles"]]) == (circuit != "none")


@pytest.mark.usefixtures("quick")
def test_a_verdict_names_what_it_is_close_to_and_what_is_unexplained(tmp_path):
    path, names = write_run(tmp_path / "run", steps=2), list(MEANINGS)
    verdict, close = (np.repeat([[name == kind for name in names]], 2, axis=0) for kind in ("pizza", "mixed"))
    write_analysis(path, "circuit", xr.Dataset(
        {"is_circuit": (("step", "circuit"), verdict), "is_close_to": (("step", "circuit"), close),
         "circuit_fve": ("step", [0.1, 0.871])}, {"step": [0, LAST], "circuit": names}))  # fmt: skip
    found = content(Results.open(path))
    lead = found["sections"]["circuit"].lead
    assert "close to that for the verdict “mixed”" in lead
    assert "The key frequencies explain 87.1% of the variance of the logits about their mean" in lead
    assert "; 12.9% is unexplained." in lead
    assert "alone" not in lead
    assert ("circuit", "pizza", "close to mixed") in found["tiles"]
    assert any("pizza, close to mixed" in line for line in summary_lines(Results.open(path)))


@pytest.mark.usefixtures("quick")
def test_maps_of_few_checkpoints_are_shown_and_say_so(tmp_path):
    said = content(Results.open(write_run(tmp_path / "run", steps=601)))
    assert len(said["frames"]["steps"]) == 200
    assert said["frames"]["total"] == 601
    assert {"logit_by_label", "attention_to_a"} <= said["frames"]["panels"].keys()
    assert [len(phase.gallery.pictures) for phase in said["phases"]] == [3] * 4
    spectra, attention, _ = said["phases"][2].gallery.pictures
    assert spectra.caption.endswith("Measured at 200 of 601 checkpoints.")
    assert attention.caption.endswith("Measured at 200 of 601 checkpoints.")
    html = render(Results.open(tmp_path / "run"))
    assert "200 of 601 checkpoints. Arrow keys" in html
