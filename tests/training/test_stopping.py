"""How training stops: divergence, signals, locks, devices and memory that are not there."""

import json
import threading
import time
from pathlib import Path

import pytest
import torch

from grokinterp.errors import ConfigError, GrokinterpError, RunDirectoryError
from grokinterp.experiment import Experiment
from grokinterp.interrupt import Stopped
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory
from grokinterp.training import choose_device, memory, step, train
from tests.support.small_runs import TINY, changed, written
from tests.support.stopped_runs import stop_at, train_until


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Trajectory:
    """TINY, trained without interruption."""
    return train(TINY, tmp_path_factory.mktemp("finished") / "run", device="cpu")


# --- divergence ----------------------------------------------------------------------------------------------------


def poison(monkeypatch, at: int) -> None:
    """The loss becomes NaN at step ``at`` and stays so."""
    real, calls = step.example_losses, iter(range(-2, 10**9))  # the first two calls prepare

    def poisoned(*args, **options):
        return real(*args, **options) * (torch.nan if next(calls) >= at else 1)

    monkeypatch.setattr(step, "example_losses", poisoned)


def assert_all_finite(path) -> None:
    run = Trajectory.open(path)
    for at in run.steps:
        assert all(bool(value.isfinite().all()) for value in run.weights(at).state.values())
    for row in run.directory.read_metrics()[0].rows():
        assert "null" not in json.dumps(row)


@pytest.mark.parametrize("at", [0, 1, 6, 7, 9, 10, 11, 13, 14, 20, 28, 29, 30])
def test_the_last_finite_state_is_kept_when_the_loss_is_not_finite(at, tmp_path, monkeypatch):
    experiment = changed(save={"every": 10, "dense_until": 0, "transition_every": None})
    whole = train(changed(experiment, save={"every": 1}), tmp_path / "whole", device="cpu")
    poison(monkeypatch, at)
    run = train(experiment, tmp_path / "run", device="cpu")
    status = run.directory.status
    assert (status["status"], status["step"]) == ("diverged", at)
    assert "not finite" in status["why"]
    assert run.steps == tuple(sorted({*range(0, at, 10), at}))
    expected = whole.weights(at).state
    assert all(torch.equal(value, expected[name]) for name, value in run.weights(at).state.items())
    assert list(run.directory.read_metrics()[0].steps) == [*range(0, at, 3)]
    assert all(saved < at for saved in run.directory.resume.steps())
    assert_all_finite(run.path)


def test_a_diverged_run_is_not_tried_again(tmp_path, monkeypatch):
    poison(monkeypatch, 17)
    train(TINY, tmp_path / "run", device="cpu")
    before = written(tmp_path / "run")
    with pytest.raises(RunDirectoryError, match="diverged at step 17; resuming would diverge again"):
        train(TINY, tmp_path / "run", device="cpu", resume=True)
    assert written(tmp_path / "run") == before


def test_a_signal_after_an_unseen_divergence_saves_no_state(tmp_path, monkeypatch):
    poison(monkeypatch, 16)
    stop_at(monkeypatch, 17)
    with pytest.raises(Stopped):
        train(TINY, tmp_path / "run", device="cpu")
    run = RunDirectory.open(tmp_path / "run")
    assert (run.status["status"], run.status["step"]) == ("diverged", 16)
    assert run.resume.steps() == (7, 14)


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    train_until(tmp_path / "run", 10)
    run = RunDirectory.open(tmp_path / "run")
    saved = run.resume.load()
    saved.tensors["unembed.W_U"][0, 0] = torch.nan
    run.resume.save(11, saved.tensors, saved.state)
    again = train(TINY, run.path, device="cpu", resume=True)
    assert again.directory.status["status"] == "diverged"
    assert again.steps == (0, 2, 4, 6, 8, 10)
    assert_all_finite(run.path)


