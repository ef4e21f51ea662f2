"""The options of the optimization, each compared with a plain loop; and their exact properties."""

import math

import pytest
import torch

from grokinterp.errors import ConfigError
from grokinterp.experiment import Optimization
from grokinterp.experiment.problem import Problem
from grokinterp.models import Transformer, TransformerSpec
from grokinterp.models.classes import CLASSES
from grokinterp.runs.results import Results
from grokinterp.training import train
from grokinterp.training.step import Step, norm
from tests.support.plain_loop import ALL, assert_trains_plainly, length, plain_losses
from tests.support.small_runs import changed

OPTIONS = {
    "squared error": {"loss": "mse"},
    "small initial weights": {"init_scale": 0.5},
    "large initial weights": {"init_scale": 2.0},
    "constrained norm": {"constrain_norm": True},
    "all of them": {"loss": "mse", "init_scale": 1.5, "constrain_norm": True, "batch_size": 7, "weight_decay": 0.0},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_number_equals_that_of_a_plain_loop(name, tmp_path):
    assert_trains_plainly(changed(optimization=OPTIONS[name], evaluate_every=1), tmp_path / "run")


def test_squared_errors_have_no_unit(tmp_path):
    experiment = changed(optimization={"loss": "mse"}, split={"validation": 0.2}, steps=1)
    run = train(experiment, tmp_path / "run", device="cpu")
    for metrics in (run.metrics, Results.open(run.path).metrics):
        losses = [metrics[f"{part}_loss"].attrs for part in ("train", "validation", "test")]
        assert [(loss["long_name"], loss["units"]) for loss in losses] == [
            ("training loss", "1"),
            ("validation loss", "1"),
            ("test loss", "1"),
        ]
    plain = train(changed(steps=1), tmp_path / "plain", device="cpu").metrics
    assert plain["train_loss"].attrs["units"] == "nats"


def test_the_initial_scale_multiplies_every_weight():
    initial, scaled = (changed(model={"normalization": "LN"}, optimization={"init_scale": a}) for a in (1.0, 3.0))
    scaled = scaled.build_model().state_dict()
    assert all(torch.equal(scaled[name], 3 * value) for name, value in initial.build_model().state_dict().items())


def test_the_norm_stays_and_the_saved_update_is_the_applied_one(tmp_path):
    experiment = changed(optimization={"constrain_norm": True, "weight_decay": 5.0}, save={"every": 1}, steps=12)
    run = train(experiment, tmp_path / "run", device="cpu")
    start = length(run.model(step=0))
    before = run.weights(0).state
    for at in run.steps[1:]:
        now = run.weights(at)
        assert length(run.model(step=at)) == pytest.approx(start, rel=1e-7)
        assert all(torch.equal(change, now.state[name] - before[name]) for name, change in now.update.items())
        before = now.state
    free = train(changed(experiment, optimization={"constrain_norm": False}), tmp_path / "free", device="cpu")
    assert length(free.model()) < 0.8 * start


def test_preparing_a_constrained_step_moves_no_weight():
    experiment = changed(optimization={"constrain_norm": True})
    model = experiment.build_model()
    step = Step(model, Problem.of(experiment), experiment.optimization)
    step.kept_norm = step.kept_norm * 2  # a rescaling would now be seen
    step.prepare()
    initial = experiment.build_model().state_dict()
    assert all(torch.equal(value, initial[name]) for name, value in model.state_dict().items())


def test_an_update_that_is_skipped_is_not_rescaled_either():
    experiment = changed(optimization={"constrain_norm": True})
    step = Step(experiment.build_model(), Problem.of(experiment), experiment.optimization)
    step.prepare()
    step.gradients(0)
    step.kept_norm = step.kept_norm * 2
    step.loss = torch.tensor(math.nan)
    step.apply(0)
    assert all(not change.any() for change in step.last_update())
    assert int(step.applied) == 0


def test_the_norm_by_hand():
    weights = [torch.tensor([[3.0, 0.0]]), torch.tensor(4.0), torch.tensor([12.0])]
    assert float(norm(weights)) == 13


BAD = [
    ({"batch_size": 0}, "batch_size=0: must be positive"),
    ({"init_scale": 0.0}, "init_scale=0.0: must be positive and at most 1000"),
    ({"init_scale": 1001.0}, "init_scale=1001.0: must be positive and at most 1000"),
    ({"init_scale": math.nan}, "init_scale=nan: must be positive and at most 1000"),
]


@pytest.mark.parametrize(("values", "line"), BAD)
def test_a_bad_value_is_one_line(values, line):
    with pytest.raises(ConfigError) as refused:
        Optimization(**values)
    assert str(refused.value) == line


IDLE = [
    (["schedules.weight_decay.kind=increasing"], "schedules.weight_decay.kind=increasing", "weight_decay=0",
     "weight_decay=0.1", "needs a weight_decay above 0 to change"),
    (["curriculum.by=loss"], "curriculum.by=loss", "lr=0.002", "curriculum.start=0.3",
     "needs a curriculum.start below 1"),
    (["curriculum.hardest_first=true"], "curriculum.hardest_first=True", "lr=0.002", "curriculum.start=0.3",
     "needs a curriculum.start below 1"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "line", "idle", "active", "rule"), IDLE)
def test_what_can_do_nothing_is_refused_unless_it_can_in_any_order(values, line, idle, active, rule):
    with pytest.raises(ConfigError) as refused:
        changed().override([f"optimization.{change}" for change in [*values, idle]])
    assert str(refused.value) == f"optimization.{line}: {rule}"
    for changes in ([*values, active], [active, *values]):
        changed().override([f"optimization.{change}" for change in changes])
    changed().override(["optimization.weight_decay=0", "optimization.curriculum.over=7"])


def test_a_batch_has_at_most_the_training_examples():
    assert changed(optimization={"batch_size": 24}).optimization.batch_size == 24
    with pytest.raises(ConfigError) as refused:
        changed(optimization={"batch_size": 25})
    line = "optimization.batch_size=25: must be at most the number of training examples, 24"
    assert str(refused.value) == line


# --- deep supervision ----------------------------------------------------------------------------------------------


SHARES = 0.25, 0.5, 1.0


class Hesitant(Transformer):
    """Answers three times, ever more decidedly, and is trained on all three."""

    def forward(self, tokens):
        logits = super().forward(tokens)[:, -1:]
        return torch.cat([logits * share for share in SHARES], 1)

    def readout_fast(self, inputs):
        readout = super().readout_fast(inputs)
        return readout._replace(supervised=torch.stack([readout.logits * share for share in SHARES]))


@pytest.fixture
def hesitant(monkeypatch):
    monkeypatch.setitem(CLASSES, TransformerSpec, Hesitant)


@pytest.mark.usefixtures("hesitant")
@pytest.mark.parametrize("options", [{"loss": "softplus"}, {"loss": "mse", "batch_size": 7}])
def test_deep_supervision_trains_the_mean_over_its_answers(options, tmp_path):
    experiment = changed(optimization=options, split={"validation": 0.2}, evaluate_every=1)
    assert_trains_plainly(experiment, tmp_path / "run", trained=ALL)


@pytest.mark.usefixtures("hesitant")
@pytest.mark.parametrize("form", ["float32", "mse"])
def test_losses_and_gradients_of_a_checkpoint_are_those_that_are_trained(form, tmp_path):
    experiment = changed(optimization={"loss": form}, split={"label_noise": 0.5}, steps=3)
    run = train(experiment, tmp_path / "run", device="cpu")
    checkpoint, problem = run[3], run.problem
    model = run.model().double()
    losses = plain_losses(model(problem.tokens), problem.trained_label, form)
    torch.testing.assert_close(checkpoint.losses, losses.detach())
    assert float(checkpoint.losses[problem.is_train].mean()) == pytest.approx(run.metrics["train_loss"].values[-1])
    losses[problem.is_train].mean().backward()
    for name, weight in model.named_parameters():
        torch.testing.assert_close(checkpoint.gradients[name], weight.grad)
