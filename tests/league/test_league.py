"""A league end to end: every run in a process of its own, killed and continued, and its page."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from grokinterp.errors import ConfigError, RunDirectoryError
from grokinterp.experiment import Optimization
from grokinterp.league import run_league, write_page
from grokinterp.league.page import render
from grokinterp.league.table import as_text, rows
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory
from grokinterp.sweeps.outcome import Clock, early_stop, horizon_of, judged
from grokinterp.sweeps.processes import processes_of, stop
from tests.support.report_page import Page
from tests.support.slow_to_stop import save_slowly
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

    def test_what_is_finished_is_not_trained_again(self, league):
        before = {path: path.stat().st_mtime_ns for path in league.rglob("*") if path.is_file()}
        again = run_league(SMALL, METHODS, 2, league, jobs=2)
        after = {path: path.stat().st_mtime_ns for path in league.rglob("*") if path.is_file()}
        changed = {path.name for path in before if before[path] != after[path]}
        assert changed <= {"league.json", "lock"}
        assert again == found_in(league)

    def test_another_experiment_is_refused_before_any_work(self, league):
        with pytest.raises(RunDirectoryError, match=r"another experiment: optimization\.lr=0\.02 there, 0\.5 here"):
            run_league(replace(SMALL, optimization=Optimization(lr=0.5, warmup_steps=0)), METHODS, 2, league)

    def test_the_page_says_all_and_runs_nothing(self, league):
        path = write_page(league)
        html = path.read_text(encoding="utf-8")
        page = Page(html)
        assert path.read_bytes() == write_page(league, league / "again.html").read_bytes()
        (league / "again.html").unlink()
        assert [tag for tag, _ in page.elements if tag == "script"] == []
        policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv"))
        assert policy.startswith("default-src 'none'")
        assert "script-src" not in policy
        assert "unsafe" not in policy
        assert all(image["src"].startswith("data:") and image["alt"] for image in page.all("img"))
        assert len(page.all("img")) == 5
        for row in rows(found_in(league)):
            assert all(cell in page.text for cell in row)
        for text in ("stablemax_attention", "has no softmax attention", "optimization.filters", "0 of 2"):
            assert text in page.text

    @pytest.mark.parametrize(("kept", "said"), [(0, True), (4, False)])
    def test_the_page_says_where_early_stopping_keeps_the_untrained_network(self, kept, said, league, monkeypatch):
        monkeypatch.setattr("grokinterp.league.page.by_patience", lambda *_: [])
        found = found_in(league)
        for run in found["runs"]:
            run["early"]["kept"] = kept
        text = Page(render(found, league)).text
        assert ("the lowest test loss of the whole stretch was that of the untrained network" in text) == said
        assert ("(untrained: 2 runs)" in text) == said

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

    @pytest.mark.browser
    def test_the_page_opens_in_silence_at_any_width(self, league, tmp_path):
        from tests.support.browser import show, start

        page, browser = write_page(league), start(tmp_path / "profile")
        try:
            assert show(browser, page) == []
            assert browser.get_log("browser") == []
            broken = "return [...document.images].filter((image) => !image.complete || !image.naturalWidth).length"
            assert browser.execute_script(broken) == 0
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
    assert {(run["status"], run["step"]) for run in found["runs"]} == {("finished", 3_000)}
    run_league(LONG, ["adamw"], 1, tmp_path / "whole", jobs=1)
    went_on, whole = (written(one / "adamw" / "seed-0") for one in (top, tmp_path / "whole"))
    assert went_on.keys() == whole.keys()
    assert all(went_on[name] == whole[name] for name in whole.keys() - {"clock.json"})


def test_stopping_waits_until_all_have_saved(tmp_path):
    """Also when what they came from has got the signal too, as the whole group does from `timeout` or Slurm."""
    context = processes_of("tests.support.slow_to_stop")
    running = {}
    for number in range(2):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=save_slowly, args=(str(tmp_path / f"{number}"), theirs), daemon=True)
        process.start()
        theirs.close()
        running[ours] = process
    assert [answer.recv() for answer in running] == ["begun", "begun"]
    server = forkserver._forkserver._forkserver_pid
    if server is not None:
        os.kill(server, signal.SIGTERM)
    stop(running)
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["saved", "saved"]


def test_processes_have_the_program_of_their_parent_not_that_of_the_current_folder(tmp_path):
    """A package of the same name in the current folder, and one beside the script that only it can import."""
    for folder, name in (("mine", "mine"), ("here", "here")):
        (tmp_path / folder / "planted").mkdir(parents=True)
        (tmp_path / folder / "planted" / "__init__.py").write_text(f"def tell(pipe):\n    pipe.send({name!r})\n")
    script = tmp_path / "mine" / "script.py"
    script.write_text(
        "import planted\n"
        "if __name__ == '__main__':\n"
        "    from grokinterp.sweeps.processes import processes_of\n"
        "    context = processes_of('planted')\n"
        "    ours, theirs = context.Pipe(duplex=False)\n"
        "    context.Process(target=planted.tell, args=(theirs,)).start()\n"
        "    print(ours.recv())\n"
    )
    command = [sys.executable, script]
    done = subprocess.run(command, cwd=tmp_path / "here", capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("mine\n", "")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"methods": ["adamw", "nothing"]}, "methods"),
        ({"methods": []}, "methods"),
        ({"methods": ["stablemax_attention"]}, "methods"),
        ({"seeds": 0}, "seeds"),
        ({"jobs": 0}, "jobs"),
        ({"patience": 0}, "patience"),
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


def curve(**columns: list[float]) -> xr.Dataset:
    length = len(next(iter(columns.values())))
    return xr.Dataset({k: ("step", np.array(v)) for k, v in columns.items()}, coords={"step": 10 * np.arange(length)})


def test_early_stopping_by_hand():
    metrics = curve(test_loss=[3, 2, 5, 6, 7, 1, 0], test_accuracy=[0, 0.1, 0.2, 0.3, 0.4, 0.9, 1])
    assert early_stop(metrics, 3) == (40, 10, 0.1)
    assert early_stop(metrics, 2) == (30, 10, 0.1)
    assert early_stop(metrics, 4) == (60, 60, 1)
    validated = metrics.assign(validation_loss=("step", np.array([3.0, 4, 4, 4, 4, 1, 0])))
    assert early_stop(validated, 2) == (20, 0, 0)


def test_methods_that_average_are_judged_by_the_average():
    metrics = curve(test_accuracy=[0, 1.0], average_test_accuracy=[0, 0.5])
    assert judged(metrics)["test_accuracy"].values.tolist() == [0, 0.5]


@pytest.mark.parametrize(
    ("status", "steps", "horizon"),
    [("finished", 201, 1910), ("diverged", 3, 1910), ("interrupted", 21, 110), ("running", 5, 0)],
)
def test_until_when_a_run_is_known_not_to_have_got_there(status, steps, horizon):
    experiment = {"steps": 2_000, "evaluate_every": 10}
    assert horizon_of(experiment, {"status": status}, 10 * np.arange(steps)) == horizon


def test_the_time_of_several_processes_is_put_together():
    sessions = [
        {"steps": [0, 10, 20], "seconds": [0.0, 1.0, 2.0], "cpu_seconds": 1.0, "peak_bytes": 5, "program_bytes": 3},
        {"steps": [30, 40], "seconds": [0.0, 4.0], "cpu_seconds": 2.0, "peak_bytes": 7, "program_bytes": 2},
    ]
    clock = Clock(sessions, np.array([0, 10, 20, 30, 40]))
    assert clock.rate == pytest.approx(6 / 30)
    assert clock.cpu_rate == pytest.approx(3 / 30)
    assert [clock.at(step) for step in (0, 15, 20, 30, 40, 50)] == pytest.approx([0, 1.5, 2, 4, 8, 10])
    assert clock.memory == {"peak_bytes": 7, "program_bytes": 3}
    assert np.isnan(Clock([], np.array([0, 10])).at(5))


def test_a_directory_without_a_league_is_refused(tmp_path):
    with pytest.raises(RunDirectoryError, match="holds no league"):
        write_page(tmp_path)
