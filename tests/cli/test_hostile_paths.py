"""Every path given to a command, and every file of a run, may be a pipe, a device, a link, a directory or garbage.

The law: a command neither waits nor prints a traceback; if it fails, one line names the path, and no file is replaced.
"""

import os
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grokinterp.cli.entry import run as run_command_line
from tests.support.hostile import listing
from tests.support.logged import write_csv
from tests.support.small_runs import draw_checkpoints
from tests.support.warm_cli import Done

SECONDS = 60
"""Far more than any of these commands needs, even on a busy machine."""


def make_socket(path: Path) -> None:
    """Create a socket, even at a path that is too long for a socket's address."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{os.open(path.parent, os.O_RDONLY)}/{path.name}")


def make_huge(path: Path) -> None:
    """Create a sparse file of one terabyte."""
    with path.open("wb") as file:
        file.truncate(2**40)


KINDS: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "a directory": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a socket": make_socket,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "empty": lambda path: path.touch(),
    "rubbish": lambda path: path.write_bytes(bytes(range(256)) * 20),
    "nested": lambda path: path.write_text("[" * 100_000),
    "huge": make_huge,
}
"""Kinds of paths, and how each is made."""

READ = {
    "train": "train --config {path}.toml",
    "train, JSON": "train --config {path}.json",
    "league": "league --config {path}.toml",
    "analyze": "analyze {path}",
    "report": "report {path}",
    "diagnose": "diagnose {path}",
    "llc": "llc {path}",
    "verify": "verify {path}",
    "runs": "runs {path}",
    "compare": "compare {path} other",
    "cite": "cite {path}",
    "export": "export {path} out",
    "hf": "import hf {path}",
    "gallery": "gallery {path}",
    "watch": "watch {path} --wait 0",
    "db build": "db build {path}",
    "db query": "db query select --db {path}",
    "nanda": "import nanda {path}.pth",
    "nanda, safetensors": "import nanda {path}.safetensors",
    "pizza": "import pizza {path}.pt",
    "series": "import series {path} --spec spec.toml",
    "spec": "import series . --spec {path}.toml",
    **{f"phases {end}": f"phases {{path}}.{end}" for end in ("csv", "json", "jsonl", "npz", "npy", "pth", "log")},
}
"""Commands that read a path."""

WRITTEN = {
    "report": "report run --out {path}",
    "map": "llc run --calibrate --out {path}.png",
    "phases": "phases log.csv --csv {path}",
    "db build": "db build run --db {path}",
    "compare": "compare runs --out {path}.html",
    "compare, curves": "compare runs --csv {path}",
    "gallery": "gallery runs --out {path}.html",
    "watch": "watch run --out {path}.html",
    "cite": "cite run --out {path}",
}
"""Commands that write a file."""

OF_A_RUN = (
    "experiment.json", "environment.json", "status.json", "metrics.jsonl", "lock", "clock.json",
    "checkpoints/step_00000010.safetensors", "analysis", "analysis/performance.nc", "analysis/not_defined.json",
    "analysis/complete.json", "analysis/lock", "resume", "checkpoints",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """An empty folder to work in; a command that waits for a reader or a writer fails the test."""
    place = tmp_path / "folder"
    place.mkdir()
    monkeypatch.chdir(place)
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("the command waits"))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield place
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def grokinterp(monkeypatch, capsys):
    """The command line in this process."""

    def run(line: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["grokinterp", *line.split()])
        signal.alarm(SECONDS)
        with pytest.raises(SystemExit) as ended:
            run_command_line()
        signal.alarm(0)
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return run


def refused(done: Done) -> str:
    """The one line of a refused command."""
    assert (done.code, done.out) == (2, ""), done
    assert done.err.count("\n") == 1, done.err
    assert done.err[:-1].isprintable()
    return done.err


@pytest.mark.parametrize("command", READ)
def test_no_kind_of_path_is_read_blindly(command, folder, grokinterp):
    (folder / "spec.toml").write_text('layout = "nanda"\ntask = {p = 5}\nmodel = {}\n')
    for number, (kind, make) in enumerate(KINDS.items()):
        line = READ[command].format(path=f"path{number}")
        path = Path(next(word for word in line.split() if word.startswith("path")))
        if kind == "empty" and path.suffix == ".toml":
            continue  # a configuration of defaults
        make(path)
        before = listing(folder)
        assert path.name in refused(grokinterp(line)), kind
        assert listing(folder) == before, kind


@pytest.mark.parametrize("command", WRITTEN)
def test_no_path_is_replaced_that_is_not_a_plain_file(command, folder, grokinterp):
    draw_checkpoints(folder / "run").directory.write_status({"status": "finished", "step": 20})
    for name in "ab":
        draw_checkpoints(folder / "runs" / name)
    write_csv(folder / "log.csv")
    for kind, make in KINDS.items():
        if kind in ("missing", "empty", "rubbish", "nested", "huge"):
            continue
        line = WRITTEN[command].format(path="out")
        path = Path(line.split()[-1])
        make(path)
        before, status = listing(folder), path.lstat()
        assert kind.split()[-1] in refused(grokinterp(line)) or "link" in kind or "pipe" in kind, kind
        assert listing(folder) == before, kind
        assert path.lstat()[:3] == status[:3], kind
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    assert "config error: " in refused(grokinterp(WRITTEN[command].format(path="/")))


@pytest.mark.parametrize("name", OF_A_RUN)
def test_every_file_of_a_run_may_be_anything(name, folder, grokinterp):
    run = draw_checkpoints(folder / "run").path
    (run / "analysis").mkdir()
    place = run / name
    if place.exists():
        place.rename(folder / "aside")
    for kind, make in KINDS.items():
        make(place)
        analyzed = ["analyze run --only weight_norms"] if "/" in name and kind in ("a pipe", "a directory") else []
        for command in ("diagnose run", "phases run", "runs run", *analyzed):
            done = grokinterp(command)
            assert done.code in (0, 1, 2), (kind, done)
            assert "Traceback" not in done.err, (kind, command, done.err)
            assert "internal error" not in done.err, (kind, command, done.err)
            if done.code == 2:
                assert done.err.splitlines()[-1].startswith(("error: ", "config error: ")), (kind, command, done.err)
        if place.is_dir() and not place.is_symlink():
            for inside in place.iterdir():
                inside.unlink()
            place.rmdir()
        else:
            place.unlink(missing_ok=True)
