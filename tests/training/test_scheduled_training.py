"""Every schedule and curriculum: training applies the recorded settings, and resuming changes nothing."""

import json
from pathlib import Path

import pytest
import torch

from grokinterp.cli.entry import run as run_command_line
from grokinterp.experiment import Experiment, Optimization
from grokinterp.experiment.problem import Problem
from grokinterp.losses import example_losses
from grokinterp.models import RecursiveSpec
from grokinterp.optim import Cyclic, Evaluation, Gap, Mastery, Plateau
from grokinterp.optim.curriculum import Curriculum
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory
from grokinterp.tasks import ModularAddition
from grokinterp.training import train
from grokinterp.training.packing import pack
from grokinterp.training.step import Step
from tests.support.small_runs import changed, written
from tests.support.stopped_runs import train_until

PLANS = {
    "lr increasing": {"schedules": {"lr": {"kind": "increasing", "low": 0.2, "over": 17}}},
    "lr cosine": {"schedules": {"lr": {"kind": "cosine", "final": 0.1}}},
    "lr cyclic": {"schedules": {"lr": {"kind": "cyclic", "low": 0.25, "period": 8}}},
    "lr adaptive": {"schedules": {"lr": {"kind": "adaptive", "patience": 3, "threshold": 0.9}}},
    "decay increasing": {"schedules": {"weight_decay": {"kind": "increasing", "low": 0.1}}},
    "decay adaptive": {"schedules": {"weight_decay": {"kind": "adaptive", "doubling": 3, "most": 6.0}}},
    "batch increasing": {"batch_size": 9, "schedules": {"batch_size": {"kind": "increasing", "low": 0.3}}},
    "batch curriculum": {
        "batch_size": 16, "schedules": {"batch_size": {"kind": "curriculum", "accuracy": 0.2, "hold": 3, "low": 0.1}},
    },
    "by size": {"curriculum": {"start": 0.3, "over": 20}},
    "by loss": {"curriculum": {"start": 0.3, "over": 20, "by": "loss", "hardest_first": True}},
    "by chance": {"curriculum": {"start": 0.3, "over": 20, "by": "random"}, "batch_size": 5},
    "by loss in batches": {"curriculum": {"start": 0.3, "over": 20, "by": "loss"}, "batch_size": 5},
    "all at once": {
        "batch_size": 8,
        "curriculum": {"start": 0.4, "over": 15, "by": "loss"},
        "schedules": {
            "lr": {"kind": "adaptive", "patience": 3, "threshold": 0.9},
            "weight_decay": {"kind": "adaptive", "doubling": 3},
            "batch_size": {"kind": "curriculum", "accuracy": 0.2, "hold": 3},
        },
    },
}  # fmt: skip
COLUMN = {"lr": "learning_rate", "decay": "weight_decay", "batch": "batch_size", "by": "examples"}


