"""The report in a real Chromium: silent, offline, fast, its slider moves, and it is whole without JavaScript."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from grokinterp.report import render, write_report
from grokinterp.runs.results import Results
from tests.support.browser import drawn, press, show, slider, start, step
from tests.support.report_data import KINDS, write_kind, write_run
from tests.support.report_page import PAYLOADS, UNDRAWN

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[webdriver.Chrome]:
    driver = start(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    return write_report(write_run(folder / "run", p=53, steps=125, evaluations=601, deep=True), folder / "report.html")


def test_a_report_is_silent_and_asks_for_nothing(browser, page):
    assert show(browser, page) == []
    assert browser.get_log("browser") == []
    broken = "return [...document.images].filter((image) => !image.complete || !image.naturalWidth).length"
    assert browser.execute_script(broken) == 0


def test_the_policy_stops_what_is_not_ours(browser, page):
    show(browser, page)
    browser.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s);"
        "document.body.append(Object.assign(new Image(), {src: 'https://example.org/x.png'}));"
    )
    assert browser.execute_script("return window.ran === undefined")
    refused = [entry["message"] for entry in browser.get_log("browser")]
    assert len(refused) == 2
    assert all("Content Security Policy" in message for message in refused)


def test_a_report_opens_in_under_a_second(browser, page):
    timing = "const t = performance.getEntriesByType('navigation')[0]; return t.loadEventEnd - t.startTime"
    times = []
    for _ in range(5):
        show(browser, page)
        times.append(browser.execute_script(timing))
    assert min(times) < 1000, times


def test_every_panel_is_drawn(browser, page):
    show(browser, page)
    names = browser.execute_script(
        "return [...document.querySelectorAll('.panel canvas')].map((c) => c.dataset.panel || c.id)"
    )
    assert sorted(names) == [
        "attention_to_a", "embedding_circle", "embedding_power", "logit_by_label", "losses", "neuron_frequency",
    ]  # fmt: skip
    colors = """return [...document.querySelectorAll('.panel canvas')].map((canvas) => {
      const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      const seen = new Set();
      for (let i = 0; i < pixels.length; i += 4) seen.add((pixels[i] << 16) + (pixels[i + 1] << 8) + pixels[i + 2]);
      return seen.size;
    })"""
    assert all(count > 10 for count in browser.execute_script(colors))


def test_the_slider_moves_every_panel(browser, page):
    show(browser, page)
    last = drawn(browser)
    assert step(browser) == "step 3000, generalization"
    press(browser, Keys.HOME)
    assert step(browser) == "step 0, memorization"
    first = drawn(browser)
    assert all(a != b for a, b in zip(first, last, strict=True))
    press(browser, Keys.END)
    assert drawn(browser) == last


def test_the_keys_move_the_slider(browser, page):
    show(browser, page)
    steps = browser.execute_script("return JSON.parse(document.getElementById('frames').textContent).steps")
    at = len(steps) - 1
    assert slider(browser).get_attribute("value") == str(at)
    moves = [(Keys.HOME, -at), (Keys.ARROW_RIGHT, 1), (Keys.ARROW_UP, 1), (Keys.PAGE_UP, 10), (Keys.ARROW_LEFT, -1),
             (Keys.PAGE_DOWN, -10), (Keys.ARROW_DOWN, -1), (Keys.END, at)]  # fmt: skip
    for key, by in moves:
        press(browser, key)
        at += by
        assert slider(browser).get_attribute("value") == str(at)
        assert slider(browser).get_attribute("aria-valuetext") == step(browser)
        assert step(browser).startswith(f"step {steps[at]},")


def test_the_mouse_moves_the_slider(browser, page):
    show(browser, page)
    webdriver.ActionChains(browser).move_to_element(slider(browser)).click().perform()
    WebDriverWait(browser, 5).until(lambda driver: not step(driver).startswith("step 3000"))
    assert 50 < int(slider(browser).get_attribute("value")) < 75


def test_play_runs_to_the_end_and_pauses(browser, page):
    show(browser, page)
    play = browser.find_element(By.ID, "play")
    play.click()
    WebDriverWait(browser, 5).until(lambda driver: int(slider(driver).get_attribute("value")) in range(2, 60))
    play.click()
    assert play.text == "Play"
    press(browser, Keys.END)
    press(browser, Keys.ARROW_LEFT)
    play.click()
    WebDriverWait(browser, 5).until(lambda driver: driver.find_element(By.ID, "play").text == "Play")
    assert step(browser) == "step 3000, generalization"


def test_the_scales_can_follow_the_checkpoint(browser, page):
    show(browser, page)
    press(browser, Keys.HOME)
    before = drawn(browser)
    browser.find_element(By.ID, "fixed").click()
    WebDriverWait(browser, 5).until(lambda driver: drawn(driver) != before)
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("width", [360, 760, 1200, 1900])
def test_nothing_is_wider_than_the_window(browser, page, width):
    browser.set_window_size(width, 900)
    try:
        show(browser, page)
        wider = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.execute_script(wider) <= 0
        assert browser.get_log("browser") == []
    finally:
        browser.set_window_size(1200, 900)


def test_a_report_prints(browser, page):
    show(browser, page)
    pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})["data"])
    assert pdf.startswith(b"%PDF")
    assert 4 < pdf.count(b"/Type /Page\n") < 60


def test_a_report_is_whole_without_javascript(page, tmp_path):
    browser = start(tmp_path, javascript=False)
    try:
        browser.get(page.as_uri())
        assert not browser.find_element(By.ID, "explorer").is_displayed()
        assert "needs JavaScript" in browser.find_element(By.ID, "explore").text
        images = browser.find_elements(By.TAG_NAME, "img")
        assert len(images) > 21  # those of the phases, and of every section
        assert all(image.size["height"] > 50 for image in images)
    finally:
        browser.quit()


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
    shown = browser.find_element(By.ID, "provenance").text
    assert all(payload.strip() in shown for payload in PAYLOADS if payload.isascii() and "\x00" not in payload)
    press(browser, Keys.HOME)
