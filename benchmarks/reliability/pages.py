"""Texts that could run as code in a page: a real browser must show them, run nothing, and request nothing."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.reliability.specimen import Lab
from benchmarks.reliability.trial import End, Row, Trial, row
from grokinterp.errors import GrokinterpError
from grokinterp.report import write_report
from grokinterp.runs.datasets import write_not_defined
from grokinterp.storage import RunDirectory

PAYLOADS = (
    "<script>window.ran=1</script>",
    "</script><script>window.ran=1</script>",
    "</title><script>window.ran=1</script>",
    "</style><script>window.ran=1</script>",
    "<img src=x onerror=window.ran=1>",
    "<svg onload=window.ran=1>",
    '" onmouseover="window.ran=1',
    "' onfocus='window.ran=1' autofocus='",
    "javascript:window.ran=1",
    "<iframe src=//example.org></iframe>",
    "<link rel=stylesheet href=//example.org>",
    "<base href=//example.org>",
    "<meta http-equiv=refresh content=0>",
    "<!--",
    "-->",
    "]]>",
    "<![CDATA[",
    "{{ 7 * 7 }}",
    "{% for x in y %}",
    "${7*7}",
    "&lt;script&gt;",
    "\u2028window.ran=1\u2029",
    "\u202egnp.exe",
    "<scr\x00ipt>window.ran=1</scr\x00ipt>",
    "<object data=x>",
    "<form action=//example.org><button>",
    "<textarea>",
    "<style>*{display:none}</style>",
    "<math><mtext></mtext></math>",
)
PAGE = 6
"""The number of payloads in a report."""

BROWSER, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def faults(lab: Lab) -> Iterator[Row]:
    """Put payloads into every text of a run and open its report."""
    name = "code in the texts of a run, shown in its report"
    lacking = [path.name for path in (BROWSER, DRIVER) if not path.exists()]
    if lacking or lab.small:
        yield row(name, (), f"{' and '.join(lacking)} not installed" if lacking else "not at toy size")
        return
    browser = opened(lab.folder / "profile")
    try:
        yield row(name, [*injected(lab, browser)])
    finally:
        browser.quit()


def opened(profile: Path) -> Any:
    """Return a headless Chromium that records its console and its requests."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(str(DRIVER)))


def injected(lab: Lab, browser: Any) -> Iterator[Trial]:
    """Write a report with some payloads in every text of a run, and open it."""
    for first in range(0, len(PAYLOADS), PAGE):
        some = PAYLOADS[first : first + PAGE]
        end, said = End.EQUAL, ""
        try:
            said = shown(browser, write_report(poisoned(lab.folder / str(first), some), lab.folder / f"{first}.html"))
            end = End.SILENT if said else End.EQUAL
        except GrokinterpError as error:
            end, said = End.NAMED, str(error)
        except Exception as error:
            end, said = End.TRACEBACK, f"{type(error).__name__}: {error}"
        yield from (Trial(payload, end, said) for payload in some)


def poisoned(path: Path, payloads: Sequence[str]) -> Path:
    """Make a run with payloads in its name, keys, values, status and reasons."""
    text, table = " ".join(payloads), dict(zip(payloads, payloads, strict=True))
    run = RunDirectory.create(path, {"name": text, "task": table, "model": {"kind": text}}, table)
    row = {"train_loss": 1.0, "test_loss": 2.0, "train_accuracy": 0.5, "test_accuracy": 0.1}
    with run.lock() as held:
        for step in range(0, 24, 2):
            held.metrics.append({"step": step, **row})
        held.write_status({"status": "diverged", "step": 22, "why": text})
    write_not_defined(path, table | {"coset_scores": text})
    return path


def shown(browser: Any, page: Path) -> str:
    """Open a page, and return a line if it ran code, printed to the console, or requested another page."""
    browser.get("about:blank")
    browser.get_log("performance")
    browser.get_log("browser")
    browser.get(page.as_uri())
    time.sleep(0.1)
    if browser.execute_script("return window.ran"):
        return "code ran"
    if messages := browser.get_log("browser"):
        return str(messages[0]["message"])[:200]
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [each["params"]["request"]["url"] for each in sent if each["method"] == "Network.requestWillBeSent"]
    foreign = [url for url in urls if url != page.as_uri() and not url.startswith(("data:", "about:"))]
    return f"requested {foreign[0]}" if foreign else ""
