"""Round trips, refusals and damage of everything in a run directory."""

import errno
import hashlib
import json
import math
import os
import re
import threading

import numpy as np
import pytest

from grokinterp.errors import CheckpointError, ConfigError, GrokinterpError, RunDirectoryError
from grokinterp.report.write import report_file
from grokinterp.storage import (
    RunDirectory,
    configuration_hash,
    encode_tensors,
    remove_leftovers,
    write_atomic,
)
from grokinterp.storage.atomic import html_file, is_leftover
from tests.support.stored import EXPERIMENT, same, tensors


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", EXPERIMENT, {"threads": 1})


# --- the atomic writer -----------------------------------------------------------------------------------------------


def test_write_atomic_replaces_or_refuses(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, b"one", replace=False)
    with pytest.raises(FileExistsError):
        write_atomic(path, b"two", replace=False)
    assert path.read_bytes() == b"one"
    write_atomic(path, b"two", replace=True)
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_honor_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "file", b"", replace=False)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("call", ["open", "write", "fsync", "link", "close"])
def test_failed_write_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, call):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"grokinterp.storage.atomic.os.{call}", fail)
    with pytest.raises(GrokinterpError) as caught:
        write_atomic(tmp_path / "file", b"data", replace=False)
    monkeypatch.undo()
    assert str(caught.value) == f"cannot write {tmp_path}/file: No space left on device (ENOSPC, errno 28)"
    assert os.listdir(tmp_path) == []


def test_file_system_without_hard_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("grokinterp.storage.atomic.os.link", refuse)
    write_atomic(tmp_path / "file", b"one", replace=False)
    with pytest.raises(FileExistsError):
        write_atomic(tmp_path / "file", b"two", replace=False)
    assert (tmp_path / "file").read_bytes() == b"one"


def test_interrupt_during_a_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("grokinterp.storage.atomic.os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "file", b"one", replace=False)
    assert os.listdir(tmp_path) == []


def test_only_leftovers_are_removed(tmp_path):
    for name in (".a.json.0123abcd.tmp", "a.json", ".hidden.tmp", "x.0123abcd.tmp"):
        (tmp_path / name).touch()
    assert remove_leftovers(tmp_path) == (".a.json.0123abcd.tmp",)
    assert sorted(os.listdir(tmp_path)) == [".hidden.tmp", "a.json", "x.0123abcd.tmp"]
    assert remove_leftovers(tmp_path / "absent") == ()


# --- the run directory -----------------------------------------------------------------------------------------------


def test_create_and_open(run):
    again = RunDirectory.open(run.path)
    assert (again.experiment, again.environment, again.status, again.steps()) == (EXPERIMENT, {"threads": 1}, {}, ())
    assert again == run
    assert again.resume.load() is None
    assert list(again.read_metrics()[0].rows()) == []
    assert again.run_id == configuration_hash(EXPERIMENT)


def test_run_id_is_a_hash_of_the_configuration_but_its_name():
    text = '{"seed":0,"task":{"kind":"modular_addition","p":5}}'
    assert configuration_hash(EXPERIMENT) == hashlib.sha256(text.encode()).hexdigest()[:10]
    assert configuration_hash(EXPERIMENT | {"name": "other"}) == configuration_hash(EXPERIMENT)
    assert configuration_hash(EXPERIMENT | {"seed": 1}) != configuration_hash(EXPERIMENT)
    with pytest.raises(ValueError, match="not JSON compliant"):
        configuration_hash({"learning_rate": math.nan})


@pytest.mark.parametrize("name", ["experiment.json", "notes.txt", ".git", "checkpoints/step_00000000.safetensors"])
def test_create_refuses_a_directory_with_content(tmp_path, name):
    (tmp_path / "run" / name).parent.mkdir(parents=True)
    (tmp_path / "run" / name).touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RunDirectoryError, match="is not empty: it holds"):
        RunDirectory.create(tmp_path / "run", EXPERIMENT, {})
    assert sorted(tmp_path.rglob("*")) == before


def test_create_tolerates_its_own_lock_and_what_a_killed_creation_left(tmp_path):
    path = tmp_path / "deep/run"
    for name in ("lock", ".experiment.json.0123abcd.tmp"):
        path.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    (path / "checkpoints").mkdir()
    run = RunDirectory.create(path, EXPERIMENT, {})
    with run.lock():
        assert not [name for name in os.listdir(path) if is_leftover(name)]


