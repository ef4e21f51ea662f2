"""An analysis with unusable names, axes or results is refused by name; contradicting results do not spoil the run."""

from collections import namedtuple
from typing import NamedTuple

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.analysis import ENTRIES, Entry, analyze
from grokinterp.analysis.engine import evaluate as engine
from grokinterp.diagnostics import diagnose
from grokinterp.errors import ConfigError
from grokinterp.runs.results import Results
from tests.support.small_runs import draw_checkpoints

AXES: dict[str, object] = {}
"""The axes of the analyses of this module."""


@pytest.fixture
def run(tmp_path):
    return draw_checkpoints(tmp_path / "run")


@pytest.fixture
def axes(monkeypatch):
    """Return a function that declares the axes of the analyses of this module."""
    return lambda **values: [monkeypatch.setitem(AXES, name, value) for name, value in values.items()]


class Halves(NamedTuple):
    """Two numbers."""

    half: Float[Tensor, "frequency"]


class Steps(NamedTuple):
    """Two numbers over an axis whose name is taken."""

    half: Float[Tensor, "step"]


class Bare(NamedTuple):
    """Two numbers without axes."""

    half: Tensor


class Scalar(NamedTuple):
    """Two numbers that are annotated as one."""

    half: Float[Tensor, ""]


HALVES = torch.tensor([0.5, 0.5])


def halves(checkpoint):
    return Halves(HALVES)


def over_step(checkpoint):
    return Steps(HALVES)


def bare(checkpoint):
    return Bare(HALVES)


def scalar(checkpoint):
    return Scalar(HALVES)


def tensor(checkpoint):
    return HALVES


def without_annotation(checkpoint):
    return namedtuple("Plain", "half")(HALVES)


def of_number(checkpoint):
    return Scalar(0.5)  # ty: ignore[invalid-argument-type]


@pytest.mark.parametrize("analysis", [over_step, bare, scalar, tensor, without_annotation, of_number])
def test_a_result_without_labels_is_refused_by_name(analysis, run):
    with pytest.raises(ConfigError, match=f"^{analysis.__name__}"):
        analyze(run, entries=[Entry(analysis)])
    with pytest.raises(ConfigError, match=f"^{analysis.__name__}"):
        engine.evaluate(analysis, run)
    assert not list(run.path.glob("analysis/*.nc"))


@pytest.mark.parametrize(
    ("declared", "match"),
    [
        ({"frequency": ["a", "b", "c"]}, "halves.frequency=2: must be 3"),
        ({"step": [0, 1]}, "halves.step=.*: must not be declared"),
        ({"split": ("one", "two")}, "halves.split=.*: must have another name"),
    ],
)
def test_axes_that_cannot_be_are_refused(declared, match, run, axes):
    axes(**declared)
    with pytest.raises(ConfigError, match=match):
        analyze(run, entries=[Entry(halves)])
    assert not list(run.path.glob("analysis/*.nc"))


def test_a_shared_axis_may_be_declared_with_its_own_values(run, axes):
    axes(split=["train", "test", "all"], frequency=["a", "b"])
    assert "halves" in analyze(run, entries=[Entry(halves)]).analyses


def test_contradicting_results_are_left_out_and_named(run, axes):
    axes(frequency=["a", "b"])
    analyze(run, only=["performance", "embedding_spectrum"])
    results = analyze(run, entries=[Entry(halves)])
    with pytest.warns(UserWarning, match="left out of the joined results, which they contradict: halves"):
        assert "half" not in results.dataset
    assert "train_loss" in results.dataset
    assert "half" in results.analyses["halves"]
    with pytest.warns(UserWarning, match="halves"):
        diagnose(Results.open(run.path))
    assert results.history.verdict


@pytest.mark.parametrize("name", ["../../evil", "", "<b>x", "a b", "Upper", "a" * 65])
def test_a_name_that_cannot_name_a_file_is_refused(name):
    def analysis(checkpoint): ...

    analysis.__name__ = name
    with pytest.raises(ConfigError, match="must be a function whose name"):
        Entry(analysis)


def test_entries_are_compared_by_content():
    assert set(ENTRIES) <= {*(Entry(**vars(entry)) for entry in ENTRIES), Entry(halves)}
