"""A save killed, or failing, at every one of its system calls; the naive writer must fail the test that ours passes."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from benchmarks.reliability.system_calls import command, inject, make_template, points, traced, what_is_wrong
from benchmarks.reliability.trial import End
from grokinterp.errors import RunDirectoryError
from grokinterp.storage import RunDirectory, write_atomic

KINDS = ("checkpoint", "resume", "metrics")  # a status is replaced by the same calls as a resume state


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    return make_template(tmp_path_factory.mktemp("crash"))


@pytest.mark.strace
@pytest.mark.parametrize("kind", KINDS)
def test_fault_at_every_system_call_tears_nothing(kind, template, tmp_path):
    trials = inject(kind, template, tmp_path / kind)
    assert len(trials) >= (6 if kind == "metrics" else 24)
    assert [trial for trial in trials if trial.end not in (End.EQUAL, End.NAMED)] == []


@pytest.mark.strace
def test_naive_writer_fails_the_same_test(template, tmp_path):
    wrong = [trial for trial in inject("naive", template, tmp_path / "naive") if trial.end is End.SILENT]
    assert any("SIGKILL" in trial.fault and "step_00000200" in trial.said for trial in wrong)
    assert any("ENOSPC" in trial.fault for trial in wrong)


@pytest.mark.strace
def test_order_of_system_calls_makes_it_durable(template, tmp_path):
    """Order that no kill can show: data is on disk before it gets its name, the name before the save returns."""
    for kind, publish in (("checkpoint", ["link", "unlink"]), ("status", ["rename", "unlink"])):
        calls = [re.sub(r"at2?$", "", point.call) for point in points(traced(kind, template, tmp_path / kind).trace)]
        assert calls == ["open", "write", "fsync", "close", *publish, "open", "fsync", "close"]


@pytest.mark.parametrize("kind", ["checkpoint", "resume", "status", "metrics"])
def test_disk_full_in_the_middle_of_a_write(kind, template, tmp_path):
    """A file size limit gives a true short write and then an error."""
    shutil.copytree(template / "run", tmp_path / "run")
    limit = str((template / "run/metrics.jsonl").stat().st_size + 7)
    line = command(kind, tmp_path / "run", template)
    result = subprocess.run([*line, limit], capture_output=True, text=True, timeout=60, check=False)
    error = "error=ENOSPC" if kind == "metrics" else "error=EFBIG"
    assert result.returncode == 2
    assert what_is_wrong(kind, template, tmp_path / "run", result.returncode, result.stderr, error) == ""


def test_short_writes_are_continued(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr("grokinterp.storage.atomic.os.write", lambda fd, data: write(fd, data[:7]))
    write_atomic(tmp_path / "file", bytes(range(256)), replace=False)
    assert (tmp_path / "file").read_bytes() == bytes(range(256))


def test_lock_refuses_at_once_names_the_holder_and_dies_with_it(template, tmp_path):
    shutil.copytree(template / "run", tmp_path / "run")
    run = RunDirectory.open(tmp_path / "run")
    with subprocess.Popen(command("hold", run.path, template), stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        started = time.perf_counter()
        with pytest.raises(RunDirectoryError, match=rf"in use by process {holder.pid} on host '{os.uname().nodename}'"):
            run.lock().__enter__()
        assert time.perf_counter() - started < 0.5
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
    with run.lock():
        pass
