"""A league of any module: a regression by several methods, its files, its page, and its refusals."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import AdamW
from torch.utils.data import DataLoader, TensorDataset

from grokinterp.custom import train_until_grokking
from grokinterp.errors import ConfigError, RunDirectoryError
from grokinterp.experiment import Experiment
from grokinterp.league import METHODS, as_text, run_module_league, write_page
from grokinterp.league.methods import configured
from grokinterp.league.module_methods import SETTINGS, require_any_module
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory
from tests.support.read_only import states
from tests.support.report_page import Page
from tests.support.small_league import SMALL

X = torch.randn(36, 4, generator=torch.Generator().manual_seed(0))
Y = X[:, :1] * X[:, 1:2]
TRAIN, TEST = TensorDataset(X[:24], Y[:24]), [(X[24:], Y[24:])]
BASE = {"loss": nn.MSELoss(), "tolerance": 0.5, "max_steps": 20, "eval_interval": 2, "learning_rate": 0.02}


def student(seed: int) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1))


def loader() -> DataLoader:
    """Shuffles with a generator of its own."""
    return DataLoader(TRAIN, batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(7))


def league(directory: Path, methods=("adamw", "average"), seeds: int = 2, **changes) -> dict:
    given = {"build": student, "train_loader": loader(), "eval_loader": TEST} | BASE | changes
    return run_module_league(**given, methods=methods, seeds=seeds, directory=directory)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    top = tmp_path_factory.mktemp("modules") / "league"
    league(top, ["adamw", "average", "small_init"], data="outputs of a teacher")
    return top


def found_in(top: Path) -> dict:
    return json.loads((top / "league.json").read_text())


def test_every_method_has_every_seed_and_the_refused_one_its_reason(trained):
    found = found_in(trained)
    assert [(run["method"], run["seed"], run["status"], run["step"]) for run in found["runs"]] == [
        (name, seed, "finished", 20) for name in ("adamw", "average") for seed in (0, 1)
    ]
    assert list(found["refused"]) == ["small_init"]
    assert found["refused"]["small_init"].startswith("optimization.init_scale=0.5: can be changed only in")
    assert found["failed"] == []
    assert all(run["seconds"] > 0 and run["gradient_weight_cosine"] is not None for run in found["runs"])
    assert "refused  small_init: optimization.init_scale=0.5" in as_text(found)


def test_a_run_equals_that_of_train_until_grokking(trained, tmp_path):
    batches = loader()
    batches.generator.manual_seed(1)
    torch.manual_seed(1)
    model = student(1)
    optimizer = AdamW(model.parameters(), lr=0.02, weight_decay=0.01)
    result = train_until_grokking(
        model, batches, TEST, 20, 2, grokking_patience=None, optimizer=optimizer, use_ema=False, loss=nn.MSELoss(),
        tolerance=0.5, report=None,
    )  # fmt: skip
    metrics = Results.open(trained / "adamw" / "seed-1").metrics
    for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
        assert metrics[name].values == pytest.approx([row[name] for row in result.history], rel=1e-5)
    weights = Trajectory.open(trained / "adamw" / "seed-1").weights(20).state
    assert all(weights[name].equal(value) for name, value in model.state_dict().items())


def test_the_runs_of_a_seed_share_weights_and_examples_and_the_average_is_measured(trained):
    for seed in (0, 1):
        adamw, average = (Trajectory.open(trained / name / f"seed-{seed}") for name in ("adamw", "average"))
        assert all(w.equal(average.weights(0).state[name]) for name, w in adamw.weights(0).state.items())
        assert adamw.experiment.task == average.experiment.task
        assert (average.experiment.name, average.experiment.seed) == ("average", seed)
        rows = Results.open(average.path).metrics
        assert "average_test_accuracy" not in Results.open(adamw.path).metrics
        (run,) = [one for one in found_in(trained)["runs"] if (one["method"], one["seed"]) == ("average", seed)]
        assert run["final_test_loss"] == pytest.approx(float(rows["average_test_loss"][-1]))
        assert run["final_test_loss"] != pytest.approx(float(rows["test_loss"][-1]))


def test_a_second_call_trains_nothing_and_leaves_random_numbers_as_they_were(trained):
    before, state = states(trained), torch.get_rng_state()
    batches = loader()
    left = batches.generator.get_state()
    again = league(trained, ["adamw", "average", "small_init"], train_loader=batches, data="outputs of a teacher")
    assert again == found_in(trained)
    assert {path: one for path, one in states(trained).items() if "seed-" in str(path)} == {
        path: one for path, one in before.items() if "seed-" in str(path)
    }
    assert torch.get_rng_state().equal(state)
    assert batches.generator.get_state().equal(left)


def test_another_budget_is_refused(trained):
    with pytest.raises(RunDirectoryError, match="contains a league of another experiment: steps=20 there, 22 here"):
        league(trained, data="outputs of a teacher", max_steps=22)


def test_the_page_describes_the_module_and_has_the_table(trained, tmp_path):
    text = Page(write_page(trained, tmp_path / "page.html").read_text(encoding="utf-8")).text
    for words in (
        "module Sequential: 49 weights", "outputs of a teacher: 24 training and 12 test examples with 1 numbers",
        "one after the other in one process", "optimization.average", "small_init",
    ):  # fmt: skip
        assert words in text
    assert "trained_on" not in text


def test_the_other_runs_go_on_where_one_fails_and_an_interrupted_one_begins_anew(tmp_path):
    failing = {1}

    class Breaks(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training and self.seed in failing:
                raise RuntimeError("out of order")
            return super().forward(x)

    def build(seed: int) -> nn.Module:
        module = Breaks(4, 1)
        module.seed = seed
        return module

    found = league(tmp_path / "league", ["adamw"], build=build)
    assert [(one["seed"], one["why"]) for one in found["failed"]] == [(1, "RuntimeError: out of order")]
    assert [(run["seed"], run["status"]) for run in found["runs"]] == [(0, "finished"), (1, "interrupted")]
    assert "failed   adamw seed 1: RuntimeError: out of order" in as_text(found)
    failing.clear()
    found = league(tmp_path / "league", ["adamw"], build=build)
    assert found["failed"] == []
    assert [run["status"] for run in found["runs"]] == ["finished", "finished"]


def test_a_directory_with_something_else_is_kept_and_named(tmp_path):
    taken = tmp_path / "league" / "adamw" / "seed-0"
    taken.mkdir(parents=True)
    (taken / "notes.txt").write_text("mine")
    found = league(tmp_path / "league", ["adamw"], seeds=1)
    assert "is not empty" in found["failed"][0]["why"]
    assert [path.name for path in taken.iterdir()] == ["notes.txt"]


def test_classes_may_have_another_form_of_the_loss(tmp_path):
    labels = (Y[:, 0] > 0).long()
    classes = {"train_loader": [(X[:24], labels[:24])], "eval_loader": [(X[24:], labels[24:])], "tolerance": None}
    top = tmp_path / "league"
    found = league(top, ["stablemax"], 1, build=lambda seed: nn.Linear(4, 2), loss=nn.CrossEntropyLoss(), **classes)
    assert (found["refused"], found["failed"]) == ({}, [])
    assert RunDirectory.open(top / "stablemax" / "seed-0").experiment["optimization"]["loss"] == "stablemax"


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_changes_decides_whether_it_applies(name):
    try:
        made = configured(name, SMALL)
    except ConfigError:
        return
    parts = {key.removeprefix("optimization.").partition(".")[0] for key in SMALL_BASE.differences(made)}
    if parts <= set(SETTINGS):
        require_any_module(made, SMALL_BASE)
    else:
        with pytest.raises(ConfigError, match="can be changed only in the training of an Experiment"):
            require_any_module(made, SMALL_BASE)


SMALL_BASE: Experiment = configured("adamw", SMALL)

ALIKE = student(0)
WRONG = {
    "methods=nothing: must be": {"methods": ["nothing"]},
    "methods=adamw: must be a list": {"methods": "adamw"},
    "no method applies to this experiment: optimization.init_scale": {"methods": ["small_init"]},
    "seeds=0: must be": {"seeds": 0},
    "max_steps=10: gives 6 evaluations; at least 10 are required: lower eval_interval": {"max_steps": 10},
    "learning_rate=-1": {"learning_rate": -1},
    "weight_decay=60.0: times learning_rate=0.02 must be below 1": {"weight_decay": 60},
    "tolerance=None: must be": {"tolerance": None},
    "loss=L1Loss: cannot be recorded": {"loss": nn.L1Loss()},
    "build=3: must be a function": {"build": 3},
    "build=.*: must return a torch.nn.Module, not int": {"build": lambda seed: 3},
    "build=.*: failed with seed 0: ZeroDivisionError": {"build": lambda seed: 1 // 0},
    "build=.*: must return a new module at every call": {"build": lambda seed: ALIKE},
    "build=.*: must return the same initial weights": {"build": lambda seed: drawn_elsewhere()},
    "train_loader=.*can be iterated only once": {"train_loader": iter(TEST)},
    "device=tpu": {"device": "tpu"},
}


def drawn_elsewhere(generator: torch.Generator = torch.Generator()) -> nn.Module:  # noqa: B008
    module = nn.Linear(4, 1)
    nn.init.normal_(module.weight, generator=generator)
    return module


@pytest.mark.parametrize("words", list(WRONG))
def test_wrong_arguments_are_refused_before_any_work(words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        league(tmp_path / "league", **WRONG[words])
    assert not (tmp_path / "league").exists()