def test_create_refuses_what_cannot_be_written_before_anything_exists(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file/run"):
        with pytest.raises(GrokinterpError, match="file"):
            RunDirectory.create(path, EXPERIMENT, {})
    with pytest.raises(ValueError, match="not JSON compliant"):
        RunDirectory.create(tmp_path / "run", {"seed": math.inf}, {})
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "no experiment.json"), ("{", "damaged"), ("[1]", "not a JSON object"), ('{"p": NaN}', "NaN is not JSON")],
)
def test_open_refuses_what_is_no_run(tmp_path, content, why):
    if content:
        (tmp_path / "experiment.json").write_text(content)
    with pytest.raises(RunDirectoryError, match=why):
        RunDirectory.open(tmp_path)
    with pytest.raises(RunDirectoryError, match="does not exist"):
        RunDirectory.open(tmp_path / "absent")


def test_status_is_replaced(run):
    run.write_status({"status": "running", "step": 3})
    run.write_status({"status": "diverged", "step": 4, "why": "NaN in the gradient"})
    assert run.status == {"status": "diverged", "step": 4, "why": "NaN in the gradient"}
    with pytest.raises(ValueError, match="status='done': must be one of running"):
        run.write_status({"status": "done"})


# --- checkpoints -----------------------------------------------------------------------------------------------------


def test_checkpoints_round_trip_and_are_listed_by_name(run):
    for step in (1200, 0, 7):
        run.save_checkpoint(step, tensors(step))
    for name in ("step_7.safetensors", ".step_00000009.safetensors.0123abcd.tmp", "step_00000008.pt", "notes"):
        (run.path / "checkpoints" / name).touch()
    assert run.steps() == (0, 7, 1200)
    assert run.checkpoint_path(1200).name == "step_00001200.safetensors"
    stored = run.load_checkpoint(1200)
    assert same(stored.tensors, tensors(1200))
    assert (stored.step, stored.run_id) == (1200, run.run_id)


def test_checkpoint_is_immutable(run):
    run.save_checkpoint(5, tensors())
    before = run.checkpoint_path(5).stat()
    run.save_checkpoint(5, tensors())
    assert run.checkpoint_path(5).stat().st_ino == before.st_ino
    with pytest.raises(RunDirectoryError, match=r"step_00000005\.safetensors exists with different content"):
        run.save_checkpoint(5, tensors(2.0))
    assert same(run.load_checkpoint(5).tensors, tensors())


@pytest.mark.parametrize("position", [0, 100, -1])
def test_damaged_checkpoint_is_named_replaced_and_alone(run, position):
    run.save_checkpoint(1, tensors())
    run.save_checkpoint(2, tensors())
    data = bytearray(run.checkpoint_path(1).read_bytes())
    data[position] ^= 4
    run.checkpoint_path(1).write_bytes(data)
    with pytest.raises(CheckpointError, match="step_00000001"):
        run.load_checkpoint(1)
    assert same(run.load_checkpoint(2).tensors, tensors())
    run.save_checkpoint(1, tensors())
    assert same(run.load_checkpoint(1).tensors, tensors())


@pytest.mark.parametrize("step", [0, 2, -1, "1", None, 1.0])
def test_a_step_is_there_or_not_whatever_is_asked(step, run):
    run.save_checkpoint(1, tensors())
    assert not run.has_checkpoint(step)
    assert run.has_checkpoint(1)
    assert run.has_checkpoint(np.int64(1))


def test_checkpoint_of_another_step_or_run_is_refused(run, tmp_path):
    run.save_checkpoint(1, tensors())
    run.checkpoint_path(2).write_bytes(run.checkpoint_path(1).read_bytes())
    with pytest.raises(CheckpointError, match="holds step 1, not 2"):
        run.load_checkpoint(2)
    other = RunDirectory.create(tmp_path / "other", EXPERIMENT | {"seed": 1}, {})
    other.checkpoint_path(1).write_bytes(run.checkpoint_path(1).read_bytes())
    with pytest.raises(CheckpointError, match=f"belongs to run '{run.run_id}'"):
        other.load_checkpoint(1)


# --- resume ----------------------------------------------------------------------------------------------------------


