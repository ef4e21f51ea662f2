"""The commands of docs/interventions.md are understood, and those of the command line work."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from grokinterp.cli.entry import code_of
from grokinterp.experiment import Experiment
from grokinterp.presets import PRESETS, Preset, preset
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory
from grokinterp.training import branched
from tests.support.small_runs import TINY, changed, draw_checkpoints

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "interventions.md").read_text(encoding="utf-8")
LINES = [line for line in GUIDE.splitlines() if line.startswith("grokinterp ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the runs that the guide names, whose checkpoints are drawn."""
    path = tmp_path_factory.mktemp("guide")
    for name in ("parent", "donor"):
        draw_checkpoints(path / "checkpoints" / name, changed(task={"p": 53}), (100, 1200, 2000))
    return path


@pytest.mark.parametrize("line", LINES)
def test_the_commands_of_the_guide_are_understood(line, folder, monkeypatch):
    monkeypatch.chdir(folder)
    program, verb, *words = shlex.split(line)
    settings = [word for word in words if "=" in word]
    assert program == "grokinterp"
    if verb == "branch":
        step = int(words[words.index("--step") + 1])
        assert branched(words[0], step, settings).origin.step == step
    else:
        assert preset("demo").override(settings) != preset("demo")


def test_the_table_of_the_guide_is_a_configuration(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (written,) = re.findall("```toml\n(.*?)```", GUIDE, re.DOTALL)
    parent = RunDirectory.open("checkpoints/parent").experiment
    assert Experiment.from_dict(parent | tomllib.loads(written)).origin.edits[0].part == "unembed"


def test_a_run_is_branched_and_extended_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    draw_checkpoints(Path("parent"), changed(TINY, steps=6))
    edit = "origin.edits=[{kind=scale,factor=0.5}]"
    assert code_of(["branch", "parent", "--step", "20", "--out", "branch", "optimization.weight_decay=0", edit]) == 0
    assert code_of(["train", "--resume", "--out", "branch", "steps=9"]) == 0
    assert "finished at step 9" in capsys.readouterr().out
    run = Trajectory.open("branch")
    assert (run.experiment.steps, run.experiment.optimization.weight_decay) == (9, 0)
    for arguments in (["--step", "21"], [], ["--step", "20", "origin.edits=[{kind=prune}]"]):
        assert code_of(["branch", "parent", "--out", "other", *arguments]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert [line for line in errors if line.startswith("config error")] == [
        "config error: origin.step=21: was not saved; parent has 0, 10, 20",
        "config error: step=none: must be given: --step with a saved step of the run",
        "config error: origin.edits.0.kind=prune: must be one of graft, ablate_frequencies, scale, redraw",
    ]
    assert not Path("other").exists()


def test_resume_finds_a_run_that_was_planned_shorter(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(PRESETS, "tiny", Preset(TINY, "tiny"))
    for more in ((), ("--resume", "steps=33"), ("--resume", "steps=36", "save.every=4")):
        assert code_of(["train", "--preset", "tiny", *more]) == 0
    (run,) = Path("checkpoints").iterdir()
    assert Trajectory.open(run).steps[-1] == 36
    capsys.readouterr()
    assert code_of(["train", "--preset", "tiny", "--resume", "seed=5", "steps=40"]) == 2
    assert re.fullmatch(r"error: run directory checkpoints/\S+: does not exist\n", capsys.readouterr().err)
