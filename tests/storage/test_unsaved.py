"""A run that is recorded as running: its lock shows whether a process is still training it."""

import json
import threading
import time

import pytest

from grokinterp.diagnostics.facts import Facts
from grokinterp.report.content import warnings
from grokinterp.runs.results import Results
from grokinterp.storage import RunDirectory
from grokinterp.storage.lock import is_held, lock_file
from tests.support.small_runs import draw_checkpoints

UNSAVED = "interrupted without saving (killed, or the disk was full)"


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    """A run with a saved state at step 7, whose process ended without updating the status."""
    run = draw_checkpoints(tmp_path / "my run").directory
    with run.lock():
        run.write_status({"status": "running", "step": 0})
        run.resume.save(7, {}, {})
    return run


def test_a_killed_run_is_interrupted_wherever_its_status_is_shown(run):
    results = Results.open(run.path)
    assert (run.status["status"], run.status["step"]) == ("interrupted", 7)
    again = f"grokinterp train --resume --out '{run.path}' continues from step 7"
    assert f"(Status: 20 of 30 steps, {UNSAVED}; {again}.)" in results.sentence
    assert results.summary()["status"]["status"] == "interrupted"
    assert f"Training was {UNSAVED}; {again}." in warnings(results)
    assert Facts.of(results).cut_short


def test_without_a_saved_state_training_starts_again(run):
    for path in run.path.glob("resume/*"):
        path.unlink()
    assert run.status["why"].endswith("starts again at step 0")


def test_a_living_run_is_running_and_one_that_finished_has_finished(run):
    with run.lock():
        assert run.status == {"status": "running", "step": 0}
        run.write_status({"status": "finished", "step": 30})
    assert run.status == {"status": "finished", "step": 30}


@pytest.mark.parametrize("lock", [None, b"", b"{}", json.dumps({"pid": 1, "host": "another"}).encode()])
def test_without_a_usable_lock_the_status_is_unknown(lock, run):
    path = run.path / "lock"
    path.unlink() if lock is None else path.write_bytes(lock)
    assert is_held(path) is None
    assert f"running or {UNSAVED}, which is unknown here" in Results.open(run.path).sentence


def test_asking_never_keeps_a_writer_out(tmp_path):
    path, stop, asked = tmp_path / "lock", threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            asked.append(is_held(path))
            time.sleep(0.001)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    try:
        for _ in range(100):
            with lock_file(path):
                assert is_held(path)
            time.sleep(0.001)
    finally:
        stop.set()
        for asker in askers:
            asker.join()
    assert {True, False} <= set(asked)
