"""Commands print only printable characters, whatever files, names and arguments hold, and survive failing outputs."""

import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from grokinterp.cli.entry import COMMANDS, GROUPS, run
from grokinterp.presets import PRESETS, Preset
from grokinterp.runs.completeness import mark_complete
from grokinterp.storage import RunDirectory
from tests.support.small_runs import TINY, draw_checkpoints

NASTY = "a\x1b[2J\x1b]0;t\x07\x7f\x85\x9b1m\u202e\u2066b\r\nINJECTED"
"""Clears the screen, sets its title, reverses the writing direction, and begins a line of its own."""

LINES = {
    "train": ["name=NASTY", "NASTY=1", "task.kind=NASTY", "--preset NASTY", "--config config.toml", "--out RUN",
              "--out RUN --resume seed=5", "--device NASTY", "--log NASTY"],
    "config": ["name=NASTY", "NASTY=1", "--preset NASTY", "NASTY.toml", "config.toml",
               "task.kind=skip_trigram split.trained_on=NASTY"],
    "analyze": ["RUN --only performance", "RUN --only performance --json", "RUN --only NASTY", "NASTY"],
    "llc": ["RUN --step 5", "RUN NASTY=1", "RUN --out NASTY"],
    "report": ["RUN --out NASTY.html", "NASTY"],
    "figures": ["NASTY --out figures", "RUN --out figures --format NASTY", "RUN --out figures --only NASTY"],
    "animate": ["NASTY --out a.gif", "RUN --out NASTY"],
    "diagnose": ["RUN", "RUN --json", "NASTY"],
    "compare": ["RUN RUN", "RUN NASTY", ". --out NASTY", "NASTY"],
    "gallery": [".", ". --out NASTY", "NASTY"],
    "watch": ["RUN", "RUN --out NASTY", "NASTY --wait 0", "RUN --every NASTY"],
    "import": ["NASTY model.pt", "file model.pt --spec spec.toml", "nanda model.pt", "nanda NASTY"],
    "export": ["RUN out", "RUN NASTY --last", "RUN out --to NASTY", "NASTY out"],
    "cite": ["RUN", "RUN --out NASTY", "NASTY"],
    "phases": ["log.csv", "log.csv log.csv", "log.csv --csv -", "log.csv --json", "RUN", "NASTY",
               "log.csv --rule NASTY", "log.csv --column step=NASTY", "bad.csv bad.json"],
    "verify": ["NASTY", "."],
    "demo": ["NASTY"],
    "league": ["--methods NASTY", "--task NASTY", "steps=NASTY"],
    "sweep": ["NASTY", "NASTY=1,2", "task.kind=NASTY,x", "seed=1,2 --name NASTY", "seed=1,2 --out NASTY --dry-run",
              "config.toml"],
    "sweeps": [""],
    "sweep-report": [".", ". --out NASTY", ". --db NASTY", "NASTY"],
    "predict": ["RUN --db NASTY", "RUN --db bad.csv", "NASTY --db bad.csv"],
    "runs": [".", ". --csv", ". --json", "NASTY"],
    "db": ["build .", "update .", "build . --db NASTY", "query NASTY", "query NASTY --db NASTY",
           "query SELECT'NASTY',why,x'00'FROM[runs]", "query SELECT'NASTY',why,x'00'FROM[runs] --json",
           "query SELECT'NASTY',why,x'00'FROM[runs] --csv"],
    "methods": ["", "NASTY"],
    "presets": [""],
    "tasks": [""],
    "models": [""],
    "edits": [""],
    "branch": ["RUN", "RUN --step 5", "RUN --step 20 --out NASTY", "RUN --step 20 origin.edits=[{kind=NASTY}]",
               "NASTY"],
    "analyses": [""],
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a hostile name, and hostile files in it."""
    folder = tmp_path_factory.mktemp("printing") / NASTY.replace("/", "")
    folder.mkdir()
    directory = draw_checkpoints(folder / "run").directory
    directory.write_status({"status": "diverged", "step": 20, "why": NASTY})
    (directory.path / "environment.json").write_text(json.dumps({"accuracy": 0.5, "warnings": [NASTY], NASTY: NASTY}))
    directory.checkpoint_path(10).write_bytes(b"not a checkpoint")
    name = NASTY.replace("\r\n", "")
    (folder / "log.csv").write_text(
        f'step,run,train_loss,"test_loss{name}",{name}\n'
        + "".join(f'{10 * i},"{name}{j}",{1 / (i + 1)},{2 / (i + 1)},1\n' for j in range(2) for i in range(12)),
        encoding="utf-8",
    )
    (folder / "bad.csv").write_text(f"{name};{name}\n{name}\n", encoding="utf-8")
    (folder / "bad.json").write_text(json.dumps({NASTY: [NASTY]}))
    (folder / "config.toml").write_text(f"{json.dumps(NASTY)} = 1\n")
    (folder / "spec.toml").write_text(f"{json.dumps(NASTY)} = 1\n[model]\nkind = {json.dumps(NASTY)}\n")
    torch.save({NASTY: torch.zeros(2), f"{NASTY}2": NASTY}, folder / "model.pt")
    return folder


def run_here(line: str, folder: Path, patch: pytest.MonkeyPatch) -> int:
    """Run a command line in this process, and return its exit code."""
    arguments = [{"RUN": str(folder / "run")}.get(word, word.replace("NASTY", NASTY)) for word in line.split()]
    patch.chdir(folder)
    patch.setattr(sys, "argv", ["grokinterp", *arguments])
    patch.setattr("grokinterp.figures.to_svg", lambda figure, **_: b'<svg xmlns="http://www.w3.org/2000/svg"/>')
    with warnings.catch_warnings(action="default"), pytest.raises(SystemExit) as ended:
        run()
    return int(ended.value.code or 0)


def test_every_command_has_its_lines():
    assert LINES.keys() == COMMANDS.keys() | GROUPS.keys()


@pytest.mark.parametrize("line", [f"{verb} {rest}".rstrip() for verb, lines in LINES.items() for rest in lines])
def test_what_is_printed_is_printable(line, place, monkeypatch, capsys):
    run_here(line, place, monkeypatch)
    printed = capsys.readouterr()
    for text in printed:
        assert [found for found in text.split("\n") if not found.isprintable()] == []
        assert not re.search("^INJECTED", text, re.MULTILINE)
    if "--json" in line:
        assert printed.out.isascii()
        json.loads(printed.out)
    assert "Traceback" not in printed.err


# --- output that fails ------------------------------------------------------------------------------------------------


class Failing(io.TextIOWrapper):
    """A stream whose writes fail, as those of a closed pipe or of a full disk."""

    def __init__(self, number: int) -> None:
        super().__init__(io.BytesIO(), encoding="ascii")
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))


FAILURES = {errno.EPIPE: 128 + signal.SIGPIPE, errno.ENOSPC: 2}
WORK = ("diagnose run --json", "report run", "presets")


@pytest.mark.parametrize("number", FAILURES)
def test_work_is_done_although_nothing_can_be_printed(number, tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", Preset(TINY, "tiny"))

    def code_of(line: str) -> int:
        monkeypatch.setattr(sys, "stdout", Failing(number))
        monkeypatch.setattr(sys, "stderr", Failing(number))
        return run_here(line, tmp_path, monkeypatch)

    assert code_of("train --preset tiny --device cpu --out run") == FAILURES[number]
    assert RunDirectory.open(tmp_path / "run").status["status"] == "finished"
    assert code_of("analyze run --only performance") == FAILURES[number]
    mark_complete(tmp_path / "run")
    assert {line: code_of(line) for line in WORK} == dict.fromkeys(WORK, FAILURES[number])
    assert (tmp_path / "reports" / "run.html").is_file()


SHELL = {
    "exec >&-": (2, "error: standard output: Bad file descriptor\n"),
    "exec > /dev/full": (2, "error: standard output: No space left on device\n"),
    "exec > >(exec <&-); sleep 0.2": (128 + signal.SIGPIPE, ""),
    "exec 2>&-": (0, ""),
    "exec 2> /dev/full": (0, ""),
    "export PYTHONIOENCODING=ascii LC_ALL=C": (0, ""),
}


@pytest.mark.parametrize("streams", SHELL)
def test_a_process_says_once_that_its_output_was_lost(streams):
    """Nothing remains in the buffers of the interpreter, which would report it when it exits."""
    script = f'{streams}; "$0" -m grokinterp methods'
    done = subprocess.run(["bash", "-c", script, sys.executable], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == SHELL[streams]
