"""The report of runs that are short, fail, lack results, or are as large as runs get."""

import json
import re

import numpy as np
import pytest

from grokinterp.numbers import number
from grokinterp.report import render
from grokinterp.runs.datasets import read_analysis, write_analysis
from grokinterp.runs.results import Results
from tests.support.deep_data import MAPS
from tests.support.report_data import analyses, write_run
from tests.support.report_page import Page, report_of


@pytest.mark.parametrize(("steps", "evaluations"), [(0, 0), (0, 20), (1, 1), (1, 301), (2, 301), (3, 0)])
@pytest.mark.usefixtures("quick")
def test_few_checkpoints(steps, evaluations, tmp_path):
    text = Page(report_of(tmp_path / "run", steps=steps, evaluations=evaluations)).text
    if not evaluations:
        assert "Nothing is known about this run yet" in text
        assert "No phase could be dated" in text
    if not steps:
        assert "No checkpoint has been analyzed" in text
    if steps == 1:
        assert "Changes between" not in text
    if steps == 1 and evaluations > 1:
        assert "so no change can be shown" in text


@pytest.mark.usefixtures("quick")
def test_losses_alone_are_said_and_shown(tmp_path):
    """An imported network without accuracies and without analyses."""
    path = write_run(tmp_path / "run", steps=0, evaluations=60)
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    kept = [{name: row[name] for name in ("step", "train_loss", "test_loss")} for row in rows]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    page = Page(render(Results.open(path)))
    assert f"At the end, its test loss is {number(rows[-1]['test_loss'])} nats and its train loss is" in page.text
    assert "How it computes is unknown: no checkpoint has been analyzed." in page.text
    assert "No causal evidence: no checkpoint has been analyzed." in page.text
    assert "Nothing was measured" not in page.text
    assert any(svg.get("id") == "lead" for svg in page.all("svg"))


@pytest.mark.usefixtures("quick")
def test_a_run_that_does_not_grok(tmp_path):
    page = Page(report_of(tmp_path / "run", groks=False))
    assert "Addition modulo 13: memorized, did not generalize within the run" in page.text
    assert "phase p-cleanup" not in [phase.get("class") for phase in page.all("li")]
    assert "never reaches a test accuracy of 0.95 within 3,000 steps" in page.text
    assert "A longer run might generalize" in page.text


@pytest.mark.usefixtures("quick")
def test_a_run_that_diverges(tmp_path):
    text = Page(report_of(tmp_path / "run", nan_from=1000, status="diverged")).text
    assert "Training stopped: a loss or gradient was not finite." in text
    assert "unknown" in text


@pytest.mark.usefixtures("quick")
def test_everything_not_a_number(tmp_path):
    assert "no verdict" in report_of(tmp_path / "run", nan_from=0)


@pytest.mark.usefixtures("quick")
def test_only_one_analysis(tmp_path):
    others = tuple(name for name in analyses(np.array([0, 1]), 13) if name != "performance")
    text = Page(report_of(tmp_path / "run", without=others)).text
    assert "Not shown: embedding spectrum, neuron frequencies, logit map, embedding circles" in text
    assert "Inside the network" not in text


@pytest.mark.usefixtures("quick")
def test_a_whole_table_in_the_configuration_is_cut_short(tmp_path):
    table = {"task": {"kind": "table", "path": None, "rows": ["0,1,2,3"] * 20_000}}
    html = report_of(tmp_path / "run", steps=0, evaluations=0, changes=table)
    assert len(html) < 90_000
    assert "task table: rows: 20000 values" in html
    assert re.search(r"0,1,2,3.{,400}… \(\d+ characters\)", html)


@pytest.mark.usefixtures("quick")
def test_skipped_files_are_named_and_counted(tmp_path):
    text = Page(report_of(tmp_path / "run", skipped={"40": "digest does not match"})).text
    assert "1 file could not be read; the other 25 checkpoints are unaffected" in text
    assert "digest does not match" in text


@pytest.mark.usefixtures("quick")
def test_five_thousand_checkpoints(tmp_path):
    html = report_of(tmp_path / "run", steps=5000, evaluations=5001, without=MAPS)
    assert len(html.encode()) < 5e6
    assert "of 5000 checkpoints, denser around the phase boundaries" in html


@pytest.mark.slow
def test_a_report_at_the_size_of_the_published_network_is_under_five_megabytes(tmp_path):
    path = write_run(tmp_path / "run", p=113, steps=120, evaluations=2501)
    html = render(Results.open(path))
    assert len(html.encode()) < 5e6
    assert int(re.search(r"(\d+) of 120 checkpoints", html)[1]) > 60


@pytest.mark.usefixtures("quick")
def test_attention_that_is_not_separable_costs_checkpoints_of_the_slider(tmp_path):
    html = report_of(tmp_path / "run", p=113, steps=120, evaluations=2501, separable=False)
    assert len(html.encode()) < 5e6
    assert int(re.search(r"(\d+) of 120 checkpoints", html)[1]) > 10


@pytest.mark.usefixtures("quick")
def test_eight_heads_of_noise_on_s5_are_under_five_megabytes(tmp_path):
    path = write_run(tmp_path / "run", p=120, steps=60, n_heads=8)
    data = read_analysis(path, "attention_map")
    noise = np.random.default_rng(0).random(data["attention_to_a"].shape)
    write_analysis(path, "attention_map", data.assign(attention_to_a=data["attention_to_a"].copy(data=noise)))
    html = render(Results.open(path))
    assert len(html.encode()) < 5e6
    assert int(re.search(r"(\d+) of 60 checkpoints", html)[1]) >= 5
