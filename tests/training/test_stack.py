"""A stack of runs takes the steps that each run takes alone."""

from dataclasses import replace

import pytest
import torch

from grokinterp.experiment import Experiment, Optimization, Schedules, Split
from grokinterp.experiment.problem import Problem
from grokinterp.optim import (
    Cosine,
    Curriculum,
    Cyclic,
    Evaluation,
    GrokfastEMA,
    GrokfastMA,
    Increasing,
    Mastery,
    Plateau,
)
from grokinterp.tasks import ModularAddition
from grokinterp.training.fitting import key_of, reason_alone
from grokinterp.training.stack import Member, Stack
from grokinterp.training.step import Step
from tests.cases.filters import STACKS
from tests.cases.models import MODEL_SPECS

P = 7
STEPS = 6


def experiments(spec, optimization, changes=()):
    """Three runs that differ in seed, split, and as ``changes`` say."""
    common = Experiment(task=ModularAddition(p=P), model=spec, steps=STEPS, split=Split(fraction=0.5))
    changed = [replace(optimization, **change) for change in (*changes, {}, {}, {})][:3]
    return [replace(common, seed=seed, optimization=one) for seed, one in enumerate(changed)]


def members(runs):
    return [
        Member(one.build_model().double(), Problem.of(one), one.optimization, one.split.data_seed(one.seed), STEPS)
        for one in runs
    ]


def single(member):
    step = Step(member.model, member.problem, member.optimization, seed=member.seed, steps=STEPS)
    step.prepare()
    return step


def take(step, start, stop):
    """Take all updates, and compute the gradients at the last weights."""
    for at in range(start, stop):
        step.gradients(at)
        step.apply(at)
    step.gradients(stop)


