"""Training on examples that are drawn anew for every step."""

from dataclasses import replace

import pytest
import torch

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment, Optimization, Split
from grokinterp.experiment.problem import Problem
from grokinterp.experiment.saving import SaveAt
from grokinterp.models import TransformerSpec
from grokinterp.tasks import (
    DigitAddition,
    ModularAddition,
    ModularSum,
    OperatorExpression,
    RepeatedSequence,
    SparseParity,
)  # fmt: skip
from grokinterp.training import train
from grokinterp.training.fitting import reason_alone

INFINITE = Experiment(
    task=DigitAddition(base=10, digits=3, samples=60),
    model=TransformerSpec(d_model=8, n_heads=2, d_mlp=12),
    split=Split(fraction=0.5),
    optimization=Optimization(batch_size=80, lr=0.01),
    data="infinite",
    steps=6,
    evaluate_every=2,
    save=SaveAt(every=3, resume_every=3),
)


def test_every_step_has_examples_of_its_own_none_of_them_held_out():
    problem = Problem.of(INFINITE)
    held_out = {tuple(row) for row in problem.tokens[problem.is_test].tolist()}
    drawn = [problem.fresh.at(step, 80) for step in range(4)]
    rows = [{tuple(row) for row in some.tokens.tolist()} for some in drawn]
    assert all(len(some.tokens) == 80 and not some_rows & held_out for some, some_rows in zip(drawn, rows, strict=True))
    assert len(set.union(*rows)) > 300
    assert torch.equal(drawn[2].tokens, Problem.of(INFINITE).fresh.at(2, 80).tokens)
    assert not torch.equal(drawn[2].tokens, Problem.of(INFINITE.changed({"seed": 1})).fresh.at(2, 80).tokens)
    for tokens, labels in zip(drawn[0].tokens.tolist(), drawn[0].labels.tolist(), strict=True):
        assert tokens[6] == 10  # "="
        a, b, total = (int("".join(map(str, digits))) for digits in (tokens[:3], tokens[3:6], labels))
        assert a + b == total


@pytest.mark.parametrize(
    "task",
    [SparseParity(n_bits=30, k=3, samples=20), OperatorExpression(p=7, n=3, samples=20),
     ModularSum(p=5, n=4, samples=20), RepeatedSequence(p=8, length=4, shortest=2, samples=20)],
    ids=lambda task: task.kind,
)  # fmt: skip
def test_samples_do_not_bound_what_is_drawn(task):
    """Otherwise a run on infinite data would memorize them."""
    tokens, labels = task.draw(200, torch.Generator().manual_seed(0))
    assert len(tokens.unique(dim=0)) > 100
    assert labels.shape == (200, task.n_answers)


@pytest.mark.parametrize(
    "task", [SparseParity(n_bits=5, k=3), OperatorExpression(p=5, operators=("+", "/"))], ids=lambda task: task.kind
)
def test_drawn_examples_are_those_of_the_task(task):
    listed = dict(zip(map(tuple, task.tokens().tolist()), task.labels().tolist(), strict=True))
    tokens, labels = replace(task, samples=5).draw(400, torch.Generator().manual_seed(0))
    drawn = dict(zip(map(tuple, tokens.tolist()), labels.tolist(), strict=True))
    assert drawn.items() <= listed.items()
    assert len(drawn) > 0.9 * len(listed)


def test_held_out_examples_of_a_small_task_are_never_drawn():
    small = Experiment(task=ModularAddition(p=7), data="infinite", optimization=Optimization(batch_size=300))
    problem = Problem.of(small)
    drawn = {tuple(row) for row in problem.fresh.at(0, 300).tokens.tolist()}
    assert drawn == {tuple(row) for row in problem.tokens[problem.is_train].tolist()}


def test_a_continued_run_is_the_same(tmp_path):
    whole = train(INFINITE, tmp_path / "whole")
    train(INFINITE.changed({"steps": 3}), tmp_path / "part")
    part = train(INFINITE, tmp_path / "part", resume=True)
    whole_rows, part_rows = ([*run.directory.read_metrics()[0].rows()] for run in (whole, part))
    assert whole_rows == [row for row in part_rows if row["step"] % 2 == 0]
    for name, weight in whole.weights(6).state.items():
        assert torch.equal(weight, part.weights(6).state[name])


def test_training_metrics_are_those_of_the_batch(tmp_path):
    run = train(INFINITE, tmp_path / "run")
    problem, model = run.problem, run.model(step=6)
    fresh = Problem.of(INFINITE).fresh.at(6, 80)
    logits = model(fresh.tokens)[:, -4:].double()
    expected = float(torch.nn.functional.cross_entropy(logits.movedim(2, 1), fresh.labels).detach())
    assert float(run.metrics["train_loss"][-1]) == pytest.approx(expected, rel=1e-5)
    assert float(run.metrics["batch_size"][-1]) == 80
    assert len(problem.parts["train"].labels) == 30


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimization.batch_size": None}, "data=infinite: needs optimization.batch_size"),
        ({"split.label_noise": 0.5}, "split.label_noise=0.5: needs finite data"),
        ({"optimization.curriculum.start": 0.5}, "optimization.curriculum.start=0.5: needs finite data"),
        ({"data": "endless"}, "data=endless"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes, message):
    with pytest.raises(ConfigError) as error:
        INFINITE.changed(changes)
    assert message in str(error.value)


def test_it_is_trained_alone_and_absent_from_other_configurations():
    assert reason_alone(INFINITE) == "data=infinite: every step draws its own examples"
    assert "data" not in Experiment().to_dict()
    assert Experiment.from_dict(INFINITE.to_dict()) == INFINITE