def planned(plan: str) -> Experiment:
    """A run of 30 steps that has memorized half way."""
    return changed(optimization={"warmup_steps": 0} | PLANS[plan], save={"dense_until": 30, "dense_every": 1})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The uninterrupted run of every plan, trained once."""
    runs: dict[str, Trajectory] = {}

    def of(plan: str) -> Trajectory:
        if plan not in runs:
            runs[plan] = train(planned(plan), tmp_path_factory.mktemp("whole") / "run", device="cpu")
        return runs[plan]

    return of


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("at", [7, 20])
@pytest.mark.parametrize("plan", PLANS)
def test_a_resumed_run_is_byte_identical(plan, at, whole, tmp_path):
    train_until(tmp_path / "run", at, planned(plan))
    run = train(planned(plan), tmp_path / "run", device="cpu", resume=True)
    assert written(run.path) == written(whole(plan).path)


@pytest.mark.parametrize("plan", PLANS)
def test_every_plan_changes_what_it_says_and_trains_otherwise_than_without(plan, whole, tmp_path):
    found = rows(whole(plan).path)
    column = COLUMN.get(plan.split()[0], "examples")
    assert len({row[column] for row in found}) > 1
    without = changed(planned(plan), optimization={"schedules": {}, "curriculum": {}})
    plain = train(without, tmp_path / "plain", device="cpu")
    assert rows(plain.path)[-1]["train_loss"] != found[-1]["train_loss"]


@pytest.mark.parametrize("plan", ["lr increasing", "lr cosine", "lr cyclic"])
def test_a_closed_form_is_recorded_at_every_evaluation(plan, whole):
    experiment = planned(plan)
    for row in rows(whole(plan).path):
        factor = experiment.optimization.schedules.lr.factor(row["step"], 30, {})
        assert row["learning_rate"] == pytest.approx(2e-2 * factor, rel=1e-12)
        assert row["weight_decay"] == 0.5


def test_the_rate_of_every_update_is_that_of_the_schedule(tmp_path):
    """With SGD the update is -η times the gradient, which the same run with a constant rate has at its first step."""
    plan = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "warmup_steps": 0, "lr": 1.0}
    cyclic = {"schedules": {"lr": {"kind": "cyclic", "low": 0.25, "period": 8}}}
    run = train(changed(optimization=plan | cyclic, save={"dense_every": 1, "dense_until": 30}), tmp_path, device="cpu")
    for step in (0, 1, 4, 7, 8, 21):
        before, after = run[step], run[step + 1]
        expected = Cyclic(low=0.25, period=8).factor(step, 30, {})
        gradient = before.gradients["unembed.W_U"]
        update = after.update["unembed.W_U"].double()
        rate = -(update * gradient).sum() / gradient.square().sum()
        assert float(rate) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("plan", ["lr adaptive", "decay adaptive", "batch curriculum"])
def test_an_adaptive_one_answers_to_the_evaluations_that_are_recorded(plan, whole):
    """From its own metrics alone, the whole course of the factor; a batch is chosen before its step is evaluated."""
    schedules, found = planned(plan).optimization.schedules, rows(whole(plan).path)
    name = {"lr": "lr", "decay": "weight_decay", "batch": "batch_size"}[plan.split()[0]]
    schedule, base = getattr(schedules, name), {"lr": 2e-2, "weight_decay": 0.5, "batch_size": 16}[name]
    state, expected = schedule.start(), []
    for row in found:
        before = state
        state = schedule.observe(
            state,
            Evaluation(row["step"], row["train_loss"], row["train_accuracy"], row["test_loss"], row["test_accuracy"]),
        )
        expected.append(base * schedule.factor(row["step"], 30, before if name == "batch_size" else state))
    assert [row[COLUMN[plan.split()[0]]] for row in found] == pytest.approx(
        [max(1, round(value)) for value in expected] if name == "batch_size" else expected
    )


@pytest.mark.parametrize("plan", ["by size", "by loss", "by chance"])
def test_the_examples_let_in_grow_to_all(plan, whole):
    counts = [row["examples"] for row in rows(whole(plan).path)]
    curriculum = planned(plan).optimization.curriculum
    trained = int(whole(plan).problem.is_train.sum())
    assert counts == [curriculum.count(3 * i, trained) for i in range(11)]
    assert counts[-1] == trained


@pytest.mark.parametrize("plan", ["by size", "by loss"])
def test_those_let_in_first_are_the_easiest(plan, whole):
    """The first gradient is that of the easiest examples: the first update follows from them alone."""
    run, experiment = whole(plan), planned(plan)
    problem, first = run.problem, run[0]
    count = experiment.optimization.curriculum.count(0, int(problem.is_train.sum()))
    difficulty = problem.task.difficulty()[problem.is_train] if plan == "by size" else first.losses[problem.is_train]
    order = difficulty.argsort(stable=True, descending=plan == "by loss")[:count]
    model = experiment.build_model()
    inputs, labels = problem.parts["train"].inputs, problem.parts["train"].label
    logits = model(inputs.tokens[order])[:, -1]
    loss = torch.nn.functional.cross_entropy(logits, labels[order])
    loss.backward()
    update = run[1].update["unembed.W_U"]
    gradient = dict(model.named_parameters())["unembed.W_U"].grad
    moved = gradient.abs() > 1e-6
    assert (update + 2e-2 * 0.5 * first.parameters["unembed.W_U"])[moved].sign().equal(-gradient[moved].sign().double())


def test_under_deep_supervision_the_easiest_are_so_over_all_steps():
    spec = RecursiveSpec(d_model=16, d_mlp=32, n_latent=2, n_supervision=4)
    optimization = Optimization(curriculum=Curriculum(start=0.3, over=10, by="loss"))
    experiment = Experiment(task=ModularAddition(p=7), model=spec, optimization=optimization)
    model, problem = experiment.build_model(), Problem.of(experiment)
    step = Step(model, problem, optimization)
    with torch.no_grad():
        readout = model.readout(problem.parts["train"].inputs)
    losses = [example_losses(logits, problem.parts["train"].label).double() for logits in readout.supervised]
    by_all, by_last = torch.stack(losses).mean(0), losses[-1]
    assert (by_all[step.sampler.order].diff() > -1e-5).all()
    assert (by_last[step.sampler.order].diff() < -1e-4).any()


def without(plan: dict, key: str, fresh: object) -> dict:
    """A packed state in which the value of a key, wherever it is, is that of a fresh run."""
    if not isinstance(plan, dict):
        return plan
    ((kind, content),) = plan.items()
    if kind != "dict":
        return plan
    return {"dict": [[name, fresh if name == key else without(part, key, fresh)] for name, part in content]}


FRESH = {
    "lr adaptive": ("lr", Plateau(patience=3, threshold=0.9).start()),
    "decay adaptive": ("weight_decay", Gap(doubling=3, most=6.0).start()),
    "batch curriculum": ("batch_size", Mastery(low=0.1).start()),
    "batch increasing": ("seen", 0),
}


@pytest.mark.parametrize("plan", FRESH)
def test_without_its_state_a_resumed_run_is_another(plan, whole, tmp_path):
    late = {"lr adaptive": 12, "decay adaptive": 24, "batch curriculum": 12, "batch increasing": 12}[plan]
    train_until(tmp_path / "run", late, planned(plan))
    run = RunDirectory.open(tmp_path / "run")
    saved, (key, fresh) = run.resume.load(), FRESH[plan]
    packed = pack(fresh, "fresh")[1]
    state = saved.state | {"training_step": without(saved.state["training_step"], key, packed)}
    assert state != saved.state
    run.resume.save(late, saved.tensors, state)
    resumed = train(planned(plan), tmp_path / "run", device="cpu", resume=True)
    assert written(resumed.path) != written(whole(plan).path)


@pytest.mark.parametrize("key", ["step/order", "step/batch"])
def test_without_the_order_or_the_batch_a_resumed_run_is_another(key, whole, tmp_path):
    train_until(tmp_path / "run", 9, planned("by loss in batches"))
    run = RunDirectory.open(tmp_path / "run")
    saved = run.resume.load()
    first = torch.arange(len(saved.tensors[key]))
    run.resume.save(9, saved.tensors | {key: first}, saved.state)
    resumed = train(planned("by loss in batches"), tmp_path / "run", device="cpu", resume=True)
    assert written(resumed.path) != written(whole("by loss in batches").path)


def test_from_the_command_line(tmp_path, monkeypatch, capsys):
    def grokinterp(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["grokinterp", *arguments])
        with pytest.raises(SystemExit) as done:
            run_command_line()
        return done.value.code or 0

    small = ["task.p=7", "model.d_model=16", "model.n_heads=2", "model.d_mlp=16", "steps=20", "evaluate_every=5"]
    plan = ["optimization.schedules.lr.kind=cosine", "optimization.schedules.weight_decay.kind=adaptive",
            "optimization.schedules.weight_decay.doubling=5", "optimization.curriculum.start=0.5",
            "optimization.curriculum.over=10"]  # fmt: skip
    assert grokinterp("train", "--out", str(tmp_path / "run"), "--device", "cpu", *small, *plan) == 0
    found = rows(tmp_path / "run")
    assert [row["examples"] for row in found][-3:] == [max(row["examples"] for row in found)] * 3
    assert found[-1]["learning_rate"] < found[1]["learning_rate"] / 10
    assert grokinterp("train", "--out", str(tmp_path / "bad"), *small, "optimization.schedules.lr.kind=steps") == 2
    assert "must be one of constant, increasing, cosine, cyclic, adaptive" in capsys.readouterr().err