def assert_same(run, step, tolerance=1e-9):
    """The weights, their averages and all metrics at the last gradients are equal, all examples being evaluated."""
    near = {"rtol": tolerance, "atol": tolerance}
    for name, mine, theirs in zip(step.names, run.model.parameters(), step.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, **near, msg=lambda text, name=name: f"{name}: {text}")
    for mine, theirs in zip(run.averaged or [], step.averaged or [], strict=True):
        torch.testing.assert_close(mine, theirs, **near)
    mine, theirs = run.measured(), step.measured()
    assert list(mine) == list(theirs)
    assert mine.pop("weight_norm_of") == pytest.approx(theirs.pop("weight_norm_of"), rel=tolerance, abs=tolerance)
    assert mine == pytest.approx(theirs, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("name", [name for name, spec in MODEL_SPECS.items() if spec.reason_alone is None])
def test_every_model_trains_in_a_stack_as_alone(name):
    runs = experiments(MODEL_SPECS[name], Optimization(lr=0.01))
    stack, steps = Stack(members(runs)), [single(one) for one in members(runs)]
    for step in (stack, *steps):
        take(step, 0, STEPS)
    for run, step in zip(stack.runs, steps, strict=True):
        assert_same(run, step)


GROWING = Schedules(batch_size=Increasing(low=0.4, over=5))

OPTIMIZATIONS = {
    "adamw": (Optimization(), [{"lr": 0.1, "weight_decay": 0.5}, {"betas": (0.5, 0.9)}, {"eps": 1e-3}]),
    "adam": (Optimization(optimizer="adam", weight_decay=0.1), [{"lr": 0.1}, {"weight_decay": 0.0}]),
    "sgd": (Optimization(optimizer="sgd", weight_decay=0.1), [{"momentum": 0.5}, {"lr": 0.1}]),
    "sgd without momentum": (Optimization(optimizer="sgd", momentum=0.0), [{"lr": 0.1}]),
    "muon": (
        Optimization(optimizer="muon"),
        [{"lr": 0.01}, {"momentum": 0.5, "weight_decay": 3.0}, {"betas": (0.5, 0.9)}],
    ),
    "muon, filtered": (Optimization(optimizer="muon", filters=STACKS["ema"]), []),
    "batches": (Optimization(batch_size=5), [{"weight_decay": 2.0}]),
    "growing batches": (Optimization(batch_size=9, schedules=GROWING), []),
    "schedules": (
        Optimization(),
        [
            {"schedules": Schedules(lr=Cosine(), weight_decay=Increasing(over=3))},
            {"schedules": Schedules(lr=Cyclic(period=4))},
        ],
    ),
    "curriculum": (
        Optimization(curriculum=Curriculum(start=0.3, over=5)),
        [{"curriculum": Curriculum(start=0.3, over=5, by=by)} for by in ("loss", "random")],
    ),
    "curriculum in batches": (Optimization(batch_size=7, curriculum=Curriculum(start=0.5, over=3, by="loss")), []),
    "constrained, averaged": (Optimization(constrain_norm=True, average=0.5), [{"average": 0.9}, {"init_scale": 2.0}]),
    "penalties": (Optimization(l2=0.01), [{"l1": 0.02}, {"l1": 0.1, "l2": 0.0}]),
    "clipped": (Optimization(clip_norm=0.05), [{"clip_norm": 0.5}, {"clip_norm": None}]),
    "clipped, muon, filtered": (Optimization(optimizer="muon", clip_norm=0.1, filters=STACKS["ema"]), []),
    "decay to the initial weights": (
        Optimization(weight_decay_form="to_init", lr=0.05),
        [{"weight_decay": 5.0}, {"schedules": Schedules(weight_decay=Increasing(over=3))}],
    ),
    "muon, decay to the initial weights": (Optimization(weight_decay_form="to_init", optimizer="muon"), []),
    "float64": (Optimization(precision="float64"), []),
    **{loss: (Optimization(loss=loss), []) for loss in ("float32", "float64", "stablemax", "mse")},
    **{name: (Optimization(filters=filters), []) for name, filters in STACKS.items()},
}


@pytest.mark.parametrize("name", OPTIMIZATIONS)
def test_every_optimization_trains_in_a_stack_as_alone_also_when_resumed(name):
    runs = experiments(MODEL_SPECS["one layer"], *OPTIMIZATIONS[name])
    assert len({key_of(one) for one in runs}) == 1
    stack, steps = Stack(members(runs)), [single(one) for one in members(runs)]
    take(stack, 0, 4)
    resumed = Stack(members(runs))
    saved = [run.state() for run in stack.runs]
    weights = [{name: one.clone() for name, one in run.model.state_dict().items()} for run in stack.runs]
    for run, (tensors, plan), of in zip(resumed.runs, saved, weights, strict=True):
        run.model.load_state_dict(of)
        run.load_state(plan, tensors, 4)
    for step in (stack, resumed):
        take(step, 4, STEPS)
    assert torch.equal(stack.weights.values, resumed.weights.values)
    for step, run, (tensors, plan) in zip(steps[:2], stack.runs, saved, strict=False):  # in the format of a single run
        step.model.load_state_dict(weights[run.place])
        step.load_state(plan, tensors, 4)
        take(step, 4, STEPS)
    take(steps[2], 0, STEPS)
    tolerance = 1e-7 if any(one.kind == "egd" for one in runs[0].optimization.filters) else 1e-9  # divides by small S
    for run, step in zip(stack.runs, steps, strict=True):
        assert_same(run, step, tolerance)


def test_a_run_that_diverges_or_is_frozen_touches_no_other():
    runs = experiments(MODEL_SPECS["one layer"], Optimization(average=0.5, filters=STACKS["ema"]))
    stack, alone = Stack(members(runs)), single(members(runs)[2])
    with torch.no_grad():
        next(stack.runs[0].model.parameters()).fill_(torch.nan)
    stack.runs[1].freeze()
    before = [[one.clone() for one in run.model.parameters()] for run in stack.runs]
    take(stack, 0, STEPS)
    take(alone, 0, STEPS)
    assert_same(stack.runs[2], alone)
    assert [int(run.applied) for run in stack.runs] == [0, 0, STEPS]
    assert [bool(run.finite()) for run in stack.runs] == [False, True, True]
    for run, kept in zip(stack.runs[:2], before, strict=False):
        for weight, was in zip(run.model.parameters(), kept, strict=True):
            torch.testing.assert_close(weight.detach(), was, rtol=0, atol=0, equal_nan=True)


def test_each_run_of_a_stack_has_schedules_and_a_boost_of_its_own():
    schedules = Schedules(lr=Plateau(patience=1), weight_decay=Increasing(low=0.5))
    optimization = Optimization(filters=(GrokfastEMA(),), boost=3.0, lr_normalize=True)
    runs = experiments(MODEL_SPECS["mlp"], optimization, [{"schedules": schedules}, {"lr": 2e-3}])
    assert len({key_of(one) for one in runs}) == 1
    stack, steps = Stack(members(runs)), [single(one) for one in members(runs)]
    for both in zip(stack.runs, steps, strict=True):
        for one in both:
            one.observe(Evaluation(0, 1.0, 0.0, 1.0, 0.0))
    for run in (stack, *steps):
        take(run, 0, 3)
    for one in (stack.runs[1], steps[1]):
        one.boost(3.0)
    for run in (stack, *steps):
        take(run, 3, STEPS)
    for run, step in zip(stack.runs, steps, strict=True):
        assert_same(run, step)


@pytest.mark.parametrize("optimization", [Optimization(average=0.5), Optimization(batch_size=5)])
@pytest.mark.parametrize("name", ["one layer", "recursive"])
def test_runs_are_evaluated_together_in_parts_as_each_alone(name, optimization, monkeypatch):
    splits = [Split(fraction=0.5, validation=0.2, label_noise=noise) for noise in (0.0, 0.3, 1.0)]
    common = experiments(MODEL_SPECS[name], optimization)
    runs = [replace(one, split=split) for one, split in zip(common, splits, strict=True)]
    steps = [single(one) for one in members(runs)]
    monkeypatch.setattr("grokinterp.models.model.FEWEST", 10)
    monkeypatch.setattr("grokinterp.models.model.MOST_VALUES", 1)
    stack = Stack(members(runs))
    for step in (stack, *steps):
        take(step, 0, 1)
    names = [set(run.measured()) for run in stack.runs]
    assert names[1] - names[0] == {"noisy_accuracy", "restored_accuracy", "clean_accuracy"}
    for run, step in zip(stack.runs, steps, strict=True):
        assert_same(run, step)


def test_what_does_not_fit_in_a_stack_has_no_key():
    one = experiments(MODEL_SPECS["mlp"], Optimization())[0]
    adapting = Optimization(batch_size=4, schedules=Schedules(batch_size=Mastery()))
    assert key_of(replace(one, optimization=adapting)) is None
    assert "batch_size.kind=curriculum" in reason_alone(replace(one, optimization=adapting))
    others = [
        replace(one, optimization=Optimization(optimizer="muon")),
        replace(one, optimization=Optimization(curriculum=Curriculum(start=0.5))),
        replace(one, optimization=Optimization(batch_size=9)),
        replace(one, optimization=Optimization(batch_size=9, schedules=GROWING)),
        replace(one, split=Split(fraction=0.5, validation=0.2)),
        replace(one, optimization=Optimization(loss="mse")),
        replace(one, optimization=Optimization(filters=(GrokfastMA(window=3),))),
        replace(one, optimization=Optimization(filters=(GrokfastMA(window=4),))),
        replace(one, split=Split(fraction=0.6)),
        replace(one, model=MODEL_SPECS["mlp, deep"]),
    ]
    assert len({key_of(one) for one in (one, *others)}) == 1 + len(others)
