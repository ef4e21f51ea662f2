"""Results are complete until a file of the run changes."""

import os

import pytest

from grokinterp.runs.completeness import analysis_files, is_complete, mark_complete
from grokinterp.runs.imports import PACKAGE
from tests.support.small_runs import draw_checkpoints


@pytest.fixture
def run(tmp_path):
    drawn = draw_checkpoints(tmp_path / "run")
    (drawn.path / "analysis").mkdir()
    (drawn.path / "analysis" / "performance.nc").write_bytes(b"results")
    return drawn


def test_results_are_complete_only_where_it_was_recorded(run, tmp_path):
    assert not is_complete(tmp_path / "nothing")
    assert not is_complete(run.path)
    mark_complete(run.path)
    assert is_complete(run.path)


def more_metrics(run):
    with run.directory.lock() as held:
        held.metrics.append({"step": 30, "train_loss": 1.0})


def another_checkpoint(run):
    path = run.directory.checkpoint_path(20)
    path.with_name("step_00000030.safetensors").write_bytes(path.read_bytes())


def damaged_checkpoint(run):
    path = run.directory.checkpoint_path(20)
    path.write_bytes(path.read_bytes()[:-1])


def touched_checkpoint(run):
    os.utime(run.directory.checkpoint_path(20), ns=(0, 0))


def removed_result(run):
    (run.path / "analysis" / "performance.nc").unlink()


@pytest.mark.parametrize(
    "change", [more_metrics, another_checkpoint, damaged_checkpoint, touched_checkpoint, removed_result]
)
def test_a_change_of_the_run_ends_it(run, change):
    mark_complete(run.path)
    change(run)
    assert not is_complete(run.path)


def test_figures_and_pages_do_not_determine_results():
    rooms = {path.relative_to(PACKAGE).parts[0] for path in analysis_files()}
    assert {"analysis", "maths", "models", "tasks", "runs"} <= rooms
    assert not rooms & {"figures", "page", "report", "cli", "sweeps", "league", "interop"}
