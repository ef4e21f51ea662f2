"""Checkpoints and parts of a run by the numbers in brackets, iteration, length, and results."""

import numpy as np
import pytest
import torch

from grokinterp.analysis import analyze, evaluate, performance
from grokinterp.errors import CheckpointError, ConfigError, RunDirectoryError
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory
from grokinterp.runs.window import Window, step_of
from tests.support.small_runs import draw_checkpoints

STEPS = (0, 10, 20, 30)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return draw_checkpoints(tmp_path_factory.mktemp("window") / "run", steps=STEPS).path


@pytest.fixture
def run(path) -> Trajectory:
    return Trajectory.open(path)


def test_numbers_are_steps_and_negative_numbers_count_checkpoints_from_the_end(run):
    assert [run[step].step for step in (0, 10, np.int64(20), -1, -4)] == [0, 10, 20, 30, 0]
    assert run.checkpoint().step == run.checkpoint(-1).step == 30


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (1, "checkpoint 1: not saved; the run has 0, 10, 20, 30"),
        (-5, "checkpoint -5: counted from the end; there are 4 checkpoints"),
    ],
)
def test_a_step_that_was_not_saved_is_named(step, message, run):
    with pytest.raises(CheckpointError, match=message):
        run[step]


@pytest.mark.parametrize("step", ["10", 1.5, True, None])
def test_other_values_are_refused(step):
    with pytest.raises(ConfigError, match=f"step={step}: must be an integer"):
        step_of(step, STEPS)


def test_a_slice_is_between_steps_and_ends_before_its_stop(run):
    part = run[5:20]
    assert part.steps == (10,)
    assert part.metrics["step"].values.tolist() == [10]
    assert len(part) == 1
    assert run[:].steps == STEPS
    assert run[-2:].steps == (20, 30)
    assert run[:-1].steps == (0, 10, 20)
    assert run[10:][:30].steps == run[10:30].steps == (10, 20)
    assert run[10:30][0:100].steps == (10, 20)
    assert "part 5:20" in repr(part)
    assert len(run[11:19]) == 0
    assert run[11:19]


def test_a_part_has_only_its_own_checkpoints(run):
    assert run[5:25][-1].step == 20
    with pytest.raises(CheckpointError, match="30: not saved; the run has 10, 20"):
        run[5:25][30]
    with pytest.raises(RunDirectoryError, match="has no checkpoint in the part 11:19"):
        run[11:19].checkpoint()


@pytest.mark.parametrize(
    ("chosen", "message"),
    [(slice(None, None, 5), "stride=5: must be left out"), (slice(20, 10), "steps=20:10: must start before they end")],
)
def test_ambiguous_slices_are_refused(chosen, message, run):
    with pytest.raises(ConfigError, match=message):
        run[chosen]


@pytest.mark.parametrize("window", [Window(), Window(0, 31), Window(-5, None)])
def test_a_window_holds_steps(window):
    assert all(step in window for step in STEPS)
    assert window.is_whole is (window == Window())


def test_iteration_yields_every_checkpoint_as_indexing_does(run):
    found = list(run)
    assert [checkpoint.step for checkpoint in found] == list(STEPS)
    for checkpoint in found:
        again = run[checkpoint.step]
        assert torch.equal(checkpoint.logits, again.logits)
        assert (checkpoint.previous_update is None) == (again.previous_update is None)
    assert 10 in run
    assert 11 not in run


def test_a_part_keeps_the_update_before_its_first_checkpoint(run):
    first = next(iter(run[20:]))
    assert first.previous_update is not None
    assert torch.equal(first.previous_update["embed.W_E"], run[10].update["embed.W_E"])


def test_iteration_leaves_out_damaged_checkpoints(tmp_path):
    run = draw_checkpoints(tmp_path / "run")
    run.directory.checkpoint_path(10).write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="left out: checkpoint"):
        assert [checkpoint.step for checkpoint in run] == [0, 20]


def test_the_model_is_that_of_a_step(run):
    for step in (20, np.int32(20), -2):
        assert torch.equal(run.model(step).W_E, run.model(step=20).W_E)
    assert torch.equal(run.model().W_E, run.model(30).W_E)


def test_results_are_those_of_the_directory(run):
    assert run.results == Results.open(run.path)
    assert run[10:].results == run.results


def test_a_part_is_evaluated_and_not_analyzed(run):
    assert evaluate(performance, run[10:30])["step"].values.tolist() == [10, 20]
    with pytest.raises(ConfigError, match=r"run=run\[10:30\]: must be a whole run"):
        analyze(run[10:30])
