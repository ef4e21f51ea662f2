"""The tiny run that every fault damages, and the folder in which it is damaged."""

import contextlib
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import torch

from benchmarks.reliability.readings import EVERYTHING, Reading, read
from grokinterp.analysis import analyze
from grokinterp.experiment import Experiment, Optimization, SaveAt, Split
from grokinterp.interrupt import Stopped
from grokinterp.models import TransformerSpec
from grokinterp.runs.completeness import mark_complete
from grokinterp.storage import RunDirectory
from grokinterp.tasks import ModularAddition
from grokinterp.training import train

TINY = Experiment(
    name="specimen",
    task=ModularAddition(p=5),
    model=TransformerSpec(d_model=8, n_heads=1, d_mlp=8),
    split=Split(fraction=0.6),
    optimization=Optimization(lr=2e-2, weight_decay=0.5, warmup_steps=2),
    save=SaveAt(every=6, dense_until=0, transition_every=100, resume_every=8),
    steps=24,
    evaluate_every=2,
)
ANALYSES = ("performance", "weight_norms", "logit_spectrum", "coset_scores")
"""The analyses of the specimen; the last is not defined for it."""


NOT_FILES: dict[str, Callable[[Path], object]] = {
    "a directory": Path.mkdir,
    "a pipe without a writer": os.mkfifo,
    "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path),
}
"""How to put something other than a regular file at a path."""


class StopAt:
    """A logger that sends SIGTERM to this process at the evaluation of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def log(self, values: dict[str, float], *, step: int) -> None:
        """Send SIGTERM when the step is reached."""
        if step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def stopped() -> Generator[None]:
    """Suppress the exception by which a signal ends the block."""
    with contextlib.suppress(Stopped):
        yield


def train_until(path: Path, step: int, experiment: Experiment = TINY, **options: Any) -> None:
    """Train until SIGTERM arrives at the evaluation of ``step``; the state is saved."""
    with stopped():
        train(experiment, path, device="cpu", loggers=[StopAt(step)], **options)


def make(path: Path, experiment: Experiment = TINY) -> Path:
    """Train and analyze a run that was continued once with another thread count, which is recorded."""
    train_until(path, experiment.steps // 2, experiment)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        train(experiment, path, device="cpu", resume=True)
    torch.set_num_threads(threads)
    analyze(path, only=ANALYSES)
    mark_complete(path)
    return path


@dataclass(frozen=True)
class Lab:
    """A folder with an intact specimen, a run with another seed, and the size of the measurement."""

    folder: Path
    small: bool = False

    @property
    def intact(self) -> Path:
        """The specimen, which no trial changes."""
        return self.folder / "intact"

    @property
    def other(self) -> Path:
        """A run that differs from the specimen only in its seed."""
        return self.folder / "other"

    def prepare(self) -> "Lab":
        """Train the specimens."""
        make(self.intact)
        make(self.other, replace(TINY, seed=1))
        return self

    def room(self, name: str) -> "Lab":
        """Return a separate laboratory for one family of faults, with copies of the specimens."""
        folder = self.folder / name.lower().replace(" ", "-")
        for run in (self.intact, self.other):
            shutil.copytree(run, folder / run.name)
        return Lab(folder, self.small)

    @cached_property
    def random(self) -> Random:
        """The generator of random faults."""
        return Random(0)

    @cached_property
    def run(self) -> Path:
        """The copy of the specimen that ``damaged`` changes and restores."""
        return self.copy("run")

    @cached_property
    def reading(self) -> Reading:
        """The values and messages that all readers return for the intact specimen."""
        reading = read(self.run, EVERYTHING)
        assert not reading.tracebacks, reading.tracebacks
        return reading

    def copy(self, name: str) -> Path:
        """Return a fresh copy of the specimen."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        return Path(shutil.copytree(self.intact, path))

    def some(self, values: Any, full: int, small: int) -> list[Any]:
        """Return ``full`` evenly spaced values, or ``small`` at toy size; all values if there are fewer."""
        found, most = list(values), small if self.small else full
        if len(found) <= most:
            return found
        return [found[place * len(found) // most] for place in range(most)]

    @contextlib.contextmanager
    def damaged(self, name: str, content: bytes) -> Generator[Path]:
        """Replace a file of the specimen while the block runs."""
        path = self.run / name
        times = path.stat()
        before = path.read_bytes()
        path.write_bytes(content)
        try:
            yield self.run
        finally:
            path.write_bytes(before)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def flipped(content: bytes, bit: int) -> bytes:
    """Return the content with one bit inverted."""
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def shared_memory() -> Path | None:
    """Return the folder of a file system in memory, or None."""
    folder = Path("/dev/shm")
    return folder if sys.platform == "linux" and os.access(folder, os.W_OK) else None


def written(path: Path) -> dict[str, bytes]:
    """Return the content of the files that training reproduces to the byte.

    These are checkpoints, metrics, configuration, and the newest resume state. The status contributes only its state
    and step, because the used memory varies, and the environment all but the waiting policy, which depends on the load
    of the machine; the record of continuations is left out.
    """
    newest = sorted(path.glob("resume/*.safetensors"))[-1:]
    files = [*path.glob("checkpoints/*.safetensors"), *newest, *path.glob("metrics.jsonl"), *path.glob("exp*.json")]
    found = {str(file.relative_to(path)): file.read_bytes() for file in files}
    run = RunDirectory.open(path) if (path / "experiment.json").exists() else None
    status, environment = (run.status, run.environment) if run else ({}, {})
    environment = {key: value for key, value in environment.items() if key != "waiting"}
    summary = f"{status.get('status')} at {status.get('step')}"
    return found | {"status": summary.encode(), "environment": repr(environment).encode()}
