"""Models that answer at several positions, against the plain module and a plain loop."""

import pytest
import torch
from torch.nn import functional

from grokinterp import Trajectory
from grokinterp.analysis import evaluate
from grokinterp.analysis.health.performance import performance
from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment, Optimization, Split
from grokinterp.experiment.problem import Problem
from grokinterp.experiment.saving import SaveAt
from grokinterp.models import ReadoutInputs, TransformerSpec
from grokinterp.tasks import Brackets, DigitAddition, RepeatedSequence, SortList
from grokinterp.training import train
from grokinterp.training.stack import Stack
from grokinterp.training.step import Step
from tests.training.test_stack import STEPS, members, single, take

SMALL = TransformerSpec(n_layers=2, d_model=8, n_heads=2, d_mlp=12)
AT_LAST = TransformerSpec(n_layers=1, d_model=8, n_heads=2, d_mlp=12, read_at="last", normalization="LN", biases=True)
CASES = {
    "digits at =": (DigitAddition(base=3, digits=2), SMALL),
    "sorted at =": (SortList(p=4, length=3), TransformerSpec(d_model=8, n_heads=2, d_mlp=12)),
    "repeated": (RepeatedSequence(p=6, length=4, shortest=2, samples=60), AT_LAST),
    "brackets": (Brackets(length=5), AT_LAST),
}


def experiment_of(name: str, **optimization) -> Experiment:
    task, spec = CASES[name]
    return Experiment(
        task=task,
        model=spec,
        split=Split(fraction=0.5),
        optimization=Optimization(lr=2**-6, **optimization),
        steps=STEPS,
        evaluate_every=2,
        save=SaveAt(every=2),
    )


@pytest.mark.parametrize("name", CASES)
def test_answers_are_those_of_the_plain_module(name):
    experiment = experiment_of(name)
    model, tokens = experiment.build_model().double(), experiment.tokens()
    inputs, count = ReadoutInputs.of(tokens), experiment.task.n_answers
    plain = model(tokens)[:, -count:]
    for found in (model.answers(inputs), model.functional_answers(inputs)):
        torch.testing.assert_close(found.logits, plain, rtol=1e-10, atol=1e-10)
    weights, probe = list(model.parameters()), torch.randn_like(plain)
    ours, theirs = (torch.autograd.grad((x * probe).sum(), weights) for x in (model.answers(inputs).logits, plain))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    hook = f"blocks.{experiment.model.n_layers - 1}.mlp.hook_post"
    with model.hooks(fwd_hooks=[(hook, lambda neurons, *, hook: 2 * neurons)]):
        torch.testing.assert_close(model.answers(inputs).logits, model(tokens)[:, -count:])
        assert not torch.allclose(model.answers(inputs).logits, plain)


@pytest.mark.parametrize("name", CASES)
def test_no_answer_depends_on_later_tokens(name):
    """The problem of one answer ends where it is read, and its read-out is that of the whole sequence."""
    experiment = experiment_of(name)
    model, problem = experiment.build_model().double(), Problem.of(experiment)
    whole = model(problem.tokens)[:, -problem.n_answers :]
    for answer in range(problem.n_answers):
        of = problem.at_answer(answer)
        asked = problem.labels[:, answer] >= 0
        assert torch.equal(of.label, problem.labels[asked, answer])
        assert torch.equal(of.tokens[:, : of.task.n_ctx], of.tokens) or experiment.has_equals
        logits = model.readout(ReadoutInputs.of(of.tokens)).logits
        torch.testing.assert_close(logits, whole[asked, answer], rtol=1e-10, atol=1e-10)
    assert torch.equal(problem.at_answer().label, problem.at_answer(-1).label)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("optimization", [{}, {"batch_size": 10}, {"loss": "mse"}, {"average": 0.9}])
