"""kill -9 at random moments, and full disks: nothing is lost, and continuing the work gives the same bytes."""

import ctypes
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.reliability.commands import left, training
from benchmarks.reliability.processes import become, call, nothing, run, start
from benchmarks.reliability.readings import EVERYTHING, TENSORS, read
from benchmarks.reliability.specimen import ANALYSES, TINY, Lab, written
from benchmarks.reliability.trial import End, Row, Trial, passed, row
from grokinterp.experiment import SaveAt

DENSE = replace(TINY, steps=60, save=SaveAt(every=3, dense_until=0, resume_every=5))
ANALYZE = ("analyze", "run", "--only", ",".join(ANALYSES))


def faults(lab: Lab) -> Iterator[Row]:
    """Kill every command that writes, and fill the disk to which it writes."""
    call(nothing)  # imports everything, so that commands are timed without their imports
    yield row("kill -9 of train at random moments", killed_trainings(lab))
    yield row("kill -9 of analyze at random moments", killed(lab, ANALYZE, 1 if lab.small else 25))
    if lab.small:
        yield row("kill -9 of report at random moments", (), "only at full size")
    else:
        yield row("kill -9 of report at random moments", killed(lab, REPORT, 10))
    if may_mount():
        yield row("a disk that fills up during train", full_disk(lab, training(DENSE), 1 if lab.small else 12))
        yield row("a disk that fills up during analyze", full_disk(lab, list(ANALYZE), 1 if lab.small else 8))
    else:
        yield row("a disk that fills up during train and analyze", (), "file systems cannot be mounted here")


NO_SPACE = "ENOSPC", "No space", "are free"
"""Messages about a full disk: of the system, and of the estimate before training."""

REPORT = ("report", "run", "--out", "page.html")


def killed_trainings(lab: Lab) -> Iterator[Trial]:
    """Kill and continue a run until it ends; its files must then equal those of the uninterrupted run."""
    whole = lab.folder / "whole"
    whole.mkdir()
    started = time.monotonic()
    assert run(whole, *training(DENSE)).code == 0
    seconds, expected = time.monotonic() - started, written(whole / "run")
    kills, number, most = 0, 0, 1 if lab.small else 200
    while kills < most:
        folder = lab.folder / f"killed-{number}"
        folder.mkdir()
        trials: list[Trial] = []
        while True:  # a sixth of the moments come after the end, so that every run ends
            resume = ["--resume"] if (folder / "run/experiment.json").exists() else []
            command = start(folder, *training(DENSE, *resume))
            time.sleep(lab.random.uniform(0.01, 1.2 * seconds))
            command.send(signal.SIGKILL)
            ended = command.wait()
            if ended.code != -signal.SIGKILL:
                break
            trials.append(after_kill(folder / "run", expected))
        kills, number = kills + len(trials), number + 1
        same = written(folder / "run") == expected and ended.code == 0
        lost = Trial("continued", End.SILENT, f"the continued run differs: {ended.text[-200:]}")
        yield from trials if same else [lost] * max(len(trials), 1)
        shutil.rmtree(folder)


def after_kill(path: Path, expected: dict[str, bytes]) -> Trial:
    """Return the trial of a killed run: each of its checkpoints must equal that of the uninterrupted run."""
    there = {f"checkpoints/{file.name}": file.read_bytes() for file in path.glob("checkpoints/step*")}
    if any(expected.get(name) != content for name, content in there.items()):
        return Trial("kill", End.SILENT, "a checkpoint differs")
    if not (path / "experiment.json").exists():
        return Trial("kill", End.EQUAL)
    found = read(path, TENSORS)
    wrong = [*found.tracebacks, *found.said]
    return Trial("kill", End.SILENT, wrong[0]) if wrong else Trial("kill", End.EQUAL)


