"""Phases: dates and verdicts of generated runs, and of logs without accuracies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grokinterp.phases import (
    NAMES,
    Measures,
    Phase,
)
from tests.support.curves import CLEANUP, GROKKED, LAST, MEMORIZED, check_laws, dated, run, starts

# A run that groks


def test_the_four_phases_of_a_run_that_groks():
    history = dated(run())
    check_laws(history, run()["steps"])
    assert history.verdict == "grokked"
    assert history.memorized_step == MEMORIZED
    assert history.grok_step == history.generalized_step == GROKKED
    assert history.events == ()
    begun = starts(history)
    assert list(begun) == list(NAMES[:4])
    assert begun["circuit formation"] == MEMORIZED
    assert begun["generalization"] == GROKKED
    half = CLEANUP + np.log(2) / 5 * (GROKKED - CLEANUP)  # where the test loss has halved
    assert half <= begun["cleanup"] <= half + 20


@pytest.mark.parametrize("every", [1, 2, 3, 7, 20, 30, 50, 75])
def test_dates_do_not_depend_on_the_evaluation_interval(every):
    assert every < MEMORIZED
    fine, coarse = starts(dated(run(every=1))), starts(dated(run(every=every)))
    assert list(fine) == list(coarse)
    for name, step in fine.items():
        assert step <= coarse[name] <= step + every, name


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("every", [2, 10, 50])
def test_noise_moves_the_dates_little(every, seed):
    history = dated(run(every=every, noise=0.3, seed=seed))
    assert list(starts(history)) == list(NAMES[:4])
    assert abs(starts(history)["cleanup"] - starts(dated(run(every=1)))["cleanup"]) <= 2 * every + 60


@given(st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_the_order_of_rows_does_not_matter(random):
    columns = run()
    order = list(range(len(columns["steps"])))
    random.shuffle(order)
    assert dated({name: values[order] for name, values in columns.items()}) == dated(columns)


def test_of_rows_with_one_step_the_last_counts():
    columns = {name: np.concatenate([values[:1], values]) for name, values in run().items()}
    columns["steps"][0], columns["train_accuracy"][0] = 500, 0.0
    assert dated(columns) == dated(run())


def test_a_test_loss_that_first_rises_and_then_falls():
    columns = run()
    slope = np.interp(columns["steps"], [MEMORIZED, CLEANUP], [0.2, 1])
    columns["test_loss"] = columns["test_loss"] * slope
    assert abs(starts(dated(columns))["cleanup"] - starts(dated(run()))["cleanup"]) <= 50  # the level is lower


def test_a_plateau_shorter_than_the_rise_before_it():
    columns = run()
    early = (columns["steps"] > MEMORIZED) & (columns["steps"] < 1000)
    columns["test_loss"][early] = 2.0
    assert starts(dated(columns)) == starts(dated(run()))


def test_a_dip_counts_by_its_length_not_by_its_evaluations():
    fine = run(every=1)
    steps = fine["steps"]
    fine["test_loss"][(steps >= 1000) & (steps < 1100)] = 2.0
    kept = (steps % 50 == 0) | ((steps >= 1000) & (steps < 1100))
    columns = {name: values[kept] for name, values in fine.items()}
    assert starts(dated(columns))["cleanup"] == 1600


def test_memorization_that_shows_at_one_evaluation_only():
    columns = run()
    columns["train_accuracy"][:] = 0.98
    columns["train_accuracy"][30] = 1.0
    history = dated(columns)
    assert history.verdict == "grokked"
    assert history.memorized_step == 300


def test_a_plateau_that_lasts_until_the_grok_step_leaves_no_cleanup():
    columns = run()
    columns["test_loss"] = np.where(columns["steps"] < GROKKED, 20.0, 0.01)
    assert list(starts(dated(columns))) == ["memorization", "circuit formation", "generalization"]


def test_without_a_test_loss_there_is_no_cleanup_date():
    columns = run() | {"test_loss": None, "train_loss": None}
    history = dated(columns)
    check_laws(history, columns["steps"])
    assert list(starts(history)) == ["memorization", "circuit formation", "generalization"]


def test_a_run_that_continues_a_memorized_one_has_no_memorization_phase():
    columns = {name: values[run()["steps"] >= 500] for name, values in run().items()}
    history = dated(columns)
    check_laws(history, columns["steps"])
    assert next(iter(starts(history))) == "circuit formation"
    assert history.verdict == "grokked"


def test_cleanup_waits_for_the_excluded_loss():
    steps = np.arange(0, LAST + 1, 100)
    early = Measures(steps=steps, excluded_loss=0.01 + (steps > 800) * 1.0)
    late = Measures(steps=steps, excluded_loss=0.01 + (steps > 1700) * 1.0, restricted_loss=4.0 - steps / 1000)
    never = Measures(steps=steps, excluded_loss=np.full(len(steps), 0.01))
    assert dated(run(), early).phases == dated(run()).phases == dated(run(), never).phases
    assert starts(dated(run(), late))["cleanup"] == 1800
    assert "the restricted loss had gone from 3.9 to 2 and the excluded loss" in dated(run(), late).describe()


def test_one_spike_of_the_excluded_loss_is_no_rise():
    steps = np.arange(0, LAST + 1, 100)
    excluded = 0.01 + (steps > 1700) * 1.0
    excluded[8] = 3.0
    assert starts(dated(run(), Measures(steps=steps, excluded_loss=excluded)))["cleanup"] == 1800


# The other verdicts


def test_never_memorized():
    columns = run(last=100)
    history = dated(columns)
    check_laws(history, columns["steps"])
    assert history.verdict == "never memorized"
    assert history.phases == (Phase("memorization", 0, 101),)
    assert (history.memorized_step, history.grok_step, history.generalized_step) == (None, None, None)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (150, ["memorization", "circuit formation"]),
        (1400, ["memorization", "circuit formation"]),
        (1620, ["memorization", "circuit formation"]),  # six evaluations below the plateau: not yet
        (1900, ["memorization", "circuit formation", "cleanup"]),
        (2000, list(NAMES[:4])),
        (2080, list(NAMES[:4])),
        (2090, list(NAMES[:4])),
    ],
)
def test_a_run_that_still_goes_on_has_fewer_phases(last, expected):
    history = dated(run(last=last))
    check_laws(history, run(last=last)["steps"])
    assert list(starts(history)) == expected
    verdicts = {2000: "grokked, not yet sustained", 2080: "grokked, not yet sustained", 2090: "grokked"}
    assert history.verdict == verdicts.get(last, "memorized, did not generalize within the run")
    assert ("not yet sustained: 9 evaluations of 10" in history.describe()) == (last == 2080)


def test_no_cleanup_is_claimed_before_the_excluded_loss_rises():
    steps = np.arange(0, 1901, 100)
    flat = Measures(steps=steps, excluded_loss=np.full(len(steps), 0.01))
    assert list(starts(dated(run(last=1900), flat))) == ["memorization", "circuit formation"]


def test_generalization_together_with_memorization_is_no_grokking():
    columns = run(memorized=400, cleanup=300, grokked=390)
    history = dated(columns)
    check_laws(history, columns["steps"])
    assert history.verdict == "generalized without delay"
    assert history.phases == (Phase("memorization", 0, 390), Phase("generalization", 390, LAST + 1))
    assert history.grok_step is None


def test_generalization_shortly_after_memorization_is_no_grokking():
    history = dated(run(memorized=400, cleanup=500, grokked=700))
    assert history.verdict == "generalized without delay"
    assert history.grok_step == 700
    assert list(starts(history)) == ["memorization", "generalization"]
    assert dated(run(memorized=400, cleanup=500, grokked=800)).verdict == "grokked"


def test_generalized_and_lost_it_again():
    columns = run()
    columns["test_accuracy"][columns["steps"] >= 2700] = 0.4
    history = dated(columns)
    check_laws(history, columns["steps"])
    assert history.verdict == "generalized and lost it again"
    assert list(starts(history)) == list(NAMES)
    assert starts(history)["decline"] == 2700
    assert history.events == ()
    assert "generalization was lost from step 2,700 on" in history.describe()
    assert "train accuracy" not in history.describe().split(";", 1)[1]


def test_a_bad_last_evaluation_alone_loses_nothing():
    columns = run()
    columns["test_accuracy"][-1] = 0.4
    history = dated(columns)
    assert history.verdict == "grokked"
    assert [event.kind for event in history.events] == ["relapse"]


@pytest.mark.parametrize(("since", "verdict"), [(60, "never memorized"), (1000, "collapsed"), (2500, "collapsed")])
def test_a_run_that_diverges(since, verdict):
    columns = run()
    gone = columns["steps"] >= since
    for name in ("train_loss", "test_loss", "weight_norm"):
        columns[name][gone] = np.nan
    for name in ("train_accuracy", "test_accuracy"):
        columns[name][gone] = 0.01
    history = dated(columns)
    check_laws(history, columns["steps"])
    assert history.verdict == verdict
    assert f"the train loss is not finite after step {since - 10:,}" in history.describe()


# Logs without accuracies


def test_losses_stand_in_for_missing_accuracies():
    columns = run() | {"train_accuracy": None, "test_accuracy": np.full(301, np.nan)}
    history = dated(columns)
    check_laws(history, columns["steps"])
    assert history.verdict == "grokked"
    assert list(starts(history)) == list(NAMES[:4])
    assert "train loss fell below 0.1" in history.describe()
