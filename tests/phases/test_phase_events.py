"""Events that break no phase, the sustained rule online and offline, any curves, and other people's real logs."""

import csv
import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from grokinterp.errors import ConfigError
from grokinterp.phases import (
    NAMES,
    Curves,
    Event,
    Measures,
    Phase,
    SustainedDetector,
    SustainedRule,
    find_phases,
    grok_step,
    jump_rule,
    label,
)
from tests.support.curves import check_laws, dated, run, starts

# Events


def spiked(at=1000, width=3, split="train_loss", height=5.0):
    columns = run()
    columns[split][(columns["steps"] >= at) & (columns["steps"] < at + 10 * width)] = height
    return columns


@pytest.mark.parametrize("width", [1, 3, 12, 40])
def test_a_loss_spike_on_the_plateau_is_one_event_and_moves_no_date(width):
    history = dated(spiked(width=width))
    assert [(event.kind, event.step) for event in history.events] == [("loss spike", 1000)]
    assert "to 5, back by step" in history.events[0].detail
    assert history.phases == dated(run()).phases
    assert history.verdict == "grokked"


def test_a_spike_of_both_losses_is_one_event():
    columns = spiked(at=2500)
    columns["test_loss"][251:254] = 4.0
    history = dated(columns)
    assert [(event.kind, event.step) for event in history.events] == [("loss spike", 2500)]
    assert "train loss" in history.events[0].detail
    assert "test loss" in history.events[0].detail


def test_a_spike_of_the_train_loss_with_growing_weights_is_a_slingshot():
    columns = spiked()
    columns["weight_norm"] = columns["weight_norm"] * np.where(columns["steps"] >= 1010, 1.1, 1.0)
    history = dated(columns)
    assert [(event.kind, event.step) for event in history.events] == [("slingshot", 1000)]
    assert "weight norm up by" in history.events[0].detail
    assert history.phases == dated(run()).phases


def test_a_spike_of_the_test_loss_with_growing_weights_is_none():
    columns = spiked(at=2800, split="test_loss")
    columns["weight_norm"] = columns["weight_norm"] * np.where(columns["steps"] >= 2810, 1.1, 1.0)
    assert [event.kind for event in dated(columns).events] == ["loss spike"]


def test_spikes_during_cleanup_do_not_move_its_start():
    columns = run(every=5)
    for at in (1700, 1850):
        columns["test_loss"][(columns["steps"] >= at) & (columns["steps"] < at + 15)] = 30.0
    assert dated(columns).phases == dated(run(every=5)).phases


def test_two_spikes_are_two_events_and_a_new_level_is_none():
    columns = spiked()
    columns["train_loss"][130:133] = 1.0
    columns["train_loss"][150:] = 0.5
    assert [event.step for event in dated(columns).events] == [1000, 1300]


def test_tiny_losses_do_not_spike():
    columns = run()
    columns["train_loss"][20:] = 0.0
    columns["train_loss"][60] = 5e-5
    assert dated(columns).events == ()
    columns["train_loss"][100] = np.inf
    assert [event.step for event in dated(columns).events] == [1000]


def test_a_spike_that_comes_halfway_back_is_still_the_same():
    columns = spiked()
    columns["train_loss"][103:109] = 5e-3, 5e-3, 5.0, 5.0, 5e-3, 5e-3
    assert [event.step for event in dated(columns).events] == [1000]


def test_memorization_is_no_spike_of_the_test_loss():
    columns = run(every=20)
    columns["test_loss"][:5], columns["test_loss"][5] = 1.0, 20.0
    assert dated(columns).events == ()


def test_every_fall_is_an_event_and_far_or_long_ones_are_relapses():
    columns = run()
    columns["test_accuracy"][[230, 240, 241, 242, 250]] = 0.94, 0.7, 0.8, 0.6, 0.2
    columns["test_accuracy"][280] = 0.5
    history = dated(columns)
    assert history.verdict == "grokked"
    assert history.phases == dated(run()).phases
    found = [(event.kind, event.step) for event in history.events]
    assert found == [("dip", 2300), ("relapse", 2400), ("relapse", 2500), ("dip", 2800)]
    assert history.events[1].detail == "test accuracy at 0.6, back at step 2,430"
    assert history.describe().endswith("; 2 dips, 2 relapses.")


