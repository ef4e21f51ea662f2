"""Counting rules: each against a naive twin, and the dates that others published for their logs."""

import numpy as np
import pytest

from grokinterp.errors import ConfigError
from grokinterp.interop.logs import date_logs
from grokinterp.phases import Curves, grok_step
from grokinterp.phases.counting import read_rule, read_rules


def naive(kind, values, threshold, window):
    """The place that a rule finds, by its definition."""
    for place in range(len(values)):
        part = {"first": values[place : place + 1], "stays": values[place:]}.get(kind, values[place : place + window])
        if all(value >= threshold for value in part) and (kind != "sustained" or len(part) == window):
            return place
    return None


@pytest.mark.parametrize("kind", ["first", "sustained", "stays"])
def test_rules_are_their_definitions(kind):
    generator = np.random.default_rng(0)
    for case in range(200):
        values = generator.choice([0.2, 0.95, 1.0], size=generator.integers(1, 12), p=[0.3, 0.3, 0.4])
        window = int(generator.integers(1, 5))
        rule = read_rule(f"{kind}:.95" + (f"x{window}" if kind == "sustained" else ""))
        steps = np.arange(len(values)) * 10
        place = naive(kind, values, 0.95, window)
        assert rule(Curves(steps=steps, test_accuracy=values)) == (None if place is None else 10 * place), case


def test_a_column_that_was_recorded_rarely_counts_its_own_evaluations():
    values = [np.nan, 0.96, np.nan, 0.97, np.nan, 0.2]
    curves = Curves(steps=range(6), train_accuracy=[1.0] * 6, test_accuracy=values)
    assert read_rule("sustained:.95x2")(curves) == 1
    assert read_rule("sustained:.95x3")(curves) is None
    assert read_rule("last")(curves) == 0.2


def test_losses_pass_below_the_threshold():
    curves = Curves(steps=[0, 10, 20, 30], train_loss=[3, 1, 0.1, 0.2], test_loss=[5, 9, 0.5, np.inf])
    assert read_rule("first:train_loss:.1")(curves) == 20
    assert read_rule("first:test_loss:5")(curves) == 0
    assert read_rule("max:test_loss")(curves) == np.inf
    assert read_rule("jump:test_loss:1")(curves) == 20
    assert read_rule("min:train_loss")(curves) == 0.1
    assert read_rule("first:.5")(curves) is None


def test_grokked_is_the_rule_of_this_package():
    train, test = [0.1, 1, 1, 1, 1, 1, 1], [0, 0.1, 0.96, 0.2, 0.97, 0.98, 0.99]
    curves = Curves(steps=range(7), train_accuracy=train, test_accuracy=test)
    assert read_rule("grokked:.95x3")(curves) == grok_step(range(7), train, test, window=3) == 4
    assert read_rule("grokked:.95x3")(Curves(steps=[0], test_accuracy=[1])) is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("first", "first needs a threshold"),
        ("max:.5", "max takes no threshold"),
        ("sustained:.95", "sustained needs a window, as in x10"),
        ("first:.95x3", "first takes no window, as in x10"),
        ("sustained:.95x0", "window must be from 1 to 1000000"),
        ("first:95", "threshold must be above 0, and at most 1 for an accuracy"),
        ("first:0", "threshold must be above 0"),
        ("first:e", "must be"),
        ("first:1e", "must be KIND"),
        ("grokked:train:.9x3", "column must be test"),
        ("first:val:.9", "column must be train, test"),
        ("second:.9", "kind must be one of first, sustained"),
        ("", "must be KIND[:COLUMN][:THRESHOLD][xWINDOW], as in sustained:.95x10"),
        ("first:.9|", "must be KIND"),
    ],
)
def test_a_wrong_rule_is_one_line(text, line):
    with pytest.raises(ConfigError) as refused:
        read_rules([text])
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


PUBLISHED = [
    ("normcap_k1_s0.jsonl", {"first:train:.99": 50, "first:.95": 100}),
    ("normcap_capA_S5_adamw_d256_s0.jsonl", {"first:train:.99": 100, "first:.99": 1100, "first:.95": 1100}),
    ("oracle_n0_s0.jsonl", {"first:.99": 10_000, "sustained:.95x10": 9_600}),
    ("history_p113_wd1_s42.json", {"sustained:.95x10": 8_350}),
    ("transgrokking", {"first:train:.99": 100, "first:.5": 6_050, "sustained:.99x3": 7_000}),
    (
        "collapse_adamw_lr1e-2_wd1_s0.csv",
        {"first:train:.999": 700, "sustained:.95x3": 6_300, "max": 0.9977, "last": 0.368},
    ),
]


@pytest.mark.parametrize(("name", "counted"), PUBLISHED, ids=lambda case: case if isinstance(case, str) else "")
def test_what_others_count(published, name, counted):
    paths = sorted((published / "logs").glob(f"{name}*"))
    dated = date_logs(paths, rules=read_rules(list(counted)))
    assert (len(dated.runs), dated.failed) == (1, ())
    run = dated.runs[0]
    assert run.counts == pytest.approx(counted, abs=5e-4)
    if run.log.theirs:
        assert run.log.theirs["memorize_step"] == run.counts["first:train:.99"]
        assert run.log.theirs["grok_step"] == run.counts["first:.95"]
