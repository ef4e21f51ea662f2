"""Foreign and hostile inputs: one line states why they are refused; no code runs, and no reader hangs."""

import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.reliability.hostile_files import archives, bombs, compressed, logs, pickles, tensor_files
from benchmarks.reliability.processes import Hanging, Refusal, call, run, start
from benchmarks.reliability.readings import TENSORS, read
from benchmarks.reliability.specimen import Lab
from benchmarks.reliability.trial import End, Row, Trial, passed, row, spoken
from grokinterp.errors import GrokinterpError
from grokinterp.experiment import Experiment
from grokinterp.interop import import_run
from grokinterp.interop.logs import date_logs
from grokinterp.runs.trajectory import Trajectory

GIGABYTES = 2.0
"""Address space, in GB, that a reader may use beyond its imports; the hostile files would need more."""

MARK = "touched"


def faults(lab: Lab) -> Iterator[Row]:
    """Give hostile files to every reader of foreign files, and absurd values to the command line."""
    folder = lab.folder / "inputs"
    folder.mkdir()
    code = chosen(lab, dict(pickles(folder / MARK)), 2)
    yield row("code in a pickle, given to import", imported(folder, code, lab.small))
    weights = chosen(lab, archives() | tensor_files() | ({} if lab.small else bombs()), 4)
    yield row("hostile weights given to import (bombs, loops, depth, numbers)", imported(folder, weights, lab.small))
    yield row(
        "hostile logs given to phases",
        dated(folder, chosen(lab, logs() | ({} if lab.small else {"bomb.npz": compressed()}), 4)),
    )
    yield row("hostile configurations given to train", configured(lab, folder))
    yield row("pipes, devices, folders and links given to import, phases, train and verify", special(lab, folder))
    yield row("report --out to a pipe, device, folder or link", reported(lab))
    yield row("absurd values in Python", python())
    yield row("kill -9 of import at random moments", killed_imports(lab))


def chosen(lab: Lab, contents: dict[str, bytes], small: int) -> dict[str, bytes]:
    """Return all contents, or at toy size only ``small`` of the contents."""
    return {name: contents[name] for name in lab.some(contents, 999, small)}


def refused(fault: str, work: Callable[..., Any], *arguments: Any) -> Trial:
    """Return the trial of a call that must be refused with one line, in bounded time and memory."""
    try:
        call(work, *arguments, seconds=20, gigabytes=GIGABYTES)
    except Refusal as error:
        line = str(error)
        return Trial(fault, End.NAMED if len(line.splitlines()) == 1 and line.isprintable() else End.TRACEBACK, line)
    except Hanging as error:
        return Trial(fault, End.SILENT, str(error))
    except Exception as error:
        return Trial(fault, End.TRACEBACK, str(error)[:200])
    return Trial(fault, End.SILENT, "accepted")


def imported(folder: Path, contents: dict[str, bytes], small: bool) -> Iterator[Trial]:
    """Import each content in each of the formats that could hold it."""
    config = {
        "task": {"kind": "modular_addition", "p": 5},
        "p": 5,
        "C": 5,
        "group": "CyclicGroup",
        "group_parameter": 5,
    }
    for fault, content in contents.items():
        ending = "safetensors" if fault.startswith("safetensors") else "pth"
        for release in ("nanda", "transformer-lens")[: 1 if small else 2]:
            place = folder / "import"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            path = place / f"net.{ending}"
            path.write_bytes(content)
            (place / "net.json").write_text(json.dumps(config))
            trial = refused(f"{release}: {fault}", import_run, release, path, place / "out")
            if (folder / MARK).exists():
                trial = Trial(trial.fault, End.SILENT, "code ran")
                (folder / MARK).rmdir()
            elif (place / "out").exists():
                trial = Trial(trial.fault, End.SILENT, "a run directory was left")
            yield trial


def date(path: Path) -> None:
    """Date the phases of a log. Raises GrokinterpError if the log cannot be read."""
    found = date_logs([path])
    if found.failed:
        raise GrokinterpError(str(found.failed[0]))


def dated(folder: Path, contents: dict[str, bytes]) -> Iterator[Trial]:
    """Write and date each log, which must be refused."""
    for name, content in contents.items():
        path = folder / name
        path.write_bytes(content)
        yield refused(name, date, path)


def configured(lab: Lab, folder: Path) -> Iterator[Trial]:
    """Train hostile configurations from the command line: one line, exit code 2, and no new files."""
    files = {
        "deep.toml": "a = " + "[" * 5_000,
        "parts.toml": ".".join("a" * 5_000) + " = 1",
        "digits.toml": f"steps = {'9' * 400}",
        "digits.json": f'{{"steps": {"9" * 400}}}',
        "deep.json": '{"a":' * 100_000,
        "nan.json": '{"steps": NaN}',
        "5000.json": f'{{"steps": {"9" * 5_000}}}',
        "list.json": "[]",
        "binary.toml": "\x00\x01",
        "repeated.json": '{"steps": 5, "steps": 6}',
        "dates.toml": "steps = 2020-01-01",
        "infinite.toml": "steps = inf",
        "escape.toml": 'name = "\\u001b[31m"',
    }
    values = [
        "task.p=1",
        "task.p=" + "9" * 400,
        "steps=-1",
        "steps=nan",
        "seed=1e400",
        "task.kind=../../etc",
        "name=../x",
        "name=/abs",
        "optimization.lr=0",
        "optimization.lr=nan",
        "optimization.lr=-1",
        "model.d_model=7",
        "split.fraction=0",
        "split.fraction=1",
        "evaluate_every=0",
        "save.every=0",
        "no.such.key=1",
        "task=5",
        "a" * 5_000 + "=1",
        "=",
        "steps",
        "model.n_heads=0",
        "optimization.betas=[1]",
        'optimization.filters=[{"kind": "x"}]',
        "split.trained_on=[" + "[" * 500 + "]" * 500 + "]",
    ]
    place = folder / "configurations"
    place.mkdir()
    words = {f"{value[:40]}": ["train", value] for value in values}
    for name, text in files.items():
        (place / name).write_text(text)
        words[name] = ["train", "--config", str(place / name)]
    for fault, line in {name: words[name] for name in lab.some(words, 999, 6)}.items():
        work = folder / "work"
        work.mkdir(exist_ok=True)
        done = run(work, *line, "--out", "run", "--device", "cpu")
        trial = spoken(fault, done.text, "rror: ", code=done.code)
        left = any(work.iterdir())
        shutil.rmtree(work)
        yield Trial(fault, End.SILENT, "a directory was created") if left else trial


