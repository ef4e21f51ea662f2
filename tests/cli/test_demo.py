"""The whole line: the real `grokinterp demo`, run once as a newcomer runs it, and everything it promises.

All tests that need its run are in this module, so that `--dist loadscope` keeps them on one worker and the network
is trained once.
"""

import hashlib
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from selenium.webdriver.common.keys import Keys

from grokinterp.runs.results import Results
from tests.support.browser import drawn, press, show, slider, start
from tests.support.notebooks import FOLDER, NOTEBOOKS, complaints, executed, figures, kernel, read
from tests.support.summary_lines import SUMMARY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MEGABYTE = 10**6
LOSSES = ["train_loss", "test_loss", "all_loss", "restricted_loss", "excluded_loss"]
SHARES = ["train_accuracy", "test_accuracy", "logit_fve", "gini_embedding", "gini_neuron_logit"]
MEASURES = [*LOSSES, *SHARES, "key_frequencies", "weight_norm"]
PHASES = ["memorization", "circuit formation", "cleanup", "generalization"]


class Demo(NamedTuple):
    """Output and files of one `grokinterp demo` in an empty folder."""

    folder: Path
    done: subprocess.CompletedProcess[str]
    run: Path
    report: Path


def contents(folder: Path) -> dict[str, str]:
    """A digest of every file under a folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Demo:
    """The demo, trained, analyzed and reported once for all tests here."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "grokinterp", "demo"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    runs = list((folder / "checkpoints").iterdir())
    assert len(runs) == 1
    return Demo(folder, done, runs[0], folder / "reports" / "demo.html")


@pytest.fixture(scope="module")
def results(demo) -> Results:
    return Results.open(demo.run)


@pytest.fixture(scope="module")
def summary(results) -> dict:
    """The object that `analyze --json` prints."""
    return json.loads(json.dumps(results.summary(), allow_nan=False))


def test_it_prints_a_few_lines_and_where_everything_is(demo):
    lines = demo.done.stdout.splitlines()
    assert [re.split(r"\s{2,}", line)[0] for line in lines[: len(SUMMARY)]] == SUMMARY
    assert lines[len(SUMMARY)] == ""
    assert [line.split(maxsplit=1) for line in lines[len(SUMMARY) + 1 :]] == [
        ["report", str(demo.report.resolve())],
        ["run", str(demo.run.relative_to(demo.folder))],
    ]
    assert all(name in lines[0] for name in PHASES)
    assert "Grokked" in lines[len(SUMMARY) - 1]


def test_it_shows_progress_with_rates_and_remaining_time(demo):
    shown = re.findall(r"^(\w+) .*?(\d+)/(\d+), [\d.,]+(?:/s| s each), \d+ s left", demo.done.stderr, re.MULTILINE)
    assert {name for name, *_ in shown} == {"training", "analyzing"}
    last = {name: (done, total) for name, done, total in shown}
    assert all(done == total for done, total in last.values())
    assert "Traceback" not in demo.done.stderr
    assert "arning" not in demo.done.stderr


def test_it_writes_nothing_but_the_run_and_the_report(demo):
    assert sorted(path.name for path in demo.folder.iterdir()) == ["checkpoints", "reports"]
    assert [path.name for path in (demo.folder / "reports").iterdir()] == ["demo.html"]
    assert re.fullmatch(r"demo-[0-9a-f]+", demo.run.name)


def test_the_network_groks(results, summary):
    assert summary["verdict"] == results.history.verdict == "grokked"
    assert summary["sentence"].startswith("Grokked: ")
    assert summary["status"]["status"] == "finished"


def test_its_four_phases_follow_each_other_over_the_whole_run(results, summary):
    phases = summary["phases"]
    assert [phase["name"] for phase in phases] == PHASES
    assert [phase["start"] for phase in phases[1:]] == [phase["stop"] for phase in phases[:-1]]
    assert phases[0]["start"] == summary["steps"][0] == 0
    assert phases[-1]["stop"] == summary["steps"][-1] + 1
    assert phases[-1]["start"] == results.history.generalized_step <= summary["grok_step"]


