"""Common mistakes in Python: one line that names the argument, the value, and what was probably meant."""

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import jaxtyping
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

import grokinterp as gi
from grokinterp.analysis import ENTRIES, Entry, performance
from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment, Split
from grokinterp.interventions import ablate_frequencies
from grokinterp.runs.trajectory import Trajectory
from grokinterp.tasks import ModularAddition
from tests.support.small_runs import draw_checkpoints


@pytest.fixture(autouse=True)
def as_installed() -> Iterator[None]:
    """Without the checks of annotations that the tests add to every function."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Trajectory:
    return draw_checkpoints(tmp_path_factory.mktemp("mistakes") / "run")


class Norm(NamedTuple):
    norm: Float[Tensor, "class"]


def number(checkpoint):
    return 3.0


def wrong_size(checkpoint):
    return Norm(torch.ones(7, 7))


def nothing():
    return None


SPECIFICATIONS = {
    "a kind as text": (lambda: Experiment(task="modular_addition"), "task=modular_addition: must be a Task; did you "
                       "mean ModularAddition()?"),
    "a class": (lambda: Experiment(task=ModularAddition), "must be a Task; did you mean ModularAddition()?"),
    "a table": (lambda: Experiment(optimization={"lr": 1.0}), "; did you mean Optimization(lr=...)?"),
    "a number as text": (lambda: Experiment(steps="100"), "steps=100: must be an integer or None"),
    "no names": (lambda: ModularAddition(113), "ModularAddition=113: must be given by name, as in ModularAddition(p="),
    "a percentage": (lambda: Split(fraction=60), "fraction=60: must lie strictly between 0 and 1"),
    "a misspelled name": (lambda: Experiment(optimisation=1), "; did you mean optimization?"),
}  # fmt: skip

CALLS = {
    "a number from an analysis": (
        lambda run: gi.evaluate(number, run),
        "number=float is not a NamedTuple: must return",
    ),
    "a wrong size": (
        lambda run: gi.evaluate(wrong_size, run),
        "wrong_size.norm=(7, 7): must have the axes",
    ),
    "a number from an entry": (
        lambda run: gi.analyze(run, entries=(*ENTRIES, Entry(number)), only=["number"]),
        "number=float is not a NamedTuple",
    ),
    "a function among the entries": (lambda run: gi.analyze(run, entries=(*ENTRIES, number)), "must be an Entry"),
    "no checkpoint": (lambda run: gi.evaluate(nothing, run), "analyses=nothing: must take a checkpoint"),
    "the name of an analysis": (
        lambda run: gi.evaluate("performance", run),
        "analyses=performance: must be a function",
    ),
    "no analyses": (lambda run: gi.evaluate([], run), "analyses=none: must be a function"),
    "one step": (lambda run: gi.evaluate(performance, run, steps=10), "steps=10: must be a list of saved steps"),
    "a step that was not saved": (lambda run: gi.evaluate(performance, run, steps=[7]), "steps=7: was not saved; the "),
    "a device": (lambda run: gi.evaluate(performance, run, device="gpu"), "device=gpu: must be cpu or cuda"),
    "a device of analyze": (lambda run: gi.analyze(run, device="gpu"), "device=gpu: must be cpu or cuda"),
    "a misspelled analysis": (lambda run: gi.analyze(run, only="perfomance"), "; did you mean performance?"),
    "a run in place of its path": (lambda run: gi.write_report(run), "must be a path, as its .path"),
    "one frequency": (
        lambda run: ablate_frequencies(run[run.steps[0]], 3),
        "frequencies=3: must be a list of integers",
    ),
}


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_a_mistake_in_a_specification_names_what_was_meant(name):
    call, line = SPECIFICATIONS[name]
    with pytest.raises(ConfigError) as error:
        call()
    assert line in str(error.value)


@pytest.mark.parametrize("name", CALLS)
def test_a_mistake_in_a_call_names_the_argument(name, run):
    call, line = CALLS[name]
    with pytest.raises(ConfigError) as error:
        call(run)
    assert line in str(error.value)
    assert str(error.value).isprintable()


def test_an_analysis_that_is_called_on_a_run_says_what_it_needs(run):
    with pytest.raises(AttributeError, match=r"no attribute 'readout': it belongs to a checkpoint of the run, as run"):
        performance(run)
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        run.nothing  # noqa: B018


def test_an_attribute_error_inside_a_property_is_the_one_that_is_raised(run, monkeypatch):
    monkeypatch.setattr(gi.Trajectory, "broken", property(lambda self: self.path.nowhere), raising=False)
    with pytest.raises(AttributeError, match=r"^'PosixPath' object has no attribute 'nowhere'$"):
        run.broken  # noqa: B018
    monkeypatch.setattr(gi.Trajectory, "late", cached_property(lambda self: None.digits), raising=False)
    gi.Trajectory.late.__set_name__(gi.Trajectory, "late")
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'digits'"):
        run.late  # noqa: B018


def test_an_unknown_result_lists_those_that_exist(run):
    results = gi.analyze(run, only=["weight_norms"])
    with pytest.raises(KeyError, match=r"no 'weight_norm'; there are weight_norms; did you mean weight_norms\?"):
        results.analyses["weight_norm"]


def test_python_itself_suggests_public_names():
    with pytest.raises(AttributeError) as error:
        gi.Trajectry  # noqa: B018
    assert (error.value.name, error.value.obj) == ("Trajectry", gi)
