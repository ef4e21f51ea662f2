"""A report in a headless Chromium: its explorer, its log, and the addresses that it asks for."""

import json
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--window-size=1200,900",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


def start(profile: Path, *, javascript: bool = True) -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    if not javascript:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


def show(browser: webdriver.Chrome, page: Path) -> list[str]:
    """Open a page from disk; the addresses it asked for besides its own and data inside it."""
    browser.get("about:blank")
    browser.get_log("performance")
    browser.get_log("browser")
    browser.get(page.as_uri())
    time.sleep(0.2)
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    urls = [params["request"]["url"] for params in sent if params.get("documentURL", "").startswith(page.as_uri())]
    return [url for url in urls if url != page.as_uri() and not url.startswith("data:")]


def slider(browser: webdriver.Chrome) -> WebElement:
    return browser.find_element(By.ID, "slider")


def step(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.ID, "where").text


def drawn(browser: webdriver.Chrome) -> list[str]:
    return browser.execute_script("return [...document.querySelectorAll('.panel svg')].map((svg) => svg.innerHTML)")


def press(browser: webdriver.Chrome, *keys: str) -> None:
    before = step(browser)
    slider(browser).send_keys(*keys)
    WebDriverWait(browser, 5).until(lambda driver: step(driver) != before)
