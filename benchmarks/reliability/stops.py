"""Signals: every command ends with the code of the signal and one line at most; training saves its state."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.reliability.commands import left, training
from benchmarks.reliability.processes import Command, Ended, call, nothing, run, start
from benchmarks.reliability.specimen import ANALYSES, TINY, Lab, written
from benchmarks.reliability.trial import End, Row, Trial, passed, row
from grokinterp.errors import GrokinterpError
from grokinterp.experiment import SaveAt
from grokinterp.runs.results import Results
from grokinterp.storage import RunDirectory

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR1)
LONG = replace(TINY, steps=300, save=SaveAt(every=100, dense_until=0, resume_every=10_000))
ANALYZE = ("analyze", "run", "--only", ",".join(ANALYSES))
EARLY = ("--version", "presets", "train task.p=1", "diagnose run", "analyze nowhere")
"""Commands that end soon after their imports."""


def faults(lab: Lab) -> Iterator[Row]:
    """Send every signal to every command."""
    call(nothing)  # imports everything, so that commands are timed without their imports
    yield row("INT, TERM, HUP, XCPU, USR1 during train: saved within a step, continued to the same bytes", stopped(lab))
    yield row("the same signals during analyze and report", [*ended(lab, ANALYZE), *ended(lab, REPORT)])
    yield row("HUP that is ignored at the start (nohup)", ignored(lab))
    yield row("the status of a killed run", killed_is_not_running(lab))
    yield row("a signal in the first moments of a command", early(lab))


REPORT = ("report", "run", "--out", "page.html")


def started(folder: Path, words: list[str], **conditions: object) -> Command:
    """Start a training run and wait for its first rows."""
    folder.mkdir()
    command = start(folder, *words, **conditions)
    metrics, until = folder / "run/metrics.jsonl", time.monotonic() + 60
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < 3:
        assert time.monotonic() < until, command.wait(0).text
        time.sleep(0.002)
    return command


def stopped(lab: Lab) -> Iterator[Trial]:
    """Stop a training run with each signal and continue it."""
    whole = lab.folder / "long"
    whole.mkdir()
    assert run(whole, *training(LONG)).code == 0
    expected = written(whole / "run")
    for number in lab.some(SIGNALS, 5, 2) * (1 if lab.small else 4):
        folder = lab.folder / f"{number.name}-{time.monotonic_ns()}"
        command = started(folder, training(LONG))
        time.sleep(lab.random.uniform(0, 0.05))
        command.send(number)
        done = command.wait()
        name = number.name
        if "Traceback" in done.text:
            yield Trial(name, End.TRACEBACK, done.text[-200:])
            continue
        if done.code != 128 + number and not (done.code == 0 and written(folder / "run") == expected):
            yield Trial(name, End.SILENT, f"exit code {done.code}: {done.text[-200:]}")
            continue
        directory = RunDirectory.open(folder / "run")
        saved = done.code == 0 or directory.resume.steps()[-1:] == (directory.status["step"],)
        again = run(folder, *training(LONG, "--resume"))
        same = again.code == 0 and written(folder / "run") == expected
        yield Trial(name, End.EQUAL if saved and same else End.SILENT, last_line(done))


def ended(lab: Lab, words: tuple[str, ...]) -> Iterator[Trial]:
    """End a command with each signal at a random moment; running it again completes the work."""
    folder = lab.copy(f"{words[0]}/run").parent
    once = time.monotonic()
    assert run(folder, *words).code == 0
    seconds, expected = time.monotonic() - once, left(folder)
    for number in lab.some(SIGNALS, 5, 1) * (1 if lab.small else 3):
        lab.copy(f"{words[0]}/run")
        (folder / "page.html").unlink(missing_ok=True)
        command = start(folder, *words)
        time.sleep(lab.random.uniform(0.05, max(0.8 * seconds, 0.06)))
        command.send(number)
        done = command.wait()
        if "Traceback" in done.text:
            yield Trial(f"{words[0]} {number.name}", End.TRACEBACK, done.text[-200:])
            continue
        again = run(folder, *words)
        good = done.code in (0, 128 + number, -number) and again.code == 0 and left(folder) == expected
        yield passed(f"{words[0]} {number.name}", good, f"exit code {done.code}: {done.text[-200:]}")


def ignore_hangup() -> None:
    """Ignore SIGHUP, as nohup does."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def ignored(lab: Lab) -> Iterator[Trial]:
    """Send SIGHUP to a training run that was started to ignore it: it continues to its last step."""
    for number in range(1 if lab.small else 5):
        folder = lab.folder / f"nohup-{number}"
        command = started(folder, training(LONG), prepare=ignore_hangup)
        command.send(signal.SIGHUP)
        done = command.wait()
        good = done.code == 0 and RunDirectory.open(folder / "run").status["status"] == "finished"
        yield passed("HUP", good, f"exit code {done.code}: {done.text[-200:]}")


def killed_is_not_running(lab: Lab) -> Iterator[Trial]:
    """Read a run while it trains, and again after it was killed: it must no longer be reported as running."""
    for number in range(1 if lab.small else 5):
        folder = lab.folder / f"living-{number}"
        command = started(folder, training(replace(LONG, steps=100_000)))
        living = sentence(folder / "run")
        command.send(signal.SIGKILL)
        command.wait()
        dead = sentence(folder / "run")
        good = "running" in living and "running" not in dead
        yield Trial("kill", End.NAMED if good else End.SILENT, dead)


def sentence(path: Path) -> str:
    """Return the sentence that summarizes a run, or the error that prevents it."""
    try:
        return Results.open(path).sentence
    except GrokinterpError as error:
        return str(error)


def early(lab: Lab) -> Iterator[Trial]:
    """Send signals while the interpreter imports the package: no traceback, and at most one line of output.

    A traceback of the interpreter's own start, before it executes the package, cannot be prevented and does not count.
    """
    moments = (0.1,) if lab.small else (0.0, 0.02, 0.1, 0.3, 0.8)
    commands = EARLY[:1] if lab.small else EARLY
    numbers = (signal.SIGINT, signal.SIGTERM) if lab.small else (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for line in commands:
        for number in numbers:
            for moment in moments:
                done = interrupted(lab.copy("early/run").parent, line.split(), number, moment)
                name = f"{number.name} to {line!r} after {moment:g} s"
                if "Traceback" in done.text and "grokinterp" in done.text:
                    yield Trial(name, End.TRACEBACK, last_line(done))
                else:
                    short = "Traceback" in done.text or len(done.err.splitlines()) <= 1
                    good = done.code in (0, 1, 2, 128 + number, -number) and short
                    yield passed(name, good, f"exit code {done.code}: {done.text[-200:]}")


def interrupted(folder: Path, words: list[str], number: int, moment: float) -> Ended:
    """Send a signal to a command ``moment`` seconds after Python begins to import the package."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(["", *sys.path]), "PYTHONUNBUFFERED": "1"}
    begun, begins = os.pipe()
    code = f"import os, runpy; os.write({begins}, b'x'); os.close({begins})"
    code = f"{code}; runpy.run_module('grokinterp', run_name='__main__', alter_sys=True)"
    command = [sys.executable, "-c", code, *words]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        pass_fds=[begins],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(begins)
        os.read(begun, 1)
        os.close(begun)
        time.sleep(moment)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    return Ended(process.returncode, out, err)


def last_line(done: Ended) -> str:
    """Return the last line of a command's standard error, or of its standard output if there is none."""
    return next(iter(reversed([line for line in (done.out + done.err).splitlines() if line.strip()])), "")
