"""Analyses over all runs of a folder, at the last checkpoint or at all."""

import json
import sys

import pytest

from grokinterp.analysis import analyze
from grokinterp.cli.entry import run as run_command_line
from grokinterp.errors import ConfigError
from grokinterp.runs.datasets import read_analysis
from grokinterp.sweeps.analyses import analyze_runs
from tests.support.small_runs import changed, draw_checkpoints
from tests.support.warm_cli import Done

NAMES = ["weight_norms", "irrep_spectrum"]


@pytest.fixture
def folder(tmp_path):
    """Two runs at different depths, and one without checkpoints."""
    draw_checkpoints(tmp_path / "a")
    draw_checkpoints(tmp_path / "deep" / "b", changed(seed=1))
    draw_checkpoints(tmp_path / "empty", changed(seed=2), steps=())
    return tmp_path


@pytest.fixture
def grokinterp(monkeypatch, capsys):
    """The command line in this process."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["grokinterp", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run_command_line()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return run


def steps(run, name="irrep_spectrum") -> list[int]:
    found = read_analysis(run, name)
    return [] if found is None else found["step"].values.tolist()


def test_every_run_is_analyzed_and_failures_are_named(folder):
    failures = analyze_runs(folder, only=NAMES, last=True)
    assert list(failures) == ["empty"]
    assert "has no checkpoint yet" in failures["empty"]
    assert [steps(folder / name) for name in ("a", "deep/b")] == [[20], [20]]


def test_results_of_the_last_checkpoint_are_kept_when_the_others_follow(folder):
    analyze(folder / "a", only=NAMES, last=True)
    last = read_analysis(folder / "a", "irrep_spectrum")
    analyze(folder / "a", only=NAMES)
    every = read_analysis(folder / "a", "irrep_spectrum")
    assert every["step"].values.tolist() == [0, 10, 20]
    assert every.sel(step=[20])["irrep_similarity"].equals(last["irrep_similarity"])
    analyze(folder / "a", only=NAMES, last=True)
    assert steps(folder / "a") == [0, 10, 20]


def test_last_and_every_exclude_each_other(folder):
    with pytest.raises(ConfigError, match="every=2: give it or last, not both"):
        analyze(folder / "a", only=NAMES, every=2, last=True)


def test_the_command_names_what_could_not_be_analyzed(folder, grokinterp):
    done = grokinterp("analyze", folder, "--only", ",".join(NAMES), "--last")
    assert done.code == 1
    assert done.out == f"  empty: run directory {folder / 'empty'}: has no checkpoint yet\n"
    done = grokinterp("analyze", folder / "deep", "--only", "weight_norms", "--json")
    assert (done.code, json.loads(done.out)) == (0, {"folder": str(folder / "deep"), "failures": {}})
    assert steps(folder / "deep" / "b", "weight_norms") == [0, 10, 20]


def test_a_folder_without_runs_is_no_run_directory(tmp_path, grokinterp):
    done = grokinterp("analyze", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"error: run directory {tmp_path}: is not a run directory: it has no experiment.json\n"


def test_an_interrupted_folder_continues_where_it_stopped(folder, monkeypatch):
    seen = []

    def stopped(path, **settings):
        seen.append(path)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return analyze(path, **settings)

    with monkeypatch.context() as patched:
        patched.setattr("grokinterp.analysis.analyze", stopped)
        with pytest.raises(KeyboardInterrupt):
            analyze_runs(folder, only=NAMES, last=True)
    assert [steps(folder / name) for name in ("a", "deep/b")] == [[20], []]
    analyze_runs(folder, only=NAMES, last=True)
    assert [steps(folder / name) for name in ("a", "deep/b")] == [[20], [20]]
