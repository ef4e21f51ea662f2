"""The detector of a whole training: the gap as a window's mean, memorization first, patience in training steps."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grokinterp.errors import ConfigError
from grokinterp.phases import GrokkingDetector, JumpRule, SustainedRule, grok_step, jump_rule

SHARES = st.sampled_from([0.0, 0.02, 0.4, 0.6, 0.96, 1.0])
CURVES = st.lists(st.tuples(SHARES, SHARES), min_size=1, max_size=40)


def planted(every: int, memorized: int = 200, groks: int = 1000, last: int = 3000) -> list[tuple[int, float, float]]:
    """Evaluations of a network that memorizes at once, and generalizes at once later."""
    return [(step, float(step >= memorized), float(step >= groks)) for step in range(0, last + 1, every)]


def followed(detector: GrokkingDetector, curve: list[tuple[int, float, float]]) -> GrokkingDetector:
    for evaluation in curve:
        detector.update(*evaluation)
    return detector


def test_the_arguments_of_the_documents():
    detector = GrokkingDetector(50, 0.05, 0.10, 200)
    assert detector == GrokkingDetector(window_size=50, gap_threshold=0.05, jump_threshold=0.10, patience=200)
    assert detector == GrokkingDetector()


@given(CURVES, st.integers(1, 5))
def test_it_finds_what_the_rules_find_afterwards(curve, window):
    steps, (train, test) = [7 * i for i in range(len(curve))], zip(*curve, strict=True)
    evaluations = list(zip(steps, train, test, strict=True))
    sustained = followed(GrokkingDetector(rule=SustainedRule(window=window)), evaluations)
    assert sustained.grokking_step == grok_step(steps, train, test, window=window)
    legacy = followed(GrokkingDetector(rule=JumpRule(jump=0.3)), evaluations)
    assert legacy.grokking_step == jump_rule(steps, train, test, jump=0.3).jumped
    none = followed(GrokkingDetector(rule=None, patience=0), evaluations)
    assert (none.grokking_detected, none.grokking_step, none.should_stop) == (False, None, False)


@given(CURVES, st.integers(1, 6))
def test_the_gap_is_the_mean_of_a_window(curve, window):
    detector = GrokkingDetector(window_size=window)
    for step, (train, test) in enumerate(curve):
        status = detector.update(step, train, test)
        expected = np.mean([a - b for a, b in curve[max(0, step + 1 - window) : step + 1]])
        assert status.current_gap == pytest.approx(expected, abs=1e-12)
        assert status["gap"] == detector.gap_history[-1] == train - test
    assert detector.step_history == list(range(len(curve)))
    assert (detector.train_acc_history, detector.eval_acc_history) == tuple(map(list, zip(*curve, strict=True)))


@pytest.mark.parametrize("every", [10, 25, 50])
@pytest.mark.parametrize("patience", [0, 130, 400])
def test_patience_counts_training_steps(every, patience):
    """However often the network is evaluated: the first evaluation at least that many steps after the detection."""
    detector, stopped = GrokkingDetector(patience=patience), None
    for evaluation in planted(every):
        status = detector.update(*evaluation)
        if status.should_stop and stopped is None:
            stopped = status.step
    detected = 1000 + 9 * every  # the tenth good evaluation
    assert detector.detected_step == detected
    assert detector.grokking_step == 1000
    assert stopped == detected + math.ceil(patience / every) * every


def test_an_untrained_network_has_not_converged():
    """The legacy rule says so at step 0, as both accuracies are at chance."""
    curve = [(step, 0.1, 0.1) for step in range(100)]
    assert jump_rule(*zip(*curve, strict=True)).converged == 0
    detector = followed(GrokkingDetector(window_size=5), curve)
    assert detector.current_gap == 0
    assert not detector.converged


def test_convergence_follows_memorization():
    detector = GrokkingDetector(window_size=5)
    found = [detector.update(*evaluation) for evaluation in planted(10)]
    assert [status.step for status in found if status.converged] == list(
        range(1040, 3001, 10)
    )  # the first window without a gap


def test_a_collapsed_network_has_not_converged():
    """Its accuracies are equal, and both at chance."""
    curve = [*planted(10, last=2000), *((step, 0.01, 0.01) for step in range(2010, 3000, 10))]
    assert not followed(GrokkingDetector(window_size=5), curve).converged


def test_a_network_that_never_failed_has_not_grokked():
    curve = [(step, min(1.0, step / 100), min(1.0, step / 110)) for step in range(0, 1000, 10)]
    detector = followed(GrokkingDetector(window_size=5), curve)
    assert (detector.memorized_step, detector.grokking_step, detector.converged) == (None, None, False)


def test_a_jump_before_memorization_is_none():
    detector = followed(
        GrokkingDetector(), [(0, 0.1, 0.1), (1, 0.5, 0.4), (2, 1.0, 0.4), (3, 1.0, 0.45), (4, 1.0, 0.6)]
    )
    assert (detector.memorized_step, detector.jump_step, detector.grokking_step) == (2, 4, None)


def test_a_status_is_true_once():
    detector = GrokkingDetector()
    found = [detector.update(*evaluation) for evaluation in planted(10)]
    assert [bool(status) for status in found].count(True) == 1
    assert [status.grokking_detected for status in found].count(True) == len(found) - 109
    assert dict(found[-1]) == {name: getattr(found[-1], name) for name in found[-1]}
    with pytest.raises(KeyError, match="no 'accuracy'; GrokkingStatus has step, train_acc, "):
        found[-1]["accuracy"]


@pytest.mark.parametrize("rule", [SustainedRule(window=3), JumpRule(), None])
@pytest.mark.parametrize("at", [0, 5, 105, 120])
def test_a_continued_detector_is_the_same(rule, at):
    curve = planted(10)
    whole = followed(GrokkingDetector(rule=rule, window_size=7), curve)
    half = followed(GrokkingDetector(rule=rule, window_size=7), curve[:at])
    rest = followed(GrokkingDetector(rule=rule, window_size=7), curve[:3])  # which are replaced
    rest.load_state(json.loads(json.dumps(half.state)))
    followed(rest, curve[at:])
    assert rest == whole
    assert rest.grokking_step == whole.grokking_step


WRONG = {
    "window_size=0: must be an integer from 1": lambda: GrokkingDetector(window_size=0),
    "gap_threshold=0: must be in": lambda: GrokkingDetector(gap_threshold=0),
    "jump_threshold=1.5: must be in": lambda: GrokkingDetector(jump_threshold=1.5),
    "patience=-1: must be an integer from 0": lambda: GrokkingDetector(patience=-1),
    "train_acc=98.5: must be from 0 to 1: a share": lambda: GrokkingDetector().update(0, 98.5, 40.0),
    "eval_acc=-1: must be from 0 to 1": lambda: GrokkingDetector().update(0, 1, -1),
    "step=3: must be after the last evaluation, 3": lambda: followed(GrokkingDetector(), [(3, 0, 0), (3, 0, 0)]),
    "rule=JumpRule: the state was saved with another rule": lambda: GrokkingDetector(rule=JumpRule()).load_state(
        GrokkingDetector().state
    ),
}


@pytest.mark.parametrize("words", list(WRONG))
def test_wrong_arguments_are_refused(words):
    with pytest.raises(ConfigError, match=words):
        WRONG[words]()
