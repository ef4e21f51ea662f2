"""Wrong types, in every field of every specification and in the main arguments of the public functions: ConfigError."""

import math
from collections.abc import Callable, Iterator
from dataclasses import fields

import jaxtyping
import numpy as np
import pytest
import torch

import grokinterp as gi
from grokinterp.errors import ConfigError, GrokinterpError
from grokinterp.experiment import Experiment, Optimization, SaveAt, Schedules, Split
from grokinterp.models import MODELS
from grokinterp.optim import (
    BATCH_SCHEDULES,
    FILTERS,
    LR_SCHEDULES,
    WEIGHT_DECAY_SCHEDULES,
    Curriculum,
    OrthoGrad,
    filtered,
)
from grokinterp.tasks import TASKS, ModularAddition, Task


@pytest.fixture(autouse=True)
def as_installed() -> Iterator[None]:
    """Without the checks of annotations that the tests add to every function."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


class Odd:
    """An object that cannot be printed."""

    def __repr__(self) -> str:
        raise RuntimeError


WRONG = [
    None, True, -1, 0, 1.5, 10**400, 10**5000, math.nan, math.inf, "", "a", b"a", (), ("a",), (1, 2, 3), [], ["a"], {},
    {"kind": "a"}, {1: 2}, object(), Odd(), int, np.int64(3), np.zeros(2), torch.ones(2), ModularAddition(p=5),
]  # fmt: skip

SPECIFICATIONS = {
    cls
    for table in (TASKS, MODELS, FILTERS, LR_SCHEDULES, WEIGHT_DECAY_SCHEDULES, BATCH_SCHEDULES)
    for cls in table.values()
} | {Experiment, Optimization, SaveAt, Schedules, Split, Curriculum}


def line_of(call: Callable[[], object]) -> str:
    """The error of a call, or "": a ConfigError, or the lack of another argument."""
    try:
        call()
    except ConfigError as error:
        return str(error)
    except TypeError as error:
        return str(error) if "required keyword-only argument" in str(error) else f"\n{error}"
    return ""


@pytest.mark.parametrize("cls", sorted(SPECIFICATIONS, key=lambda cls: cls.__name__))
def test_a_value_of_a_wrong_type_is_refused_by_name(cls):
    for field in fields(cls):
        for value in WRONG:
            line = line_of(lambda values={field.name: value}: cls(**values))
            assert line.isprintable(), line
            assert len(line) < 1000
    with pytest.raises(ConfigError, match=r"^nothing=1: unknown key; "):
        cls(nothing=1)


class Own(Task):
    """A task that users define, which is no dataclass."""

    kind = "own"
    n_examples, d_vocab, n_classes, n_ctx = 10, 5, 5, 2

    def __init__(self, labels: torch.Tensor) -> None:
        self._labels = labels

    def tokens(self):
        return torch.zeros(10, 2, dtype=torch.long)

    def labels(self):
        return self._labels


def test_tasks_of_users_are_tasks():
    assert Experiment(task=Own(torch.zeros(10, dtype=torch.long))).task.n_examples == 10


LINEAR = torch.nn.Linear(1, 1)
SGD = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))])

FUNCTIONS = {
    "train": lambda wrong: gi.train(wrong, "run"),
    "train, directory": lambda wrong: gi.train(Experiment(), [wrong]),
    "train, device": lambda wrong: gi.train(Experiment(), "run", device=[wrong]),
    "analyze": lambda wrong: gi.analyze([wrong]),
    "evaluate": lambda wrong: gi.evaluate([], wrong),
    "diagnose": lambda wrong: gi.diagnose([wrong]),
    "write_report": lambda wrong: gi.write_report([wrong]),
    "import_run": lambda wrong: gi.import_run([wrong], "x"),
    "import_run, path": lambda wrong: gi.import_run("nanda", [wrong]),
    "import_run, spec": lambda wrong: gi.import_run("series", "x", spec=[wrong]),
    "Trajectory": lambda wrong: gi.Trajectory.open([wrong]),
    "Results": lambda wrong: gi.Results.open([wrong]),
    "latest_run": lambda wrong: gi.latest_run([wrong]),
    "preset": lambda wrong: gi.preset([wrong]),
    "find_phases": lambda wrong: gi.find_phases(wrong),
    "Curves": lambda wrong: gi.Curves(steps=[[wrong]]),
    "Curves, column": lambda wrong: gi.Curves(steps=[0, 1], train_loss=[object(), wrong]),
    "Curves, n_test": lambda wrong: gi.Curves(steps=[0, 1], n_test=[wrong]),
    "filtered": lambda wrong: filtered(wrong, OrthoGrad()),
    "filtered, filter": lambda wrong: filtered(SGD, wrong),
    "from_file": lambda wrong: Experiment.from_file([wrong]),
    "from_dict": lambda wrong: Experiment.from_dict([wrong]),
    "from_dict, key": lambda wrong: Experiment.from_dict({"task": {(1, 2): wrong}}),
    "override": lambda wrong: Experiment().override([[wrong]]),
    "differences": lambda wrong: Experiment().differences([wrong]),
    "Recorder": lambda wrong: gi.Recorder([wrong], torch.nn.Linear(1, 1), train=None, test=None),
    "Recorder, model": lambda wrong: gi.Recorder("run", wrong, train=None, test=None),
    "GrokkingAwareTrainer": lambda wrong: gi.GrokkingAwareTrainer(wrong),
    "GrokkingAwareTrainer, lambda_boost": lambda wrong: gi.GrokkingAwareTrainer(
        torch.nn.Linear(1, 1), lambda_boost=[wrong]
    ),
}
"""Calls with an argument that no value of another type can be."""


@pytest.mark.parametrize("function", FUNCTIONS)
def test_public_functions_refuse_wrong_types_by_name(function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for wrong in WRONG:
        with pytest.raises(GrokinterpError) as error:
            FUNCTIONS[function](wrong)
        assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
