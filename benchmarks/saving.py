"""Measure the time that saving adds to training: ``python -m benchmarks.saving [--rounds 5] [--every 10]``.

Each preset is trained without checkpoints, with every n-th step written at once, and with every n-th step written while
training continues, in turns, into folders under build/benchmarks. Times are medians over the turns.
"""

import argparse
import tempfile
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch

from benchmarks.machine import describe, milliseconds
from benchmarks.points import FOLDER
from benchmarks.report import table
from grokinterp.experiment import Experiment
from grokinterp.presets import preset
from grokinterp.storage import WriteQueue
from grokinterp.training import train

STEPS = {"demo": 400, "nanda2023": 100}
"""Steps of each preset: a few seconds of training."""

NONE, AT_ONCE, MEANWHILE = "none", "at once", "meanwhile"


@contextmanager
def written_at_once() -> Generator[None]:
    """Write every checkpoint before training continues, while the block runs."""

    def add(queue: WriteQueue, write: Callable[[], None], size: int) -> Future[None]:
        write()
        done: Future[None] = Future()
        done.set_result(None)
        return done

    with patch.object(WriteQueue, "add", add):
        yield


def time_of(experiment: Experiment, *, at_once: bool) -> float:
    """Return the milliseconds of training into a new folder."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder, written_at_once() if at_once else nullcontext():
        return milliseconds(lambda: train(experiment, Path(folder) / "run", device="cpu"))


def turns(experiment: Experiment, *, every: int, rounds: int) -> dict[str, float]:
    """Return the median milliseconds per step by the way of saving."""
    steps = experiment.budget
    rare = experiment.override([f"save.every={steps}", "save.dense_until=0", f"save.resume_every={steps}"])
    often = rare.override([f"save.every={every}"])
    times: dict[str, list[float]] = {NONE: [], AT_ONCE: [], MEANWHILE: []}
    for number in range(rounds + 1):  # the first warms up
        for name, found in times.items():
            taken = time_of(rare if name == NONE else often, at_once=name == AT_ONCE)
            found += [taken / steps] if number else []
    return {name: median(found) for name, found in times.items()}


def rows(overrides: list[str], *, every: int, rounds: int) -> Iterator[list[str]]:
    """Yield a row of the table per preset."""
    for name, steps in STEPS.items():
        found = turns(preset(name).override([f"steps={steps}", *overrides]), every=every, rounds=rounds)
        shares = [f"{100 * (found[way] / found[NONE] - 1):.1f} %" for way in (AT_ONCE, MEANWHILE)]
        yield [name, f"{found[NONE]:.1f}", *shares]


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.saving", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--every", type=int, default=10, help="save every n-th step")
    parser.add_argument("overrides", nargs="*", help="changes of the presets")
    given = parser.parse_args(arguments)
    head = ["preset", "ms per step without checkpoints", "added, written at once", "added, written meanwhile"]
    print(f"Machine: {describe()}, {torch.get_num_threads()} threads; every {given.every}th step is saved.\n")
    print(table(head, rows(given.overrides, every=given.every, rounds=given.rounds)))


if __name__ == "__main__":
    main()
