"""A stack of runs takes the steps that each run takes alone."""

from dataclasses import replace

import pytest
import torch

from grokinterp.experiment import Experiment, Optimization, Schedules, Split
from grokinterp.experiment.problem import Problem
from grokinterp.optim import Evaluation, GrokfastEMA, GrokfastMA, Increasing, Plateau
from grokinterp.tasks import ModularAddition
from grokinterp.training.stack import Member, Stack, key_of
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
    for at in range(start, stop):
        step.gradients(at)
        step.apply(at)


def assert_same(run, step, tolerance=1e-9):
    near = {"rtol": tolerance, "atol": tolerance}
    for name, mine, theirs in zip(step.names, run.model.parameters(), step.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, **near, msg=lambda text, name=name: f"{name}: {text}")
    torch.testing.assert_close(run.loss, step.loss, **near)
    torch.testing.assert_close(run.gradient_norm, step.gradient_norm, **near)
    for mine, theirs in zip(run.averaged or [], step.averaged or [], strict=True):
        torch.testing.assert_close(mine, theirs, **near)
    for mine, theirs in zip(run.train_answers(), step.train_answers(), strict=True):
        torch.testing.assert_close(mine.logits, theirs.logits, **near)
        if theirs.supervised is not None:
            torch.testing.assert_close(mine.supervised, theirs.supervised, **near)


@pytest.mark.parametrize("name", MODEL_SPECS)
def test_every_model_trains_in_a_stack_as_alone(name):
    runs = experiments(MODEL_SPECS[name], Optimization(lr=0.01))
    stack, steps = Stack(members(runs)), [single(one) for one in members(runs)]
    for step in (stack, *steps):
        take(step, 0, STEPS)
    for run, step in zip(stack.runs, steps, strict=True):
        assert_same(run, step)


OPTIMIZATIONS = {
    "adamw": (Optimization(), [{"lr": 0.1, "weight_decay": 0.5}, {"betas": (0.5, 0.9)}, {"eps": 1e-3}]),
    "adam": (Optimization(optimizer="adam", weight_decay=0.1), [{"lr": 0.1}, {"weight_decay": 0.0}]),
    "sgd": (Optimization(optimizer="sgd", weight_decay=0.1), [{"momentum": 0.5}, {"lr": 0.1}]),
    "sgd without momentum": (Optimization(optimizer="sgd", momentum=0.0), [{"lr": 0.1}]),
    "batches": (Optimization(batch_size=5), [{"weight_decay": 2.0}]),
    "constrained, averaged": (Optimization(constrain_norm=True, average=0.5), [{"average": 0.9}, {"init_scale": 2.0}]),
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


def test_what_does_not_fit_in_a_stack_has_no_key():
    one = experiments(MODEL_SPECS["mlp"], Optimization())[0]
    assert key_of(replace(one, optimization=Optimization(optimizer="muon"))) is None
    others = [
        replace(one, optimization=Optimization(loss="mse")),
        replace(one, optimization=Optimization(filters=(GrokfastMA(window=3),))),
        replace(one, optimization=Optimization(filters=(GrokfastMA(window=4),))),
        replace(one, split=Split(fraction=0.6)),
        replace(one, model=MODEL_SPECS["mlp, deep"]),
    ]
    assert len({key_of(one) for one in (one, *others)}) == 1 + len(others)
