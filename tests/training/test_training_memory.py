"""Memory and disk of a run: the estimates, what is refused before any work, and evaluation in parts."""

import json
from dataclasses import replace

import pytest
import torch

from grokinterp import available
from grokinterp.allocations import Allocations
from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment, Split
from grokinterp.experiment.problem import Problem
from grokinterp.losses import example_losses
from grokinterp.models import RecursiveSpec, TransformerSpec
from grokinterp.tasks import ModularAddition
from grokinterp.training import disk, memory, train
from grokinterp.training.loop import member_of
from grokinterp.training.metrics import measure
from grokinterp.training.stack import Stack
from grokinterp.training.stack_memory import most_runs, stack_needs
from grokinterp.training.step import Step
from tests.cases.models import MODEL_SPECS
from tests.support.small_runs import SPEC, TINY, changed

CPU = torch.device("cpu")


NAMES = ("one layer", "two layers, LN, biases", "mean", "two layers, stablemax, rate", "mlp", "mlp, deep", "recursive")
NAMES = (*NAMES, "tanh, scaled, dropout", "mlp, BN, embedded, deep")


@pytest.mark.parametrize("name", NAMES)
def test_a_step_without_storage_holds_what_a_real_step_holds(name):
    """The estimate of a new model thus needs no formula."""
    experiment = Experiment(task=ModularAddition(p=11), model=MODEL_SPECS[name], split=Split(fraction=0.7))
    step = Step(experiment.build_model(), Problem.of(experiment), experiment.optimization)
    for weight in step.parameters:
        weight.grad = torch.zeros_like(weight)
    step.optimizer.zero_grad = lambda set_to_none: None  # the gradients count as weights
    with Allocations() as allocations:
        step.gradients(0)
    assert 0.8 < memory.needs(experiment).step / allocations.peak < 1.25


