"""The curves of a branch's parent, wherever it is; a parent that is gone, changed or hostile is not read."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from grokinterp.report.content import view_of
from grokinterp.report.timeline import draw_timeline, timeline_caption
from grokinterp.runs.parent import parent_curves
from grokinterp.runs.results import Results
from grokinterp.training import branched
from tests.support.small_runs import TINY, draw_checkpoints, drawn_tensors


@pytest.fixture
def branch(tmp_path: Path) -> Path:
    """A branch of step 20 of a drawn run, in the same folder."""
    parent = draw_checkpoints(tmp_path / "parent")
    return draw_checkpoints(tmp_path / "branch", branched(parent.path, 20)).path


def caption(branch: Path) -> str:
    view = view_of(Results.open(branch))
    return timeline_caption(view.results.metrics, view)


def test_the_timeline_of_a_branch_begins_with_the_curves_of_its_parent(branch, tmp_path):
    view = view_of(Results.open(branch))
    figure = draw_timeline(view.results.metrics, view)
    assert figure is not None
    assert {axes.get_xlim() for axes in figure.axes} == {(-20, 20)}
    accuracy = next(axes for axes in figure.axes if axes.get_title(loc="left") == "Accuracy")
    assert accuracy.lines[-1].get_xdata().tolist() == [-20, -10, 0, 10, 20]
    assert "steps below 0 are those of its parent, parent, up to step 20" in caption(branch)
    assert Results.open(branch).summary()["origin"]["step"] == 20
    shutil.move(tmp_path, tmp_path.with_name("moved"))  # together with the branch
    curves, why = parent_curves(Results.open(tmp_path.with_name("moved") / "branch").directory)
    assert (why, curves and curves.metrics["step"].values.tolist()) == ("", [-20, -10])


def test_a_run_without_a_parent_has_no_curves_of_one(tmp_path):
    run = draw_checkpoints(tmp_path / "run")
    assert parent_curves(run.directory) == (None, "")


def gone(parent: Path) -> None:
    shutil.rmtree(parent)


def another_checkpoint(parent: Path) -> None:
    file = parent / "checkpoints" / "step_00000020.safetensors"
    file.unlink()
    Results.open(parent).directory.save_checkpoint(20, drawn_tensors(TINY, 10))


def pipe(parent: Path) -> None:
    shutil.rmtree(parent)
    os.mkfifo(parent)


def pipe_inside(parent: Path) -> None:
    (parent / "experiment.json").unlink()
    os.mkfifo(parent / "experiment.json")


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "gone": (gone, "there is no run in"),
    "another checkpoint": (another_checkpoint, "has changed, or is another run"),
    "a pipe": (pipe, "there is no run in"),
    "a pipe inside": (pipe_inside, "there is no run in"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_parent_that_is_not_there_unchanged_is_left_out_with_the_reason(change, branch, tmp_path):
    work, why = CHANGES[change]
    work(tmp_path / "parent")
    assert why in caption(branch)


@pytest.mark.parametrize("run", ["/dev/zero", "/dev", "x" * 5000, "a\0b", "", 5, "../../../etc"])
def test_a_hostile_origin_is_not_followed(run, branch):
    values = Results.open(branch).directory.experiment
    for name in ("environment.json", "experiment.json"):
        (branch / name).unlink()
    (branch / "experiment.json").write_text(json.dumps(values | {"origin": values["origin"] | {"run": run}}))
    curves, why = parent_curves(Results.open(branch).directory)
    assert curves is None
    assert why.isprintable()
    assert len(why) < 200
