"""The lock of a run whose files vanish while it is held: noticed at the next write, and never a second writer."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable

import pytest

from grokinterp.errors import RunDirectoryError
from grokinterp.storage import HeldRun, RunDirectory
from tests.support.stored import EXPERIMENT, tensors

WRITES: dict[str, Callable[[HeldRun], None]] = {
    "metrics": lambda held: held.metrics.append({"step": 1, "train_loss": 1.0}),
    "checkpoint": lambda held: held.save_checkpoint(1, tensors()),
    "resume state": lambda held: held.save_resume_state(1, tensors(), {}),
    "status": lambda held: held.write_status({"status": "running", "step": 1}),
    "environment": lambda held: held.write_environment({"threads": 1}),
    "continuation": lambda held: held.record_continuation({"step": 1}),
}


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    made = RunDirectory.create(tmp_path / "run", EXPERIMENT, {})
    with made.lock() as held:
        held.metrics.append({"step": 0, "train_loss": 2.0})
    return made


def files(run: RunDirectory) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in run.path.rglob("*") if path.is_file()}


@pytest.mark.parametrize("write", WRITES)
def test_a_removed_lock_admits_nobody_and_is_created_again(write, run):
    with run.lock() as held:
        (run.path / "lock").unlink()
        with pytest.raises(RunDirectoryError, match="in use by another process"), run.lock():
            pass
        with pytest.warns(UserWarning, match=r"lock was removed during the run and was created again"):
            WRITES[write](held)
        assert json.loads((run.path / "lock").read_bytes())["pid"] == os.getpid()
        with pytest.raises(RunDirectoryError, match=f"in use by process {os.getpid()}"), run.lock():
            pass
    with run.lock() as held:
        WRITES["status"](held)


@pytest.mark.parametrize("write", WRITES)
def test_nothing_is_written_once_another_process_has_the_lock(write, run):
    """The other process is an earlier version, which locks the file alone."""
    with run.lock() as held:
        (run.path / "lock").unlink()
        other = os.open(run.path / "lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(other, fcntl.LOCK_EX)
            before = files(run)
            with pytest.raises(RunDirectoryError, match="in use by another process"):
                WRITES[write](held)
            assert files(run) == before
        finally:
            os.close(other)


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("replaced", [False, True])
def test_nothing_is_written_to_a_directory_in_the_place_of_the_run(write, replaced, run):
    with run.lock() as held:
        run.path.rename(run.path.with_name("moved"))
        if replaced:
            shutil.copytree(run.path.with_name("moved"), run.path)
        before = files(run)
        with pytest.raises(RunDirectoryError, match="was removed or replaced while this process wrote to it"):
            WRITES[write](held)
        assert files(run) == before
