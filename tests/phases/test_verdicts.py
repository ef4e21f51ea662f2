"""Verdicts on courses whose answer is known: early stops, dips, plateaus, collapses; evaluated anyhow."""

import csv
from pathlib import Path

import numpy as np
import pytest

from grokinterp.errors import ConfigError
from grokinterp.phases import Curves, Measures, SustainedRule, find_phases, grok_step, snapshot_of, sustained_step
from grokinterp.phases.course import first_lasting, time_weights
from grokinterp.phases.signals import standard_error

DATA = Path(__file__).parents[3] / "shared"


def course(test, train=(0.01, 1.0), last=20_000, every=100, **known):
    """The history of a run that has memorized from step 100 on; `test` gives the accuracy for steps from then on."""
    steps = np.arange(0, last, every)
    accuracies = np.where(steps < 100, 0.01, test(steps)), np.where(steps < 100, *train)
    return find_phases(Curves(steps=steps, test_accuracy=accuracies[0], train_accuracy=accuracies[1], **known))


def jump(at, low=0.02, high=1.0):
    return lambda steps: np.where(steps < at, low, high)


@pytest.mark.parametrize("left", [1, 2, 5, 9])
def test_a_log_that_stops_after_the_jump_is_not_yet_sustained(left):
    history = course(jump(1300), last=1300 + 100 * left)
    assert (history.verdict, history.generalized_step, history.grok_step) == ("grokked, not yet sustained", 1300, None)
    seen = "1 evaluation" if left == 1 else f"{left} evaluations"
    assert history.describe().startswith(f"Grokked, not yet sustained: {seen} of 10: ")
    assert [phase.name for phase in history.phases][-1] == "generalization"


def test_it_is_sustained_after_ten_evaluations_or_as_long_as_it_took():
    assert course(jump(1300), last=2300).verdict == "grokked"
    assert course(jump(1300), last=2700, every=200).verdict == "grokked, not yet sustained"
    assert course(jump(1300), last=2900, every=200).verdict == "grokked"  # 8 evaluations, from 1,400 to 2,800


