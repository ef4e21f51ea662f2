"""Checkpoints are written while training continues, as if each were written at once."""

import resource
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager

import pytest
import torch

from grokinterp.errors import WriteError
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory, WriteQueue
from grokinterp.training import train
from grokinterp.training.host_copy import HostCopy
from grokinterp.training.loop import train_stack
from tests.support.small_runs import TINY, changed, written

EXPERIMENT = changed(optimization={"average": 0.9}, save={"dense_until": 30})


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Trajectory:
    return train(EXPERIMENT, tmp_path_factory.mktemp("finished") / "run", device="cpu")


class Late(Future):
    """A write that happens when its end is awaited."""

    def __init__(self, write: Callable[[], None]) -> None:
        super().__init__()
        self.write = write

    def result(self, timeout: float | None = None) -> None:
        if not self.done():
            self.write()
            self.set_result(None)


def claims(run: RunDirectory) -> list[int]:
    """The steps that metrics, resume states and the end of the run refer to."""
    ended = [run.status["step"]] if run.status.get("status") in ("finished", "interrupted") else []
    return [*run.read_metrics()[0].steps, *run.resume.steps(), *ended]


def test_late_writes_give_the_same_files_and_nothing_claims_a_checkpoint_that_is_missing(
    finished, tmp_path, monkeypatch
):
    def add_late(queue: WriteQueue, write: Callable[[], None], size: int) -> Late:
        def checked() -> None:
            write()
            run = RunDirectory.open(tmp_path / "run")
            assert max(claims(run), default=0) <= max(run.steps())

        return Late(checked)

    monkeypatch.setattr(WriteQueue, "add", add_late)
    assert written(train(EXPERIMENT, tmp_path / "run", device="cpu").path) == written(finished.path)


def test_late_writes_of_a_stack_give_the_same_files(tmp_path, monkeypatch):
    experiments = [changed(EXPERIMENT, seed=seed, save={"every": 1 + seed}) for seed in (0, 1)]
    plain, late = ([tmp_path / kind / str(number) for number in (0, 1)] for kind in ("plain", "late"))
    train_stack(experiments, plain, device="cpu")
    monkeypatch.setattr(WriteQueue, "add", lambda queue, write, size: Late(write))
    train_stack(experiments, late, device="cpu")
    assert [written(path) for path in late] == [written(path) for path in plain]


@contextmanager
def files_of_at_most(size: int) -> Generator[None]:
    """Let the system refuse longer files to this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_the_system_refuses_ends_the_run_and_nothing_after_it_is_written(finished, tmp_path):
    sizes = [finished.directory.checkpoint_path(step).stat().st_size for step in (0, 2)]
    refused = r"cannot write .*step_00000002\.safetensors: File too large \(EFBIG, errno 27\)"
    with pytest.raises(WriteError, match=refused), files_of_at_most(sum(sizes) // 2):
        train(EXPERIMENT, tmp_path / "run", device="cpu")
    run = RunDirectory.open(tmp_path / "run")
    assert (run.steps(), set(claims(run))) == ((0,), {0})
    assert not list(run.path.rglob("*.tmp"))
    assert written(train(EXPERIMENT, run.path, device="cpu", resume=True).path) == written(finished.path)


def test_a_refused_write_is_reported_at_the_next_checkpoint(tmp_path):
    """Not only at the next evaluation, which may be far away."""
    rare = changed(TINY, save={"every": 1, "resume_every": 10**5}, evaluate_every=10**5, steps=10**5)
    with pytest.raises(WriteError, match="EFBIG"), files_of_at_most(4096):
        train(rare, tmp_path / "run", device="cpu")


@pytest.mark.parametrize("tensors", [{}, {"a": torch.tensor(1.0)}, {"b": torch.ones(2, 3).T, "a": torch.zeros(0)}])
def test_a_copy_keeps_names_order_types_and_shapes_and_shares_nothing(tensors):
    mixed = {**tensors, "mask": torch.tensor([True, False]), "double": torch.rand(2, 2, dtype=torch.float64)}
    before, copy = {name: tensor.clone() for name, tensor in mixed.items()}, HostCopy(mixed)
    for tensor in mixed.values():
        tensor.zero_()
    found = copy.tensors()
    assert list(found) == list(before)
    for name, tensor in before.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)
    assert copy.size == sum(tensor.nbytes for tensor in before.values())
