"""Which runs a page shows together: sweeps of the same settings, each run once, censored where it was observed."""

import math
import re
import shutil
from dataclasses import replace

import pytest

from grokinterp.sweep_report.study import studies, times_of
from grokinterp.sweep_report.summary import split_of, unsettled
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


def test_a_setting_that_some_runs_leave_out_has_its_default_in_them(tmp_path):
    plant(tmp_path, "dropout", [{"model.dropout": rate} for rate in (0.0, 0.1, 0.2)], lambda _: 500)
    (found,) = read(tmp_path)
    assert [one["model.dropout"] for one in found.runs["settings"]] == [0.0, 0.1, 0.2]
    assert len({cell.place for cell in found.cells}) == 3


def test_a_run_that_another_repeats_with_more_steps_is_counted_once(tmp_path):
    settings = [{"ratio": ratio, "optimization.weight_decay": 1.0, "seed": 0} for ratio in (1, 2)]
    plant(tmp_path, "long", settings, lambda _: 500)
    plant(tmp_path, "short", [{**one, "steps": STEPS // 2} for one in settings], lambda _: 500)
    (found,) = read(tmp_path)
    assert (len(found.runs), found.repeated) == (2, 2)
    assert set(found.runs["epochs"]) == {STEPS}


@pytest.mark.parametrize(("status", "until"), [("interrupted", 2500), ("stopped", 2500), (None, None)])
def test_a_complete_run_is_not_replaced_by_a_longer_one_that_is_not(status, until, tmp_path):
    settings = [{"optimization.weight_decay": decay, "steps": STEPS // 2} for decay in (1.0, 2.0)]
    plant(tmp_path, "whole", settings, lambda _: 500)
    other = {"status": status, "until": until} if status else {"failed": "no memory"}
    plant(tmp_path, "part", [{**one, "steps": 2 * STEPS, **other} for one in settings], lambda _: 500)
    (found,) = read(tmp_path)
    assert [*found.runs["status"]] == ["finished", "finished"]
    assert (found.repeated, len(found.decided), found.critical[0].kind) == (2, 2, "all")


def test_of_two_unfinished_repetitions_the_one_that_was_observed_longer_is_used(tmp_path):
    for name, steps, until in (("a", STEPS, 1500), ("b", 2 * STEPS, 1000)):
        changes = [{"optimization.weight_decay": decay, "steps": steps, "until": until} for decay in (1.0, 2.0)]
        plant(tmp_path, name, changes, lambda _: math.inf)
    (found,) = read(tmp_path)
    assert set(found.runs["last_epoch"]) == {1500}


@pytest.mark.parametrize(("schedule", "repeated"), [
    ({"kind": "cosine"}, 0), ({"kind": "increasing"}, 0), ({"kind": "increasing", "over": 100}, 2),
    ({"kind": "cyclic"}, 2),
])  # fmt: skip
def test_runs_whose_schedule_follows_another_length_are_no_repetitions(schedule, repeated, tmp_path):
    named = {f"optimization.schedules.lr.{key}": value for key, value in schedule.items()}
    changes = [
        {"optimization.weight_decay": decay, "steps": steps, **named} for decay in (1.0, 2.0) for steps in (1000, 2000)
    ]
    plant(tmp_path, "schedules", changes, lambda _: 500)
    (found,) = read(tmp_path)
    assert found.repeated == repeated
    assert [len(cell.runs) for cell in found.cells] == [1] * (4 - repeated)
    assert ("number of steps" in found.title) == (repeated == 0)


@pytest.mark.parametrize(("status", "counted", "predicted"), [
    ("finished", 3, 0), ("diverged", 3, 0), ("stopped", 3, 1), ("interrupted", 2, 0), ("running", 2, 0),
])  # fmt: skip
def test_a_run_counts_for_the_success_rate_if_its_outcome_is_decided(status, counted, predicted, tmp_path):
    changes = [{"seed": 0}, {"seed": 1}, {"seed": 2, "status": status, "until": 1000}]
    plant(tmp_path, "seeds", changes, lambda change: 500 if change["seed"] == 0 else math.inf)
    (found,) = read(tmp_path)
    assert (len(found.decided), found.predicted) == (counted, predicted)
    assert len(times_of(found.runs).times) == 3
    (rate,) = found.database.phase_boundary[["runs", "grokked", "success_rate", "predicted"]].values.tolist()
    assert rate == pytest.approx([counted, 1, 1 / counted, predicted])
    (stats,) = found.database.ratio_sweep_stats[["seeds", "decided", "grokked", "predicted"]].values.tolist()
    assert stats == [3, counted, 1, predicted]


def test_a_run_that_may_go_on_is_undecided_although_it_has_grokked(tmp_path):
    plant(tmp_path, "seeds", [{"seed": 0}, {"seed": 1, "until": 1500}], lambda _: 500)
    (found,) = read(tmp_path)
    assert [*found.runs["grokked"]] == [True, True]
    assert len(found.decided) == 1
    assert found.database.ratio_sweep_stats[["decided", "grokked"]].values.tolist() == [[1, 1]]


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


def test_runs_that_generalize_without_ten_evaluations_in_a_row_are_doubtful(tmp_path):
    """Their verdict tolerates single evaluations below the threshold, so that the boundary depends on the rule."""
    plant(tmp_path, "ratios", ratios_by_decay([1.0], [0.5, 0.75, 1, 1.5, 2, 3, 4], 4), boundary)
    (study,) = read(tmp_path)
    assert not list(unsettled(study))
    few = study.runs["grokked"] & (study.runs["place"] == study.runs["place"][study.runs["grokked"]].min())
    assert 0 < few.sum() < study.runs["grokked"].sum()
    (sentence,) = unsettled(replace(study, runs=study.runs.assign(grokked=study.runs["grokked"] & ~few)))
    found = r"^(\d+) runs? .* a critical ratio d/p of ([\d.]+) \(95 % CI .*\) instead of (\d+\.?\d*)"
    counted = re.search(found, sentence)
    assert int(counted[1]) == few.sum()
    assert float(counted[2]) < float(counted[3])


def test_runs_share_a_split_if_task_and_seed_are_the_same(tmp_path):
    runs = [{"seed": 0}, {"seed": 1}, {"seed": 0, "optimization.lr": 0.01}, {"seed": 0, "task.p": 29}]
    plant(tmp_path, "seeds", runs, lambda _: 500)
    build_db(tmp_path, tmp_path / "a.db")
    found = open_db(tmp_path / "a.db").runs["configuration"].map(split_of)
    assert found.nunique() == 3
