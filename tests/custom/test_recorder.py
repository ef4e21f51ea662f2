"""The recorder: training does not notice it, and its numbers are those of plain PyTorch."""

import json
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from grokinterp.custom.recorder import ReadAt, Recorder
from grokinterp.errors import ConfigError, RunDirectoryError, require_choice
from grokinterp.experiment import Experiment
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory
from grokinterp.training import train
from tests.support.foreign_networks import FOREIGN, TEST, TRAIN, call, pictures, trained
from tests.support.small_runs import without_digests

EXAMPLES = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 0, 1, 0, 1])


def recorder(path, module: nn.Module | None = None, **options) -> Recorder:
    """A recorder of a small module on six examples."""
    x, y = EXAMPLES
    arguments = {"train": (x[:4], y[:4]), "test": (x[4:], y[4:])} | options
    return Recorder(path, nn.Linear(3, 2) if module is None else module, **arguments)


@pytest.mark.parametrize("name", [*FOREIGN])
def test_training_does_not_notice(name, tmp_path):
    alone, _ = trained(FOREIGN[name](), None)
    after = torch.rand(3)
    watched, _ = trained(FOREIGN[name](), tmp_path / "run", every=1)
    assert torch.equal(torch.rand(3), after)
    assert all(part.training for part in watched.modules())
    for key, value in alone.state_dict().items():
        assert torch.equal(value, watched.state_dict()[key]), key


def test_modes_and_gradients_stay(tmp_path):
    foreign = pictures()
    module = foreign.make().train()
    module.stem[1].eval()  # a normalization that is held
    before = {part: part.training for part in module.modules()}
    with Recorder(tmp_path, module, train=foreign.some(TRAIN), test=foreign.some(TEST)) as watching:
        functional.cross_entropy(module(foreign.inputs), foreign.labels).backward()
        kept = {name: weight.grad.clone() for name, weight in module.named_parameters()}
        with torch.no_grad():  # as some evaluate
            watching.record(0)
    assert {part: part.training for part in module.modules()} == before
    assert all(torch.equal(weight.grad, kept[name]) for name, weight in module.named_parameters())


@pytest.mark.parametrize("name", [*FOREIGN])
def test_metrics_are_those_of_plain_pytorch(name, tmp_path):
    foreign = FOREIGN[name]()
    module, _ = trained(foreign, tmp_path / "run")
    row = Results.open(tmp_path / "run").metrics.sel(step=6)
    module.eval()
    for part, chosen in (("train", TRAIN), ("test", TEST)):
        inputs, labels = foreign.some(chosen)
        logits = call(module, inputs)
        loss = functional.cross_entropy(logits.detach().double(), labels)
        assert float(row[f"{part}_loss"]) == pytest.approx(float(loss), rel=1e-5)
        assert float(row[f"{part}_accuracy"]) == float((logits.argmax(1) == labels).double().mean())
    inputs, labels = foreign.some(TRAIN)
    weights = list(module.parameters())
    gradients = torch.autograd.grad(functional.cross_entropy(call(module, inputs), labels), weights)
    norm = sum(float(gradient.double().square().sum()) for gradient in gradients) ** 0.5
    assert float(row["gradient_norm"]) == pytest.approx(norm, rel=1e-4)
    assert float(row["weight_norm"]) == pytest.approx(sum(float(w.detach().square().sum()) for w in weights), rel=1e-5)
    assert float(row["learning_rate"]) == 1e-2
    assert float(row["weight_decay"]) == 0.1
    assert list(row["parameter"].values) == [name for name, _ in module.named_parameters()]


def test_checkpoints_hold_the_weights_and_the_last_update(tmp_path):
    states = []
    foreign = pictures()
    torch.manual_seed(0)
    module = foreign.make()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    watching = Recorder(tmp_path, module, train=foreign.some(TRAIN), test=foreign.some(TEST), optimizer=optimizer)
    for step in range(5):
        states.append({name: value.clone() for name, value in module.state_dict().items()})
        if step % 2 == 0:
            watching.record(step)
        optimizer.zero_grad()
        functional.cross_entropy(module(foreign.inputs), foreign.labels).backward()
        optimizer.step()
    watching.finish()
    assert not optimizer._optimizer_step_pre_hooks
    run = Trajectory.open(tmp_path)
    assert run.steps == (0, 2, 4)
    assert run.weights(0).update is None
    for step in (2, 4):
        saved = run.weights(step)
        assert all(torch.equal(saved.state[name], value) for name, value in states[step].items())
        for name, update in saved.update.items():
            assert torch.equal(update, states[step][name] - states[step - 1][name])


