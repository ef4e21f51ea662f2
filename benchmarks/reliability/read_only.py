"""An analyzed run on read-only storage: it can be reported, diagnosed, and compared."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.reliability.kills import here, may_mount, mount
from benchmarks.reliability.processes import call
from benchmarks.reliability.specimen import ANALYSES, Lab
from benchmarks.reliability.trial import End, Row, Trial, passed, row, spoken
from grokinterp.analysis import analyze

READ_ONLY = 1
COMMANDS = {
    "diagnose": ["diagnose", "run"],
    "phases": ["phases", "run"],
    "llc": ["llc", "run", "draws=2", "burn_in=1", "chains=2"],
    "analyze": ["analyze", "run", "--only", ",".join(ANALYSES)],
    "report": ["report", "run", "--out", "PAGE"],
    "analyze all": ["analyze", "run"],
}
WRITING = {"train": ["train", "task.p=5", "--out", "new"], "report": ["report", "run", "--out", "page.html"]}


def faults(lab: Lab) -> Iterator[Row]:
    """Run commands on a file system that is mounted read-only."""
    if not may_mount():
        yield row("an analyzed run on read-only storage", (), "file systems cannot be mounted here")
        return
    whole = lab.copy("whole")
    if not lab.small:
        analyze(whole)
    yield row("an analyzed run on read-only storage", reading(lab, whole))
    yield row("commands that must write, on read-only storage", writing(lab, whole))


def reading(lab: Lab, whole: Path) -> Iterator[Trial]:
    """Run the commands that need not write: exit code 0, and the same output as on writable storage."""
    for name, words in COMMANDS.items():
        if lab.small and name in ("report", "analyze all", "llc"):
            continue
        folder = lab.folder / f"read-only-{name.replace(' ', '-')}"
        page = lab.folder / "page.html"
        line = [str(page) if word == "PAGE" else word for word in words]
        plain = call(partial(on_storage, whole, folder, line, read_only=False))
        first = page.read_bytes() if page.exists() else b""
        found = call(partial(on_storage, whole, folder, line, read_only=True))
        second = page.read_bytes() if page.exists() else b""
        if "Traceback" in found[1]:
            yield Trial(name, End.TRACEBACK, found[1][-200:])
        else:
            good = found[0] == 0 and found[1] == plain[1] and first == second
            yield passed(name, good, f"exit code {found[0]}: {found[1][-200:]}")


def writing(lab: Lab, whole: Path) -> Iterator[Trial]:
    """Run commands that must write: one line, exit code 2."""
    for name, words in WRITING.items():
        code, text = call(partial(on_storage, whole, lab.folder / "must-write", words, read_only=True))
        yield spoken(name, text, "rror: ", code=code)


def on_storage(whole: Path, folder: Path, words: list[str], *, read_only: bool) -> tuple[int, str]:
    """Run a command beside a copy of the run on a new file system; return its exit code and output."""
    mount(folder, 2**26)
    work = folder / "work"
    work.mkdir()
    shutil.copytree(whole, work / "run")
    if read_only:
        mount(folder, 2**26, again=True, flags=READ_ONLY)
    return here(folder, work, words)