@pytest.mark.parametrize("name", ["one layer", "two layers, LN, biases", "recursive"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_stack_without_storage_holds_what_a_real_stack_holds(name, optimizer):
    experiment = changed(task={"p": 11}, split={"fraction": 0.7}, optimization={"optimizer": optimizer})
    experiment = replace(experiment, model=MODEL_SPECS[name])
    stack = Stack([member_of(experiment, None, CPU) for _ in range(5)])
    with Allocations() as allocations:
        stack.gradients(0)
        stack.apply(0)
    found = stack_needs(experiment, 5)
    assert 0.8 < found.step / allocations.peak < 1.25
    with Allocations() as allocations:
        stack.measured()
    assert allocations.peak < 1.25 * found.evaluation
    assert most_runs(experiment, found.peak, wanted=64) == 5
    assert most_runs(experiment, found.peak, wanted=3) == 3
    assert most_runs(experiment, 0, wanted=3) == 1


def test_tables_hold_no_more_than_the_estimate():
    spec = TransformerSpec(d_model=64, n_heads=2, d_mlp=64)
    experiment = Experiment(task=ModularAddition(p=23), model=spec, split=Split(fraction=0.7))
    model, problem = experiment.build_model(), Problem.of(experiment)
    inputs, labels = problem.parts["train"].inputs, problem.parts["train"].labels
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    with Allocations() as allocations:
        logits = model.answers(inputs).logits
        name = logits.grad_fn.next_functions[0][0].name()
        example_losses(logits, labels).mean().backward()
    assert name == "LogitsOfRowsBackward"
    assert 0.5 < allocations.peak / memory.needs(experiment).step < 1


def test_a_batch_needs_less_than_all_examples():
    whole, small = memory.needs(TINY), memory.needs(changed(optimization={"batch_size": 4}))
    assert small.step < whole.step / 2
    assert small.weights == whole.weights
    more = memory.needs(changed(optimization={"average": 0.9, "filters": [{"kind": "grokfast_ema"}]}))
    assert more.weights * 5 == whole.weights * 7  # weights, gradients, two moments, previous; and two others


@pytest.mark.parametrize(
    ("values", "gibibytes"),
    [
        (["task.kind=linear_recurrence", "task.p=1000", "task.length=64"], 24),
        (["task.p=509", "model.d_model=4096"], 20),
        (["task.p=509"], 2),
        (["task.kind=group_composition", "task.group=S6"], 5),
    ],
    ids=["length 64", "wide", "p = 509", "S6"],
)
def test_activations_count(values, gibibytes, tmp_path, monkeypatch):
    """Configurations whose weights are small beside their activations."""
    monkeypatch.setattr(memory, "bytes_available", lambda device: gibibytes * 2**30)
    with pytest.raises(ConfigError, match=r"weights on .* examples: needs about .* of memory, but only"):
        train(Experiment().override(values), tmp_path / "run", device="cpu")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "optimization",
    [{}, {"batch_size": 25, "average": 0.9}, {"loss": "mse", "curriculum": {"by": "loss", "start": 0.5}}],
    ids=["full batch", "mini-batch, average", "curriculum"],
)
@pytest.mark.parametrize("spec", [SPEC, RecursiveSpec(d_model=4, d_mlp=4, n_latent=1, n_supervision=2)])
def test_examples_are_evaluated_in_parts(optimization, spec, monkeypatch):
    few = changed(task={"p": 23}, split={"label_noise": 0.1}, optimization=optimization)
    experiment = replace(few, model=spec)

    def measured():
        network = experiment.build_model().double()
        problem = Problem.of(experiment)
        step = Step(network, problem, experiment.optimization)
        step.gradients(0)
        return measure(step)

    whole = measured()
    monkeypatch.setattr("grokinterp.models.model.FEWEST", 100)
    monkeypatch.setattr("grokinterp.models.model.MOST_VALUES", 1)
    for name, value in measured().items():
        torch.testing.assert_close(value, whole[name], rtol=1e-12, atol=1e-14, msg=name)


def test_a_finished_run_records_its_memory(tmp_path):
    run = train(changed(steps=3), tmp_path / "run", device="cpu")
    found = json.loads((run.path / "status.json").read_text())["memory"]
    assert found["estimated"] == memory.needs(changed(steps=3)).peak
    assert found["used"] is None or found["used"] > 0


def test_the_schedule_of_checkpoints_is_counted():
    for values in (
        {"every": 7},
        {"every": 4, "dense_every": 6, "dense_until": 50},
        {"every": 100, "dense_every": 3, "dense_until": 500},
        {"every": 5, "dense_every": 1, "dense_until": 9},
        {"every": 10, "per_decade": 5},
        {"every": 1000, "per_decade": 1},
        {"every": 7, "dense_every": 3, "dense_until": 9, "per_decade": 1000},
    ):
        for steps in (30, 60, 100):
            experiment = changed(save=values, steps=steps)
            saved = {step for step in range(steps) if experiment.save.saves(step, in_transition=False)} | {steps}
            assert disk.disk_needs(experiment).files == len(saved)
            later = {step for step in saved if step > 20}
            assert disk.disk_needs(experiment, start=20).files == len(later)


def test_a_schedule_that_exceeds_the_disk_is_refused(tmp_path, monkeypatch):
    every_step = changed(save={"every": 1}, steps=10**8)
    with pytest.raises(
        ConfigError, match=r"save.every=1: saves 100,000,001 checkpoints \(.* GiB\), .* save.every=1000"
    ):
        train(every_step, tmp_path / "run", device="cpu")
    monkeypatch.setattr(disk, "disk_available", lambda path: 10**6)
    with pytest.raises(ConfigError, match=r"save.every=1: needs about .* .iB of disk \(.*\), but only .* are free"):
        train(changed(save={"every": 1}, steps=10**4), tmp_path / "run", device="cpu")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    fewer = changed(save={"every": 1000}, steps=10**8, evaluate_every=1000)
    assert disk.disk_needs(fewer).total < available.disk_available(tmp_path)
    disk.require_disk(fewer, tmp_path / "run")


def test_the_files_of_a_run_have_the_estimated_size(tmp_path):
    experiment = changed(steps=20, save={"every": 1, "resume_every": 1}, evaluate_every=1)
    run, found = train(experiment, tmp_path / "run", device="cpu"), disk.disk_needs(experiment)
    wide = disk.disk_needs(changed(experiment, optimization={"precision": "float64", "weight_decay_form": "to_init"}))
    assert wide.checkpoints / found.checkpoints == pytest.approx(2, rel=0.2)
    assert wide.resume / found.resume == pytest.approx(2 * 5 / 4, rel=0.2)
    for name, estimated in (("checkpoints", found.checkpoints), ("metrics.jsonl", found.metrics)):
        place = run.path / name
        used = sum(file.stat().st_size for file in place.iterdir()) if place.is_dir() else place.stat().st_size
        assert 0.5 * used < estimated < 2 * used, name