def test_it_memorizes_without_a_leak_and_then_generalizes(results, summary):
    metrics, history = results.metrics, results.history
    memorized = metrics.sel(step=history.memorized_step)
    assert memorized["train_accuracy"] >= 0.99
    assert memorized["test_accuracy"] < 0.02
    assert memorized["test_loss"] > math.log(53)
    assert summary["leaked_share"] == 0
    assert summary["measures"]["train_accuracy"] == 1
    assert summary["measures"]["test_accuracy"] >= 0.99


def test_the_delay_is_many_times_the_time_of_memorization(results):
    assert results.history.grok_step > 5 * results.history.memorized_step


def test_the_key_frequencies_carry_the_answer(summary):
    measures = summary["measures"]
    assert 1 <= len(measures["key_frequencies"]) <= 10
    assert all(1 <= k <= 26 for k in measures["key_frequencies"])
    assert measures["logit_fve"] > 0.75  # 0.87 with the preset's seed on the machine it was chosen on
    assert measures["restricted_loss"] < 0.01 < 1 < measures["excluded_loss"]
    assert measures["restricted_loss_control"] > 1 > 0.01 > measures["excluded_loss_control"]
    assert measures["gini_embedding"] > 0.3
    assert measures["gini_neuron_logit"] > 0.3


def test_the_circuit_is_there_before_the_test_loss_shows_it(results):
    cleanup = next(phase for phase in results.history.phases if phase.name == "cleanup")
    at = results.dataset.sel(step=cleanup.start, method="bfill")
    assert at["restricted_loss"] < 0.1 * at["test_loss"]


def test_json_names_every_measure(summary):
    assert [name for name in MEASURES if name not in summary["measures"]] == []
    assert all(math.isfinite(summary["measures"][name]) for name in MEASURES if name != "key_frequencies")
    assert summary["skipped"] == []
    assert len(summary["steps"]) == len(set(summary["steps"])) >= 100


def test_what_training_measured_is_what_the_checkpoints_say(results):
    """float32 in the loop, float64 in the analysis, at every step that has both."""
    steps = sorted(set(results.metrics["step"].values) & set(results.dataset["step"].values))
    assert len(steps) >= 100
    for name in ("train_loss", "test_loss"):
        trained, analyzed = (source[name].sel(step=steps).values for source in (results.metrics, results.dataset))
        assert abs(trained / analyzed - 1).max() < 0.01, name


def test_the_report_is_one_small_self_contained_file(demo):
    page = demo.report.read_text(encoding="utf-8")
    assert len(page.encode()) < 5 * MEGABYTE
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
    assert all(name in page for name in PHASES)
    assert str(demo.folder) not in page


@pytest.mark.browser
def test_the_report_opens_in_a_browser_and_its_slider_moves(demo, tmp_path):
    browser = start(tmp_path / "profile")
    try:
        assert show(browser, demo.report) == []
        assert browser.get_log("browser") == []
        before = drawn(browser)
        press(browser, Keys.HOME)
        assert all(now != then for now, then in zip(drawn(browser), before, strict=True))
        assert slider(browser).get_attribute("value") == "0"
        assert browser.get_log("browser") == []
    finally:
        browser.quit()


@pytest.mark.notebook
def test_the_notebooks_about_it_run_with_their_exercises_solved(demo, tmp_path):
    before = contents(demo.run)
    environment = os.environ | {"IPYTHONDIR": str(tmp_path), "PYTHONPATH": str(FOLDER.parent)}
    with kernel(demo.folder, environment) as client:
        for path in NOTEBOOKS[:2]:
            outputs = executed(read(path), client)
            assert complaints(outputs) == [], path.name
            assert figures(outputs) >= 7, path.name
    assert contents(demo.run) == before