def test_metrics_alone_and_columns_of_ones_own(tmp_path):
    with recorder(tmp_path) as watching:
        assert watching.record(0, save=False)
        assert watching.record(1, gap=0.5)
        assert watching.last_step == 1
    run = Trajectory.open(tmp_path)
    assert run.steps == (1,)
    assert run.metrics["gap"].values == pytest.approx([np.nan, 0.5], nan_ok=True)
    assert run.directory.status == {"status": "finished", "step": 1}


def test_logits_may_be_found_by_a_function(tmp_path):
    x, y = EXAMPLES
    module = nn.Linear(3, 1)

    def both(output):
        return torch.cat([-output, output], 1)

    with recorder(tmp_path, module, logits=both) as watching:
        watching.record(0)
    run = Trajectory.open(tmp_path, module, logits=both)
    expected = functional.cross_entropy(both(module(x[:4])).double(), y[:4])
    assert float(run.metrics["train_loss"][0]) == pytest.approx(float(expected.detach()), rel=1e-6)
    expected = both(module.double()(x.double()))
    torch.testing.assert_close(run[0].logits, expected.detach())
    with pytest.raises(ConfigError, match=r"logits=None: must be the function passed to the recorder"):
        Trajectory.open(tmp_path, module)


def test_what_wraps_a_module_is_taken_off(tmp_path):
    with recorder(tmp_path, nn.DataParallel(nn.Linear(3, 2))) as watching:
        watching.record(0)

    assert set(Trajectory.open(tmp_path).weights(0).state) == {"weight", "bias"}


def test_frozen_weights_are_state_and_not_trained(tmp_path):
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    module[0].requires_grad_(False)
    with recorder(tmp_path, module) as watching:
        watching.record(0)
    run = Trajectory.open(tmp_path, module)
    assert list(run[0].parameters) == ["1.weight", "1.bias"] == list(run[0].gradients)
    assert set(run.weights(0).state) == set(module.state_dict())


def test_masks_of_minus_infinity_are_no_damage(tmp_path):
    module = nn.Linear(3, 2)
    module.register_buffer("mask", torch.tensor([-torch.inf, 0.0]))
    with recorder(tmp_path, module) as watching:
        assert watching.record(0)
    assert Trajectory.open(tmp_path).weights(0).state["mask"][0] == -torch.inf


