"""The example of a plain loop, at toy size."""

import runpy
import sys
from pathlib import Path

from grokinterp.storage import RunDirectory

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "plain_loop.py"


def test_the_example_records_and_reports(tmp_path, monkeypatch, capsys):
    """Its loop, its detector and its report; at full size it groks, which takes half a minute."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(tmp_path / "run"), "--steps", "100", "--every", "50"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["step 0/100", "step 50/100", "step 100/100"]
    assert lines[3] == "memorized at step 50, grokked at step None"
    assert lines[4] == str(tmp_path / "run.html")
    assert (tmp_path / "run.html").stat().st_size > 50_000
    run = RunDirectory.open(tmp_path / "run")
    assert (run.status["status"], run.steps()) == ("finished", (0, 50, 100))
