"""The gallery: a card for every run of a folder, complete without its script, and filters in a real Chromium."""

import json
import os
import re
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from grokinterp.report import write_gallery
from grokinterp.report.gallery import content as gallery_content
from grokinterp.report.gallery.thumbnail import circle
from grokinterp.storage import RunDirectory
from tests.support.browser import show, start
from tests.support.planted_sweeps import BASE, write_planted
from tests.support.report_data import write_run
from tests.support.report_page import PAYLOADS, Page


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Runs that grokked, did not, were interrupted, and cannot be read, at several depths."""
    top = tmp_path_factory.mktemp("runs")
    decays = [("quick", 1.0, 600), ("slow", 0.5, 2000), ("deeper/never", 0.1, float("inf"))]
    for name, decay, grok in decays:
        write_planted(top / name, BASE.changed({"optimization.weight_decay": decay}), grok)
    other = BASE.changed({"task.kind": "modular_subtraction", "seed": 4})
    write_planted(top / "stopped", other, 700, status="interrupted", until=1000)
    write_run(top / "analyzed")
    write_planted(top / "damaged", BASE, 500)
    (top / "damaged" / "experiment.json").write_text("{")
    return top


@pytest.fixture(scope="module")
def path(root) -> Path:
    """The page of these runs."""
    (root.parent / "quick.html").write_text("a report")
    return write_gallery(root, root.parent / "gallery.html")


@pytest.fixture(scope="module")
def page(path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def cards(page: Page) -> dict[str, dict[str, str | None]]:
    """The attributes of the cards by the name of the run."""
    names = re.findall(r"\S+", " ".join(name for name in ("analyzed", "deeper/never", "quick", "slow", "stopped")))
    return dict(zip(names, page.all("article"), strict=True))


def test_every_run_has_a_card_with_its_verdict_and_its_dates(page):
    found = cards(page)
    assert found["quick"]["data-verdict"] == "grokked"
    assert found["quick"]["data-generalized"] == "600"
    assert found["deeper/never"]["data-verdict"] == "memorized, did not generalize within the run"
    assert found["deeper/never"]["data-generalized"] == ""
    assert (found["stopped"]["data-status"], found["stopped"]["data-task"]) == ("interrupted", "modular subtraction")
    assert "weight decay 0.5" in found["slow"]["data-text"]


def test_the_page_is_complete_without_its_script(page):
    text = " ".join(page.text.split())
    assert "All runs are shown; filters and sorting need JavaScript." in text
    assert "experiment.json is damaged" in text
    assert not any("hidden" in card for card in page.all("article"))
    assert "4 generalized and 1 did not generalize. Of all runs, 1 interrupted." in text
    links = [link["href"] for link in page.all("a") if not link["href"].startswith("#")]
    assert links == ["quick.html"]


def test_thumbnails_have_curves_phases_and_a_description(page):
    pictures = [svg for svg in page.all("svg") if svg.get("role") == "img"]
    described = [svg["aria-label"] for svg in pictures]
    assert sum(text.startswith("Accuracies up to step ") for text in described) == 5
    assert "Accuracies up to step 3,000; at the end, train accuracy 1, test accuracy 0.1" in described
    assert sum(text.startswith("Embedding of the tokens at key frequency ") for text in described) == 1
    assert {"band p-memorization", "band p-generalization"} <= {rect["class"] for rect in page.all("rect")}


def test_the_circle_has_a_point_for_each_token_inside_its_frame(root):
    found = circle(root / "analyzed")
    assert len(found.points) == 13
    assert all(0 <= x <= 84 and 0 <= y <= 84 for x, y, _ in found.points)
    assert {shade for _, _, shade in found.points} == set(range(8))
    assert circle(root / "quick") is None


def test_runs_beyond_the_limit_are_named(root, monkeypatch, tmp_path):
    monkeypatch.setattr(gallery_content, "MOST_CARDS", 2)
    page = Page(write_gallery(root, tmp_path / "page.html").read_text(encoding="utf-8"))
    assert len(page.all("article")) == 2
    assert "3 further runs without a card" in page.text


def test_payloads_are_shown_and_never_run(tmp_path):
    run = RunDirectory.create(tmp_path / "runs" / "a", BASE.to_dict() | {"name": PAYLOADS[0]}, {})
    run.write_status({"status": "diverged", "step": 0, "why": " ".join(PAYLOADS)})
    page = Page(write_gallery(tmp_path / "runs", tmp_path / "page.html").read_text(encoding="utf-8"))
    assert len(page.all("script")) == 1
    assert page.all("iframe") + page.all("img") + page.all("base") == []
    assert [name for name, attributes in page.elements for key in attributes if key.startswith("on")] == []
    assert "no evaluations" in page.text


@pytest.mark.browser
@pytest.mark.slow
def test_filters_search_and_order_work_and_stay_in_the_address(root, path, tmp_path):
    os.utime(root / "slow" / "metrics.jsonl", (2**31, 2**31))
    path = write_gallery(root, path)
    driver = start(tmp_path / "profile")

    def shown() -> list[str]:
        script = "return [...document.querySelectorAll('.card:not([hidden]) h2')].map((e) => e.textContent)"
        return driver.execute_script(script)

    try:
        assert show(driver, path) == []
        assert driver.get_log("browser") == []
        assert shown() == ["analyzed", "deeper/never", "quick", "slow", "stopped"]
        driver.find_element(By.CSS_SELECTOR, "input[value='grokked']").click()
        assert "deeper/never" not in shown()
        assert driver.find_element(By.ID, "count").text == f"{len(shown())} of 5 runs"
        driver.find_element(By.CSS_SELECTOR, "#sort option[value='generalized']").click()
        assert shown().index("quick") < shown().index("slow")
        driver.find_element(By.ID, "search").send_keys("DECAY 0.5")
        assert shown() == ["slow"]
        address = driver.current_url
        driver.get("about:blank")
        driver.get(address)
        assert shown() == ["slow"]
        driver.find_element(By.ID, "search").send_keys(" nothing")
        assert shown() == []
        assert driver.find_element(By.ID, "nothing").is_displayed()
        driver.find_element(By.ID, "clear").click()
        assert len(shown()) == 5
        driver.find_element(By.CSS_SELECTOR, "#sort option[value='written']").click()
        assert shown()[0] == "slow"
        for width in (1280, 390):
            driver.set_window_size(width, 900)
            assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth + 1")
        assert json.dumps(driver.get_log("browser")) == "[]"
    finally:
        driver.quit()
