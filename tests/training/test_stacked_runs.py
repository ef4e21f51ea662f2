"""Runs that are trained as a stack write the files that each run writes alone."""

import numpy as np
import pytest

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.interrupt import Stopped
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory
from grokinterp.sweeps import train_many
from grokinterp.training import stack, train
from grokinterp.training.loop import train_stack
from grokinterp.training.stack import Stack
from tests.support.replayed import Replayed
from tests.support.small_runs import TINY, changed, written
from tests.support.stopped_runs import stop_at

SQUARED = changed(TINY, optimization={"loss": "mse"})

RUNS = {
    "long": changed(SQUARED, seed=1),
    "short": changed(SQUARED, seed=2, steps=10),
    "diverging": changed(SQUARED, seed=3, optimization={"init_scale": 1000.0}),
    "decayed": changed(SQUARED, seed=4, steps=13, optimization={"weight_decay": 3.0, "betas": [0.8, 0.9]}),
    "impatient": changed(SQUARED, seed=5, patience=0, split={"fraction": 0.5}),
}


def stacked(folder, names=tuple(RUNS), device="cpu") -> dict[str, Trajectory]:
    """The runs of some names, trained as a stack, or continued."""
    directories = {name: folder / name for name in names}
    train_stack([RUNS[name] for name in names], list(directories.values()), device=device)
    return {name: Trajectory.open(path) for name, path in directories.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, Trajectory]:
    return stacked(tmp_path_factory.mktemp("stack"))


@pytest.mark.parametrize("name", RUNS)
def test_a_run_of_a_stack_writes_what_it_writes_alone(name, whole, tmp_path):
    run, alone = whole[name], train(RUNS[name], tmp_path / "run", device="cpu")
    assert run.directory.status.keys() - {"memory"} == alone.directory.status.keys() - {"memory"}
    assert [run.directory.status[key] for key in ("status", "step")] == [
        alone.directory.status[key] for key in ("status", "step")
    ]
    assert run.steps == alone.steps
    assert run.experiment == alone.experiment
    assert (name == "diverging") == (run.directory.status["status"] == "diverged")
    assert list(run.metrics) == list(alone.metrics)
    for column in run.metrics.keys() & {"train_loss", "test_loss", "weight_norm", "learning_rate", "weight_decay"}:
        np.testing.assert_allclose(run.metrics[column], alone.metrics[column], rtol=2e-3)


def checkpoints_and_metrics(run) -> dict[str, bytes]:
    """Files of a run that do not describe the process."""
    return {file: content for file, content in written(run).items() if file.startswith(("checkpoints", "metrics"))}


PAIR = ("long", "decayed")


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> dict[str, Trajectory]:
    return stacked(tmp_path_factory.mktemp("pair"), PAIR)


@pytest.mark.parametrize(("names", "at"), [(PAIR, 0), (PAIR, 5), (PAIR, 20), (tuple(RUNS), 20)])
def test_a_stack_that_is_interrupted_goes_on_bit_by_bit_also_after_gathering(names, at, whole, pair, tmp_path):
    """At step 20, half of the runs have ended."""
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, at, Stack)
        with pytest.raises(Stopped):
            stacked(tmp_path, names)
    status = {name: RunDirectory.open(tmp_path / name).status["status"] for name in names}
    stacked(tmp_path, [name for name in names if status[name] == "interrupted"])
    content = checkpoints_and_metrics if at == 20 else written  # at 20, environments name another number of runs
    for name in names:
        assert content(tmp_path / name) == content((pair if names == PAIR else whole)[name].path)


def test_a_captured_stack_trains_as_a_plain_one_also_after_gathering(whole, tmp_path, monkeypatch):
    captures = []

    def capture(work, device):
        captures.append((work.__name__, len(work.__self__.runs)))
        return Replayed(work).replay

    monkeypatch.setattr(stack, "captured", capture)
    runs = stacked(tmp_path)
    gathered = sorted({left for _, left in captures}, reverse=True)
    assert gathered[0] == len(RUNS)
    assert len(gathered) > 1
    assert captures == [
        (part, left) for left in gathered for part in ("_compute_gradients", "_compute_metrics", "_update")
    ]
    for name, run in runs.items():
        assert written(run.path) == written(whole[name].path)


@pytest.mark.gpu
def test_a_stack_on_the_gpu_learns_what_it_learns_on_the_cpu(whole, tmp_path):
    for name, run in stacked(tmp_path, device="cuda").items():
        for column in ("train_loss", "test_loss", "gradient_norm", "weight_norm"):
            assert run.metrics[column].values == pytest.approx(whole[name].metrics[column].values, rel=1e-2)


@pytest.mark.gpu
@pytest.mark.parametrize(("names", "at"), [(PAIR, 5), (PAIR, 20)])
def test_a_stack_goes_on_byte_by_byte_on_the_gpu(names, at, tmp_path):
    expected = stacked(tmp_path / "whole", names, device="cuda")
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, at, Stack)
        with pytest.raises(Stopped):
            stacked(tmp_path / "run", names, device="cuda")
    unfinished = [name for name in names if at < RUNS[name].budget]
    stacked(tmp_path / "run", unfinished, device="cuda")
    for name in names:
        assert checkpoints_and_metrics(tmp_path / "run" / name) == checkpoints_and_metrics(expected[name].path)


def test_many_runs_are_grouped_resumed_and_never_stop_each_other(tmp_path):
    adapting = {"batch_size": 5, "schedules": {"batch_size": {"kind": "curriculum"}}}
    alone = changed(TINY, name="alone", optimization=adapting, steps=4)
    seeded = [changed(SQUARED, seed=seed, steps=10) for seed in (7, 8, 9)]
    many = [RUNS["short"], seeded[0], alone, *seeded[1:]]
    (entries := train_many(many[:2], tmp_path, stacked=True, device="cpu"))[0].directory.joinpath(
        "status.json"
    ).unlink()
    (tmp_path / train_name(many[3], tmp_path)).mkdir()
    (tmp_path / train_name(many[3], tmp_path) / "notes.txt").write_text("in the way")
    with (
        pytest.warns(UserWarning, match="runs are trained in two parts: .*notes.txt"),
        pytest.warns(UserWarning, match="1 of [0-9] runs are trained one at a time: .*batch_size.kind=curriculum"),
    ):
        again = train_many(many, tmp_path, stacked=True, device="cpu")
    assert [entry.failure is None for entry in again] == [True, True, True, False, True]
    assert "notes.txt" in again[3].failure or "not empty" in again[3].failure
    assert [entry.directory for entry in again[:2]] == [entry.directory for entry in entries]
    finished = [Trajectory.open(again[place].directory).directory.status["status"] for place in (0, 1, 2, 4)]
    assert finished == ["finished"] * 4


def train_name(experiment: Experiment, folder) -> str:
    """The name of the run directory of an experiment."""
    from grokinterp.training.directory import default_directory

    return default_directory(experiment).name


def test_arguments_of_many_runs_are_checked_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="given twice"):
        train_many([TINY, TINY], tmp_path / "root", device="cpu")
    with pytest.raises(ConfigError, match="must fit together"):
        train_stack([TINY, SQUARED], [tmp_path / "a", tmp_path / "b"], device="cpu")
    assert not list(tmp_path.iterdir())
