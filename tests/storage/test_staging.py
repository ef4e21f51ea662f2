"""A directory that is built beside its target: whole, or absent, whenever its process is killed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from grokinterp.errors import GrokinterpError, RunDirectoryError
from grokinterp.storage import RunDirectory
from grokinterp.storage.lock import HeldLock
from grokinterp.storage.staging import built_beside


def create(lock: HeldLock) -> None:
    RunDirectory.create(lock.path.parent, {"name": "built", "seed": 0}, {"threads": 1})


def in_a_process_that_is_killed(target: Path, before: Callable[[HeldLock], None]) -> None:
    """Build a directory in a forked process, killed in the block after ``before``."""
    pid = os.fork()
    if not pid:
        with built_beside(target) as lock:
            before(lock)
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_the_directory_is_there_when_the_block_ends(tmp_path):
    with built_beside(tmp_path / "runs" / "run") as lock:
        create(lock)
        assert not (tmp_path / "runs" / "run").exists()
        with pytest.raises(RunDirectoryError, match="is left over from an interrupted import"):
            RunDirectory.open(lock.path.parent)
    assert RunDirectory.open(tmp_path / "runs" / "run").experiment["name"] == "built"
    assert os.listdir(tmp_path / "runs") == ["run"]


def test_nothing_remains_of_a_block_that_raises(tmp_path):
    def fails() -> None:
        with built_beside(tmp_path / "run") as lock:
            create(lock)
            raise GrokinterpError("no more")

    with pytest.raises(GrokinterpError, match="no more"):
        fails()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("before", [lambda lock: None, create], ids=["empty", "created"])
def test_what_a_killed_process_leaves_is_no_run_and_is_removed_by_the_next(before, tmp_path):
    in_a_process_that_is_killed(tmp_path / "run", before)
    (left,) = os.listdir(tmp_path)
    with pytest.raises(RunDirectoryError):
        RunDirectory.open(tmp_path / left)
    (tmp_path / ".importing-mine").mkdir()  # another name, which is not ours
    with built_beside(tmp_path / "other") as lock:
        create(lock)
    assert {*os.listdir(tmp_path)} == {"other", ".importing-mine"}


def test_what_a_living_process_builds_is_kept(tmp_path):
    with built_beside(tmp_path / "one") as lock:
        create(lock)
        with built_beside(tmp_path / "two") as other:
            create(other)
        assert (lock.path.with_name("experiment.json")).exists()
    assert {*os.listdir(tmp_path)} == {"one", "two"}


def test_a_directory_that_was_filled_meanwhile_is_kept(tmp_path):
    def fills() -> None:
        with built_beside(tmp_path / "run") as lock:
            create(lock)
            (tmp_path / "run" / "mine").mkdir(parents=True)
            (tmp_path / "run" / "mine" / "file").touch()

    with pytest.raises(GrokinterpError, match="cannot write"):
        fills()
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "mine", "file"]