def killed(lab: Lab, words: tuple[str, ...], most: int) -> Iterator[Trial]:
    """Kill a command on a copy of the specimen, run it again, and compare its files with the undisturbed files."""
    folder = lab.folder / words[0]
    folder.mkdir()

    def fresh() -> None:
        shutil.rmtree(folder)
        folder.mkdir()
        shutil.copytree(lab.intact, folder / "run")
        if words[0] == "analyze":
            shutil.rmtree(folder / "run/analysis")

    fresh()
    started = time.monotonic()
    assert run(folder, *words).code == 0
    seconds, expected = time.monotonic() - started, left(folder)
    for number in range(most):
        fresh()
        command = start(folder, *words)
        time.sleep(seconds * (number + lab.random.random()) / most)
        command.send(signal.SIGKILL)
        command.wait()
        after = read(folder / "run", EVERYTHING)
        again = run(folder, *words)
        if after.tracebacks or again.code != 0:
            yield Trial("kill", End.TRACEBACK, (after.tracebacks or [again.text[-200:]])[0])
        else:
            yield passed("kill", left(folder) == expected, "the second result differs")


def full_disk(lab: Lab, words: list[str], most: int) -> Iterator[Trial]:
    """Run a command on disks of increasing size; run again with enough space, it must give the undisturbed bytes."""
    folder = lab.folder / f"full-{words[0]}"
    reference = call(partial(on_disk, lab.intact, folder, 2**24, words))[2]
    size = sum(map(len, reference.values()))
    for place in range(most):
        limit = 4096 * (2 + int(1.5 * size / 4096 * place / most))
        code, text, after = call(partial(on_disk, lab.intact, folder, limit, words))
        lines = [line for line in text.splitlines() if any(reason in line for reason in NO_SPACE)]
        if "Traceback" in text:
            yield Trial(f"{limit} bytes", End.TRACEBACK, text[-200:])
        elif after != reference:
            yield Trial(f"{limit} bytes", End.SILENT, f"continued with space, its files differ; before: {text[-200:]}")
        elif code == 0:
            yield Trial(f"{limit} bytes", End.EQUAL)
        else:
            yield Trial(f"{limit} bytes", End.NAMED if lines and code == 2 else End.SILENT, (lines or [text[-200:]])[0])


def on_disk(intact: Path, folder: Path, size: int, words: list[str]) -> tuple[int, str, dict[str, bytes]]:
    """Run a command on its own file system of ``size`` bytes, and again after the file system was enlarged.

    Returns:
        The exit code and the output of the first command, and the files after the second.
    """
    mount(folder, size if words[0] == "train" else 2**24)
    work = folder / "work"
    work.mkdir()
    if words[0] != "train":
        shutil.copytree(intact, work / "run")
        shutil.rmtree(work / "run/analysis")
        used = os.statvfs(folder)
        mount(folder, (used.f_blocks - used.f_bfree) * used.f_frsize + size, again=True)
    first = here(folder, work, words)
    mount(folder, 2**24, again=True)
    resume = ["--resume"] if words[0] == "train" and (work / "run/experiment.json").exists() else []
    here(folder, work, [*words, *resume])
    return *first, left(work)


def here(folder: Path, work: Path, words: list[str]) -> tuple[int, str]:
    """Run a command in a fork of this process, which sees the same mounts, with its output on another disk."""
    outputs = Path("/dev/shm") / f"reliability-{os.getpid()}"
    outputs.mkdir(exist_ok=True)
    pid = os.fork()
    if pid == 0:
        become(words, work, outputs / "work")
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    text = "".join((outputs / f"work.{name}").read_text(errors="replace") for name in ("out", "err"))
    shutil.rmtree(outputs)
    return code, text


def mount(folder: Path, size: int, *, again: bool = False, flags: int = 0) -> None:
    """Mount a file system in memory, visible to this process and its children only. Raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    folder.mkdir(exist_ok=True)
    private, remount = 1 << 18 | 1 << 14, 1 << 5
    calls: list[Callable[[], int]] = []
    if not again:
        calls.append(lambda: library.unshare(0x00020000))
        calls.append(lambda: library.mount(b"none", b"/", None, ctypes.c_ulong(private), None))
    options = f"size={size}".encode()
    kind = flags | (remount if again else 0)
    calls.append(lambda: library.mount(b"none", bytes(folder), b"tmpfs", ctypes.c_ulong(kind), options))
    for step in calls:
        if step() != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mounted(folder: Path) -> bool:
    """Return whether a file system can be mounted."""
    try:
        mount(folder, 2**20)
    except OSError:
        return False
    return True


def may_mount() -> bool:
    """Return whether this machine lets this process mount file systems."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return call(mounted, Path(folder))