# The sustained rule, and online = offline

ACCURACY = st.sampled_from([0.0, 0.3, 0.499, 0.5, 0.9, 0.95, 0.989, 0.99, 1.0, float("nan")])
EVALUATIONS = st.lists(st.tuples(ACCURACY, ACCURACY), max_size=60)
RULES = st.builds(SustainedRule, window=st.integers(1, 6), threshold=st.sampled_from([0.5, 0.9, 0.95]))


def naive_grok_step(steps, train, test, rule: SustainedRule):
    for first in range(len(steps) - rule.window + 1):
        seen = any(train[i] >= rule.memorized and test[i] < rule.failing for i in range(first))
        if seen and all(value >= rule.threshold for value in test[first : first + rule.window]):
            return steps[first]
    return None


@given(EVALUATIONS, RULES, st.data())
@settings(max_examples=300, deadline=None)
def test_online_equals_offline_equals_the_definition_also_after_a_resume(evaluations, rule, data):
    train, test = [list(column) for column in zip(*evaluations, strict=True)] or ([], [])
    steps = [7 * i for i in range(len(evaluations))]
    stopped = data.draw(st.integers(0, len(steps)))
    detector, detections = SustainedDetector(rule), []
    for i, evaluation in enumerate(zip(steps, train, test, strict=True)):
        if i == stopped:
            detector = SustainedDetector.from_state(json.loads(json.dumps(detector.state)))
        detections.append(detector.update(*evaluation))
    expected = naive_grok_step(steps, train, test, rule)
    offline = grok_step(steps, train, test, threshold=rule.threshold, window=rule.window)
    assert detector.grok_step == offline == expected
    assert sum(detections) == (expected is not None)
    if expected is not None:
        assert detections.index(True) == steps.index(expected) + rule.window - 1


@pytest.mark.parametrize("dropped", ["last_step", "memorized_step", "streak_start", "streak"])
def test_every_part_of_the_detector_state_matters(dropped):
    detector = SustainedDetector(SustainedRule(window=3))
    for step, train, test in [(0, 1.0, 0.0), (1, 1.0, 1.0), (2, 1.0, 1.0)]:
        detector.update(step, train, test)
    fresh = SustainedDetector(detector.rule).state
    spoiled = SustainedDetector.from_state(detector.state | {dropped: fresh[dropped]})
    assert detector.update(3, 1.0, 1.0)
    spoiled.update(3, 1.0, 1.0) if dropped != "last_step" else None
    assert spoiled.state != detector.state


def test_the_detector_speaks_once_and_refuses_an_earlier_step():
    detector = SustainedDetector(SustainedRule(window=1))
    assert [detector.update(i, 1.0, float(i > 0)) for i in range(4)] == [False, True, False, False]
    with pytest.raises(ConfigError, match="step=3: must be after the last evaluation, 3"):
        detector.update(3, 1.0, 1.0)


@given(st.integers(1, 12), st.integers(30, 200), st.integers(10, 80), st.integers(0, 200))
@settings(max_examples=200, deadline=None)
def test_evaluating_more_rarely_dates_the_grok_at_most_one_interval_later(k, plateau, memorized, after):
    assume(plateau > k)
    grokked = memorized + plateau
    steps = np.arange(grokked + after)
    train, test = (steps >= memorized).astype(float), np.where(steps >= grokked, 0.97, 0.1)
    fine, coarse = grok_step(steps, train, test), grok_step(steps[::k], train[::k], test[::k])
    assert fine == (grokked if after >= 10 else None)
    left = int((steps[::k] >= grokked).sum())
    assert coarse is None if left < 10 else grokked <= coarse < grokked + k


def test_accuracy_at_chance_from_the_start_is_no_grokking():
    assert grok_step(range(20), [1.0] * 20, [1.0] * 20) is None
    assert jump_rule(range(20), [0.1] * 20, [0.1] * 20).converged == 0


def test_the_jump_rule_depends_on_the_interval():
    steps = np.arange(0, 1000, 10)
    train, test = np.ones(100), np.clip((steps - 300) / 500, 0, 1)
    assert jump_rule(steps, train, test).jumped is None
    assert jump_rule(steps[::10], train[::10], test[::10]).jumped == 400


