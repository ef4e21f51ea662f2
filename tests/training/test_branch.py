"""Branches: runs that start with the weights of another run, under other settings or after edits."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from grokinterp import training
from grokinterp.analysis import analyze
from grokinterp.errors import ConfigError, GrokinterpError
from grokinterp.experiment import Experiment, Origin
from grokinterp.experiment.edits import EDITS, AblateFrequencies, Graft, Redraw, Scale
from grokinterp.interventions.edited import edited
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory, configuration_hash
from grokinterp.sweeps import train_many
from grokinterp.training import branch, branched, train
from grokinterp.training.directory import default_directory
from grokinterp.training.extension import changed_settings
from tests.support.small_runs import TINY, changed, draw_checkpoints, written
from tests.support.stopped_runs import train_until

PARENT = changed(
    optimization={"average": 0.9, "filters": [{"kind": "grokfast_ma", "window": 4}], "warmup_steps": 0},
    save={"every": 4},
)
"""A run without warm-up, whose optimizer, filter and average have a memory; it has resume states at 28 and 30."""

SHORT = ("steps=8", "evaluate_every=2", "save.every=1")


@pytest.fixture(scope="module")
def parent(tmp_path_factory) -> Trajectory:
    return train(PARENT, tmp_path_factory.mktemp("parent") / "run", device="cpu")


CHANGES = ("", "optimization.weight_decay=0 split.fraction=0.3", "task.kind=modular_subtraction task.p=7")


@pytest.mark.parametrize("changes", CHANGES)
def test_a_branch_starts_with_the_weights_of_its_parent_and_needs_it_no_longer(changes, parent, tmp_path):
    there = Path(shutil.copytree(parent.path, tmp_path / "parent"))
    experiment = branched(there, 20, [*SHORT, *changes.split()])
    whole = train(experiment, tmp_path / "whole", device="cpu")
    train_until(tmp_path / "branch", 5, experiment)
    shutil.rmtree(there)
    run = train(Trajectory.open(tmp_path / "branch").experiment, tmp_path / "branch", device="cpu", resume=True)
    assert written(run.path) == written(whole.path)
    torch.testing.assert_close(run.weights(0).state, parent.weights(20).state, rtol=0, atol=0)
    assert run.experiment.origin == Origin(
        run=str(there), step=20, run_id=parent.directory.run_id, digest=parent.directory.digest(20)
    )
    analyze(run.path, only=["performance"])


def test_with_the_optimizer_state_an_unchanged_branch_continues_its_parent(parent, tmp_path):
    run = branch(parent.path, 28, "steps=2", optimizer_state=True, directory=tmp_path / "run", device="cpu")
    for part in ("state", "update", "average"):
        torch.testing.assert_close(
            getattr(run.weights(2), part), getattr(parent.weights(30), part), rtol=0, atol=0, msg=part
        )
    fresh = branch(parent.path, 28, "steps=2", directory=tmp_path / "fresh", device="cpu")
    assert not torch.equal(fresh.weights(2).state["embed.W_E"], parent.weights(30).state["embed.W_E"])


def test_a_branch_with_the_optimizer_state_resumes_byte_for_byte(parent, tmp_path):
    experiment = branched(parent.path, 28, SHORT, optimizer_state=True, edits=[Scale(factor=0.5)])
    whole = train(experiment, tmp_path / "whole", device="cpu")
    train_until(tmp_path / "run", 3, experiment)
    assert written(train(experiment, tmp_path / "run", device="cpu", resume=True).path) == written(whole.path)


def test_branches_are_trained_together(parent, tmp_path):
    branches = [branched(parent.path, step, [*SHORT, "optimization.filters=[]"]) for step in (8, 20)]
    runs = train_many(branches, tmp_path / "many", device="cpu", stacked=True)
    assert [one.failure for one in runs] == [None, None]
    for experiment, entry in zip(branches, runs, strict=True):
        single = train(experiment, tmp_path / f"single-{experiment.origin.step}", device="cpu")
        for step in single.steps:
            torch.testing.assert_close(
                Trajectory.open(entry.directory).weights(step).state, single.weights(step).state, rtol=1e-3, atol=1e-4
            )


def edits(donor: Path) -> list[Any]:
    return [
        Graft(part="embed", step=30),
        Graft(part="unembed", step=10, run=str(donor)),
        AblateFrequencies(frequencies=(1,), where="unembedding"),
        Scale(factor=0.5, part="blocks.0.mlp"),
        Redraw(part="pos_embed", seed=7),
    ]


def test_edits_are_applied_in_order_and_recorded(parent, tmp_path):
    donor = draw_checkpoints(tmp_path / "donor", changed(name="donor", seed=5))
    given = edits(donor.path)
    assert {edit.kind for edit in given} == set(EDITS)
    run = branch(parent.path, 20, *SHORT, edits=given, directory=tmp_path / "run", device="cpu")
    expected = parent[20]
    for edit, source in zip(given, [parent, donor, parent, parent, parent], strict=True):
        expected = edited(expected, edit, source)
    found = run.weights(0).state
    for name, value in expected.model.state_dict().items():
        torch.testing.assert_close(found[name], value.to(found[name].dtype), rtol=0, atol=0)
    origin = run.experiment.origin
    assert origin is not None
    assert origin.edits[1] == replace(given[1], run_id=donor.directory.run_id, digest=donor.directory.digest(10))
    assert origin.anonymous.edits == tuple(given)
    assert branched(parent.path, 20, SHORT, edits=given) == run.experiment
    assert branched(parent.path, 20, SHORT).to_dict() != run.experiment.to_dict()


def test_a_configuration_of_a_branch_can_be_written_by_hand(parent, tmp_path):
    given = parent.experiment.to_dict() | {"origin": {"run": str(parent.path), "step": 20}, "steps": 6}
    experiment = Experiment.from_dict(given)
    whole = train(experiment, tmp_path / "whole", device="cpu")
    train_until(tmp_path / "run", 3, experiment)
    assert written(train(experiment, tmp_path / "run", device="cpu", resume=True).path) == written(whole.path)


def test_the_run_id_does_not_depend_on_how_paths_are_written(parent, tmp_path, monkeypatch):
    donor = draw_checkpoints(tmp_path / "donor", changed(name="donor", seed=5))
    absolute = branched(parent.path, 20, SHORT, edits=edits(donor.path))
    for here in (parent.path.parent, tmp_path):
        monkeypatch.chdir(here)
        there, other = os.path.relpath(parent.path), os.path.relpath(donor.path)
        for run, path in ((there, other), (f"{there}/", f"./{other}"), (f"{parent.path}/../run", f"{donor.path}//")):
            assert branched(run, 20, SHORT, edits=edits(Path(path))) == absolute
    assert default_directory(absolute) == default_directory(branched(Path(there), 20, SHORT, edits=edits(donor.path)))


def test_a_branch_is_continued_with_another_spelling_of_its_paths(parent, tmp_path, monkeypatch):
    """Also a branch of an earlier version, whose parent has a relative path."""
    monkeypatch.chdir(parent.path.parent)
    table = {"run": "./run/", "step": 20}
    experiment = Experiment.from_dict(parent.experiment.to_dict() | {"origin": table, "steps": 6})
    train_until(tmp_path / "run", 3, experiment)
    train(experiment, tmp_path / "run", device="cpu", resume=True)
    train(branched("run", 20, ["steps=7"]), tmp_path / "run", device="cpu", resume=True)
    early = replace(parent.experiment, origin=replace(branched("run", 20).origin, run="run"))
    stored = RunDirectory.create(tmp_path / "early", early.to_dict(), {})
    assert changed_settings(stored, branched("run/", 20)) == {}
    assert stored.run_id == configuration_hash(early.to_dict())


def test_the_start_of_a_killed_creation_is_replaced(parent, tmp_path):
    experiment = branched(parent.path, 20, SHORT)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "start.safetensors").write_bytes(b"left over")
    run = train(experiment, tmp_path / "run", device="cpu")
    run.directory.start_path.write_bytes(b"damaged")
    with pytest.raises(GrokinterpError, match=r"start\.safetensors: (truncated|not safetensors)"):
        train(experiment, tmp_path / "run", device="cpu", resume=True)


def origin(**values: Any) -> dict[str, Any]:
    return {"step": 20} | values


REFUSED = {
    "unsaved step": ({"step": 21}, [], r"^origin\.step=21: was not saved; .* has 0, 2, 4, \.\.\., .*, 30$"),
    "no run": ({"run": "nowhere"}, [], r"^origin\.run=nowhere: does not exist$"),
    "a device": ({"run": "/dev/zero"}, [], r"^origin\.run=/dev/zero: does not exist$"),
    "another run": ({"run_id": "0123456789"}, [], r"^origin\.run_id=0123456789: is no longer that of step 20"),
    "another checkpoint": ({"digest": "ab" * 32}, [], r"^origin\.digest=ababababa\.\.\.: is no longer that of step 20"),
    "another shape": ({}, ["model.d_mlp=8"], r"^origin\.run=.*: does not fit the model: blocks\.0\.mlp\.W_in is \(16"),
    "another model": ({}, ["model.kind=mlp"], r"^origin\.run=.*: does not fit the model: blocks\.0\.attn\.W_K is"),
    "unknown part": ({"edits": [{"kind": "graft", "part": "x"}]}, [], r"^origin\.edits\.0\.part=x: must be one of emb"),
    "unknown edit": ({"edits": [{"kind": "prune"}]}, [], r"^origin\.edits\.0\.kind=prune: must be one of graft, "),
    "unknown donor": ({"edits": [{"kind": "graft", "run": "x"}]}, [], r"^origin\.edits\.0\.run=x: does not exist"),
    "unsaved donor": ({"edits": [{"kind": "graft", "step": 3}]}, [], r"^origin\.edits\.0\.step=3: was not saved"),
    "no such frequency": (
        {"edits": [{"kind": "ablate_frequencies", "frequencies": [4]}]}, [],
        r"^origin\.edits\.0\.frequencies=4: must be from 1 to 3$",
    ),
    "no resume state": ({"optimizer_state": True}, [], r"^origin\.optimizer_state=True: needs a resume state at st"),
    "another optimizer": (
        {"optimizer_state": True, "step": 28}, ["optimization.optimizer=sgd"],
        r"^origin\.optimizer_state=True: needs the parent's optimization\.optimizer$",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given", "changes", "message"), REFUSED.values(), ids=REFUSED)
def test_a_branch_that_cannot_start_is_refused_before_anything_is_created(given, changes, message, parent, tmp_path):
    values = {"run": str(parent.path)} | origin(**given)
    written_by_hand = parent.experiment.to_dict() | {"origin": values}
    with pytest.raises(GrokinterpError, match=message) as refused:
        train(Experiment.from_dict(written_by_hand).override(changes), tmp_path / "run", device="cpu")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_the_place_of_a_branch_is_given_once(parent):
    with pytest.raises(ConfigError, match=r"^origin\.step=0: must be that of the branch, 20$"):
        branched(parent.path, 20, ["origin.step=0"])


def test_a_damaged_checkpoint_is_named(parent, tmp_path):
    there = Path(shutil.copytree(parent.path, tmp_path / "parent"))
    file = RunDirectory(there).checkpoint_path(20)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(GrokinterpError, match=r"^checkpoint step_00000020\.safetensors: truncated"):
        branch(there, 20, directory=tmp_path / "run", device="cpu")


def test_a_parent_that_diverged_needs_another_setting(parent, tmp_path):
    there = Path(shutil.copytree(parent.path, tmp_path / "parent"))
    RunDirectory(there).write_status({"status": "diverged", "step": 30})
    with pytest.raises(GrokinterpError, match=r"^origin\.run=.*: diverged at step 30, and would again"):
        branch(there, 20, *SHORT, directory=tmp_path / "run", device="cpu")
    branch(there, 20, *SHORT, "optimization.lr=1e-3", directory=tmp_path / "run", device="cpu")


def test_other_runs_keep_their_hash_and_a_branch_is_not_drawn():
    assert "origin" not in TINY.to_dict()
    with pytest.raises(GrokinterpError, match=r"^origin=given: has the initial weights"):
        replace(TINY, origin=Origin(run="a", step=0)).build_model()
    assert training.branch is branch
