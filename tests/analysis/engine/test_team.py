"""Several workers for the checkpoints of a run: in other processes where these know the analysis, otherwise here."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pytest
import torch
from jaxtyping import Int
from torch import Tensor

from grokinterp.analysis import class_similarity, coset_scores, performance
from grokinterp.analysis.engine import loop
from grokinterp.analysis.engine.evaluate import evaluate_each
from grokinterp.analysis.engine.evaluator import Evaluator, Task
from grokinterp.analysis.engine.labeled import Result
from grokinterp.analysis.engine.team import Team
from grokinterp.errors import NotDefined
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.runs.trajectory import Trajectory
from grokinterp.torch_settings import threads
from tests.support.small_runs import TINY, draw_checkpoints

STEPS = tuple(range(0, 70, 10))  # an even number after the first


class Process(NamedTuple):
    """The process in which a checkpoint was analyzed."""

    pid: Int[Tensor, ""]


def process(checkpoint: Checkpoint) -> Process:
    """Return the process."""
    return Process(torch.tensor(os.getpid()))


def dies_elsewhere(checkpoint: Checkpoint, *, home: int) -> Process:
    """Return the process, if it is a given one; otherwise kill it."""
    if os.getpid() != home:
        os.kill(os.getpid(), signal.SIGKILL)
    return process(checkpoint)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Trajectory:
    return draw_checkpoints(tmp_path_factory.mktemp("team") / "run", TINY, steps=STEPS)


@pytest.fixture
def team(run) -> Iterator[Team]:
    with Team(run, {"home": os.getpid()}, "cpu") as team:
        yield team


def task(run: Trajectory, *analyses: Callable[..., Result]) -> Task:
    """Analyses to run at the last step of a run."""
    return [(STEPS[-1], run.weights(STEPS[-1]))], [(analysis, {}) for analysis in analyses]


def evaluator(run: Trajectory) -> Evaluator:
    return Evaluator(run.empty_model().double(), run.problem)


def test_another_process_finds_the_same(run, team):
    given = task(run, performance, class_similarity, process, coset_scores)
    ((*here, _, not_here),) = evaluator(run)(given)[1]
    assert not team
    ((*there, elsewhere, not_there),) = team.results(1, given)
    assert team
    assert elsewhere.pid != os.getpid()
    assert isinstance(not_there, NotDefined)
    assert str(not_there) == str(not_here)
    for mine, theirs in zip(here, there, strict=True):
        assert type(mine) is type(theirs)
        for one, other in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)


def test_an_analysis_that_other_processes_do_not_know_is_left_to_this_one(run, team):
    def own(checkpoint: Checkpoint) -> Process:
        """Return the process."""
        return process(checkpoint)

    assert team.results(1, task(run, own)) is None
    assert not team


def test_the_work_of_a_process_that_was_killed_is_left_to_this_one(run, team):
    with pytest.warns(UserWarning, match="has ended .*: its work continues in this process"):
        assert team.results(1, task(run, dies_elsewhere)) is None
    assert team.results(1, task(run, process)) is None


@pytest.fixture
def places(run, monkeypatch) -> set[int]:
    """The places at which teams are asked; their processes are threads of this one."""
    asked, here = set(), evaluator(run)

    def results(team: Team, place: int, given: Task) -> list[list[Result]]:
        asked.add(place)
        return here(given)[1]

    monkeypatch.setattr(Team, "results", results)
    return asked


MEETING = threading.Barrier(2, timeout=60)


def meets(checkpoint: Checkpoint) -> Process:
    """Return the process, once two workers are here; the first checkpoint is evaluated alone."""
    if checkpoint.step > 0:
        MEETING.wait()
    return process(checkpoint)


def steps_found(run: Trajectory, *analyses: Callable[..., Result], apart: bool = False) -> list[int]:
    with threads(2):
        done = dict(evaluate_each(analyses, run, STEPS, {}, {}, apart=apart))
    assert {len(results) for results in done.values()} == {len(analyses)}
    return list(done)


def test_long_work_is_shared_after_the_first_checkpoint(run, places, monkeypatch):
    assert steps_found(run, process) == list(STEPS)
    assert places == set()  # short work
    monkeypatch.setattr(loop, "WORTH", 0.0)
    assert steps_found(run, meets) == list(STEPS)
    assert places == {1}


def test_workers_can_share_the_analyses_of_a_checkpoint(run, places, monkeypatch):
    monkeypatch.setattr(loop, "WORTH", 0.0)
    assert steps_found(run, meets, performance, meets, apart=True) == list(STEPS)
    assert places == {1}