def test_training_is_that_of_a_plain_loop(name, optimization):
    experiment = experiment_of(name, **{"warmup_steps": 0, **optimization})
    problem, o = Problem.of(experiment), experiment.optimization
    step = Step(experiment.build_model().double(), problem, o, seed=3, steps=STEPS)
    plain = experiment.build_model().double()
    adamw = torch.optim.AdamW(plain.parameters(), lr=o.lr, betas=o.betas, weight_decay=o.weight_decay)
    tokens, labels = problem.tokens[problem.is_train], problem.labels[problem.is_train]
    for at in range(STEPS):
        step.gradients(at)
        chosen = slice(None) if step.sampler.batch is None else step.sampler.batch
        adamw.zero_grad()
        losses = plain_losses(plain(tokens[chosen]), labels[chosen], o.loss)
        losses.mean().backward()
        assert float(step.loss) == pytest.approx(float(losses.mean().detach()), rel=1e-7)
        step.apply(at)
        adamw.step()
    step.gradients(STEPS)
    found = step.measured()
    for part, mask in (("train", problem.is_train), ("test", problem.is_test)):
        with torch.no_grad():
            logits, labels = plain(problem.tokens[mask])[:, -problem.n_answers :], problem.labels[mask]
            assert found[f"{part}_loss"] == pytest.approx(float(plain_losses(logits, labels, o.loss).mean()), rel=1e-7)
        right, asked = logits.argmax(-1) == labels, labels >= 0
        assert found[f"{part}_accuracy"] == pytest.approx(float((right | ~asked).all(1).double().mean()))
        for i in range(problem.n_answers):
            expected = float(right[asked[:, i], i].double().mean())
            assert found[f"{part}_accuracy_of_answer"][str(i)] == pytest.approx(expected)
            losses = plain_losses(logits[asked[:, i], i : i + 1], labels[asked[:, i], i : i + 1], o.loss)
            assert found[f"{part}_loss_of_answer"][str(i)] == pytest.approx(float(losses.mean()), rel=1e-7)


def plain_losses(logits, labels, form):
    """Return the mean loss over the labels of every example that are not -1, by torch."""
    logits = logits[:, -labels.shape[1] :]
    each = []
    for row, of in zip(logits, labels, strict=True):
        if form == "mse":
            wanted = functional.one_hot(of[of >= 0], row.shape[1]).double()
            each.append(((row[of >= 0] - wanted) ** 2).mean())
        else:
            each.append(functional.cross_entropy(row, of, ignore_index=-1))
    return torch.stack(each)


@pytest.mark.parametrize("name", CASES)
def test_a_stack_takes_the_same_steps(name):
    runs = [experiment_of(name).changed({"seed": seed}) for seed in range(3)]
    stack, steps = Stack(members(runs)), [single(one) for one in members(runs)]
    for step in (stack, *steps):
        take(step, 0, STEPS)
    for run, step in zip(stack.runs, steps, strict=True):
        mine, theirs = run.measured(), step.measured()
        for table in [name for name, value in theirs.items() if isinstance(value, dict)]:
            assert mine.pop(table) == pytest.approx(theirs.pop(table), rel=1e-9, abs=1e-9)
        assert mine == pytest.approx(theirs, rel=1e-9, abs=1e-9)


def test_a_run_is_analyzed_at_a_chosen_answer(tmp_path):
    train(experiment_of("repeated"), tmp_path / "run")
    run = Trajectory.open(tmp_path / "run")
    metrics = run.metrics
    assert metrics["test_accuracy_of_answer"].dims == ("step", "answer")
    assert metrics["answer"].values.tolist() == list(range(5))
    for answer in (0, 3, -1):
        at = run.at_answer(answer)
        accuracy = metrics["test_accuracy_of_answer"].sel(answer=answer % 5, step=[2, 6]).values
        found = evaluate(performance, at, steps=[2, 6])
        assert found["test_accuracy"].values == pytest.approx(accuracy, abs=1e-6)
    assert run[6].problem.task.answer == 4
    with pytest.raises(ConfigError, match="answer=5: must be from -5 to 4"):
        run.at_answer(5)


def test_other_models_refuse_several_answers():
    for changes, message in [
        ({"model.kind": "mlp"}, "model.kind=mlp: answers once; a task with several answers needs a transformer"),
        ({"model.read_at": "mean"}, "model.read_at=mean: answers once"),
        ({"model.attention": "bidirectional"}, "model.attention=bidirectional: shows every answer the tokens after it"),
        ({"split.stratified": True}, "split.stratified=True: needs a task with a single answer per example"),
    ]:
        with pytest.raises(ConfigError) as error:
            experiment_of("digits at =").changed(changes)
        assert message in str(error.value)


def test_no_equals_separates_a_question_from_answers_at_its_own_tokens():
    for spec in (SMALL, AT_LAST):
        experiment = Experiment(task=Brackets(length=5), model=spec)
        assert torch.equal(experiment.tokens(), experiment.task.tokens())
        assert (experiment.d_vocab, experiment.n_ctx) == (2, 5)
