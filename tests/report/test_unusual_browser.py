"""Unusual runs, every kind of run, and hostile texts in a real Chromium: silent, and their slider moves."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from grokinterp.report import render
from grokinterp.runs.results import Results
from tests.support.browser import drawn, press, show, start
from tests.support.report_data import KINDS, write_kind, write_run
from tests.support.report_page import PAYLOADS, UNDRAWN

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[webdriver.Chrome]:
    driver = start(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


def undrawn(run: Path) -> Path:
    """The report of a run with empty figures."""
    page = run.with_suffix(".html")
    page.write_text(render(Results.open(run), UNDRAWN), encoding="utf-8")
    return page


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0, "evaluations": 0},
        {"steps": 1, "evaluations": 1},
        {"steps": 2},
        {"groks": False},
        {"nan_from": 1000, "status": "diverged"},
        {"nan_from": 0},
        {"separable": False, "without": ("embedding_circles", "logit_spectrum", "neuron_frequencies")},
        {"steps": 5000, "evaluations": 5001},
    ],
    ids=str,
)
def test_unusual_runs_open_in_silence(browser, tmp_path, options):
    report = undrawn(write_run(tmp_path / "run", **options))
    assert show(browser, report) == []
    assert browser.get_log("browser") == []
    if browser.find_elements(By.ID, "slider") and len(drawn(browser)) and options.get("steps", 25) > 1:
        press(browser, Keys.HOME)
        assert browser.get_log("browser") == []


@pytest.mark.usefixtures("quick")
def test_a_short_report_is_unfolded_for_printing_alone(browser, tmp_path):
    show(browser, undrawn(write_run(tmp_path / "run", steps=0)))
    count = "return document.querySelectorAll('details.fold:not([open])').length"
    folded = browser.execute_script(count)
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert folded > browser.execute_script(count) == 0
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script(count) == folded


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_opens_in_silence_and_moves(browser, tmp_path, kind):
    report = undrawn(write_kind(tmp_path / "run", kind))
    assert show(browser, report) == []
    last = drawn(browser)
    press(browser, Keys.HOME)
    assert all(now != then for now, then in zip(drawn(browser), last, strict=True))
    wider = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(wider) <= 0
    assert browser.get_log("browser") == []


@pytest.mark.usefixtures("quick")
def test_payloads_do_nothing(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(Results, "skipped", property(lambda self: dict(enumerate(PAYLOADS))))
    changes = {"task": {payload: payload for payload in PAYLOADS}, "model": {}}
    path = write_run(tmp_path / "run", name="".join(PAYLOADS), changes=changes)
    (path / "environment.json").write_text(json.dumps(dict.fromkeys(PAYLOADS, PAYLOADS)))
    page = undrawn(path)
    assert show(browser, page) == []
    assert browser.get_log("browser") == []
    shown = browser.find_element(By.ID, "provenance").get_attribute("textContent")
    assert all(payload.strip() in shown for payload in PAYLOADS if payload.isascii() and "\x00" not in payload)
    press(browser, Keys.HOME)
