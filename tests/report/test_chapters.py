"""The chapters of a page: texts, missing parts, and the number of checkpoints measured."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from grokinterp.report import render
from grokinterp.report.chapters import Section
from grokinterp.report.circuit import MEANINGS
from grokinterp.report.content import content, view_of
from grokinterp.report.explorer import explorer
from grokinterp.runs.datasets import read_analysis, write_analysis, write_not_defined
from grokinterp.runs.results import Results
from grokinterp.runs.summary import lines as summary_lines
from tests.support.blank_figures import blank_figures
from tests.support.report_data import LAST, write_run
from tests.support.report_page import UNDRAWN, Page, chapters_of, report_of


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "planted", deep=True)


@pytest.fixture(scope="module")
def deep(planted) -> dict:
    with blank_figures():
        return content(view_of(Results.open(planted)))


def chapter(content: dict, name: str) -> Section:
    return next(section for section in content["sections"] if section.name == name)


def test_what_it_computes_with_is_said_first(deep, planted):
    section = chapter(deep, "circuit")
    assert section.lead.startswith("At the last checkpoint, the network relies on a clock: ")
    said = {answer.name: " ".join(answer.sentences) for answer in deep["answers"]}
    assert "It relies on a clock: " in said["learned"]
    assert "Its key frequencies: 3 and 5." in said["learned"]
    assert "Necessity: without the key frequencies" in said["known"]
    assert deep["borders"].rows[0][:2] == ("circuit", "")
    assert {"memorizer", "clock"} <= set(deep["borders"].rows[0][2])
    assert deep["borders"].rows[0].change == "changed"
    frames = explorer(view_of(Results.open(planted)), budget=10**6).frames
    assert frames["readouts"][-1]["values"][-1] == "clock"


def test_the_order_of_learning_is_a_table_and_the_summary_says_the_same(deep, planted):
    table, summary = chapter(deep, "structure").table, Results.open(planted).summary()["learning_order"]
    assert [row[0] for row in table.rows] == [row["learned"] for row in summary] == ["rho_3", "rho_5"]
    assert [row[2] for row in table.rows] == [str(row["key_from"]) for row in summary]
    assert set(summary[0]) == {"learned", "half_from", "key_from", "final_similarity"}


def test_every_figure_of_a_thinned_analysis_says_so(deep, planted):
    captions = [picture.caption for section in deep["sections"] for picture in section.gallery.pictures]
    thinned = [name for name, part in Results.open(planted).analyses.items() if "thinned" in part.attrs]
    assert sum("Measured at 9 of 25 checkpoints." in caption for caption in captions) == 10
    assert len(thinned) == 9
    assert all(caption.endswith(".") for caption in captions)


@pytest.mark.parametrize(("without", "verdict", "sentence"), [
    ((), "partly generalized", "A trained network, no history: partly generalized: train accuracy 1.000, test"),
    (("test_loss",), "no verdict", "A trained network, no history"),
])  # fmt: skip
@pytest.mark.usefixtures("quick")
def test_an_imported_network_is_judged_by_its_last_checkpoint_alone(without, verdict, sentence, tmp_path):
    path = write_run(tmp_path / "run", steps=1, evaluations=1)
    (path / "environment.json").write_text(json.dumps({"release": "chughtai"}))
    data = read_analysis(path, "performance")
    numbers = {"train_accuracy": 1.0, "test_accuracy": 0.9, "test_loss": 0.2}
    data = data.assign({name: data[name] * 0 + value for name, value in numbers.items()}).drop_vars(without)
    write_analysis(path, "performance", data)
    text = Page(render(Results.open(path), UNDRAWN)).text
    assert verdict in text
    assert sentence in text
    assert "No phase could be dated: the run was imported without curves" in text
    assert "Unknown: the run was imported without curves" in text


@pytest.mark.usefixtures("quick")
def test_a_chapter_without_figures_is_not_there(tmp_path):
    html = report_of(tmp_path / "run")
    text = Page(html).text
    assert "Key representations" not in text
    assert 'href="#groups"' not in html
    assert 'href="#circuit"' not in html
    assert 'href="#health"' in html


WITHOUT = ("logit_attribution", "sharpness", "idealized_network")


@pytest.mark.usefixtures("quick")
def test_a_chapter_names_what_it_lacks(tmp_path):
    path = write_run(tmp_path / "run", deep=True, without=WITHOUT)
    write_not_defined(path, {"logit_attribution": "the model mlp has no residual stream"})
    results = Results.open(path)
    found = content(view_of(results), chapters_of({*results.analyses, *WITHOUT}))
    missing = {section.name: section.gallery.missing for section in found["sections"]}
    assert missing["inside"] == "Not shown: logit attribution (the model mlp has no residual stream)."
    assert missing["landscape"] == "Not shown: sharpness (not analyzed)."
    assert missing["circuit"] == "Not shown: idealized network (not analyzed)."
    assert missing["health"] == ""


@pytest.mark.usefixtures("quick")
def test_without_phases_the_last_checkpoint_is_shown_among_the_structure(tmp_path):
    path = write_run(tmp_path / "run", steps=1, evaluations=1)
    (path / "environment.json").write_text(json.dumps({"release": "chughtai"}))
    found = content(view_of(Results.open(path)), UNDRAWN)
    titles = [picture.alt for picture in chapter(found, "structure").gallery.pictures]
    assert titles[:3] == ["Spectra and logits", "Attention patterns", "Embedding circles"]
    assert found["phases"] == []


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("circuit", ["clock", "pizza", "mixed", "additive", "irrep-based", "memorizer", "none"])
def test_every_verdict_on_the_circuit_has_a_sentence_and_only_a_found_one_a_tile(circuit, tmp_path):
    path = write_run(tmp_path / "run", steps=2)
    at, names = [0, LAST], list(MEANINGS)
    values = np.repeat([[name == circuit for name in names]], 2, axis=0)
    write_analysis(path, "circuit_verdict", xr.Dataset({"is_circuit": (("step", "circuit"), values)},
                                               {"step": at, "circuit": names}))  # fmt: skip
    found = content(view_of(Results.open(path)), UNDRAWN)
    assert "{" not in chapter(found, "circuit").lead
    learned = " ".join(found["answers"][0].sentences)
    assert ("It relies on" in learned) == (circuit != "none")
    doubts = " ".join(found["answers"][-1].sentences)
    assert ("not explained by the key frequencies" in doubts) == (circuit != "memorizer")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("keys", "why"), [(True, "can be measured: on held-out"), (False, "no key frequencies to")])
def test_without_necessity_and_sufficiency_the_reason_is_named(keys, why, tmp_path):
    path = write_run(tmp_path / "run", steps=2)
    found = {name: ("step", [0.0, 0.0]) for name in ("necessity", "sufficiency")}
    write_analysis(path, "causal_evidence", xr.Dataset(found, {"step": [0, LAST]}))
    if not keys:
        spectrum = read_analysis(path, "logit_spectrum")
        none = xr.zeros_like(spectrum["is_key"])
        write_analysis(path, "logit_spectrum", spectrum.assign(is_key=none))
    assert why in " ".join(content(view_of(Results.open(path)), UNDRAWN)["answers"][2].sentences)


@pytest.mark.usefixtures("quick")
def test_a_verdict_names_what_it_is_close_to_and_what_is_unexplained(tmp_path):
    path, names = write_run(tmp_path / "run", steps=2), list(MEANINGS)
    verdict, close = (np.repeat([[name == kind for name in names]], 2, axis=0) for kind in ("pizza", "mixed"))
    write_analysis(path, "circuit_verdict", xr.Dataset(
        {"is_circuit": (("step", "circuit"), verdict), "is_close_to": (("step", "circuit"), close)},
        {"step": [0, LAST], "circuit": names}))  # fmt: skip
    found = content(view_of(Results.open(path)), UNDRAWN)
    lead = chapter(found, "circuit").lead
    assert "The evidence for the verdict “mixed” is almost as strong." in lead
    assert "The key frequencies explain 95 % of the logits' variance; 5.01 % is unexplained." in lead
    doubts = found["answers"][-1].sentences
    assert "The evidence is almost as strong for the circuit “mixed”." in doubts
    assert "5.01 % of the variance of the logits is not explained by the key frequencies." in doubts
    assert any("pizza, close to mixed" in line for line in summary_lines(Results.open(path)))


@pytest.mark.usefixtures("quick")
def test_maps_of_few_checkpoints_are_shown_and_say_so(tmp_path):
    view = view_of(Results.open(write_run(tmp_path / "run", steps=601)))
    page, frames = content(view, UNDRAWN), explorer(view, budget=3_000_000).frames
    assert len(frames["steps"]) == 200
    assert frames["total"] == 601
    assert {"logit_by_label", "attention_to_a"} <= frames["panels"].keys()
    spectra, attention, _ = page["borders"].gallery.pictures
    assert spectra.caption.endswith("Measured at 200 of 601 checkpoints.")
    assert attention.caption.endswith("Measured at 200 of 601 checkpoints.")
    html = render(Results.open(tmp_path / "run"), UNDRAWN)
    assert "shows 200 of 601 checkpoints, and moves" in html
