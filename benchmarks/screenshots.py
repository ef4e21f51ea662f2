"""Take pictures of pages as readers see them: a wide window and a phone, light and dark, and the printed pages.

``python -m benchmarks.screenshots reports/demo.html --out shots`` writes ``demo-1280-light.png``, ``demo-390-dark.png``
and so on, of the whole page in parts of 2,400 px, ``demo-1280-first.png`` of the first window, and ``demo.pdf``. It
needs chromium and chromedriver.
"""

import argparse
import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")
HEIGHT, PART = 900, 2400
"""Height of the window, and of each picture of a page, in CSS pixels."""

OPEN = "document.querySelectorAll('details').forEach((part) => { part.open = true; })"
HEIGHT_OF = "return document.documentElement.scrollHeight"


def main() -> None:
    """Take the pictures of every page that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("shots"))
    parser.add_argument("--unfolded", action="store_true", help="unfold everything first")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    browser = started()
    try:
        for page in options.pages:
            for file in pictures(browser, page.resolve(), options.out, unfolded=options.unfolded):
                print(file)
    finally:
        browser.quit()


def started() -> webdriver.Chrome:
    """Start a headless Chromium."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


def pictures(browser: webdriver.Chrome, page: Path, out: Path, *, unfolded: bool = False) -> Iterator[Path]:
    """Write every picture of a page and yield its file."""
    for width in WIDTHS:
        for scheme in SCHEMES:
            shown(browser, page, width, scheme)
            if width == WIDTHS[0] and scheme == SCHEMES[0]:
                yield written(out / f"{page.stem}-{width}-first.png", captured(browser, width, 0, HEIGHT))
            if unfolded:
                browser.execute_script(OPEN)
                time.sleep(1)
            height = browser.execute_script(HEIGHT_OF)
            for i, top in enumerate(range(0, height, PART)):
                data = captured(browser, width, top, min(PART, height - top))
                yield written(out / f"{page.stem}-{width}-{scheme}-{i}.png", data)
    shown(browser, page, WIDTHS[0], SCHEMES[0])
    yield written(out / f"{page.stem}.pdf", browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True}))


def shown(browser: webdriver.Chrome, page: Path, width: int, scheme: str) -> None:
    """Open a page in a window of this width, with this color scheme."""
    screen = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(page.as_uri())
    time.sleep(0.5)


def captured(browser: webdriver.Chrome, width: int, top: int, height: int) -> dict[str, Any]:
    """Return a picture of a part of the page."""
    clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
    options = {"format": "png", "captureBeyondViewport": top > 0 or height > HEIGHT, "clip": clip}
    return browser.execute_cdp_cmd("Page.captureScreenshot", options)


def written(path: Path, found: dict[str, Any]) -> Path:
    """Write what the browser returned and return the file."""
    path.write_bytes(base64.b64decode(found["data"]))
    return path


if __name__ == "__main__":
    main()
