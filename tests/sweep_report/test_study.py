"""Which runs a page shows together: sweeps of the same settings, each run once, censored where it was observed."""

import math
import shutil

import pytest

from grokinterp.sweep_report.study import studies, times_of
from grokinterp.sweeps import build_db, open_db
from tests.support.planted_sweeps import EVERY, STEPS, boundary, plant, ratios_by_decay


def read(root):
    build_db(root, root / "a.db")
    return studies(open_db(root / "a.db"), root)


def test_sweeps_of_the_ratio_at_several_decays_are_one_study(tmp_path):
    for decay in (1.0, 3.0):
        plant(tmp_path, f"ratio_{decay:g}", ratios_by_decay([decay], [0.5, 1, 2], 2), boundary)
    (found,) = read(tmp_path)
    assert found.title == "ratio d/p × weight decay"
    assert found.experiments == ("ratio_1", "ratio_3")
    assert found.series == ["weight decay 1", "weight decay 3"]
    assert [(cell.series, cell.place, len(cell.runs)) for cell in found.cells] == [
        (series, place, 2) for series in (0, 1) for place in (0, 1, 2)
    ]


def test_sweeps_of_different_settings_are_studies_of_their_own(tmp_path):
    plant(tmp_path, "decays", [{"optimization.weight_decay": value} for value in (2.0, 3.0)], lambda _: 500)
    plant(tmp_path, "rates", [{"optimization.lr": value} for value in (0.001, 0.01, 0.1)], lambda _: 500)
    assert [one.title for one in read(tmp_path)] == ["learning rate", "weight decay"]


def test_a_run_that_another_repeats_with_more_steps_is_counted_once(tmp_path):
    settings = [{"ratio": ratio, "optimization.weight_decay": 1.0, "seed": 0} for ratio in (1, 2)]
    plant(tmp_path, "long", settings, lambda _: 500)
    plant(tmp_path, "short", [{**one, "steps": STEPS // 2} for one in settings], lambda _: 500)
    (found,) = read(tmp_path)
    assert (len(found.runs), found.repeated) == (2, 2)
    assert set(found.runs["epochs"]) == {STEPS}


def test_runs_that_did_not_grok_are_censored_where_they_were_observed(tmp_path):
    changes = [{"seed": 0}, {"seed": 1}, {"seed": 2, "until": 1500}, {"seed": 3, "failed": "no memory"}]
    plant(tmp_path, "seeds", changes, lambda change: 500 if change["seed"] == 0 else math.inf)
    (found,) = read(tmp_path)
    times = times_of(found.runs)
    assert sorted(zip(times.times, times.observed, strict=True)) == [
        (500, True), (1500 - 9 * EVERY, False), (STEPS - 9 * EVERY, False),
    ]  # fmt: skip
    assert (found.x, found.title) == (None, "one setting")
    assert len(found.decided) == 2


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_statistics_of_a_study_find_what_was_planted(tmp_path, seeds):
    plant(tmp_path, "planted", ratios_by_decay([1.0], seeds=seeds), boundary)
    (found,) = read(tmp_path)
    (critical,), (shape,) = found.critical, found.shapes
    assert critical.kind == "found"
    assert critical.rises
    assert critical.low <= 20 / 23 <= 1.01 * critical.high  # the width of ratio 1, a multiple of the four heads
    assert shape.kind == ("U-shaped" if seeds == 3 else shape.kind)


def test_a_sweep_that_has_only_begun_belongs_to_the_study_of_its_settings(tmp_path):
    whole = ratios_by_decay([1.0, 3.0], [0.5, 1], 1)
    plant(tmp_path, "begun", whole, boundary)
    for directory in tmp_path.glob("begun-[123]"):
        shutil.rmtree(directory)
    plant(tmp_path, "other", ratios_by_decay([0.5, 0.1], [0.5, 1], 1), boundary)
    (found,) = read(tmp_path)
    assert (found.experiments, len(found.runs)) == (("begun", "other"), 5)
