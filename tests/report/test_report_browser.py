"""The report in a real Chromium: silent, offline, fast, its slider moves, and it is whole without JavaScript."""

import base64
import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from grokinterp.report import write_report
from tests.support.browser import drawn, press, show, slider, start, step
from tests.support.report_data import write_run

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
    names = browser.execute_script("return [...document.querySelectorAll('.panel svg')].map((c) => c.dataset.panel)")
    assert sorted(names) == [
        "attention_to_a", "embedding_circle", "embedding_power", "logit_by_label", "neuron_frequency",
    ]  # fmt: skip
    marks = "return [...document.querySelectorAll('.panel svg, #lead')].map((svg) => svg.children.length)"
    assert all(count > 15 for count in browser.execute_script(marks))


def test_the_first_screen_answers_four_questions(browser, page):
    """Within the first window: the task, the verdict, the four answers, and the top of the lead figure."""
    show(browser, page)
    box = "return document.querySelector(arguments[0]).getBoundingClientRect().bottom"
    assert browser.execute_script(box, "h1") < 160
    assert browser.execute_script(box, ".answers") < 900
    headings = [heading.text for heading in browser.find_elements(By.CSS_SELECTOR, ".answer h2")]
    assert headings == ["What it learned", "When", "How we know", "What is doubtful"]
    folded = "return document.documentElement.scrollHeight / window.innerHeight"
    assert browser.execute_script(folded) < 12


@pytest.mark.parametrize("width", [1280, 1600])
def test_the_slider_leaves_the_lead_figure_free(browser, page, width):
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        show(browser, page)
        edge = "return document.querySelector(arguments[0]).getBoundingClientRect()[arguments[1]]"
        assert browser.execute_script(edge, "#lead", "bottom") <= browser.execute_script(edge, ".controls", "top")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_values_and_definitions_are_shown_under_the_pointer(browser, page):
    show(browser, page)
    note = browser.find_element(By.CLASS_NAME, "note-box")
    term = browser.find_element(By.CSS_SELECTOR, "dfn.term")
    webdriver.ActionChains(browser).move_to_element(term).perform()
    assert note.text
    lead = browser.find_element(By.ID, "lead")
    browser.execute_script("arguments[0].scrollIntoView({behavior: 'instant', block: 'center'})", lead)
    webdriver.ActionChains(browser).move_to_element_with_offset(lead, 0, -90).perform()
    assert note.text.startswith("step ")
    assert "train: " in note.text


def test_the_slider_moves_the_line_in_every_figure_over_the_steps(browser, page):
    show(browser, page)
    where = "return [...document.querySelectorAll('.drawn .now')].map((line) => line.getAttribute('x1'))"
    last = browser.execute_script(where)
    press(browser, Keys.HOME)
    first = browser.execute_script(where)
    assert len(first) > 10
    assert all(float(a) < float(b) for a, b in zip(first, last, strict=True))
    assert browser.execute_script("return location.hash") == "#step=0"


def test_an_address_names_a_step(browser, page):
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#step=1000")
    assert step(browser).startswith("step 992, ")  # the nearest checkpoint


def test_the_lead_figure_has_a_logarithmic_axis_by_choice(browser, page):
    show(browser, page)
    paths = "return [...document.querySelectorAll('#lead path')].map((path) => path.getAttribute('d')).join()"
    before = browser.execute_script(paths)
    browser.execute_script("document.getElementById('log-steps').click()")
    assert browser.execute_script(paths) != before
    assert "logarithmic" in browser.find_element(By.ID, "lead").text


def test_a_figure_is_enlarged_and_still_moves(browser, page):
    show(browser, page)
    figure = browser.find_element(By.CSS_SELECTOR, "figure.panel")
    browser.execute_script("arguments[0].querySelector('.tool').click()", figure)
    assert figure.size["width"] > 1000
    before = drawn(browser)
    press(browser, Keys.HOME)
    assert drawn(browser) != before
    webdriver.ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    assert figure.size["width"] < 700


FILES = """
const files = [];
URL.createObjectURL = (blob) => { files.push(blob); return "#"; };
HTMLAnchorElement.prototype.click = function () { files.names = [...(files.names || []), this.download]; };
const named = "#health figure .tool, #phases .tools .tool, .panel .tool, #everything";
[...document.querySelectorAll(named)].forEach((tool) => {
  if (tool.textContent !== "Enlarge") tool.click();
});
const done = arguments[0];
Promise.all(files.map((blob) => blob.text())).then((texts) => done(texts.map((text, i) => [files.names[i], text])));
"""


def test_figures_and_tables_can_be_saved(browser, page):
    show(browser, page)
    saved = dict(browser.execute_async_script(FILES))
    assert saved["softmax_collapse.csv"].startswith("panel,series,optimizer step,")
    assert len(saved["softmax_collapse.csv"].splitlines()) > 50
    assert ElementTree.fromstring(saved["softmax_collapse.svg"]).tag.endswith("svg")
    measures = next(text for name, text in saved.items() if name.startswith("measures"))
    assert measures.startswith("measure,unit,step 0")
    assert max(map(len, re.findall(r"\d+\.\d+", measures))) > 12  # in full
    logits = next(text for name, text in saved.items() if re.fullmatch(r"logits_by_label.*\.csv", name))
    assert logits.startswith("step,label,class,value\n3000,0,0,")
    everything = json.loads(saved["page.json"])
    assert len(everything["figures"]) > 10
    assert all(len(figure["columns"]) >= 3 and figure["rows"] for figure in everything["figures"])


def test_every_figure_and_table_has_its_files(browser, page):
    show(browser, page)
    assert browser.execute_script(TOOLS) == []