def test_logits_that_overflow_by_themselves_are_a_divergence(tmp_path):
    squares = changed(model={"n_layers": 3, "act_fn": "quadratic"}, optimization={"init_scale": 1000})
    run = train(squares, tmp_path / "run", device="cpu")
    assert run.directory.status["status"] == "diverged"
    assert run.steps == (0,)
    assert_all_finite(run.path)


# --- signals, locks, devices, memory -------------------------------------------------------------------------------


def test_training_off_the_main_thread_leaves_signals_alone(finished, tmp_path):
    done = []
    worker = threading.Thread(target=lambda: done.append(train(TINY, tmp_path / "run", device="cpu")))
    worker.start()
    worker.join()
    assert written(done[0].path) == written(finished.path)


class Remover:
    """A logger that removes a file of the run when it sees an evaluation."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def log(self, values: dict[str, float], *, step: int) -> None:
        if step == 12:
            self.file.unlink()


@pytest.mark.parametrize("name", ["lock", "metrics.jsonl"])
def test_a_file_that_vanishes_during_the_run_is_reported_and_nothing_is_lost(name, finished, tmp_path):
    remover = Remover(tmp_path / "run" / name)
    with pytest.warns(UserWarning, match=f"{name} was removed during the run and was"):
        run = train(TINY, tmp_path / "run", device="cpu", loggers=[remover])
    assert written(run.path) == written(finished.path)


def test_a_second_trainer_is_refused_at_once(finished):
    with finished.directory.lock():
        started = time.monotonic()
        with pytest.raises(RunDirectoryError, match=r"in use by process \d+ on host"):
            train(TINY, finished.path, device="cpu", resume=True)
        assert time.monotonic() - started < 0.5


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "", "cpu:0", "gpu", "cuda:-1"])
def test_an_unknown_device_is_refused(name, tmp_path):
    with pytest.raises(ConfigError, match=r"device=.*: must be auto, cpu or cuda"):
        train(TINY, tmp_path / "run", device=name)
    assert not (tmp_path / "run").exists()


def test_a_missing_gpu_is_one_line_and_nothing_is_created(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    for name in ("cuda", "cuda:0"):
        with pytest.raises(ConfigError, match=f"device={name}: PyTorch finds no CUDA device"):
            train(TINY, tmp_path / "run", device=name)
    assert list(tmp_path.iterdir()) == []


def test_a_gpu_beyond_the_last_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ConfigError, match="cuda:2: there are 2 CUDA devices"):
        choose_device("cuda:2")


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"model": {"d_model": 65536, "d_mlp": 65536}}, "fit in a resume file"),
        ({"model": {"n_layers": 128, "d_model": 4096, "d_mlp": 16384}}, "fit in a resume file"),
        (
            {"task": {"p": 1000}, "model": {"d_model": 16, "d_mlp": 65536}},
            "needs about .* of memory.*; try optimization.batch_size",
        ),
    ],
)
def test_what_cannot_fit_is_refused_before_anything_is_allocated_or_created(values, match, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "bytes_available", lambda device: 100 * 2**30)
    monkeypatch.setattr(Experiment, "build_model", lambda self: pytest.fail("allocated"))
    with pytest.raises(ConfigError, match=match) as refused:
        train(changed(**values), tmp_path / "run", device="cpu")
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
    ],
)
def test_running_out_of_memory_is_one_line(error, tmp_path, monkeypatch):
    def fail(self, step):
        raise error

    monkeypatch.setattr(step.Step, "gradients", fail)
    with pytest.raises(GrokinterpError, match=r"out of memory on cpu: needed about .*iB.* free; try"):
        train(TINY, tmp_path / "run", device="cpu")


@pytest.mark.parametrize("error", [RuntimeError("size mismatch"), NotImplementedError("no such kernel")])
def test_other_errors_pass_through(error, tmp_path, monkeypatch):
    def fail(self, step):
        raise error

    monkeypatch.setattr(step.Step, "gradients", fail)
    with pytest.raises(type(error), match=str(error)):
        train(TINY, tmp_path / "run", device="cpu")
