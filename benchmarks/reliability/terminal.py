"""Control characters in texts from files and arguments: they must never reach the terminal."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from benchmarks.reliability.processes import Ended, run
from benchmarks.reliability.specimen import Lab
from benchmarks.reliability.trial import End, Row, Trial, row

ESCAPE = "\x1b[2J\x1b]0;title\x07\x9b31m\u202e\r"
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def faults(lab: Lab) -> Iterator[Row]:
    """Put control characters into every text of a run and of foreign files, and run every command that prints them."""
    yield row("control characters in the texts of a run", texts(lab))
    yield row("control characters in foreign files and arguments", foreign(lab))


def poisoned(value: object) -> object:
    """Return a JSON value with control characters in each of its string values; keys are unchanged."""
    if isinstance(value, dict):
        return {key: poisoned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item) for item in value]
    return f"{value}{ESCAPE}" if isinstance(value, str) else value


def status(path: Path) -> None:
    """Poison the status."""
    (path / "status.json").write_text(json.dumps({"status": f"diverged{ESCAPE}", "step": 24, "why": f"why{ESCAPE}"}))


def environment(path: Path) -> None:
    """Poison the environment."""
    content = json.loads((path / "environment.json").read_text())
    (path / "environment.json").write_text(json.dumps(poisoned(content)))


def not_defined(path: Path) -> None:
    """Poison the reasons why analyses are not defined."""
    (path / "analysis/not_defined.json").write_text(json.dumps({f"a{ESCAPE}": f"why{ESCAPE}", "coset_scores": ESCAPE}))


def experiment(path: Path) -> None:
    """Poison the name of the run, on which the run id does not depend."""
    content = json.loads((path / "experiment.json").read_text())
    (path / "experiment.json").write_text(json.dumps(content | {"name": f"name{ESCAPE}"}))


def keys(path: Path) -> None:
    """Poison the keys of the configuration."""
    content = json.loads((path / "experiment.json").read_text())
    (path / "experiment.json").write_text(json.dumps(content | {f"key{ESCAPE}": 1}))


def metrics(path: Path) -> None:
    """Poison the names of the metrics."""
    file = path / "metrics.jsonl"
    file.write_text(file.read_text().replace("train_loss", "train" + json.dumps(ESCAPE)[1:-1]))


def files(path: Path) -> None:
    """Poison the names of files."""
    (path / f"checkpoints/step{ESCAPE}.safetensors").touch()
    (path / f"analysis/name{ESCAPE}.nc").touch()


PLACES: tuple[Callable[[Path], None], ...] = (status, environment, not_defined, experiment, keys, metrics, files)
COMMANDS = (
    ("diagnose", "run"),
    ("analyze", "run", "--only", "performance"),
    ("phases", "run"),
    ("llc", "run", "draws=2", "burn_in=1"),
)


def texts(lab: Lab) -> Iterator[Trial]:
    """Poison each place and run the commands that print it."""
    for poison in lab.some(PLACES, 99, 3):
        for words in COMMANDS[:1] if lab.small else COMMANDS:
            folder = lab.copy("terminal/run").parent
            poison(folder / "run")
            yield printed(f"{words[0]}: {poison.__name__}", run(folder, *words))


def printed(fault: str, done: Ended) -> Trial:
    """Return the trial of a command whose output must not contain control characters or tracebacks."""
    last = (done.err or done.out).strip().splitlines()[-1:]
    if "Traceback" in done.text:
        return Trial(fault, End.TRACEBACK, "".join(last)[:200])
    found = CONTROL.search(done.text)
    if found:
        around = done.text[max(found.start() - 60, 0) : found.end() + 20]
        return Trial(fault, End.SILENT, f"printed raw: {around!r}")
    return Trial(fault, End.EQUAL if done.code == 0 else End.NAMED, "".join(last)[:200])


def foreign(lab: Lab) -> Iterator[Trial]:
    """Poison tensor names, labels of logs, file names and arguments."""
    folder = lab.folder / "foreign"
    folder.mkdir()
    torch.save({f"W{ESCAPE}": torch.zeros(2), "embed.W_E": torch.zeros(3)}, folder / "net.pth")
    (folder / "net.json").write_text(json.dumps({"p": 5, f"key{ESCAPE}": ESCAPE, "act_fn": ESCAPE, "task": {"p": 5}}))
    (folder / "log.csv").write_text(f"step,train{ESCAPE}_acc,test_acc\n" + "".join(f"{n},0.1,0.2\n" for n in range(9)))
    (folder / "log.json").write_text(
        json.dumps({f"run{ESCAPE}": {"step": [1, 2], "train_acc": [1, 1], "test_acc": [0, 1]}})
    )
    shutil.copy(folder / "log.csv", folder / "log\x1b[31m.csv")
    for words in (
        ("import", "nanda", "net.pth"),
        ("import", "transformer-lens", "net.pth"),
        ("phases", "log.csv"),
        ("phases", "log.json"),
        ("phases", "log\x1b[31m.csv"),
        ("train", f"task.kind={ESCAPE}"),
        ("train", f"{ESCAPE}=1"),
        ("train", "--preset", ESCAPE),
        ("analyze", f"no{ESCAPE}"),
        ("analyze", "run", "--only", ESCAPE),
        (ESCAPE,),
        ("report", ESCAPE),
        ("league", "--methods", ESCAPE),
    )[: 4 if lab.small else None]:
        yield printed(" ".join(words).replace(ESCAPE, "ESCAPE"), run(folder, *words))
