"""The page of a sweep: what it states, for sweeps of every kind, and what it does with bad input."""

import html
import math
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from grokinterp.cli.entry import run as run_command_line
from grokinterp.errors import ConfigError, GrokinterpError, WriteError
from grokinterp.sweep_report import render, write_sweep_report
from grokinterp.sweep_report.chapters import CHAPTERS, Chapter
from grokinterp.sweep_report.plate import Absent, Plate
from grokinterp.sweep_report.write import ingested
from grokinterp.sweeps import build_db, open_db
from tests.support.planted_sweeps import boundary, plant, ratios_by_decay
from tests.support.report_page import Page

REPOSITORY = Path(__file__).resolve().parents[2]


def words(page: str) -> str:
    """The text of a page, without markup and images."""
    return " ".join(html.unescape(re.sub(r"<(style|script)>.*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)).split())


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A sweep of 4 ratios at 2 decays with 2 seeds, one of whose runs failed and one of which was interrupted."""
    top = tmp_path_factory.mktemp("sweeps")
    changes = ratios_by_decay([1.0, 3.0], [0.5, 1.0, 2.0, 4.0], 2)
    changes += [{**changes[0], "seed": 7, "failed": "<b>no memory</b>"}, {**changes[-1], "seed": 8, "until": 1500}]
    plant(top, "ratios", changes, boundary)
    return top


@pytest.fixture(scope="module")
def page(root, tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("pages") / "page.html"
    (out.parent / "ratios-3.html").write_text("a report")
    assert write_sweep_report(root, out) == out
    return out.read_text(encoding="utf-8")


def test_the_first_screen_says_what_was_varied_found_and_doubtful(page):
    text = words(page)
    assert "ratio d/p × weight decay (18 runs)" in text
    assert re.search(r"\d+ of 18 runs grokked", text)
    assert "At weight decay 1: " in text
    assert "1 run failed and is excluded from the success rates." in text
    assert "Interrupted; censored at the last evaluation: 1 run." in text
    assert re.search(r"\d+ runs \([\d.]+ %\) ended without grokking; they enter the analysis as right-censored\.", text)
    assert re.search(r"2 runs are undecided and excluded .* \(ratio d/p 0\.\d+, weight decay 1: 1; ratio d/p 4, ", text)
    assert "share a train/test split" in text
    assert "did not grok within the observed steps" in text
    assert "\N{THIN SPACE}" not in text
    assert re.search(r"Evaluations 1,\d{3} ", text, re.IGNORECASE)


def test_the_page_is_one_file_with_its_own_script_whose_images_have_texts_and_values(page):
    (code,) = Page(page).scripts
    assert f"script-src {code}" in html.unescape(page)
    assert "default-src 'none'" in html.unescape(page)
    assert all(figure.get("data-readings") for figure in Page(page).all("figure"))
    assert not re.search(r'(src|href)="(?!data:|#|ratios-3\.html)', page)
    images = re.findall(r"<svg [^>]*>", page)
    assert len(images) >= 7
    assert all(re.search(r'aria-label="[A-Z][^"]{30,}"', image) for image in images)
    assert len(page) < 5_000_000


def test_what_files_contain_is_text_and_never_markup(page):
    assert "<b>no memory" not in page
    assert "<b>no memory</b>" in words(page)


def test_runs_with_reports_are_linked(page):
    assert re.findall(r'<a href="([^#"]*)">([^<]*)</a>', page) == [("ratios-3.html", "ratios-3")]


def test_the_same_runs_give_the_same_bytes_with_a_database(root, page, tmp_path):
    (tmp_path / "ratios-3.html").touch()
    build_db(root, tmp_path / "a.db")
    out = write_sweep_report(root, tmp_path / "page.html", db=tmp_path / "a.db")
    assert out.read_text(encoding="utf-8") == page


def seeds(number: int, **change) -> list[dict]:
    return [{**change, "seed": seed} for seed in range(number)]


KINDS = {
    "one run": (seeds(1), 500, ["All runs have the same setting", "Not shown: ", "(all runs have the same setting)"]),
    "seeds only": (seeds(3), 500, ["1 setting with 3 seeds each", "3 of 3 runs grokked"]),
    "weight decay": (
        [{"optimization.weight_decay": value} for value in (0.1, 1.0, 10.0)], 500,
        ["3 of 3 runs grokked; no critical value can be estimated from these runs."],
    ),
    "all censored": (
        [{"optimization.lr": rate} for rate in (0.001, 0.01)], math.inf,
        ["0 of 2 runs grokked; no critical value can be estimated", "(no run grokked)", "2 runs (100 %) ended"],
    ),
    "all failed": (
        [{"optimization.lr": rate, "failed": "no memory"} for rate in (0.001, 0.01)], 500,
        ["2 runs failed and are excluded", "(no run has ended)", "no memory"],
    ),
    "kinds": (
        [{"optimization.optimizer": name} for name in ("adam", "adamw")], 500,
        ["Optimizer", "2 of 2 runs grokked"],
    ),
    "primes": ([{"task.p": p, "ratio": 1} for p in (23, 29, 31)], 500, ["Prime p", "3 of 3 runs grokked"]),
    "three axes": (
        [{"optimization.lr": rate, "optimization.weight_decay": decay, "split.fraction": part}
         for rate in (0.001, 0.01) for decay in (1.0, 2.0) for part in (0.4, 0.5)],
        500, ["Weight decay × learning rate × training fraction"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_sweep_has_a_page(kind, tmp_path):
    changes, grok, expected = KINDS[kind]
    plant(tmp_path / "runs", kind.replace(" ", "-"), changes, lambda _: grok)
    text = words(write_sweep_report(tmp_path / "runs", tmp_path / "a.html").read_text(encoding="utf-8"))
    assert [part for part in expected if part not in text] == []
    assert not re.search(r"\bnan\b|\bNone\b(?! of)|\{|Traceback", text)


def test_a_plate_of_another_file_is_one_line_and_an_absent_one_says_why(root, tmp_path):
    def drawn(_study):
        figure = Figure(figsize=(3, 2))
        figure.add_subplot().plot([1, 2])
        return figure

    plates = (
        Plate("A planted figure", drawn, "Planted."), Plate("Another", lambda _: Absent("there is no moon"), "None."),
    )  # fmt: skip
    changes = ingested(root, tmp_path / "a.db")
    page = render(
        open_db(tmp_path / "a.db"), root, tmp_path / "a.html", changes, [Chapter("planted", "Planted", plates)]
    )
    assert 'aria-label="A planted figure. Planted."' in page
    assert "Not shown: another (there is no moon)." in words(page)
    assert len({chapter.name for chapter in CHAPTERS}) == len(CHAPTERS)


def page_of(root: Path) -> str:
    return words(write_sweep_report(root, root / "a.html").read_text(encoding="utf-8"))


def test_predicted_failures_count_and_are_named(tmp_path):
    stopped = [{**change, "status": "stopped", "until": 700} for change in seeds(2, **{"optimization.lr": 0.1})]
    plant(tmp_path, "stopped", [*seeds(3), *stopped],
          lambda change: math.inf if "optimization.lr" in change else 500)  # fmt: skip
    text = page_of(tmp_path)
    assert "3 of 5 runs grokked" in text
    assert "2 runs were stopped because of a prediction not to grok within the budget." in text
    assert "2 of 2 failures to grok are predictions, not observations, because these runs were stopped." in text
    assert "censored at the last evaluation, and failures for the success rates: 2 runs." in text


def test_runs_that_have_not_begun_are_counted(tmp_path):
    plant(tmp_path, "two", [{"task.p": p} for p in (23, 29)], lambda _: 500)
    shutil.rmtree(tmp_path / "two-1")
    text = page_of(tmp_path)
    assert "All runs that have begun have the same setting." in text
    assert "two: 1 of 2 runs of this sweep has not begun." in text


def test_runs_that_stopped_early_or_lost_generalization_are_named(tmp_path):
    changes = [{**change, "status": "finished", "until": 1500} for change in seeds(2)]
    changes = [{**change, "optimization.weight_decay": decay} for change in changes for decay in (1.0, 2.0)]
    plant(tmp_path, "early", changes, lambda _: 500)
    assert "4 of 4 runs stopped early, all after grokking." in page_of(tmp_path)


def command(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["grokinterp", "sweep-report", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        run_command_line()
    return int(ended.value.code or 0)


def test_the_command_writes_the_page_and_names_runs_that_are_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plant(tmp_path / "runs", "seeds", seeds(2), lambda _: 500)
    assert command(monkeypatch, "runs") == 0
    assert capsys.readouterr().out == "reports/runs.html\n"
    (tmp_path / "runs" / "seeds-0" / "experiment.json").write_text("{")
    assert command(monkeypatch, "runs", "--out", "a.html") == 1
    printed = capsys.readouterr()
    assert printed.out == "a.html\n"
    assert "left out: run directory runs/seeds-0" in printed.err
    assert "cannot be read (named below): 1 path." in words((tmp_path / "a.html").read_text(encoding="utf-8"))


def test_runs_that_cannot_be_read_leave_no_page(tmp_path):
    plant(tmp_path / "runs", "seeds", seeds(1), lambda _: 500)
    (tmp_path / "runs" / "seeds-0" / "experiment.json").unlink()
    with pytest.raises(ConfigError, match="contains no run that can be read"):
        write_sweep_report(tmp_path / "runs", tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


@pytest.mark.parametrize(("arguments", "message"), [
    ({"root": "nowhere"}, "root=.*nowhere: does not exist"),
    ({"root": "empty"}, "root=.*empty: contains no run"),
    ({"root": "runs/seeds-0"}, "root=.*seeds-0: is a run: `grokinterp report` writes its page"),
    ({"db": "other.db"}, "db=.*other.db: is not a database of grokinterp"),
    ({"db": "empty"}, "db=.*empty: is a directory"),
    ({"out": "empty"}, "out=.*empty: is a directory"),
    ({"out": "same.html", "db": "same.html"}, "db=.*same.html: is the file of the page"),
    ({"out": "runs/seeds-0/metrics.jsonl"}, r"out=.*metrics\.jsonl: must end in \.html"),
    ({"out": "runs/sweep.json"}, r"out=.*sweep\.json: must end in \.html"),
    ({"db": "runs/sweep.json"}, r"db=.*sweep\.json: is not a database of grokinterp"),
    ({"db": "runs/seeds-0/a.db"}, r"db=.*a\.db: is in a run directory"),
    ({"db": "runs/seeds-0/new/a.db"}, r"db=.*a\.db: is in a run directory"),
])  # fmt: skip
def test_bad_input_is_one_line_before_any_work(arguments, message, tmp_path):
    plant(tmp_path / "runs", "seeds", seeds(1), lambda _: 500)
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.db").write_bytes(b"SQLite format 3\0" + bytes(200))
    given = {"root": "runs", "out": "a.html", "db": None} | arguments
    paths = {key: None if value is None else tmp_path / value for key, value in given.items()}
    with pytest.raises(ConfigError, match=message) as error:
        write_sweep_report(paths["root"], paths["out"], db=paths["db"])
    assert "\n" not in str(error.value)
    assert not (tmp_path / "a.html").exists()


def test_a_damaged_database_is_one_line(tmp_path):
    plant(tmp_path / "runs", "seeds", seeds(1), lambda _: 500)
    write_sweep_report(tmp_path / "runs", tmp_path / "a.html", db=tmp_path / "a.db")
    data = (tmp_path / "a.db").read_bytes()
    (tmp_path / "a.db").write_bytes(data[:100] + bytes(len(data) - 100))
    before = (tmp_path / "a.html").read_bytes()
    with pytest.raises(GrokinterpError) as error:
        write_sweep_report(tmp_path / "runs", tmp_path / "a.html", db=tmp_path / "a.db")
    assert "\n" not in str(error.value)
    assert (tmp_path / "a.html").read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0 and not os.path.exists("/proc/self"), reason="needs a place that refuses files")
def test_a_place_that_refuses_the_page_is_one_line(tmp_path):
    plant(tmp_path / "runs", "seeds", seeds(1), lambda _: 500)
    with pytest.raises((ConfigError, WriteError)) as error:
        write_sweep_report(tmp_path / "runs", "/proc/self/nothing/a.html")
    assert "\n" not in str(error.value)


def test_the_commands_of_the_documents_write_pages(tmp_path, monkeypatch, capsys):
    texts = [(REPOSITORY / name).read_text(encoding="utf-8") for name in ("README.md", "docs/sweeps.md")]
    lines = [line for text in texts for line in re.findall(r"^grokinterp sweep-report .*", text, re.MULTILINE)]
    commands = {line.split("#")[0].strip() for line in lines}
    monkeypatch.chdir(tmp_path)
    plant(tmp_path / "sweeps", "seeds", seeds(1), lambda _: 500)
    assert len(commands) == 2
    for line in commands:
        assert command(monkeypatch, *shlex.split(line)[2:]) == 0
    assert capsys.readouterr().out.count(".html\n") == 2
