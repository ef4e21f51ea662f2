"""Diagnoses of runs that were really trained, and on the terminal, as JSON and in the report."""

import json
import sys

import pytest

from grokinterp import cli
from grokinterp.cli.measuring import NOTHING_WRONG
from grokinterp.diagnostics import diagnose
from grokinterp.experiment import Experiment
from grokinterp.models import MLPSpec
from grokinterp.report import write_report
from grokinterp.runs.results import Results
from grokinterp.tasks import ModularAddition
from grokinterp.training import train
from tests.support.curves import run
from tests.support.diagnosed import stuck, write

PERCEPTRON = Experiment(task=ModularAddition(p=13), model=MLPSpec(hidden=(64,)), evaluate_every=10, steps=300).override(
    ["split.fraction=0.4", "split.pairs=unordered", "save.every=100", "optimization.warmup_steps=0"]
)


def symptoms(folder, *overrides: str) -> list[str]:
    trained = train(PERCEPTRON.override(list(overrides)), folder / "run")
    return [found.symptom.split(":")[0] for found in diagnose(Results.open(trained.path))]


def test_plain_float32_without_decay_collapses(tmp_path):
    plain = ("optimization.loss=float32", "optimization.weight_decay=0", "optimization.lr=0.03", "steps=1000")
    assert "Softmax collapse" in symptoms(tmp_path, *plain)


def test_too_small_a_rate_learns_nothing(tmp_path):
    hardly = "The train loss hardly falls, and nothing is memorized"
    assert symptoms(tmp_path, "optimization.lr=1e-6", "optimization.weight_decay=0.1") == [hardly]


def test_too_much_decay_leaves_nothing(tmp_path):
    shrunk = "The weights shrink and nothing is memorized"
    assert symptoms(tmp_path, "optimization.lr=1e-2", "optimization.weight_decay=50") == [shrunk]


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_too_large_a_rate_diverges(tmp_path):
    huge = ("optimization.lr=9", "optimization.weight_decay=0", "optimization.loss=mse", "model.hidden=[64, 64, 64]")
    huge = (*huge, "optimization.init_scale=1000", "optimization.betas=[0, 0]", "optimization.eps=0.5")
    assert symptoms(tmp_path, *huge, "optimization.init_scale=1000")[0] == "The loss is no longer finite"


@pytest.fixture
def ill(tmp_path):
    """A planted run that memorized and rests."""
    return write(tmp_path / "ill", stuck(), checkpoints=0, measures={}).directory.path


@pytest.fixture
def well(tmp_path):
    """A planted run that groks."""
    return write(tmp_path / "well", run(), checkpoints=0).directory.path


def printed(capsys, monkeypatch, *arguments: object) -> str:
    monkeypatch.setattr(sys, "argv", ["grokinterp", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    return capsys.readouterr().out


def test_the_command_line_says_it(ill, well, capsys, monkeypatch):
    lines = printed(capsys, monkeypatch, "diagnose", ill).splitlines()
    assert lines[0] == "diagnosis         Memorized, with no sign of generalization so far"
    assert lines[2].endswith("Try optimization.weight_decay=3")
    assert printed(capsys, monkeypatch, "diagnose", well) == f"{NOTHING_WRONG}\n"


def test_as_json(ill, well, capsys, monkeypatch):
    (found,) = json.loads(printed(capsys, monkeypatch, "diagnose", ill, "--json"))
    assert set(found) == {"symptom", "evidence", "remedy", "setting"}
    assert json.loads(printed(capsys, monkeypatch, "diagnose", well, "--json")) == []


def test_the_report_has_them_where_there_are_any(ill, well, tmp_path, quick):
    page = write_report(ill, tmp_path / "ill.html").read_text()
    assert '<a href="#diagnosis">' in page
    assert "<h3>Memorized, with no sign of generalization so far</h3>" in page
    assert "<code>optimization.weight_decay=3</code>" in page
    assert 'id="diagnosis"' not in write_report(well, tmp_path / "well.html").read_text()
