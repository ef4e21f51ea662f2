"""A league end to end: every run in a process of its own, killed and resumed, and its page."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from grokinterp.cli.entry import run as run_command_line
from grokinterp.errors import ConfigError, RunDirectoryError
from grokinterp.experiment import Optimization
from grokinterp.league import run_league, write_page
from grokinterp.league.page import render
from grokinterp.league.table import as_text, rows
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory
from grokinterp.sweeps import held
from tests.support.read_only import read_only, states
from tests.support.report_page import Page
from tests.support.small_league import LONG, SMALL
from tests.support.small_runs import written

METHODS = ["adamw", "grokfast_ema", "stablemax_attention"]


@pytest.fixture(scope="module")
def league(tmp_path_factory) -> Path:
    top = tmp_path_factory.mktemp("league") / "league"
    run_league(SMALL, METHODS, 2, top, jobs=2)
    return top


def found_in(top: Path) -> dict:
    return json.loads((top / "league.json").read_text())


@pytest.mark.slow
@pytest.mark.timeout(600)
class TestLeague:
    def test_every_method_has_every_seed_on_one_budget(self, league):
        found = found_in(league)
        assert [(run["method"], run["seed"]) for run in found["runs"]] == [
            (name, seed) for name in METHODS[:2] for seed in (0, 1)
        ]
        assert {(run["status"], run["step"]) for run in found["runs"]} == {("finished", 40)}
        assert list(found["refused"]) == ["stablemax_attention"]
        assert "softmax attention" in found["refused"]["stablemax_attention"]
        assert found["failed"] == []

    def test_the_runs_of_a_seed_share_split_and_initial_weights(self, league):
        for seed in (0, 1):
            adamw, grokfast = (Trajectory.open(league / name / f"seed-{seed}") for name in METHODS[:2])
            assert adamw.problem.is_train.equal(grokfast.problem.is_train)
            assert all(w.equal(grokfast.weights(0).state[name]) for name, w in adamw.weights(0).state.items())
        others = [Trajectory.open(league / "adamw" / f"seed-{seed}").problem.is_train for seed in (0, 1)]
        assert not others[0].equal(others[1])

    def test_everything_is_measured(self, league):
        for run in found_in(league)["runs"]:
            assert run["seconds_per_1000"] == pytest.approx(1000 * run["seconds"] / 40)
            assert run["peak_bytes"] >= run["program_bytes"] > 1e7
            assert run["cpu_seconds_per_1000"] > 0
            assert 0 <= run["collapsed_share"] <= 1
            assert -1 <= run["gradient_weight_cosine"] <= 1
            assert run["time_step"] == (run["event_step"] or 22)  # 40, 38 ... 22 are ten evaluations

    def test_what_is_finished_is_not_trained_again_and_needs_no_right_to_write(self, league, tmp_path):
        before = states(league)
        with read_only(league):
            again = run_league(SMALL, METHODS, 2, league, jobs=2)
            write_page(league, tmp_path / "page.html")
        assert states(league) == before
        assert again == found_in(league)

    def test_another_experiment_is_refused_before_any_work(self, league):
        with pytest.raises(RunDirectoryError, match=r"another experiment: optimization\.lr=0\.02 there, 0\.5 here"):
            run_league(replace(SMALL, optimization=Optimization(lr=0.5, warmup_steps=0)), METHODS, 2, league)

    def test_the_page_says_all_and_runs_only_its_own_script(self, league):
        path = write_page(league)
        html = path.read_text(encoding="utf-8")
        page = Page(html)
        assert path.read_bytes() == write_page(league, league / "again.html").read_bytes()
        (league / "again.html").unlink()
        (code,) = page.scripts
        policy = str(next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv")))
        assert policy.startswith("default-src 'none'")
        assert f"script-src {code}" in policy
        assert "unsafe" not in policy
        assert all(figure.get("data-readings") for figure in page.all("figure"))
        assert page.all("img") == []
        assert all(page.figures)
        drawn = " ".join(map(str, page.figures))
        for text in ("All runs and the median", "Kaplan-Meier curves", "Accuracy of every run"):
            assert text in drawn
        for row in rows(found_in(league)):
            assert all(cell in page.text for cell in row)
        for text in ("stablemax_attention", "has no softmax attention", "optimization.filters", "0 of 2"):
            assert text in page.text

    @pytest.mark.parametrize(("kept", "mentioned"), [(0, True), (4, False)])
    def test_the_page_says_where_early_stopping_keeps_the_untrained_network(self, kept, mentioned, league, monkeypatch):
        monkeypatch.setattr("grokinterp.league.page.by_patience", lambda *_: [])
        found = found_in(league)
        for run in found["runs"]:
            run["early"]["kept"] = kept
        text = Page(render(found, league)).text
        assert ("the untrained network had the lowest test loss" in text) == mentioned
        assert ("(untrained: 2 runs)" in text) == mentioned

    def test_the_terminal_has_the_same_numbers(self, league):
        text = as_text(found_in(league))
        assert all(row.method in text and row.steps in text for row in rows(found_in(league)))
        assert "refused  stablemax_attention: model.kind=mlp" in text

    def test_the_other_runs_go_on_where_one_fails(self, league, tmp_path):
        top = tmp_path / "league"
        broken = top / "adamw" / "seed-0"
        broken.mkdir(parents=True)
        (broken / "somebody's").write_text("file")
        found = run_league(SMALL, ["adamw", "grokfast_ema"], 1, top, jobs=2)
        assert [(one["method"], one["seed"]) for one in found["failed"]] == [("adamw", 0)]
        assert "is not empty" in found["failed"][0]["why"]
        assert [run["method"] for run in found["runs"]] == ["grokfast_ema"]

    def test_damage_is_left_out_and_named(self, league, tmp_path):
        top = shutil.copytree(league, tmp_path / "league")
        (top / "adamw" / "seed-1" / "experiment.json").write_bytes(b"{")
        (top / "league.json").write_bytes(b"{")
        with pytest.raises(RunDirectoryError, match=r"has a damaged league\.json"):
            write_page(top)
        with pytest.warns(UserWarning, match=r"league\.json was damaged"):
            found = run_league(SMALL, METHODS, 2, top, jobs=2)
        (failed,) = found["failed"]
        assert (failed["method"], failed["seed"]) == ("adamw", 1)
        assert found["runs"] == [
            run for run in found_in(league)["runs"] if (run["method"], run["seed"]) != ("adamw", 1)
        ]
        (top / "adamw" / "seed-0" / "experiment.json").write_bytes(b"{")
        text = Page(write_page(top).read_text(encoding="utf-8")).text
        for words in ("league.json was damaged", "2 runs failed or cannot be read", "adamw, seed 0", "adamw, seed 1"):
            assert words in text

    def test_failed_runs_are_the_exit_code(self, league, tmp_path, monkeypatch, capsys):
        (tmp_path / "small.json").write_text(json.dumps(SMALL.to_dict()))
        top = shutil.copytree(league, tmp_path / "league")
        (top / "adamw" / "seed-1" / "experiment.json").write_bytes(b"{")
        arguments = ["--config", str(tmp_path / "small.json"), "--methods", ",".join(METHODS), "--seeds", "2"]
        monkeypatch.setattr(sys, "argv", ["grokinterp", "league", *arguments, "--out", str(top)])
        with pytest.raises(SystemExit) as ended:
            run_command_line()
        assert ended.value.code == 1
        assert "failed   adamw seed 1: run directory" in capsys.readouterr().out

    @pytest.mark.browser
    def test_the_page_opens_in_silence_at_any_width(self, league, tmp_path):
        from tests.support.browser import show, start

        page, browser = write_page(league), start(tmp_path / "profile")
        try:
            assert show(browser, page) == []
            assert browser.get_log("browser") == []
            heights = "return [...document.querySelectorAll('.drawn')].map((svg) => svg.getBoundingClientRect().height)"
            assert min(browser.execute_script(heights)) > 50
            for width in (500, 1200):
                browser.set_window_size(width, 900)
                wider = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
                assert browser.execute_script(wider) <= 0
        finally:
            browser.quit()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_league_that_is_killed_goes_on_and_is_the_same(tmp_path):
    top = tmp_path / "league"
    command = [sys.executable, "-m", "tests.support.small_league", top]
    process = subprocess.Popen(command, cwd=Path(__file__).resolve().parents[2], start_new_session=True)
    logs = [top / name / "seed-0" / "metrics.jsonl" for name in ("adamw", "average")]
    while process.poll() is None and not all(log.exists() and log.stat().st_size > 2000 for log in logs):
        time.sleep(0.05)
    process.kill()
    assert process.wait(120) != 0
    runs = [RunDirectory.open(log.parent) for log in logs]
    deadline = time.monotonic() + 60  # after a kill nobody waits for the children
    while any(run.status["status"] == "running" for run in runs) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert {run.status["status"] for run in runs} <= {"interrupted", "finished"}
    found = run_league(LONG, ["adamw", "average"], 1, top, jobs=2)
    assert {(run["status"], run["step"]) for run in found["runs"]} == {("finished", LONG.steps)}
    run_league(LONG, ["adamw"], 1, tmp_path / "whole", jobs=1)
    went_on, whole = (written(one / "adamw" / "seed-0") for one in (top, tmp_path / "whole"))
    assert went_on.keys() == whole.keys()
    assert [name for name in whole.keys() - {"clock.json"} if went_on[name] != whole[name]] == []


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"methods": ["adamw", "nothing"]}, "methods"),
        ({"methods": []}, "methods"),
        ({"methods": ["stablemax_attention"]}, "methods"),
        ({"seeds": 0}, "seeds"),
        ({"jobs": 0}, "jobs"),
        ({"patience": 0}, "patience"),
        ({"device": "tpu"}, "device"),
        ({"experiment": replace(SMALL, evaluate_every=5)}, "steps"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused_before_any_work(change, key, tmp_path):
    arguments = {"experiment": SMALL, "methods": ["adamw"], "seeds": 1, "directory": tmp_path / "league"} | change
    with pytest.raises(ConfigError) as refused:
        run_league(**arguments)
    assert refused.value.key == key
    assert not (tmp_path / "league").exists()


@pytest.mark.slow
def test_a_league_of_stacks_measures_everything_but_times(tmp_path):
    (top := tmp_path / "league").mkdir()
    damaged = top / "adamw" / "seed-1"
    damaged.mkdir(parents=True)
    (damaged / "notes.txt").write_text("in the way")
    found = run_league(SMALL, METHODS[:2], 2, top, device="cpu", stacked=True, jobs=1)
    assert [(one["method"], one["seed"]) for one in found["failed"]] == [("adamw", 1)]
    assert "not empty" in found["failed"][0]["why"] or "notes.txt" in found["failed"][0]["why"]
    assert [(run["method"], run["seed"], run["status"]) for run in found["runs"]] == [
        ("adamw", 0, "finished"),
        ("grokfast_ema", 0, "finished"),
        ("grokfast_ema", 1, "finished"),
    ]
    assert all(run["collapsed_share"] is not None and run["seconds"] is None for run in found["runs"])
    assert len(rows(found)) == 2
    assert "grokfast_ema" in as_text(found)
    write_page(top, tmp_path / "page.html")


def test_a_directory_without_a_league_is_refused(tmp_path):
    with pytest.raises(RunDirectoryError, match="contains no league"):
        write_page(tmp_path)


def test_a_second_league_in_the_same_folder_is_refused_at_once(tmp_path):
    with held(tmp_path / "league"):
        begun = time.monotonic()
        with pytest.raises(RunDirectoryError, match=f"in use by process {os.getpid()} on host"):
            run_league(SMALL, ["adamw"], 1, tmp_path / "league")
    assert time.monotonic() - begun < 0.5
    assert [path.name for path in (tmp_path / "league").iterdir()] == ["lock"]
