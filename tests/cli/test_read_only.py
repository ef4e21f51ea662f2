"""An analyzed run on read-only storage can be read as usual; commands that must write fail with one line."""

from pathlib import Path

import pytest

from grokinterp.analysis import analyze, performance
from grokinterp.analysis.engine.evaluate import evaluate
from grokinterp.cli import measuring
from grokinterp.diagnostics import diagnose
from grokinterp.errors import ConfigError, WriteError
from grokinterp.interop.logs import date_logs
from grokinterp.report import render, write_report
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory
from tests.support.read_only import read_only, states
from tests.support.small_runs import draw_checkpoints

DONE = ("performance", "weight_norms")
DENIED = r"^cannot write .*/analysis: Permission denied \(EACCES, errno 13\)$"

READERS = {
    "analyze": lambda path: analyze(path, only=DONE).summary(),
    "diagnose": diagnose,
    "page": lambda path: render(Results.open(path)),
    "phases": lambda path: date_logs([path]).runs[0].history,
    "checkpoint": lambda path: Trajectory.open(path).checkpoint().logits.tolist(),
    "evaluate": lambda path: evaluate(performance, Trajectory.open(path)).to_dict(),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    drawn = draw_checkpoints(tmp_path_factory.mktemp("media") / "run")
    drawn.directory.write_status({"status": "finished", "step": 20})
    analyze(drawn, only=DONE)
    return drawn.path


@pytest.mark.parametrize("name", READERS)
@pytest.mark.usefixtures("quick")
def test_an_analyzed_run_is_read_without_writing(name, run):
    expected = READERS[name](run)
    before = states(run)
    with read_only(run):
        assert READERS[name](run) == expected
    assert states(run) == before


def test_what_is_missing_is_refused_in_one_line_before_any_work(run):
    with read_only(run), pytest.raises(WriteError, match=DENIED):
        analyze(run, only=["logit_map"])
    with read_only(run), pytest.raises(ConfigError, match=r"^out=.*/analysis: no file can be created in it$"):
        write_report(run, run / "analysis" / "page.html")


@pytest.mark.usefixtures("quick")
def test_the_report_shows_what_is_there_and_says_that_nothing_can_be_added(run, tmp_path, capsys):
    with read_only(run):
        measuring.report(run, tmp_path / "page.html")
    assert capsys.readouterr().err.startswith("the results cannot be updated: cannot write ")
    assert (tmp_path / "page.html").read_text() == render(Results.open(run))