# Any curves at all

VALUE = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, 0.96, 1.0, 1e-6, 20.0]))


@st.composite
def any_columns(draw, names):
    steps = draw(st.lists(st.integers(0, 500), min_size=1, max_size=15))
    column = st.lists(VALUE, min_size=len(steps), max_size=len(steps))
    return {"steps": steps} | {name: draw(column) for name in names}


ANY_CURVES = any_columns(("train_loss", "test_loss", "train_accuracy", "test_accuracy", "weight_norm"))
ANY_MEASURES = any_columns(("restricted_loss", "excluded_loss"))


@given(ANY_CURVES, st.none() | ANY_MEASURES, st.integers(1, 12))
@settings(max_examples=100, deadline=None)
@pytest.mark.filterwarnings("error")
def test_any_curves_are_dated_by_the_laws(columns, measures, window):
    curves = Curves(**columns)
    assume(curves.train_accuracy is not None and curves.test_accuracy is not None)
    history = find_phases(curves, None if measures is None else Measures(**measures), rule=SustainedRule(window=window))
    check_laws(history, columns["steps"])
    if history.verdict == "grokked":
        assert history.memorized_step < history.generalized_step == starts(history)["generalization"]
        assert history.grok_step is None or history.generalized_step <= history.grok_step


TRAIN, TEST = st.sampled_from([0.2, 1.0]), st.sampled_from([0.0, 0.7, 1.0])


@given(st.lists(st.tuples(TRAIN, TEST, st.integers(1, 9)), min_size=1, max_size=12), st.integers(1, 12))
@settings(max_examples=300, deadline=None)
def test_any_sequence_of_plateaus_is_dated_by_the_laws(stretches, window):
    train, test = ([x for s in stretches for x in [s[i]] * s[2]] for i in (0, 1))
    loss = {"train_loss": [5 - 4.99 * x for x in train], "test_loss": [5 - 4.99 * x for x in test]}
    steps = list(range(5, 5 + 3 * len(train), 3))
    rule = SustainedRule(window=window)
    for columns in (loss, loss | {"train_accuracy": train, "test_accuracy": test}):
        history = dated({"steps": steps} | columns, rule=rule)
        check_laws(history, steps)
        if "test_accuracy" in columns:
            assert history.grok_step == naive_grok_step(steps, train, test, rule)


def test_a_single_evaluation():
    history = dated({"steps": [7], "train_accuracy": [0.1], "test_accuracy": [0.1]})
    check_laws(history, [7])
    assert history.describe().startswith("No history: 1 evaluation is too few to date phases (step 7)")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"steps": []}, r"steps=shape \(0,\): must be one axis with at least one evaluation"),
        ({"steps": [0.5]}, "steps=0.5: must be whole numbers"),
        ({"steps": [np.inf]}, "steps=inf: must be whole numbers"),
        ({"steps": [0, 1], "train_loss": [1.0]}, r"train_loss=shape \(1,\): must have one value per step, \(2,\)"),
        ({"steps": [0], "train_loss": [1.0]}, "must have both accuracies or both losses"),
        ({"steps": [0], "train_loss": [1.0], "test_loss": [np.nan]}, "must have both accuracies or both losses"),
    ],
)
def test_unusable_curves_are_refused_in_one_line(columns, message):
    with pytest.raises(ConfigError, match=message):
        dated(columns)


@pytest.mark.parametrize(
    "wrong", [{"window": 0}, {"threshold": 0.0}, {"memorized": 1.5}, {"failing": float("nan")}, {"threshold": 0.3}]
)
def test_an_absurd_rule_is_refused(wrong):
    with pytest.raises(ConfigError):
        SustainedRule(**wrong)


def test_an_empty_or_unknown_phase_is_refused():
    with pytest.raises(ConfigError, match=r"phase.stop=5: must be after the start, 5"):
        Phase("cleanup", 5, 5)


# The datasets


