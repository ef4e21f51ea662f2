"""The page of a sweep in a real Chromium: silent, offline, and no wider than a phone."""

import pytest

from grokinterp.sweep_report import write_sweep_report
from tests.support.browser import start
from tests.support.planted_sweeps import boundary, plant, ratios_by_decay

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_page_is_silent_complete_and_fits_a_narrow_window(tmp_path):
    plant(tmp_path / "runs", "ratios", ratios_by_decay([1.0, 3.0], [0.5, 1.0, 2.0], 2), boundary)
    page = write_sweep_report(tmp_path / "runs", tmp_path / "page.html")
    driver = start(tmp_path / "profile")
    try:
        for width in (1280, 390):
            driver.set_window_size(width, 900)
            driver.get(page.as_uri())
            assert driver.get_log("browser") == []
            heights = "return [...document.querySelectorAll('.drawn')].map((svg) => svg.getBoundingClientRect().height)"
            assert min(driver.execute_script(heights)) > 50
            assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth + 1")
    finally:
        driver.quit()