TOOLS = """const words = (part) => [...part.querySelectorAll(".tool")].map((tool) => tool.textContent).join();
const figures = [...document.querySelectorAll("main figure")].filter((figure) => words(figure) !== "Enlarge,SVG,CSV");
const tables = [...document.querySelectorAll("main table")].filter((table) =>
  words((table.closest(".scroll") || table).nextElementSibling || table) !== "CSV");
return [...figures, ...tables].map((part) => part.outerHTML.slice(0, 200));"""


def test_values_are_read_by_keyboard(browser, page):
    show(browser, page)
    spoken = browser.find_element(By.CLASS_NAME, "spoken")
    said = []
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.END, Keys.ARROW_DOWN):
        browser.find_element(By.ID, "lead").send_keys(key)
        said.append(spoken.get_attribute("textContent"))
    assert said[0].startswith("step 0; train: ")
    assert said[1].startswith("step 5; train: ")
    assert said[2].startswith("step 3,000; train: ")
    assert said[3].startswith("step 3,000; ")
    assert len(set(said)) == 4
    browser.find_element(By.ID, "lead").send_keys(Keys.HOME, Keys.ENTER)
    WebDriverWait(browser, 5).until(lambda driver: step(driver) == "step 0, memorization")


def test_the_contents_mark_the_section_in_view(browser, page):
    show(browser, page)
    marked = "return [...document.querySelectorAll('nav [aria-current]')].map((link) => link.textContent)"
    assert browser.execute_script(marked) == ["Summary"]
    browser.execute_script("document.getElementById('phases').scrollIntoView({behavior: 'instant'})")
    WebDriverWait(browser, 5).until(lambda driver: driver.execute_script(marked) == ["Phases"])


@pytest.mark.parametrize("width", [390, 1280])
def test_text_in_figures_is_large_enough_to_read(browser, page, width):
    screen = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        show(browser, page)
        browser.execute_script("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        sizes = browser.execute_script(SIZES)
        assert len(sizes) > 500
        small = sorted({(round(size, 1), words, title) for size, words, title in sizes if size < 11})
        assert not small, small[:10]
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


SIZES = """return [...document.querySelectorAll("figure svg text")].map((text) => {
  const svg = text.closest("svg"), scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  const part = text.querySelector("tspan") || text;
  return [parseFloat(getComputedStyle(part).fontSize) * scale, text.textContent, svg.getAttribute("aria-label")];
})"""


def test_dark_mode_has_readable_text(browser, page):
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [DARK]})
    try:
        show(browser, page)
        colors = "const style = getComputedStyle(document.querySelector(arguments[0])); return [style[arguments[1]]]"
        assert browser.execute_script(colors, "body", "backgroundColor") == ["rgb(20, 25, 31)"]
        assert browser.execute_script(colors, "#lead text", "fill") == ["rgb(228, 233, 238)"]
        assert browser.execute_script(colors, ".drawn text", "fill") == ["rgb(228, 233, 238)"]
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize(("scheme", "rules"), [("light", None), ("dark", ["color-contrast"])])
def test_nothing_bars_readers_with_other_senses(browser, page, scheme, rules):
    """The rules of axe-core: names, roles, contrast, order, and keyboard; in the dark only colors differ."""
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    try:
        show(browser, page)
        browser.execute_script((files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8"))
        assert browser.execute_async_script(AXE, rules) == []
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


AXE = """const [rules, done] = arguments;
axe.run(document, {resultTypes: ["violations"], ...(rules && {runOnly: rules})}).then((result) => done(
  result.violations.map((one) => `${one.id}: ${one.nodes.length} times, as in ${one.nodes[0].html}`)
));"""

DARK = {"name": "prefers-color-scheme", "value": "dark"}


def test_the_slider_moves_every_panel(browser, page):
    show(browser, page)
    last = drawn(browser)
    assert step(browser) == "step 3,000, generalization"
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
        assert step(browser).startswith(f"step {steps[at]:,},")


def test_the_mouse_moves_the_slider(browser, page):
    show(browser, page)
    webdriver.ActionChains(browser).move_to_element(slider(browser)).click().perform()
    WebDriverWait(browser, 5).until(lambda driver: not step(driver).startswith("step 3,000"))
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
    assert step(browser) == "step 3,000, generalization"


def test_the_scales_can_follow_the_checkpoint(browser, page):
    show(browser, page)
    press(browser, Keys.HOME)
    before = drawn(browser)
    browser.execute_script("document.getElementById('fixed').click()")
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
    assert 2 < pdf.count(b"/Type /Page\n") <= 15
    assert browser.execute_script(PRINTED) == 0  # unfolded, it would have too many pages
    browser.find_element(By.CSS_SELECTOR, "nav button").click()
    assert browser.execute_script("return document.querySelectorAll('details.fold:not([open])').length") == 0
    assert browser.find_element(By.CSS_SELECTOR, "nav button").text == "Fold all"


PRINTED = """window.dispatchEvent(new Event("beforeprint"));
const open = document.querySelectorAll("details.fold[open]").length;
window.dispatchEvent(new Event("afterprint"));
return open;"""


def test_a_report_is_whole_without_javascript(page, tmp_path):
    browser = start(tmp_path, javascript=False)
    try:
        browser.get(page.as_uri())
        assert not browser.find_element(By.ID, "explorer").is_displayed()
        assert "needs JavaScript" in browser.find_element(By.ID, "explore").text
        assert browser.find_elements(By.CSS_SELECTOR, "#summary .drawn")[0].size["height"] > 200
        for summary in browser.find_elements(By.CSS_SELECTOR, ".fold > summary"):
            summary.send_keys(Keys.ENTER)
        figures = browser.find_elements(By.CSS_SELECTOR, ".drawn")
        assert len(figures) > 21
        assert all(figure.size["height"] > 50 for figure in figures)
    finally:
        browser.quit()
