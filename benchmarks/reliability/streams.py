"""Outputs that cannot be written: closed pipes, full devices, closed descriptors, encodings that lack characters."""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.reliability.commands import left, training
from benchmarks.reliability.processes import nothing, run
from benchmarks.reliability.specimen import ANALYSES, Lab
from benchmarks.reliability.trial import End, Row, Trial, row

COMMANDS = {
    "train": training(),
    "analyze": ["analyze", "run", "--only", ",".join(ANALYSES)],
    "analyze --json": ["analyze", "run", "--only", "performance", "--json"],
    "report": ["report", "run", "--out", "page.html"],
    "diagnose": ["diagnose", "run"],
    "llc": ["llc", "run", "draws=2", "burn_in=1", "chains=2"],
    "phases": ["phases", "run"],
    "presets": ["presets"],
    "tasks": ["tasks"],
    "analyses": ["analyses"],
    "methods": ["methods"],
    "wrong input": ["train", "task.p=1"],
}


def closed_pipe(*descriptors: int) -> None:
    """Replace outputs by pipes without a reader."""
    reader, writer = os.pipe()
    os.close(reader)
    for descriptor in descriptors:
        os.dup2(writer, descriptor)


def full(*descriptors: int) -> None:
    """Replace outputs by a full device."""
    device = os.open("/dev/full", os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(device, descriptor)


def closed(*descriptors: int) -> None:
    """Close outputs."""
    for descriptor in descriptors:
        os.close(descriptor)


STREAMS: dict[str, tuple[Callable[[], None], str]] = {
    "standard output is a closed pipe": (partial(closed_pipe, 1), "utf-8"),
    "both outputs are a closed pipe": (partial(closed_pipe, 1, 2), "utf-8"),
    "standard output is full": (partial(full, 1), "utf-8"),
    "standard error is full": (partial(full, 2), "utf-8"),
    "both outputs are full": (partial(full, 1, 2), "utf-8"),
    "standard output in ASCII": (nothing, "ascii"),
    "standard output in Latin-1": (nothing, "latin-1"),
}


def faults(lab: Lab) -> Iterator[Row]:
    """Run every command with every kind of output: the work is done, and no traceback is printed."""
    commands = {name: COMMANDS[name] for name in lab.some(COMMANDS, 99, 2)}
    quiet = {name: undisturbed(lab, words) for name, words in commands.items()}
    for stream, (prepare, encoding) in STREAMS.items():
        yield row(
            f"{stream}", [disturbed(lab, name, commands[name], quiet[name], prepare, encoding) for name in commands]
        )


def fresh(lab: Lab, words: list[str]) -> Path:
    """Return a new folder for a command, with a copy of the specimen unless the command creates a run."""
    folder = lab.folder / "streams"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if words[0] != "train":
        lab.copy("streams/run")
    return folder


def undisturbed(lab: Lab, words: list[str]) -> tuple[int | None, dict[str, bytes]]:
    """Return the exit code of an undisturbed command, and the files that it leaves."""
    folder = fresh(lab, words)
    return run(folder, *words).code, left(folder)


def disturbed(
    lab: Lab, name: str, words: list[str], quiet: tuple[int | None, dict[str, bytes]], prepare: Callable, encoding: str
) -> Trial:
    """Run a command with a disturbed output: its files are the same, and its exit code shows if output was lost."""
    folder = fresh(lab, words)
    done = run(folder, *words, prepare=prepare, encoding=encoding)
    if "Traceback" in done.text:
        return Trial(name, End.TRACEBACK, [line for line in done.text.splitlines() if line.strip()][-1])
    if left(folder) != quiet[1]:
        return Trial(name, End.SILENT, f"exit code {done.code}, and its files differ: {done.text[-200:]}")
    if done.code is None or done.code < 0:
        return Trial(name, End.SILENT, f"ended by signal {done.code}" if done.code else "hangs")
    return Trial(name, End.EQUAL, next((line for line in done.err.splitlines() if line.strip()), ""))