# --- refusals, and ends of runs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"train": EXAMPLES[0]}, "train=Tensor: must be a pair"),
        ({"train": (EXAMPLES[0], [0] * 6)}, "train=labels: must be a tensor of integers"),
        ({"train": (EXAMPLES[0], EXAMPLES[1][:3])}, "train=3 labels: must be as many as the 6 inputs"),
        ({"train": (EXAMPLES[0], EXAMPLES[1] + 2)}, "labels=2: must be classes from 0 to 1"),
        ({"train": ([], EXAMPLES[1])}, "train=inputs: must all have the same number"),
        ({"train": ({"a b": EXAMPLES[0]}, EXAMPLES[1])}, "train=a b: the keywords of the inputs must be names"),
        ({"test": (EXAMPLES[0].double(), EXAMPLES[1])}, "test=inputs: must have the shapes and dtypes"),
        ({"train": (torch.zeros(9000, 3), torch.zeros(9000).long())}, "examples=9002: must be from 2 to 8,192"),
        ({"module": nn.LazyLinear(2)}, "has no shape yet"),
        ({"module": nn.Sequential(nn.Linear(3, 2), nn.Unflatten(1, (2, 1, 1)))}, r"model=output \[1, 2, 1, 1\]"),
        ({"module": nn.Linear(3, 1)}, "classes=1: must be at least 2"),
        ({"module": nn.Linear(3, 2).requires_grad_(False)}, "must include at least one trained parameter"),
        ({"name": "../up"}, "name=../up: must be 1-64 letters"),
        ({"data": "two\nlines"}, "data=two"),
    ],
)  # fmt: skip
def test_what_cannot_be_recorded_is_one_line_and_no_directory(options, line, tmp_path):
    with pytest.raises(ConfigError, match=line) as caught:
        recorder(tmp_path / "run", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_choices_are_listed():
    with pytest.raises(ConfigError, match="read_at=middle: must be one of last, first, mean"):
        require_choice("read_at", "middle", get_args(ReadAt))


@pytest.mark.parametrize("name", ["update/w", "a$b$", "two\nlines", "average/w"])
def test_hostile_names_are_refused(name, tmp_path):
    module = nn.Linear(3, 2)
    module.register_parameter(name, nn.Parameter(torch.zeros(1)))
    with pytest.raises(ConfigError, match=r"name=.*: must have 1-200 printable characters"):
        recorder(tmp_path / "run", module)


def test_what_is_not_finite_is_not_written(tmp_path):
    module = nn.Linear(3, 2)
    watching = recorder(tmp_path, module)
    assert watching.record(0)
    with torch.no_grad():
        module.bias[0] = torch.nan
    assert not watching.record(1)
    watching.finish()
    run = Trajectory.open(tmp_path)
    assert run.steps == (0,)
    assert run.directory.status["status"] == "diverged"
    assert run.metrics["step"].values.tolist() == [0]


def test_steps_go_up_and_names_stay_free(tmp_path):
    watching = recorder(tmp_path)
    watching.record(3)
    for step in (3, 0):
        with pytest.raises(ConfigError, match=r"record steps after recorder.last_step=3"):
            watching.record(step)
    for step in (-1, True):
        with pytest.raises(ConfigError, match="must be a count of optimizer steps"):
            watching.record(step)
    with pytest.raises(ConfigError, match=r"train_loss=1.0: must be a number with a name that no other column has"):
        watching.record(4, train_loss=1.0)
    watching.finish()
    with pytest.raises(RunDirectoryError, match="is finished"):
        watching.record(5)


def test_an_exception_interrupts_and_resume_continues(tmp_path):
    module = nn.Linear(3, 2)
    watching = recorder(tmp_path, module)
    watching.record(0)
    with pytest.raises(ZeroDivisionError), watching:
        raise ZeroDivisionError
    assert Trajectory.open(tmp_path).directory.status["status"] == "interrupted"
    with pytest.raises(RunDirectoryError, match="contains a run: continue it with resume=True"):
        recorder(tmp_path, module)
    with open(tmp_path / "metrics.jsonl", "ab") as log:
        log.write(b'{"step": 5, "train')  # a killed process
    with pytest.warns(UserWarning, match="only partly written"):
        again = recorder(tmp_path, module, resume=True)
    assert again.last_step == 0
    again.record(5)
    again.finish()
    run = Trajectory.open(tmp_path)
    assert run.steps == (0, 5)
    assert run.metrics["step"].values.tolist() == [0, 5]


def test_only_the_same_recording_is_continued(tmp_path):
    recorder(tmp_path).finish()
    x, y = EXAMPLES
    with pytest.raises(RunDirectoryError, match="a different module"):
        recorder(tmp_path, nn.Sequential(nn.Linear(3, 2)), resume=True)
    with pytest.raises(RunDirectoryError, match="different set of examples"):
        recorder(tmp_path, train=(x[:4] + 1, y[:4]), resume=True)
    with pytest.raises(RunDirectoryError, match="a different loss"):
        recorder(tmp_path, loss="mse", resume=True)
    with pytest.raises(RunDirectoryError, match="does not exist"):
        recorder(tmp_path / "none", resume=True)
    recorder(tmp_path, resume=True, data="other words").finish()


def test_a_recording_of_an_older_version_is_continued(tmp_path):
    """Older runs have no ``reads``, only the last submodule before the logits, and 10^8 steps for an unknown length."""
    module = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2))
    watching = recorder(tmp_path, module)
    watching.record(0)
    watching.finish()
    file = tmp_path / "experiment.json"
    saved = json.loads(file.read_text())
    assert saved["model"]["reads"] == ["1"]
    assert saved["steps"] is None
    saved["steps"] = 10**8
    kept = ("kind", "class_name", "parameters", "buffers", "hooks", "features", "read_at", "own_logits")
    saved["model"] = {key: saved["model"][key] for key in kept} | {"penultimate": "0"}
    file.write_text(json.dumps(saved))
    without_digests(tmp_path)
    with recorder(tmp_path, module, resume=True) as again:
        again.record(5)
    run = Trajectory.open(tmp_path, module)
    assert run.steps == (0, 5)
    assert run.experiment.steps is None
    torch.testing.assert_close(run[5].representation, run[5].features("0")[0])


def test_another_last_layer_is_another_recording(tmp_path):
    module = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2))
    recorder(tmp_path, module).finish()
    with pytest.raises(RunDirectoryError, match="a different last linear layer"):
        recorder(tmp_path, module, resume=True, reads="0")


def test_one_recorder_at_a_time(tmp_path):
    first = recorder(tmp_path)
    with pytest.raises(RunDirectoryError, match="in use by process"):
        recorder(tmp_path, resume=True)
    first.finish()


def test_our_loop_refuses_it(tmp_path):
    recorder(tmp_path / "run").finish()
    run = Trajectory.open(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"model.kind=recorded: was trained by an external loop"):
        train(run.experiment, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    assert Experiment.from_dict(json.loads(json.dumps(run.experiment.to_dict()))) == run.experiment
    with pytest.raises(ConfigError, match="recorded"):
        Experiment().override(["task.kind=recorded"])


def test_equal_inputs_are_known_to_give_each_other_away(tmp_path):
    x, y = EXAMPLES
    recorder(tmp_path, test=(torch.cat([x[:1], x[4:]]), y[[0, 4, 5]])).finish()
    assert Trajectory.open(tmp_path).experiment.task.mirror().tolist() == [0, 1, 2, 3, 0, 5, 6]
