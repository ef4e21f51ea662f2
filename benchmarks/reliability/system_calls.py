"""A save that is killed or fails at each of its system calls, by strace; a naive writer is the control."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.reliability.specimen import Lab
from benchmarks.reliability.trial import End, Row, Trial, row
from grokinterp.errors import CheckpointError, RunDirectoryError
from grokinterp.storage import RunDirectory, encode_tensors
from grokinterp.storage.atomic import is_leftover

WRITER = Path(__file__).with_name("crash_writer.py")
ROOT = WRITER.parents[2]
CALLS = (
    "openat write pwrite64 fsync fdatasync close ?link linkat ?rename ?renameat renameat2 ?unlink unlinkat ftruncate"
)
TRACE = "trace=" + ",".join(CALLS.split())
KINDS = ("checkpoint", "resume", "status", "metrics")
FAULTS = ("signal=SIGKILL", "error=EIO", "error=ENOSPC")


class Point(NamedTuple):
    """The ``when``-th ``call`` of the writer's process."""

    call: str
    when: int


class Traced(NamedTuple):
    """A save under strace: exit code, standard error, and the trace."""

    code: int
    err: str
    trace: str


def faults(lab: Lab) -> Iterator[Row]:
    """Break every save at every system call."""
    if shutil.which("strace") is None:
        yield row("a save killed, or failing, at a system call", (), "strace is not installed")
        return
    template = make_template(lab.folder / "template")
    for kind in KINDS:
        trials = inject(kind, template, lab.folder / kind, most=6 if lab.small else None)
        for fault in FAULTS:
            of = [trial for trial in trials if trial.fault.startswith(fault)]
            yield row(f"{FAULT_NAMES[fault]} at every system call of a save: {kind}", of)
    control = inject("naive", template, lab.folder / "naive", most=6 if lab.small else None)
    failed = [trial for trial in control if trial.end is End.SILENT]
    killed = [trial for trial in failed if "SIGKILL" in trial.fault]
    fails = bool(failed if lab.small else killed)
    said = next((trial.said for trial in [*killed, *failed]), "the naive writer passed")
    yield row(
        "control: a naive writer must fail the same trials", [Trial("naive", End.NAMED if fails else End.SILENT, said)]
    )


FAULT_NAMES = {"signal=SIGKILL": "kill -9", "error=EIO": "I/O error", "error=ENOSPC": "disk full"}


def tensors(step: int) -> dict[str, torch.Tensor]:
    """Return the content of a checkpoint."""
    return {"W": torch.arange(300, dtype=torch.float32) + step, "update/W": torch.ones(3, dtype=torch.float64)}


def make_template(folder: Path) -> Path:
    """Create a run with checkpoints 0 and 100, resume states 100 and 200, a status, and two rows, and the payloads."""
    run = RunDirectory.create(folder / "run", {"name": "crash", "seed": 0}, {"threads": 1})
    with run.lock() as held:
        for step in (0, 100):
            held.save_checkpoint(step, tensors(step))
            held.save_resume_state(step + 100, tensors(step + 100), {"step": step + 100})
            held.metrics.append({"step": step, "train_loss": 1.0})
        held.write_status({"status": "running", "step": 100})
    (folder / "checkpoint").write_bytes(encode_tensors(tensors(200), step=200, run_id=run.run_id))
    resume = encode_tensors(tensors(300), step=300, run_id=run.run_id, extra={"state": '{"step":300}'})
    (folder / "resume").write_bytes(resume)
    return folder


def command(kind: str, run: Path, template: Path) -> list[str]:
    """Return the command line of one save."""
    payload = template / ("resume" if kind == "resume" else "checkpoint")
    return [sys.executable, "-S", str(WRITER), kind, str(run), "300" if kind == "resume" else "200", str(payload)]


def traced(kind: str, template: Path, run: Path, fault: str = "") -> Traced:
    """Save once into a copy of the template under strace, which injects ``fault``."""
    shutil.copytree(template / "run", run)
    log = run.with_suffix(".strace")
    options = ["-e", f"inject={fault}"] if fault else []
    environment = {"PYTHONHASHSEED": "0", "PYTHONPYCACHEPREFIX": str(template / "pyc"), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", str(log), "-e", TRACE, *options, *command(kind, run, template)],
        capture_output=True, text=True, env=environment, cwd=run.parent, timeout=60, check=False,
    )  # fmt: skip
    return Traced(done.returncode, done.stderr, log.read_text())


def points(trace: str) -> list[Point]:
    """Return every system call between the two marks, numbered as strace numbers them."""
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


def inject(kind: str, template: Path, folder: Path, *, most: int | None = None) -> list[Trial]:
    """Return a trial for every system call and fault, or for ``most`` of them."""
    folder.mkdir()
    traced(kind, template, folder / "warm-up")  # fills its own bytecode cache, so that every later start is the same
    baseline = traced(kind, template, folder / "baseline")
    assert baseline.code == 0, baseline.err
    found = points(baseline.trace)
    cases = [(point, fault) for point in found for fault in FAULTS]
    if most is not None:
        cases = [(found[place * len(found) // most], FAULTS[place % len(FAULTS)]) for place in range(most)]

    def one(index: int) -> Trial:
        point, fault = cases[index]
        run = folder / str(index)
        done = traced(kind, template, run, f"{point.call}:{fault}:when={point.when}")
        mark = "+++ killed by SIGKILL +++" if "SIGKILL" in fault else "(INJECTED)"
        assert "BEGIN-SAVE" in done.trace, f"the fault came before the save: {done.trace[-500:]}"
        assert mark in done.trace, f"no fault was injected: {done.trace[-500:]}"
        wrong = what_is_wrong(kind, template, run, done.code, done.err, fault)
        shutil.rmtree(run)
        name, line = f"{fault} at {point.call}", done.err.strip()
        if wrong:
            return Trial(name, End.TRACEBACK if "Traceback" in wrong else End.SILENT, wrong)
        return Trial(name, End.NAMED if line else End.EQUAL, line.replace(f"{run}/", ""))

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, range(len(cases))))


def what_is_wrong(kind: str, template: Path, path: Path, code: int, err: str, fault: str) -> str:
    """Return a line on the damage after a fault, or "": no file may be incomplete, and the next save must work."""
    if "SIGKILL" not in fault:
        line = err.strip()
        failed_clearly = code == 2 and line.count("\n") == 0 and str(path) in line and fault[6:] in line
        if code != 0 and not failed_clearly:
            return f"exit code {code}, {line!r}"
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
    if len(run.resume.steps()) < 2 or (kind == "resume" and code == 0 and resume.step != 300):
        return f"resume generations {run.resume.steps()}"
    return next_save(run)


def next_save(run: RunDirectory) -> str:
    """Save again as the next process would, and return a line if that fails."""
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