def test_two_resume_generations_are_kept(run):
    for step in (100, 200, 300):
        run.resume.save(step, tensors(step), {"offset": step, "schedule": [1, 2.5, None]})
    assert run.resume.steps() == (200, 300)
    resume = run.resume.load()
    assert (resume.step, resume.state, resume.skipped) == (300, {"offset": 300, "schedule": [1, 2.5, None]}, ())
    assert same(resume.tensors, tensors(300))


def test_resume_falls_back_and_says_so(run):
    for step in (100, 200):
        run.resume.save(step, tensors(step), {"step": step})
    path = run.path / "resume/step_00000200.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    resume = run.resume.load()
    assert (resume.step, resume.state) == (100, {"step": 100})
    assert len(resume.skipped) == 1
    assert "step_00000200.safetensors skipped: truncated" in resume.skipped[0]
    run.resume.save(150, tensors(150), {"step": 150})
    assert run.resume.steps() == (100, 150)
    for step in (100, 150):
        (run.path / f"resume/step_{step:08d}.safetensors").write_bytes(b"")
    with pytest.raises(RunDirectoryError, match=r"no usable resume state: .*150.*empty file; .*100.*empty file"):
        run.resume.load()


def test_resume_of_another_run_or_without_state_is_refused(run):
    for data in (
        encode_tensors({}, step=1, run_id="other", extra={"state": "{}"}),
        encode_tensors({}, step=1, run_id=run.run_id),
        encode_tensors({}, step=1, run_id=run.run_id, extra={"state": "[]"}),
    ):
        (run.path / "resume/step_00000001.safetensors").write_bytes(data)
        with pytest.raises(RunDirectoryError, match=r"belongs to run|holds no resume state"):
            run.resume.load()
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.resume.save(1, {}, {"best": math.inf})


# --- one writer, many readers ----------------------------------------------------------------------------------------


def test_live_reading_while_a_thread_writes(run):
    """Every read during the writing is whole: no error, no torn row, no half checkpoint."""
    reads, steps, errors = [], [], []

    def write() -> None:
        try:
            with run.lock() as held:
                while len(steps) < 50 or (len(reads) < 20 and not errors):
                    step = len(steps)
                    held.save_checkpoint(step, tensors(step))
                    held.metrics.append({"step": step, "norms": dict.fromkeys(map(str, range(50)), 0.1)})
                    held.write_status({"status": "running", "step": step})
                    steps.append(step)
                held.write_status({"status": "finished", "step": steps[-1]})
        except Exception as error:
            errors.append(error)

    def read() -> None:
        for step in RunDirectory.open(run.path).steps()[-3:]:
            assert same(run.load_checkpoint(step).tensors, tensors(step))
        table, check = run.read_metrics()
        assert (list(table.steps), check.faults) == (list(range(len(table.steps))), "")
        assert run.status.get("status", "running") in ("running", "finished")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while writer.is_alive():
            read()
            reads.append(len(steps))
    except BaseException as error:
        errors.append(error)
        raise
    finally:
        writer.join()
    assert errors == []
    assert run.steps() == tuple(steps)


def test_lock_overwrites_an_earlier_holder_of_any_length(run):
    (run.path / "lock").write_text(json.dumps({"pid": 1, "host": "h" * 200}))
    with run.lock():
        assert json.loads((run.path / "lock").read_text()) == {"pid": os.getpid(), "host": os.uname().nodename}


def test_second_lock_of_the_same_process_is_refused(run):
    with run.lock():
        with pytest.raises(RunDirectoryError, match=f"in use by process {os.getpid()} on host"), run.lock():
            pass
        (run.path / "lock").write_text("no JSON")
        with pytest.raises(RunDirectoryError, match="in use by another process"), run.lock():
            pass
    with run.lock():
        pass
    with pytest.raises(RunDirectoryError, match="cannot be locked"), RunDirectory(run.path / "absent").lock():
        pass


@pytest.mark.parametrize("name", ["metrics.jsonl", "page", "a.html.json", ".html"])
def test_a_page_never_replaces_a_file_of_another_kind(name, tmp_path):
    (tmp_path / name).write_text("of a run")
    for of in (lambda out: html_file("out", out), lambda out: report_file(tmp_path, out)):
        with pytest.raises(ConfigError, match=rf"^out=.*{re.escape(name)}: must end in \.html$"):
            of(tmp_path / name)
    assert html_file("out", tmp_path / "a.html") == tmp_path / "a.html"
