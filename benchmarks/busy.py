"""Training beside other programs, by the number of threads and how idle threads wait: ``python -m benchmarks.busy``.

Every combination trains the demo in a process of its own. The combinations take turns, alone and beside programs that
keep a processor busy each; a process is stopped between its turns, because idle threads may spin. The table is written
into docs/busy_machine.md; measure on a machine that is otherwise idle.
"""

import argparse
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

import torch

from benchmarks.machine import describe
from benchmarks.report import table
from grokinterp.presets import preset
from grokinterp.torch_settings import computing
from grokinterp.training.loop import member_of
from grokinterp.training.metrics import measure
from grokinterp.training.step import Step

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "busy_machine.md"
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
SPIN = "while True: pass"
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
WARM_UP = 0.2
"""Share of a turn that is not counted."""


class Setting(NamedTuple):
    """A number of threads, and the waiting policy of OpenMP; None is its default, which spins for some milliseconds."""

    threads: int
    waiting: str | None

    @property
    def name(self) -> str:
        """The setting in words."""
        waiting = "" if self.threads == 1 else f", {self.waiting or 'default'}"
        return f"{self.threads} thread{'s' * (self.threads > 1)}{waiting}"


def settings(processors: int) -> list[Setting]:
    """Return the settings that are compared; a single thread never waits."""
    return [Setting(1, None), *(Setting(processors, waiting) for waiting in (None, "passive", "active"))]


def chosen(found: Sequence[Setting], others: int) -> Setting:
    """Return the setting that the command line chooses beside other programs."""
    most, waiting = max(one.threads for one in found), "passive" if others else None
    return next((one for one in found if one == Setting(most, waiting)), found[0])


def serve(setting: Setting, overrides: Sequence[str], connection: Connection) -> None:
    """Train the demo for the seconds received and answer with steps per second, until None ends it."""
    torch.set_num_threads(setting.threads)
    experiment = preset("demo").override(overrides)
    with computing("cpu", flush=True):
        step, at = Step(*member_of(experiment, None, torch.device("cpu"))), 0
        step.prepare()

        def train(seconds: float) -> float:
            """Return the number of steps per second."""
            nonlocal at
            begin, start = at, time.perf_counter()
            while time.perf_counter() - start < seconds or at == begin:
                step.gradients(at)
                if at % experiment.evaluate_every == 0:
                    measure(step)
                step.apply(at)
                at += 1
            return (at - begin) / (time.perf_counter() - start)

        connection.send("ready")
        for seconds in iter(connection.recv, None):
            train(WARM_UP * seconds)
            connection.send(train((1 - WARM_UP) * seconds))


class Side(NamedTuple):
    """The process of a setting, which is stopped except in its turns, and the connection to it."""

    pid: int
    pipe: Connection

    def turn(self, seconds: float) -> float:
        """Let the process train, and return its steps per second."""
        os.kill(self.pid, signal.SIGCONT)
        self.pipe.send(seconds)
        rate = self.pipe.recv()
        os.kill(self.pid, signal.SIGSTOP)
        return rate


@contextmanager
def environment(setting: Setting) -> Generator[None]:
    """Start processes inside the block with the variables of a setting, which OpenMP reads once."""
    before = {name: os.environ.pop(name, None) for name in VARIABLES}
    os.environ["OMP_NUM_THREADS"] = str(setting.threads)
    if setting.waiting is not None:
        os.environ["OMP_WAIT_POLICY"] = setting.waiting
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def other_programs(count: int) -> Generator[None]:
    """Keep processors busy while the block runs."""
    running = [subprocess.Popen([sys.executable, "-S", "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for program in running:
            program.kill()
            program.wait()


def measured(
    compared: Sequence[Setting],
    loads: Sequence[int],
    *,
    seconds: float,
    rounds: int,
    overrides: Sequence[str] = (),
    start: Literal["spawn", "fork"] = "spawn",
) -> dict[int, dict[Setting, float]]:
    """Return the median of the steps per second, by the number of other programs and by setting.

    Args:
        compared: the settings.
        loads: numbers of other programs.
        seconds: length of a turn.
        rounds: turns of every setting beside every number of programs.
        overrides: changes to the demo.
        start: how processes start; forked ones share the variables of this process, so their numbers mean nothing.
    """
    context, sides = multiprocessing.get_context(start), {}
    for setting in compared:
        ours, theirs = context.Pipe()
        with environment(setting):
            process = context.Process(target=serve, args=(setting, overrides, theirs), daemon=True)
            process.start()
        theirs.close()
        ours.recv()
        sides[setting] = Side(process.pid, ours)
        os.kill(process.pid, signal.SIGSTOP)
    rates: dict[int, dict[Setting, list[float]]] = {load: {one: [] for one in compared} for load in loads}
    for _ in range(rounds):
        for load in loads:
            with other_programs(load):
                for setting, side in sides.items():
                    rates[load][setting].append(side.turn(seconds))
    for side in sides.values():
        side.pipe.send(None)
        os.kill(side.pid, signal.SIGCONT)
    return {load: {one: median(values) for one, values in of.items()} for load, of in rates.items()}


def result(rates: dict[int, dict[Setting, float]]) -> str:
    """Return the table; the setting that the command line chooses is bold."""
    compared = list(next(iter(rates.values())))
    head = ["other programs", *(one.name for one in compared)]
    rows = []
    for load, of in rates.items():
        best = chosen(compared, load)
        cells = [f"**{rate:.1f}**" if one == best else f"{rate:.1f}" for one, rate in of.items()]
        rows.append([str(load), *cells])
    return table(head, rows)


def write(text: str, document: Path = DOCUMENT) -> None:
    """Replace what stands between the markers of a document."""
    before, _, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    document.write_text(f"{before}{BEGIN}\n{text}{END}{rest.partition(END)[2]}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table and write it into the document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.busy", description=__doc__)
    parser.add_argument("--others", type=int, nargs="+", default=[0, 1, 3], help="numbers of other programs")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every setting")
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    asked = parser.parse_args(arguments)
    processors = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    rates = measured(settings(processors), asked.others, seconds=asked.seconds, rounds=asked.rounds)
    text = result(rates)
    print(text)
    here = f"Machine: {describe()}. Mean number of running programs in the minute before: {load:.1f}."
    write(f"{text}\n{here}\n", asked.out)


if __name__ == "__main__":
    main()
