"""The work on a node of a cluster, without a cluster: in the sweep's folder, and on its own disk."""

import os
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from grokinterp._version import __version__
from grokinterp.errors import GrokinterpError, RunDirectoryError
from grokinterp.experiment import Experiment
from grokinterp.storage import RunDirectory
from grokinterp.sweeps.entry import Entry, entries_in
from grokinterp.sweeps.run_files import files_of, put_files
from grokinterp.sweeps.trial import Board, Given, Trial, perform
from grokinterp.sweeps.worker import Order
from grokinterp.training import train
from grokinterp.training.memory import traced_for
from tests.support.small_runs import TINY, changed, written
from tests.support.stopped_runs import train_until


class Directly:
    """A board in this process."""

    def __init__(self) -> None:
        self.board = Board()

    @property
    def put(self) -> "Directly":
        return self

    def remote(self, *arguments: Any) -> None:
        self.board.put(*arguments)


@pytest.fixture
def scratch(tmp_path, monkeypatch) -> Path:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


@pytest.fixture(autouse=True)
def interrupts():
    """The handler of SIGINT is restored."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def given(entry: Entry, files: dict[str, bytes] | None = None) -> Given:
    counted = tuple(traced_for(entry.experiment))
    order = Order(str(entry.directory), entry.experiment.to_dict(), (), "cpu", counted)
    return Given(order, entry.reached, files)


def trial(*runs: Given, mark: Path | str = "nowhere", version: str = __version__) -> Trial:
    return Trial(runs, version, str(mark), "0a1b2c3d")


def entry_of(root: Path, experiment: Experiment = TINY) -> Entry:
    return entries_in(root, [experiment])[0]


def results(path: Path) -> dict[str, bytes]:
    return {name: content for name, content in written(path).items() if name != "clock.json"}


def test_a_worker_with_the_storage_of_the_sweep_trains_in_its_folder(tmp_path, scratch):
    (tmp_path / "mark").touch()
    entry, board = entry_of(tmp_path / "root"), Directly()
    for _ in range(2):  # the second time, nothing is trained
        [found] = perform(trial(given(entry), mark=tmp_path / "mark"), board)
        assert (found.ended.failure, found.files, found.is_stopped) == (None, None, False)
    train(TINY, tmp_path / "serial", device="cpu")
    assert results(entry.directory) == results(tmp_path / "serial")
    assert list(scratch.glob("grokinterp-*")) == []
    assert board.board.take()[entry.run_id].step == 0
    assert board.board.take() == {}


def test_a_worker_with_its_own_disk_sends_the_run_and_keeps_nothing(tmp_path, scratch):
    entry = entry_of(tmp_path / "root")
    [found] = perform(trial(given(entry)), Directly())
    assert not entry.directory.exists()
    put_files(found.files, entry.directory, entry.run_id)
    train(TINY, tmp_path / "serial", device="cpu")
    assert results(entry.directory) == results(tmp_path / "serial")
    assert [path for path in scratch.rglob("*") if not path.is_dir()] == []


def test_a_worker_with_its_own_disk_asks_for_the_files_of_an_interrupted_run(tmp_path, scratch):
    entry = entry_of(tmp_path / "root")
    train_until(entry.directory, 20)
    [found] = perform(trial(given(entry)), Directly())
    assert found.lacks_files
    assert found.files is None
    [found] = perform(trial(given(entry, files_of(entry.directory))), Directly())
    put_files(found.files, entry.directory, entry.run_id)
    train(TINY, tmp_path / "serial", device="cpu")
    assert results(entry.directory) == results(tmp_path / "serial")


def test_a_worker_continues_what_a_dead_one_left_on_its_disk(tmp_path, scratch):
    entry = entry_of(tmp_path / "root")
    left = scratch / f"grokinterp-{os.getuid()}" / "0a1b2c3d" / entry.directory.name
    left.parents[1].mkdir(mode=0o700)
    train_until(left, 20)
    [found] = perform(trial(given(entry)), Directly())
    put_files(found.files, entry.directory, entry.run_id)
    clock = RunDirectory(entry.directory).document("clock.json")
    assert [session["steps"][0] for session in clock["sessions"]] == [21]
    train(TINY, tmp_path / "serial", device="cpu")
    assert results(entry.directory) == results(tmp_path / "serial")


def test_the_folder_of_another_user_is_not_used(tmp_path, scratch):
    (scratch / f"grokinterp-{os.getuid()}").mkdir(mode=0o777)
    (scratch / f"grokinterp-{os.getuid()}").chmod(0o777)
    with pytest.raises(RunDirectoryError, match="belongs to another user, or others can use it"):
        perform(trial(given(entry_of(tmp_path / "root"))), Directly())


def test_failures_are_reported_and_divergence_is_none(tmp_path, scratch):
    (tmp_path / "mark").touch()
    blocked = entry_of(tmp_path / "root")
    blocked.directory.mkdir(parents=True)
    (blocked.directory / "notes.txt").touch()
    [found] = perform(trial(given(blocked), mark=tmp_path / "mark"), Directly())
    assert "is not empty: it holds 'notes.txt'" in str(found.ended.failure)
    diverging = entry_of(tmp_path / "root", changed(optimization={"loss": "mse", "init_scale": 1000.0}))
    [found] = perform(trial(given(diverging)), Directly())
    assert found.ended.failure is None
    put_files(found.files, diverging.directory, diverging.run_id)
    assert RunDirectory.open(diverging.directory).status["status"] == "diverged"


def test_a_run_that_is_trained_elsewhere_is_left_to_the_other(tmp_path):
    (tmp_path / "mark").touch()
    entry = entry_of(tmp_path / "root")
    train_until(entry.directory, 20)
    with RunDirectory(entry.directory).lock():
        [found] = perform(trial(given(entry), mark=tmp_path / "mark"), Directly())
    assert found.ended.is_elsewhere


def test_cancellation_saves_the_run_and_sends_it(tmp_path, scratch):
    """Ray cancels a task by an interrupt of the main thread of its worker."""
    entry = entry_of(tmp_path / "root", changed(steps=100_000, save={"every": 50_000, "dense_until": 0}))
    left = scratch / f"grokinterp-{os.getuid()}" / "0a1b2c3d" / entry.directory.name

    def cancel() -> None:
        while not list(left.glob("resume/*")):
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=cancel).start()
    [found] = perform(trial(given(entry)), Directly())
    assert found.is_stopped
    put_files(found.files, entry.directory, entry.run_id)
    status = RunDirectory.open(entry.directory).status
    assert status["status"] == "interrupted"
    assert entry.reached == status["step"] > 0


def test_several_runs_are_trained_as_one_program(tmp_path, scratch):
    entries = entries_in(tmp_path / "root", [changed(seed=seed) for seed in range(3)])
    found = perform(trial(*map(given, entries)), Directly())
    for entry, one in zip(entries, found, strict=True):
        put_files(one.files, entry.directory, entry.run_id)
        run = RunDirectory.open(entry.directory)
        assert (run.status["status"], run.environment["stack"]) == ("finished", 3)


def test_a_worker_with_another_version_refuses(tmp_path):
    with pytest.raises(GrokinterpError, match=rf"a worker has grokinterp {__version__}, and the sweep 0\.0\.1"):
        perform(trial(given(entry_of(tmp_path)), version="0.0.1"), Directly())
