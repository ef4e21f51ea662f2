"""The page that compares runs: groups of seeds, differences, dates, curves with bands, and runs that lack results."""

import csv
import html
import io
import json
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from grokinterp.cli.entry import run as run_command_line
from grokinterp.errors import ConfigError, RunDirectoryError
from grokinterp.report import write_comparison
from grokinterp.report.comparison.groups import grouping_of
from grokinterp.report.comparison.overlays import group_curves, overlays
from grokinterp.report.comparison.tables import dates, differences, final_values
from grokinterp.report.comparison.write import MOST_GROUPS, read_comparison
from grokinterp.storage import RunDirectory
from grokinterp.storage.sealed_rows import sealed
from tests.support.planted_sweeps import BASE, write_planted
from tests.support.report_data import write_run
from tests.support.report_page import PAYLOADS, Page

NEVER = float("inf")


def plant(root: Path, **runs: tuple[dict, float]) -> Path:
    """Write a run with changed settings, and the step at which it groks, for each name."""
    for name, (changes, grok) in runs.items():
        write_planted(root / name, BASE.changed(changes), grok)
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Three seeds that grok early, two with other settings of which one does not grok, and one run of another task."""
    low, other = {"optimization.weight_decay": 0.5}, {"task.kind": "modular_subtraction", "task.p": 23}
    return plant(
        tmp_path_factory.mktemp("runs"),
        a0=({"seed": 0}, 500), a1=({"seed": 1}, 700), a2=({"seed": 2, "steps": 2000}, 900),
        b0=({**low, "seed": 0}, 1500), b1=({**low, "seed": 1}, NEVER), c=(other, 1200),
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(root) -> Page:
    """The page of these runs."""
    return Page(write_comparison([root], root.parent / "page.html").read_text(encoding="utf-8"))


def test_runs_that_differ_in_seeds_and_length_form_one_setting(root):
    grouping = grouping_of(read_comparison([root]).runs)
    assert [[run.name for run in group.runs] for group in grouping.groups] == [["a0", "a1", "a2"], ["b0", "b1"], ["c"]]
    assert set(grouping.keys) == {"optimization.weight_decay", "task.kind"}
    assert set(grouping.seeds) == {"seed", "steps"}
    assert not {*grouping.keys, *grouping.seeds} & grouping.shared.keys()


def test_the_first_screen_names_the_settings_their_order_and_what_is_doubtful(page):
    text = " ".join(page.text.split())
    assert "5 of 6 runs generalized" in text
    assert re.search(r"6 runs of 3 settings, which differ in (task and weight decay|weight decay and task)", text)
    assert "Median step of generalization: A at 700 and C at 1,200 (× 1.71)." in text
    assert "Within A, the 3 runs that generalized did so between steps 500 and 900 (× 1.8)." in text
    assert "C has a single run: the spread over seeds is unknown." in text
    assert "Not analyzed: 6 of 6 runs." in text


def test_a_run_that_never_generalized_counts_as_later_than_all_others(root):
    table = dates(grouping_of(read_comparison([root]).runs).groups)
    generalized = {row[0][0]: row[table.columns.index("generalized at")] for row in table.rows}
    assert generalized == {"A": "700 (500 to 900)", "B": "> 1,500 (1 of 2)", "C": "1,200"}


def test_the_differences_are_a_table_with_every_value(root):
    table = differences(grouping_of(read_comparison([root]).runs))
    rows = {row[0]: row[1:] for row in table.rows}
    assert table.columns == ("setting", "A", "B", "C")
    assert rows["optimization.weight_decay"][1] == "0.5"
    assert rows["task.kind"] == ("modular_addition", "modular_addition", "modular_subtraction")
    assert rows["number of runs"] == ("3", "2", "1")


def test_a_curve_of_several_seeds_is_their_median_with_their_range(root):
    groups = grouping_of(read_comparison([root]).runs).groups
    accuracy = next(one for one in overlays(groups) if one.key == "test_accuracy")
    *single, middle = group_curves(groups[0], 0, accuracy.parts[0][1], is_alone=False)
    assert [curve.is_faint for curve in single] == [True] * 3
    at = int(np.flatnonzero(middle.x == 800)[0])
    assert (middle.low[at], middle.y[at], middle.high[at]) == (0.9 * 800 / 900, 1.0, 1.0)
    assert middle.x[-1] == 2000  # the shortest run
    assert single[0].x[-1] == 3000


def test_every_measure_has_one_plot_and_a_final_value(root, page):
    groups = grouping_of(read_comparison([root]).runs).groups
    labels = [one.label for one in overlays(groups) if one.is_chosen]
    assert {"train loss", "test accuracy", "weight norm Σθ²"} <= set(labels)
    assert len(labels) == len(set(labels))
    table = final_values(overlays(groups), groups)
    assert [row[0].split(" [")[0] for row in table.rows] == labels
    accuracy = next(row for row in table.rows if row[0] == "test accuracy")
    assert accuracy[1:] == ("1", "0.55 (0.1 to 1)", "1")


def test_the_page_is_one_file_with_its_own_script_that_downloads_its_numbers(page):
    (code,) = page.scripts
    assert f"script-src {code}" in str(next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv")))
    readings = [json.loads(figure.get("data-readings") or "[]") for figure in page.all("figure")]
    assert all(reading.get("curves") or "spans" in reading for found in readings for reading in found)
    assert all(readings)
    assert all(link["href"].startswith(("#", "data:")) for link in page.all("a"))
    link = next(link for link in page.all("a") if "download" in link)
    rows = list(csv.DictReader(io.StringIO(unquote(link["href"].partition(",")[2]))))
    assert [row["run"] for row in rows] == ["a0", "a1", "a2", "b0", "b1", "c"]
    assert [row["generalized"] for row in rows] == ["500", "700", "900", "1500", "", "1200"]
    assert float(rows[4]["test_accuracy"]) == 0.1


def test_the_same_runs_give_the_same_bytes(root, tmp_path):
    first, second = (write_comparison([root], tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert first == second


def test_runs_with_and_without_analyses_are_compared_by_what_they_have(tmp_path):
    write_run(tmp_path / "analyzed")
    write_run(tmp_path / "plain", steps=0, changes={"seed": 1})
    write_run(tmp_path / "unseen", steps=0, evaluations=0, changes={"seed": 2})
    text = Page(write_comparison([tmp_path], tmp_path / "page.html").read_text(encoding="utf-8")).text
    assert "restricted loss" in text
    assert "Not analyzed: plain and unseen." in text
    assert "Phases unknown: the run has no evaluations: unseen." in text


def test_an_imported_network_without_curves_is_compared_by_its_measures(tmp_path):
    plant(tmp_path, own=({}, 500))
    run = RunDirectory.create(tmp_path / "imported", BASE.changed({"seed": 3}).to_dict(), {"release": "somewhere"})
    row = {"step": 0, "train_accuracy": 1.0, "test_accuracy": 0.97, "test_loss": 0.1, "previous_step": None}
    run.metrics.path.write_bytes(sealed(row, run.run_id))
    text = " ".join(Page(write_comparison([tmp_path], tmp_path / "page.html").read_text(encoding="utf-8")).text.split())
    assert "did not generalize cleanly" in text
    assert "imported without curves" in text


def test_more_settings_than_colors_are_refused(tmp_path):
    decays = {f"r{i}": ({"optimization.weight_decay": 0.01 * (i + 1)}, 500) for i in range(MOST_GROUPS + 1)}
    with pytest.raises(
        ConfigError, match=r"runs=25 different settings: are more than the 24 that can be distinguished"
    ):
        write_comparison([plant(tmp_path / "many", **decays)], tmp_path / "page.html")


def test_a_run_that_cannot_be_read_is_named_and_the_others_are_compared(tmp_path, monkeypatch, capsys):
    plant(tmp_path / "runs", a=({}, 500), b=({"seed": 1}, 600), c=({"seed": 2}, 600))
    (tmp_path / "runs" / "b" / "experiment.json").write_text("{")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["grokinterp", "compare", "runs", "--csv", "curves.csv"])
    with pytest.raises(SystemExit) as ended:
        run_command_line()
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (1, "reports/comparison.html\n")
    assert printed.err.startswith("left out: run directory runs/b: experiment.json is damaged")
    curves = list(csv.DictReader(io.StringIO((tmp_path / "curves.csv").read_text())))
    last = [row for row in curves if row["run"] == "a" and row["measure"] == "test_accuracy"][-1]
    assert (last["setting"], int(last["step"]), float(last["value"])) == ("A", 3000, 1.0)
    (tmp_path / "runs" / "c" / "experiment.json").write_text("{")
    with pytest.raises(RunDirectoryError, match="is damaged"):
        write_comparison(["runs"])


def test_payloads_are_shown_and_never_run(tmp_path):
    plant(tmp_path, a=({}, 500), b=({"seed": 1}, 600))
    settings = {f"key{place}{payload}": payload for place, payload in enumerate(PAYLOADS)}
    run = RunDirectory.create(tmp_path / "c", BASE.to_dict() | settings, {})
    run.write_status({"status": "diverged", "step": 0, "why": " ".join(PAYLOADS)})
    source = write_comparison([tmp_path], tmp_path / "page.html").read_text(encoding="utf-8")
    found = Page(source)
    assert len(found.scripts) == len(found.all("script")) == 1
    assert found.all("iframe") + found.all("img") + found.all("base") == []
    assert [name for name, attributes in found.elements for key in attributes if key.startswith("on")] == []
    assert "<script>alert(1)</script>" in html.unescape(source)
