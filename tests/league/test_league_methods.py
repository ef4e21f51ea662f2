"""The methods of a league: their changes, and experiments where they are impossible."""

import signal
import sys
import warnings
from dataclasses import replace

import pytest

from grokinterp import cli
from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment, Optimization, Schedules
from grokinterp.league.methods import BASELINE, CHOSEN, METHODS, configured, listing, plain
from grokinterp.league.run import planned
from grokinterp.models import TransformerSpec
from grokinterp.optim import EGD, Cosine, GrokfastEMA, OrthoGrad
from grokinterp.presets import PRESETS
from tests.support.small_runs import TINY, changed

CONTROLLED = {
    "adamw_lr_matched": "grokfast_ema", "adamw_lr_matched_ma": "grokfast_ma", "adamw_lr_matched_dual": "grokfast_dual",
}  # fmt: skip


@pytest.mark.parametrize(("control", "of"), sorted(CONTROLLED.items()))
def test_the_matched_rate_takes_the_whole_gain_and_leaves_the_decay_per_step(control, of):
    base = plain(TINY).optimization
    made, gain = configured(control, TINY).optimization, configured(of, TINY).optimization.gain
    assert gain > 1
    assert made.lr == pytest.approx(gain * base.lr)
    assert made.lr * made.weight_decay == pytest.approx(base.lr * base.weight_decay)
    assert replace(made, lr=base.lr, weight_decay=base.weight_decay) == base


def test_the_matched_decay_changes_nothing_else():
    base, made = plain(TINY), configured("adamw_wd_matched", TINY)
    assert made.optimization.weight_decay == pytest.approx(3 * base.optimization.weight_decay)
    assert set(base.differences(made)) == {"optimization.weight_decay"}


@pytest.mark.parametrize("name", ["sgd", "egd"])
def test_sgd_takes_as_much_off_the_weights_as_adamw(name):
    base, made = plain(TINY).optimization, configured(name, TINY).optimization
    steady = made.lr * made.weight_decay / (1 - made.momentum)  # of a momentum that has settled
    assert steady == pytest.approx(base.lr * base.weight_decay)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_a_legal_experiment_that_differs_in_what_it_says(name):
    made, base = configured(name, TINY), plain(TINY)
    assert Experiment.from_dict(made.to_dict()) == made
    changes = base.differences(made)
    assert bool(changes) == (name != BASELINE)
    assert all(key.startswith(("optimization.", "model.attention_fn")) for key in changes)
    assert (made.steps, made.evaluate_every, made.split, made.seed) == (30, 3, TINY.split, TINY.seed)
    assert made.patience is None


def test_the_base_is_plain_whatever_was_configured():
    o = replace(
        TINY.optimization, filters=(GrokfastEMA(),), boost=1.5, average=0.9, schedules=Schedules(lr=Cosine()),
        optimizer="sgd",
    )  # fmt: skip
    assert plain(replace(TINY, optimization=o, patience=3)) == plain(TINY) == TINY
    assert configured("orthograd", replace(TINY, optimization=o)).optimization.filters == (OrthoGrad(),)
    assert configured("egd", replace(TINY, optimization=o)).optimization.filters == (EGD(),)


@pytest.mark.parametrize(
    ("name", "experiment", "key"),
    [
        ("adamw_wd_matched", changed(optimization={"weight_decay": 0.0}), "methods"),
        ("no_weight_decay", changed(optimization={"weight_decay": 0.0}), "methods"),
        *(
            (f"weight_decay_{kind}", changed(optimization={"weight_decay": 0.0}), "schedules.weight_decay.kind")
            for kind in ("increasing", "adaptive")
        ),
        ("constrained_norm", changed(optimization={"constrain_norm": True}), "methods"),
        ("stablemax", changed(optimization={"loss": "stablemax"}), "methods"),
        ("stablemax", changed(optimization={"loss": "mse"}), "optimization.loss"),
        ("stablemax_attention", PRESETS["prieto2025"].experiment, "model.kind"),
        ("stablemax_attention", PRESETS["pizza"].experiment, "model.attention_rate"),
        ("stablemax_attention", replace(TINY, model=TransformerSpec(attention_fn="stablemax")), "methods"),
        ("sgd", replace(TINY, optimization=Optimization(lr=0.5)), "lr"),
        ("adamw_wd_matched", replace(TINY, optimization=Optimization(lr=0.1, weight_decay=5.0)), "weight_decay"),
        ("adam", TINY, "methods"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_in_one_line(name, experiment, key):
    with pytest.raises(ConfigError) as refused:
        configured(name, experiment)
    assert refused.value.key == key
    assert "\n" not in str(refused.value)


def test_schedules_of_no_weight_decay_are_refused_and_the_rest_goes_on(tmp_path):
    base = replace(TINY, optimization=replace(TINY.optimization, weight_decay=0.0))
    names = ["adamw", "weight_decay_increasing", "weight_decay_adaptive"]
    _, refused, entries = planned(base, names, 1, tmp_path, device="cpu")
    assert [entry.experiment.name for entry in entries] == ["adamw"]
    assert list(refused) == names[1:]
    assert all("needs a weight_decay above 0 to change" in why for why in refused.values())


def test_every_method_is_listed_with_its_source():
    lines = listing()
    assert [line.split()[0] for line in lines] == list(METHODS)
    for method, line in zip(METHODS.values(), lines, strict=True):
        assert method.about in line
        assert method.source in line
    assert set(CHOSEN) <= set(METHODS)
    assert CHOSEN[0] == BASELINE


def command(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["grokinterp", *arguments])
    handler, shown = signal.getsignal(signal.SIGTERM), warnings.showwarning
    with pytest.raises(SystemExit) as ended:
        cli.main()
    signal.signal(signal.SIGTERM, handler)
    monkeypatch.setattr(warnings, "showwarning", shown)
    return int(ended.value.code or 0), *capsys.readouterr()


def test_the_command_lists_the_methods(monkeypatch, capsys):
    assert command(monkeypatch, capsys, "methods") == (0, "\n".join(listing()) + "\n", "")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--methods", "adamw,nothing"], "methods=nothing: must be one of adamw, "),
        (["--methods", "stablemax_attention"], "no method applies to this experiment: model.kind=mlp"),
        (["--seeds", "0"], "seeds=0: must be an integer from 1"),
        (["--preset", "demo", "--config", "a.toml"], "config=a.toml: give --preset or --config"),
        (["--task", "nothing"], "task.kind=nothing: must be one of"),
        (["evaluate_every=2000"], "steps=2000: gives 2 evaluations"),
    ],
    ids=str,
)
def test_a_wrong_command_is_one_line_and_leaves_nothing(arguments, line, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, out, err = command(monkeypatch, capsys, "league", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert line in err
    assert list(tmp_path.iterdir()) == []