def test_curves_and_measures_are_read_from_datasets():
    columns = run()
    metrics = xr.Dataset({name: ("step", values) for name, values in columns.items() if name != "steps"})
    metrics = metrics.assign_coords(step=columns["steps"]).assign(learning_rate=("step", columns["train_loss"]))
    assert find_phases(Curves.from_dataset(metrics)) == dated(columns)
    measures = Measures.from_dataset(xr.Dataset({"excluded_loss": ("step", [1.0])}, {"step": [3]}))
    assert measures.restricted_loss is None
    assert measures.excluded_loss.tolist() == [1.0]


def test_label_adds_the_phase_along_step():
    dataset = xr.Dataset({"gini": ("step", np.arange(5.0))}, {"step": [0, 120, 1990, 2000, 9999]})
    labeled = label(dataset, dated(run()))
    assert labeled.phase.dims == ("step",)
    names = ["memorization", "circuit formation", "cleanup", "generalization", "generalization"]
    assert labeled.phase.values.tolist() == names
    assert "phase" not in dataset.coords
    assert labeled.groupby("phase").mean().sizes == {"phase": 4}
    xr.testing.assert_identical(labeled, label(dataset, dated(run()).phases))


def test_label_refuses_a_dataset_without_steps_and_an_empty_history():
    with pytest.raises(ConfigError, match="must have a step coordinate"):
        label(xr.Dataset({"gini": ("step", [1.0])}), dated(run()))
    with pytest.raises(ConfigError, match="at least one phase"):
        label(xr.Dataset(coords={"step": [0]}), [])


# Other people's logs


def test_the_published_run_without_weight_decay_did_not_grok(published):
    torch = pytest.importorskip("torch")
    log = torch.load(published / "nanda" / "mod_addition_no_wd.pth", map_location="cpu", weights_only=True)
    losses = {"train_loss": np.array(log["train_losses"]), "test_loss": np.array(log["test_losses"])}
    history = dated({"steps": np.arange(len(losses["train_loss"]))} | losses)
    assert history.verdict == "generalized without delay"
    assert (history.memorized_step, history.generalized_step, history.grok_step) == (127, 137, None)
    assert history.phases == (Phase("memorization", 0, 137), Phase("generalization", 137, 5000))
    assert history.events == ()


COLUMNS = {
    "steps": "epoch",
    "train_loss": "train_loss",
    "test_loss": "test_loss",
    "train_accuracy": "train_acc",
    "test_accuracy": "test_acc",
    "weight_norm": "sum_of_squared_weights",
}


def published_run(published):
    with (published / "chughtai" / "A5_MLP_seed1" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))

    def column(name):
        return np.array([float(row[name]) for row in rows])

    measures = Measures(
        steps=column("epoch"),
        restricted_loss=column("total_logit_restricted_loss"),
        excluded_loss=column("total_logit_excluded_loss"),
    )
    return {ours: column(theirs) for ours, theirs in COLUMNS.items()}, measures


def test_the_published_run_on_a5_grokked(published):
    columns, measures = published_run(published)
    shuffled = np.random.default_rng(0).permutation(len(columns["steps"]))
    history = dated({name: values[shuffled] for name, values in columns.items()}, measures)
    check_laws(history, columns["steps"])
    assert history.verdict == "grokked"
    assert starts(history) == {
        "memorization": 0,
        "circuit formation": 205,
        "cleanup": 15023,
        "generalization": 25652,
    }
    assert history.events == ()
    assert dated(columns, measures) == history
    assert dated(columns).phases == history.phases
    by_loss = dated(columns | {"train_accuracy": None})
    assert by_loss.verdict == "grokked"
    assert starts(by_loss)["cleanup"] == 15023


@pytest.mark.parametrize("k", [2, 3, 5, 8, 13])
def test_every_kth_row_of_the_published_run_gives_the_same_phases(published, k):
    columns, _ = published_run(published)
    order = np.argsort(columns["steps"])
    steps = columns["steps"][order]
    fine = dated(columns)
    coarse = dated({name: values[order][::k] for name, values in columns.items()})
    assert coarse.verdict == "grokked"
    assert list(starts(coarse)) == list(NAMES[:4])
    for name, step in starts(fine).items():
        position = np.searchsorted(steps, step)
        assert steps[max(position - k, 0)] <= starts(coarse)[name] <= steps[position + k], name


def test_events_compare_by_value():
    assert Event("relapse", 3, "") == Event("relapse", 3, "")
