"""A resumed run equals the uninterrupted run byte for byte; or a warning names the reason for the difference."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from grokinterp.diagnostics import diagnose
from grokinterp.errors import RunDirectoryError
from grokinterp.experiment import Experiment
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory
from grokinterp.training import train
from tests.support.small_runs import TINY, changed, written
from tests.support.stopped_runs import train_until


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Trajectory:
    """TINY, trained without interruption."""
    return train(TINY, tmp_path_factory.mktemp("finished") / "run", device="cpu")


@pytest.mark.parametrize("at", [0, 1, 2, 5, 6, 7, 8, 13, 20, 28, 29])
def test_a_resumed_run_is_byte_identical(at, finished, tmp_path):
    train_until(tmp_path / "run", at)
    run = train(TINY, tmp_path / "run", device="cpu", resume=True)
    assert written(run.path) == written(finished.path)


def test_a_run_interrupted_again_and_again_is_byte_identical(finished, tmp_path):
    train_until(tmp_path / "run", 3)
    for at in (4, 11, 12, 29):
        train_until(tmp_path / "run", at, resume=True)
    assert written(train(TINY, tmp_path / "run", device="cpu", resume=True).path) == written(finished.path)


def test_resuming_a_finished_run_changes_nothing(finished, tmp_path):
    before = written(finished.path)
    train(TINY, finished.path, device="cpu", resume=True)
    assert written(finished.path) == before


def test_a_run_whose_creation_was_cut_short_is_made_whole(finished, tmp_path):
    run = RunDirectory.create(tmp_path / "run", TINY.to_dict(), {})
    (run.path / "environment.json").unlink()
    assert written(train(TINY, run.path, device="cpu", resume=True).path) == written(finished.path)


def test_a_run_killed_before_its_first_resume_state_starts_over(finished, tmp_path):
    run = RunDirectory.create(tmp_path / "run", TINY.to_dict(), finished.directory.environment)
    run.save_checkpoint(0, finished.directory.load_checkpoint(0).tensors)
    run.metrics.path.write_text('{"step": 0, "train_loss": 1.0}\n{"step": 3, "tr')  # rows of the killed process
    assert written(train(TINY, run.path, device="cpu", resume=True).path) == written(finished.path)


OPTIONS = {
    "optimization": {"batch_size": 7, "constrain_norm": True, "init_scale": 1.2, "loss": "mse", "average": 0.9},
    "split": {"fraction": 0.6, "validation": 0.2, "stratified": True, "label_noise": 0.2},
}
"""Batches that span epochs, and other options that depend on a seed."""

EVERYTHING = changed(**OPTIONS)


@pytest.fixture(scope="module")
def finished_with_everything(tmp_path_factory) -> Trajectory:
    return train(EVERYTHING, tmp_path_factory.mktemp("everything") / "run", device="cpu")


@pytest.mark.parametrize("at", [0, 1, 6, 7, 8, 13, 21, 29])
def test_a_resumed_run_with_every_option_is_byte_identical(at, finished_with_everything, tmp_path):
    train_until(tmp_path / "run", at, EVERYTHING)
    run = train(EVERYTHING, tmp_path / "run", device="cpu", resume=True)
    assert written(run.path) == written(finished_with_everything.path)


# evaluations at 3 n, so that step 20 is still saved, or not, by what the evaluation at 18 found
DROPS = changed(
    save={"every": 1000, "dense_until": 0, "transition_every": 1},
    split={"fraction": 0.8},
    optimization={"average": 0.9},
    steps=24,
)
DROPS_OF = {"full batch": DROPS, "every option": changed(DROPS, **OPTIONS)}
AT = 19


STATE = ("training_step", "detector", "after", "metrics_offset", "memorized", "in_transition", "environment")
OTHERS = ("training_step", "detector", "after")
"""State on which only adaptive runs depend: test_adapting.py."""


def components() -> list[str]:
    names = [name for name, _ in DROPS.empty_model().named_parameters()]
    keys = ("step", "exp_avg", "exp_avg_sq")
    moments = [f"step/optimizer/state/{place}/{key}" for key in keys for place in range(len(names))]
    averages = [f"step/averaged/{place}" for place in range(len(names))]
    return [*names, *moments, *averages, *STATE]


@pytest.fixture(scope="module", params=DROPS_OF)
def dropped_from(request, tmp_path_factory):
    """The files that an experiment writes, and its resume state at AT."""
    experiment = DROPS_OF[request.param]
    whole = train(experiment, tmp_path_factory.mktemp("whole") / "run", device="cpu")
    path = tmp_path_factory.mktemp("state") / "run"
    train_until(path, AT, experiment)
    return written(whole.path), RunDirectory.open(path)


def resume_from(run: RunDirectory, path: Path, tensors, state):
    """The files of a copy of the run, continued from this resume state."""
    shutil.copytree(run.path, path)
    RunDirectory.open(path).resume.save(AT, tensors, state)
    return written(train(Experiment.from_dict(run.experiment), path, device="cpu", resume=True).path)


def reset(name: str, run: RunDirectory) -> tuple[dict, dict]:
    """The resume state with one component as in a fresh run, or one flag inverted."""
    saved = run.resume.load()
    tensors, state = dict(saved.tensors), dict(saved.state)
    if name in ("memorized", "in_transition"):
        state[name] = not state[name]
    elif name in state:
        state[name] = {"metrics_offset": 0, "environment": {}}[name]
    else:
        initial = Experiment.from_dict(run.experiment).build_model().state_dict()
        tensors[name] = initial.get(name, torch.zeros_like(tensors[name]))
    return tensors, state


def test_the_state_put_back_unchanged_gives_the_same_run(dropped_from, tmp_path):
    whole, run = dropped_from
    saved = run.resume.load()
    assert resume_from(run, tmp_path / "run", saved.tensors, saved.state) == whole


def representatives() -> list[str]:
    """The components but for those of the parameters between the first and the last: these are stored the same way."""
    last = len(list(DROPS.empty_model().parameters())) - 1
    numbers = {name: [int(part) for part in name.split("/") if part.isdigit()] for name in components()}
    return [name for name, found in numbers.items() if name not in OTHERS and {0, last}.issuperset(found)]


@pytest.mark.parametrize("name", representatives())
def test_no_component_of_the_resume_state_can_be_dropped(name, dropped_from, tmp_path):
    whole, run = dropped_from
    if name == "environment":
        with pytest.warns(UserWarning, match="will not be bit-identical"):
            resume_from(run, tmp_path / "run", *reset(name, run))
    else:
        assert resume_from(run, tmp_path / "run", *reset(name, run)) != whole
    saved = run.resume.load()
    tensors, state = dict(saved.tensors), dict(saved.state)
    (state if name in state else tensors).pop(name)
    with pytest.raises(RunDirectoryError, match=f"written by another version: .*{name}"):
        resume_from(run, tmp_path / "gone", tensors, state)


def test_nothing_in_the_resume_state_is_left_untested(dropped_from):
    saved = dropped_from[1].resume.load()
    constant = {name for name, value in DROPS.build_model().named_buffers()}
    assert {*saved.tensors, *saved.state} - constant == set(components())


def test_a_damaged_resume_state_is_named_and_the_older_one_used(finished, tmp_path):
    train_until(tmp_path / "run", 18)
    newest = tmp_path / "run" / "resume" / "step_00000018.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=r"resume state step_00000018\.safetensors skipped: truncated"):
        run = train(TINY, tmp_path / "run", device="cpu", resume=True)
    assert written(run.path) == written(finished.path)
    (continued,) = Results.open(run.path).continuations
    assert continued.text.startswith("step 14, from an older resume state, bit-identical: resume state step_00000018")


def test_damaged_documents_are_named_and_written_again(finished, tmp_path):
    train_until(tmp_path / "run", 18)
    for name in ("status.json", "environment.json"):
        file = tmp_path / "run" / name
        file.write_bytes(file.read_bytes().replace(b"1", b"2", 1))
    with pytest.warns(UserWarning, match=r"(status|environment)\.json is left out: damaged"):
        run = train(TINY, tmp_path / "run", device="cpu", resume=True)
    assert written(run.path) == written(finished.path)


def test_a_log_that_lost_its_end_is_continued_from_the_older_resume_state(finished, tmp_path):
    train_until(tmp_path / "run", 18)
    log = tmp_path / "run" / "metrics.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]) + lines[-1][:-9])
    with pytest.warns(UserWarning, match=r"step_00000018\.safetensors skipped: needs \d+ bytes of metrics\.jsonl"):
        run = train(TINY, tmp_path / "run", device="cpu", resume=True)
    assert written(run.path) == written(finished.path)


def test_continuations_are_recorded_and_lost_resume_states_are_reported(finished, tmp_path):
    train_until(tmp_path / "run", 10)
    train_until(tmp_path / "run", 12, resume=True)
    shutil.rmtree(tmp_path / "run" / "resume")
    (tmp_path / "run" / "resume").mkdir()
    run = train(TINY, tmp_path / "run", device="cpu", resume=True)
    assert written(run.path) == written(finished.path)
    results = Results.open(run.path)
    assert [continued.text for continued in results.continuations] == [
        "step 10, from the newest resume state, bit-identical",
        "step 0, from the start, since the resume states were lost, bit-identical",
    ]
    assert [one["exact"] for one in results.summary()["continuations"]] == [True, True]
    path = tmp_path / "run" / "continuations.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"step": 10', b'"step": 11'))
    with pytest.warns(UserWarning, match="damaged record 1"):
        assert Results.open(run.path).continuations[0] is None


def test_a_log_of_an_earlier_version_is_continued(finished, tmp_path):
    """Its rows have no checks, the rows of the continuation have, and the numbers are those of an uninterrupted run."""
    train_until(tmp_path / "run", 10)
    run = RunDirectory.open(tmp_path / "run")
    rows = [json.loads(line) for line in run.metrics.path.read_text().splitlines()]
    old = [{key: row[key] for key in row if key not in ("previous_step", "check")} for row in rows]
    run.metrics.path.write_text("".join(json.dumps(row) + "\n" for row in old))
    saved = run.resume.load()
    run.resume.save(10, saved.tensors, saved.state | {"metrics_offset": run.metrics.path.stat().st_size})
    train(TINY, run.path, device="cpu", resume=True)
    (table, check), (whole, _) = run.read_metrics(), finished.directory.read_metrics()
    assert list(table.rows()) == list(whole.rows())
    assert (check.faults, check.unprotected) == ("", len(old))


def test_another_configuration_lists_the_keys_that_differ(finished):
    other = changed(seed=2, task={"p": 11}, optimization={"betas": [0.9, 0.9]})
    with pytest.raises(RunDirectoryError) as refused:
        train(other, finished.path, device="cpu", resume=True)
    assert str(refused.value) == (
        f"run directory {finished.path}: was trained with another configuration: "
        "optimization.betas=[0.9, 0.98] there, [0.9, 0.9] here, seed=0 there, 2 here, task.p=7 there, 11 here"
        "; only steps, patience, evaluate_every and save may change"
    )


def test_an_existing_run_is_refused_with_a_hint_to_resume(finished):
    before = written(finished.path)
    with pytest.raises(RunDirectoryError, match="contains a run: continue it with --resume"):
        train(TINY, finished.path, device="cpu")
    assert written(finished.path) == before


def test_a_directory_with_anything_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(RunDirectoryError, match=r"is not empty: it holds 'thesis\.tex'"):
        train(TINY, tmp_path, device="cpu")
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_there_is_nothing_to_resume(tmp_path):
    with pytest.raises(RunDirectoryError, match="does not exist"):
        train(TINY, tmp_path / "nowhere", device="cpu", resume=True)
    with pytest.raises(RunDirectoryError, match="is not a run directory"):
        train(TINY, tmp_path, device="cpu", resume=True)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def two_threads() -> Iterator[Callable[[], None]]:
    """A function that gives torch a second thread until the test ends."""
    before = torch.get_num_threads()
    yield lambda: torch.set_num_threads(2)
    torch.set_num_threads(before)


def test_another_thread_count_is_said_in_one_line(finished, tmp_path, two_threads):
    train_until(tmp_path / "run", 10)
    two_threads()
    with pytest.warns(UserWarning, match="bit-identical") as warned:
        run = train(TINY, tmp_path / "run", device="cpu", resume=True)
    assert [str(line.message) for line in warned] == ["the continuation will not be bit-identical: threads 1 is now 2"]
    assert run.steps == finished.steps
    train(TINY, run.path, device="cpu", resume=True)  # the new place has become the run's
    results = Results.open(run.path)
    (continued,) = results.continuations
    assert continued.text == "step 10, from the newest resume state, not bit-identical: threads 1 became 2"
    assert "threads 1 became 2" in next(found.evidence for found in diagnose(results) if "continued" in found.symptom)


def with_another_checkpoint(path, at: int = 20) -> bytes:
    """A run to be resumed at 10 that already has a different checkpoint of a later step."""
    train_until(path, 10)
    run = RunDirectory.open(path)
    run.save_checkpoint(at, run.load_checkpoint(10).tensors)
    return run.checkpoint_path(at).read_bytes()


def test_a_checkpoint_that_comes_out_otherwise_is_an_error(tmp_path):
    before = with_another_checkpoint(tmp_path / "run")
    with pytest.raises(RunDirectoryError, match="exists with different content; it was kept"):
        train(TINY, tmp_path / "run", device="cpu", resume=True)
    assert RunDirectory.open(tmp_path / "run").checkpoint_path(20).read_bytes() == before


def test_a_checkpoint_that_comes_out_otherwise_elsewhere_is_kept_and_named(finished, tmp_path, two_threads):
    before = with_another_checkpoint(tmp_path / "run")
    two_threads()
    with pytest.warns(UserWarning, match=r"bit-identical|different content") as warned:
        run = train(TINY, tmp_path / "run", device="cpu", resume=True)
    lines = [str(line.message) for line in warned]
    assert len(lines) == 2
    assert "step_00000020.safetensors exists with different content; it was kept" in lines[1]
    assert run.directory.checkpoint_path(20).read_bytes() == before
    assert run.steps == finished.steps