def special(lab: Lab, folder: Path) -> Iterator[Trial]:
    """Pass pipes, devices, directories and links to commands that read a file."""
    commands = {
        "import": ["import", "nanda", "{}", "--out", "out"],
        "import safetensors": ["import", "transformer-lens", "{}", "--out", "out"],
        "phases": ["phases", "{}"],
        "train --config": ["train", "--config", "{}", "--out", "out"],
        "verify": ["verify", "{}"],
    }
    endings = {
        "import": "pth",
        "import safetensors": "safetensors",
        "phases": "csv",
        "train --config": "toml",
        "verify": "pth",
    }
    kinds: dict[str, Callable[[Path], None]] = {
        "a pipe without a writer": os.mkfifo,
        "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
        "a link to itself": lambda path: path.symlink_to(path),
        "nothing": lambda path: None,
    }
    for (kind, put), name in lab.some(list(itertools.product(kinds.items(), commands)), 999, 5):
        work = folder / "special"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        path = work / f"input.{endings[name]}"
        put(path)
        done = start(work, *(word.format(path) for word in commands[name])).wait(20)
        fault = f"{name}: {kind}"
        yield Trial(fault, End.SILENT, "hangs") if done.code is None else spoken(fault, done.text, "", code=done.code)


def reported(lab: Lab) -> Iterator[Trial]:
    """Write a report to a device, a link, a pipe, or a directory: each is refused, and nothing is replaced."""
    for kind, name in {"a directory": "folder", "a pipe": "pipe", "a link": "link", "the root": "/"}.items():
        folder = lab.copy("reported/run").parent
        (folder / "folder").mkdir(exist_ok=True)
        if not (folder / "pipe").exists():
            os.mkfifo(folder / "pipe")
            (folder / "precious").write_text("precious")
            (folder / "link").symlink_to("precious")
        done = start(folder, "report", "run", "--out", name).wait(60)
        whole = (folder / "link").is_symlink() and (folder / "precious").read_text() == "precious"
        whole = whole and (folder / "folder").is_dir() and (folder / "pipe").is_fifo()
        fault = f"onto {kind}"
        yield (
            spoken(fault, done.text, name, code=done.code)
            if whole
            else Trial(fault, End.SILENT, f"{kind} was replaced")
        )


def python() -> Iterator[Trial]:
    """Create experiments with absurd values in Python."""
    changes = (
        {"steps": "a"},
        {"task": 5},
        {"model": None},
        {"seed": 10**400},
        {"steps": 10**400},
        {"name": 3},
        {"optimization": []},
        {"save": 3},
        {"split": "half"},
        {"evaluate_every": -1},
        {"steps": float("nan")},
        {"seed": "x"},
        {"patience": -1},
    )
    for change in changes:
        fault = f"Experiment({change!s:.40})"
        try:
            Experiment(**change)
        except GrokinterpError as error:
            yield Trial(fault, End.NAMED, str(error))
        except Exception as error:
            yield Trial(fault, End.TRACEBACK, f"{type(error).__name__}: {str(error)[:200]}")
        else:
            yield Trial(fault, End.SILENT, "accepted")


def killed_imports(lab: Lab) -> Iterator[Trial]:
    """Kill an import: it leaves a complete run or none, and the next import succeeds."""
    folder = lab.folder / "imports"
    folder.mkdir()
    last = Trajectory.open(lab.intact)
    torch.save(last.weights(last.steps[-1]).state, folder / "net.pt")
    (folder / "net.json").write_text(json.dumps({"task": {"kind": "modular_addition", "p": 5}, "act_fn": "relu"}))
    words = ("import", "transformer-lens", "net.pt", "--out", "out")
    once = time.monotonic()
    done = run(folder, *words)
    assert done.code == 0, done.text
    seconds = time.monotonic() - once
    expected = read(folder / "out", TENSORS).numbers
    for _ in range(2 if lab.small else 40):
        shutil.rmtree(folder / "out", ignore_errors=True)
        command = start(folder, *words)
        time.sleep(lab.random.uniform(0.3, 1.1) * seconds)
        command.send(signal.SIGKILL)
        command.wait()
        there = (folder / "out/experiment.json").exists()
        if there and read(folder / "out", TENSORS).numbers != expected:
            yield Trial("kill", End.SILENT, "a part of a run opens as a run")
            continue
        again = None if there else run(folder, *words)
        good = again is None or again.code == 0
        yield passed("kill", good, "" if again is None else again.text[-200:])
