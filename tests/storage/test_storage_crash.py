"""A save killed, or failing, at every one of its system calls; the naive writer must fail the test that ours passes."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from grokinterp.errors import CheckpointError, RunDirectoryError
from grokinterp.storage import RunDirectory, encode_tensors, write_atomic
from grokinterp.storage.atomic import is_leftover

WRITER = Path(__file__).resolve().parents[1] / "support" / "crash_writer.py"
CALLS = (
    "openat write pwrite64 fsync fdatasync close ?link linkat ?rename ?renameat renameat2 ?unlink unlinkat ftruncate"
)
TRACE = "trace=" + ",".join(CALLS.split())
KINDS = ("checkpoint", "resume", "metrics")  # a status is replaced by the same calls as a resume state
FAULTS = ("signal=SIGKILL", "error=EIO", "error=ENOSPC")


class Point(NamedTuple):
    """The `when`-th `call` of the writer's process."""

    call: str
    when: int


def tensors(step: int) -> dict[str, torch.Tensor]:
    return {"W": torch.arange(300, dtype=torch.float32) + step, "update/W": torch.ones(3, dtype=torch.float64)}


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A run with checkpoints 0 and 100, resume states 100 and 200, a status and two rows; payloads beside it."""
    folder = tmp_path_factory.mktemp("crash")
    run = RunDirectory.create(folder / "run", {"name": "crash", "seed": 0}, {"threads": 1})
    with run.lock() as held:
        for step in (0, 100):
            held.save_checkpoint(step, tensors(step))
            run.resume.save(step + 100, tensors(step + 100), {"step": step + 100})
            held.metrics.append({"step": step, "train_loss": 1.0})
    run.write_status({"status": "running", "step": 100})
    (folder / "checkpoint").write_bytes(encode_tensors(tensors(200), step=200, run_id=run.run_id))
    resume = encode_tensors(tensors(300), step=300, run_id=run.run_id, extra={"state": '{"step":300}'})
    (folder / "resume").write_bytes(resume)
    return folder


def command(kind: str, run: Path, template: Path) -> list[str]:
    payload = template / ("resume" if kind == "resume" else "checkpoint")
    step = "300" if kind == "resume" else "200"
    return [sys.executable, "-S", str(WRITER), kind, str(run), step, str(payload)]


def traced(kind: str, template: Path, run: Path, fault: str = "") -> tuple[subprocess.CompletedProcess, str]:
    """Run one save on a copy of the template under strace, with one fault injected; its result and its trace."""
    shutil.copytree(template / "run", run)
    log = run.with_suffix(".strace")
    options = ["-e", f"inject={fault}"] if fault else []
    environment = {"PYTHONHASHSEED": "0", "PYTHONPYCACHEPREFIX": str(template / "pyc"), "PATH": os.environ["PATH"]}
    result = subprocess.run(
        ["strace", "-f", "-qq", "-o", str(log), "-e", TRACE, *options, *command(kind, run, template)],
        capture_output=True, text=True, env=environment, cwd=run.parent, timeout=60, check=False,
    )  # fmt: skip
    return result, log.read_text()


def points(trace: str) -> list[Point]:
    """Every system call between the two marks, numbered as strace counts."""
    counts: dict[str, int] = {}
    found, saving = [], False
    for call in re.finditer(r"^\d+\s+(\w+)\((.*)$", trace, flags=re.MULTILINE):
        counts[call[1]] = counts.get(call[1], 0) + 1
        if "END-SAVE" in call[2]:
            return found
        if saving:
            found.append(Point(call[1], counts[call[1]]))
        saving = saving or "BEGIN-SAVE" in call[2]
    raise AssertionError(f"no marks in the trace:\n{trace[-2000:]}")


def inject_everywhere(kind: str, template: Path, folder: Path, check: Callable[..., str]) -> list[str]:
    """One run per (system call, fault), each with the problem that `check` found ('' if none)."""
    traced(kind, template, folder / "warm-up")  # fills its own bytecode cache, so that every later start is the same
    baseline, trace = traced(kind, template, folder / "baseline")
    assert baseline.returncode == 0, baseline.stderr

    def one(case: tuple[int, Point, str]) -> str:
        index, point, fault = case
        run = folder / f"{index}"
        result, log = traced(kind, template, run, f"{point.call}:{fault}:when={point.when}")
        if "SIGKILL" in fault:
            assert "+++ killed by SIGKILL +++" in log, log[-500:]
        else:
            assert "(INJECTED)" in log, log[-500:]
        assert "BEGIN-SAVE" in log, "the fault came before the save"
        wrong = check(kind, template, run, result, fault)
        return wrong and f"{fault} at {point.call}: {wrong}"

    cases = [(0, point, fault) for point in points(trace) for fault in FAULTS]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, [(index, point, fault) for index, (_, point, fault) in enumerate(cases)]))


def what_is_wrong(kind: str, template: Path, path: Path, result: subprocess.CompletedProcess, fault: str) -> str:
    """Damage by the fault to the run at `path`: nothing may be torn, and the next save must work."""
    if "SIGKILL" not in fault:
        line = result.stderr.strip()
        failed_clearly = result.returncode == 2 and line.count("\n") == 0 and str(path) in line and fault[6:] in line
        if result.returncode != 0 and not failed_clearly:
            return f"exit {result.returncode}, {line!r}"
    run = RunDirectory.open(path)
    for name in ("step_00000000.safetensors", "step_00000100.safetensors"):
        if (path / "checkpoints" / name).read_bytes() != (template / "run/checkpoints" / name).read_bytes():
            return f"{name} changed"
    try:
        loaded = {step: run.load_checkpoint(step).tensors["W"][0].item() for step in run.steps()}
        resume = run.resume.load()
        table, check = run.metrics.read()
        if (
            len(table.steps) not in (2, 3)
            or check.faults
            or check.unprotected
            or run.status["step"] not in (100, 200, 300)
        ):
            return "metrics or status"
    except (CheckpointError, RunDirectoryError) as error:
        return str(error)
    if any(value != step for step, value in loaded.items()) or resume is None or resume.skipped:
        return f"checkpoints {loaded}, resume {resume}"
    if len(run.resume.steps()) < 2 or (kind == "resume" and result.returncode == 0 and resume.step != 300):
        return f"resume generations {run.resume.steps()}"
    return next_save(run)


def next_save(run: RunDirectory) -> str:
    """Save again as the next process would; return the failure."""
    with run.lock() as held:
        if leftovers := [path for path in run.path.rglob("*") if is_leftover(path.name)]:
            return f"leftovers {leftovers}"
        held.save_checkpoint(200, tensors(200))
        held.save_resume_state(300, tensors(300), {"step": 300})
        held.write_status({"status": "finished", "step": 200})
        held.metrics.append({"step": 300})
    resume = run.resume.load()
    complete = run.load_checkpoint(200).step == 200 and resume is not None and resume.step == 300
    return "" if complete and run.resume.steps() == (200, 300) else "the next save did not work"


@pytest.mark.strace
@pytest.mark.parametrize("kind", KINDS)
def test_fault_at_every_system_call_tears_nothing(kind, template, tmp_path):
    wrong = inject_everywhere(kind, template, tmp_path, what_is_wrong)
    assert len(wrong) >= (6 if kind == "metrics" else 24)
    assert [line for line in wrong if line] == []


@pytest.mark.strace
def test_naive_writer_fails_the_same_test(template, tmp_path):
    wrong = [line for line in inject_everywhere("naive", template, tmp_path, what_is_wrong) if line]
    assert any("SIGKILL" in line and "step_00000200" in line for line in wrong)
    assert any("ENOSPC" in line for line in wrong)


@pytest.mark.strace
def test_order_of_system_calls_makes_it_durable(template, tmp_path):
    """Order that no kill can show: data is on disk before it gets its name, the name before the save returns."""
    for kind, publish in (("checkpoint", ["link", "unlink"]), ("status", ["rename", "unlink"])):
        _, trace = traced(kind, template, tmp_path / kind)
        calls = [re.sub(r"at2?$", "", point.call) for point in points(trace)]
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
    assert what_is_wrong(kind, template, tmp_path / "run", result, error) == ""


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