def test_one_dip_in_nine_does_not_undo_grokking_and_is_counted():
    history = course(lambda s: np.where(s < 5000, 0.02, np.where(s // 100 % 9 == 0, 0.94, 1.0)))
    assert (history.verdict, history.grok_step) == ("grokked", None)  # never ten in a row
    dips = [event for event in history.events if event.kind == "dip"]
    assert history.generalized_step == 5000
    assert history.describe().endswith(f"; {len(dips)} dips.")
    assert len(dips) == sum(n % 9 == 0 for n in range(51, 200))


def test_two_bad_evaluations_in_three_are_unstable():
    history = course(lambda s: np.where(s < 5000, 0.02, np.where((s // 100 % 3 == 0) | (s < 6000), 1.0, 0.3)))
    assert history.verdict == "unstable"
    assert history.grok_step == 5000  # the sustained rule alone would be content
    assert "repeatedly without keeping it" in history.describe()
    assert "relapses" in history.describe()


@pytest.mark.parametrize("grokked", [None, 400])
def test_a_collapse_says_that_the_train_accuracy_falls_too(grokked):
    steps = np.arange(0, 20_000, 100)
    train = np.select([steps < 100, steps < 600], [0.01, 1.0], 0.009)
    test = np.where(steps < 600, 1.0 * (steps >= (grokked or 1e9)), 0.009)
    history = find_phases(Curves(steps=steps, train_accuracy=train, test_accuracy=test))
    assert history.verdict == "collapsed"
    assert "train accuracy collapsed too: below 0.95 from step 600 on, to 0.009" in history.describe()
    assert (history.phases[-1].name, history.phases[-1].start) == ("decline", 600)


def test_the_delay_is_counted_whatever_the_level_before():
    history = course(jump(10_000, low=0.55), last=13_000)
    assert history.verdict == "partly generalized from the start, fully later"
    assert "test accuracy was 0.55 by then" in history.describe()
    assert "full generalization at step 10,000, after 100 times as many steps" in history.describe()
    assert [phase.start for phase in history.phases] == [0, 100, 10_000]


def test_a_rise_between_two_evaluations_is_no_delay():
    """Memorized with 0.86 on the test set, and full at the very next evaluation: nothing was seen of a delay."""
    curves = Curves(steps=[0, 50, 100, 150, 200], train_accuracy=[0, 1, 1, 1, 1], test_accuracy=[0, 0.86, 1, 1, 1])
    assert find_phases(curves).verdict == "generalized without delay"


def test_partly_generalized_with_its_level_and_date():
    history = course(jump(10_000, low=0.03, high=0.93))
    assert history.verdict == "partly generalized"
    assert history.describe().startswith("Partly generalized (0.93): ")
    assert "test accuracy rose from 0.03 to 0.93 at step 10,000" in history.describe()
    assert "the threshold 0.95 is exact, since the number of test examples is unknown" in history.describe()


@pytest.mark.parametrize(("right", "verdict"), [(220, "grokked"), (219, "grokked"), (216, "partly generalized")])
def test_the_threshold_has_the_tolerance_of_the_number_of_examples(right, verdict):
    assert course(jump(5000, high=right / 231), n_test=231).verdict == verdict
    exact = course(jump(5000, high=right / 231))
    assert exact.verdict == ("grokked" if right >= 0.95 * 231 else "partly generalized")
    assert (exact.grok_step is None) == (right < 0.95 * 231)
    assert course(jump(5000, high=0.94), n_test=10_000).verdict == "partly generalized"
    description = course(jump(5000, high=right / 231), n_test=231).describe()
    assert ("one standard error, 0.014 for 231 examples, of 0.95" in description) == (right < 220)


def test_a_number_of_examples_below_one_is_refused():
    with pytest.raises(ConfigError, match="n_test=0: must be at least 1"):
        Curves(steps=[0], train_accuracy=[1], test_accuracy=[1], n_test=0)
    assert standard_error(0.5, 100) == 0.05


def test_a_permanent_loss_is_distinguished_from_a_fall_that_may_end():
    assert course(lambda s: np.where((s < 5000) | (s >= 15_000), 0.2, 1.0)).verdict == "generalized and lost it again"
    assert course(lambda s: np.where((s < 5000) | (s >= 19_800), 0.2, 1.0)).verdict == "grokked"
    often = course(lambda s: np.where((s < 5000) | ((s >= 6000) & (s // 1000 % 2 == 0)) | (s >= 19_000), 0.2, 1.0))
    assert often.verdict == "unstable"


def test_one_lucky_evaluation_is_no_generalization():
    assert course(lambda s: np.where(s == 7000, 1.0, 0.3)).verdict == "memorized, did not generalize within the run"
    history = course(lambda s: np.where((s == 3000) | (s >= 12_000), 1.0, 0.1))
    assert (history.verdict, history.generalized_step) == ("grokked", 12_000)


def test_stages_are_dated():
    history = course(lambda s: np.select([s < 1000, s < 8000], [0.02, 0.5], 1.0))
    assert history.verdict == "grokked"
    assert [(t.start, t.stop) for t in history.transitions] == [(1000, 1000), (8000, 8000)]
    rose = "test accuracy rose in 2 stages: from 0.02 to 0.5 at step 1,000, from 0.5 to 1 at step 8,000"
    assert rose in history.describe()


def test_double_descent_is_dated_and_a_spike_is_none():
    steps = np.arange(0, 20_000, 50)
    columns = {"train_accuracy": np.where(steps < 2000, 0.5, 1), "test_accuracy": np.where(steps < 9000, 0.3, 1)}
    loss = np.interp(steps, [0, 500, 3000, 5000, 10_000], [4.0, 1.5, 6.0, 6.0, 0.01])
    history = find_phases(Curves(steps=steps, test_loss=loss, train_loss=np.where(steps < 2000, 1, 1e-3), **columns))
    (descent,) = [event for event in history.events if event.kind == "double descent"]
    assert abs(descent.step - 500) <= 100
    assert "double descent: test loss fell to 1.6 by step 500, rose to 6 by step 3,300" in history.describe()
    falling = np.interp(steps, [0, 10_000], [4.0, 0.01])
    falling[40:42] = 30.0
    once = find_phases(Curves(steps=steps, test_loss=falling, train_loss=np.where(steps < 2000, 1, 1e-3), **columns))
    assert "double descent" not in once.describe()


def test_two_evaluations_show_no_course():
    history = find_phases(Curves(steps=[0, 1000], train_accuracy=[0.01, 1], test_accuracy=[0.01, 1]))
    assert (history.verdict, history.phases, history.events, history.transitions) == ("no history", (), (), ())
    assert history.describe() == (
        "No history: 2 evaluations are too few to date phases (step 0 and 1,000); at the end, train accuracy was 1 "
        "and test accuracy 1."
    )


@pytest.mark.parametrize("every", [3, 10])
def test_what_was_not_recorded_is_no_failure(every):
    """The test set is evaluated at some of the rows only; the train loss spikes at others."""
    steps = np.arange(0, 20_000, 50)
    test = np.where(steps // 50 % every == 0, np.where(steps < 5000, 0.1, 1.0), np.nan)
    loss = np.where(steps // 50 == 201, 5.0, 1e-3 + np.exp(-steps / 20))
    columns = {"train_accuracy": steps >= 100, "test_accuracy": test, "train_loss": loss, "test_loss": 3 * loss}
    history = find_phases(Curves(steps=steps, **columns))
    assert (history.verdict, history.phases[-1].stop) == ("grokked", 19_951)
    assert 5000 <= history.generalized_step < 5000 + 50 * every
    assert [event.kind for event in history.events] == ["loss spike"]


def test_losses_on_another_scale_have_levels_of_their_own():
    """Mean squared errors that begin at 0.065: 0.1 nats mean nothing there."""
    steps = np.arange(0, 300)
    test = np.interp(steps, [0, 1, 100, 120, 300], [0.065, 1.4, 1.4, 1e-4, 1e-5])
    history = find_phases(Curves(steps=steps, train_loss=0.065 * np.exp(-steps * 2.0) + 1e-7, test_loss=test))
    assert (history.verdict, history.memorized_step) == ("grokked", 1)
    assert 110 < history.generalized_step < 122


def test_the_rule_that_the_first_evaluation_counts():
    rule = SustainedRule(threshold=0.99, window=1)
    steps, test = np.arange(0, 1000, 100), np.array([0, 0, 0, 0.96, 0.995, 0.9, 1, 1, 1, 1])
    history = find_phases(Curves(steps=steps, train_accuracy=np.ones(10), test_accuracy=test), rule=rule)
    assert history.grok_step == history.generalized_step == sustained_step(steps, test, threshold=0.99, window=1) == 400
    assert sustained_step(steps, test, window=3) == 600


@pytest.mark.parametrize("every", [2, 5, 17])
@pytest.mark.parametrize("seed", range(3))
def test_a_verdict_does_not_depend_on_the_spacing(every, seed):
    """Random evaluation steps and a subset: a state is a share of the time, not of the evaluations."""
    rng = np.random.default_rng(seed)
    steps = np.unique(rng.integers(0, 40_000, 2000))
    flags = steps // 700 % 9 == 0
    for test, verdict in (
        (np.where(steps < 5000, 0.1, np.where(flags, 0.6, 1.0)), "grokked"),
        (np.where(steps < 5000, 0.1, np.where(steps // 700 % 3 == 0, 1.0, 0.3)), "unstable"),
        (np.where((steps < 5000) | (steps > 30_000), 0.1, 1.0), "generalized and lost it again"),
        (np.where(steps < 5000, 0.1, 0.8), "partly generalized"),
    ):
        curves = Curves(steps=steps[::every], train_accuracy=(steps > 200)[::every], test_accuracy=test[::every])
        assert find_phases(curves).verdict == verdict


def test_what_lasts_is_a_share_of_the_time():
    steps = np.array([0, 10, 20, 30, 1000, 2000, 3000])
    flags = np.array([False, False, True, True, False, False, False])
    assert (
        first_lasting(flags, steps, time_weights(steps)) is None
    )  # the third evaluation of three stands for 985 steps
    flags[4] = True
    assert first_lasting(flags, steps, time_weights(steps)) == 2
    assert first_lasting(np.array([False, False, True]), np.arange(3), np.ones(3)) == 2


@pytest.mark.parametrize(
    ("accuracies", "n_test", "verdict"),
    [
        ((1.0, 0.995), None, "generalized"), ((1.0, 0.985), None, "did not generalize cleanly"),
        ((1.0, 0.985), 200, "generalized"), ((1.0, 0.7), 50, "partly generalized"), ((1.0, 0.3), None, "memorized"),
        ((0.6, 0.3), None, "has not memorized"),
    ],
)  # fmt: skip
def test_a_single_checkpoint_has_no_history(accuracies, n_test, verdict):
    found = snapshot_of(*accuracies, 0.1, n_test=n_test)
    assert found.verdict == verdict
    assert found.sentence.startswith(f"A trained network, no history: {verdict}: train accuracy {accuracies[0]:.3f}, ")


def of_file(path, train="train_acc", test="test_acc"):
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    steps, train, test = ([float(row[name]) for row in rows] for name in ("step", train, test))
    return Curves(steps=steps, train_accuracy=train, test_accuracy=test)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("r1_early_stop", "Grokked, not yet sustained: 9 evaluations of 10: "),
        ("r2_collapse", "Collapsed: "),
        ("r3_plateau", "Partly generalized from the start, fully later: "),
        ("r4_partial", "Partly generalized (0.93): "),
        ("r5_dip", "Grokked: "),
        ("r6_unstable", "Unstable: "),
        ("r9_two_evals", "Grokked, not yet sustained: 2 evaluations of 10: "),
    ],
)
@pytest.mark.parametrize("every", [1, 5])
def test_the_cases(name, sentence, every):
    curves = of_file(DATA / "cases" / "logs" / f"{name}.csv")
    if every == 1:
        assert find_phases(curves).describe().startswith(sentence)
    elif len(curves.steps) > 150:
        thinned = {part: getattr(curves, part)[::every] for part in ("steps", "train_accuracy", "test_accuracy")}
        assert find_phases(Curves(**thinned)).describe().startswith(sentence)


def test_a_published_collapse_after_grokking():
    path = DATA / "published" / "logs" / "collapse_adamw_lr1e-2_wd1_s0.csv"
    history = find_phases(of_file(path, "train_accuracy", "test_accuracy"))
    assert (history.verdict, history.memorized_step) == ("collapsed", 700)
    assert 4000 < history.generalized_step <= 6300
    assert history.phases[-1].name == "decline"


def test_a_published_run_with_collapses_that_end():
    path = DATA / "published" / "logs" / "transgrokking_accuracy_curve.csv"
    curves = of_file(path, "train_accuracy", "test_accuracy")
    history = find_phases(curves)
    assert (history.verdict, history.memorized_step, history.generalized_step) == ("grokked", 100, 6500)
    assert sum(event.kind == "relapse" for event in history.events) >= 10
    assert grok_step(curves.steps, curves.train_accuracy, curves.test_accuracy) == history.grok_step


def test_guessing_between_two_classes_is_no_generalization():
    """Test accuracy at chance, .5 of 1,000 examples, for 20,000 steps; then the same with a jump at 10,000."""
    steps, generator = np.arange(0, 20_000, 100), np.random.default_rng(0)
    train, guessed = np.where(steps < 100, 0.5, 1.0), generator.binomial(1000, 0.5, len(steps)) / 1000
    curves = Curves(steps=steps, train_accuracy=train, test_accuracy=guessed, n_test=1000, chance=0.5)
    assert find_phases(curves).verdict == "memorized, did not generalize within the run"
    jumped = np.where(steps < 10_000, guessed, 1.0)
    curves = Curves(steps=steps, train_accuracy=train, test_accuracy=jumped, n_test=1000, chance=0.5)
    assert find_phases(curves).verdict == "grokked"
    assert snapshot_of(1.0, 0.52, 3.0, chance=0.5).verdict == "memorized"
    with pytest.raises(ConfigError, match=r"chance=2\.0: must be in"):
        Curves(steps=[0], train_accuracy=[0.5], test_accuracy=[0.5], chance=2.0)


def test_measures_are_reported_at_checkpoints_that_existed_by_then():
    """One checkpoint after the run's end shows no change; two before each date do."""
    steps = np.arange(0, 3000, 10)
    curves = Curves(steps=steps, train_accuracy=steps >= 100, test_accuracy=steps >= 1500)
    late = Measures(steps=[2990], restricted_loss=[0.1], excluded_loss=[9.0])
    assert "restricted" not in find_phases(curves, late).sentence
    seen = Measures(steps=[50, 1400, 2990], restricted_loss=[5.0, 0.2, 0.1], excluded_loss=[1.0, 8.0, 9.0])
    assert "the restricted loss had gone from 5 to 0.2" in find_phases(curves, seen).sentence
