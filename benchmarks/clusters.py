"""The cost of a run of a sweep besides its training, on this machine: processes, Ray, and Ray without shared storage.

``python -m benchmarks.clusters [--runs 48] [--workers 2] [--known 1000]`` trains runs of two steps with every engine,
after a few that warm it up, and compares them with the same runs in one process. Processor time, summed over all
processes of an engine, depends less on other programs than wall time. The last part calls a sweep of complete runs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.database import simulate
from benchmarks.machine import describe
from grokinterp.experiment import Experiment, Optimization, SaveAt, Split
from grokinterp.models import MLPSpec
from grokinterp.sweeps import Grid, Sweep, run_sweep
from grokinterp.tasks import ModularAddition
from grokinterp.training import train

BASE = Experiment(
    name="tiny",
    task=ModularAddition(p=7),
    model=MLPSpec(hidden=(16,)),
    split=Split(fraction=0.5),
    optimization=Optimization(warmup_steps=0),
    save=SaveAt(every=2),
    steps=2,
    evaluate_every=2,
)

PARTS = {
    "alone": "one process",
    "local": "`--engine local`",
    "ray": "`--engine ray`, shared storage",
    "fetched": "`--engine ray`, runs sent back",
}
"""The parts that train, with their names in the table."""

MARK = "GROKINTERP_BENCHMARK"
"""The variable in the environment of all processes of a part."""

MANY = 10_000
"""Number of runs to which the costs are extrapolated."""


def part(name: str, runs: int, workers: int) -> dict[str, float]:
    """Train runs with an engine, and return the seconds of each: wall, all processes, and this process."""
    with tempfile.TemporaryDirectory() as folder:
        work = prepared(name, Path(folder), workers)
        work("warm", 2 * workers)
        wall, processor, own = time.perf_counter(), processor_time(), time.process_time()
        work("measured", runs)
        found = time.perf_counter() - wall, processor_time() - processor, time.process_time() - own
    return dict(zip(("wall", "processor", "own"), (seconds / runs for seconds in found), strict=True))


def prepared(name: str, folder: Path, workers: int) -> Callable[[str, int], Any]:
    """Return the function that trains a number of new runs with an engine."""
    if name == "alone":
        return lambda title, runs: [
            train(one, folder / title / f"{one.seed}", device="cpu") for one in listed(title, runs)
        ]
    if name != "local":
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_TOKEN": "0" * 64}
        import ray

        ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    root = folder
    if name == "fetched":  # a path that is another folder for the workers, as if they shared no storage
        os.chdir(folder)
        root = Path("/proc/self/cwd/root")
    engine = {"engine": "local", "workers": workers} if name == "local" else {"engine": "ray"}

    def work(title: str, runs: int) -> None:
        entries = run_sweep(sweep_of(title, runs), root, **engine)
        assert [entry.failure for entry in entries] == [None] * runs

    return work


def listed(title: str, runs: int) -> list[Experiment]:
    """Return the experiments of a part of the measurement, which differ in their seeds."""
    first = 0 if title == "warm" else 100_000
    return [replace(BASE, seed=first + number) for number in range(runs)]


def sweep_of(title: str, runs: int) -> Sweep:
    """Return the sweep of a part of the measurement."""
    return Sweep.of(title, Grid(BASE, {"seed": [one.seed for one in listed(title, runs)]}, "tiny runs"))


def processor_time() -> float:
    """Return the processor seconds of this process, those that it started, and their children that have ended."""
    total, mark = 0, f"{MARK}={os.environ[MARK]}".encode()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (path / "environ").read_bytes().split(b"\0"):
                total += sum(map(int, (path / "stat").read_text().rpartition(")")[2].split()[11:15]))
        except OSError:  # it has just ended, or belongs to another user
            continue
    return total / os.sysconf("SC_CLK_TCK")


def known(runs: int) -> float:
    """Return the seconds of a sweep whose runs are complete, each."""
    sweep = sweep_of("known", runs)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        for run_id, one in sweep.experiments.items():
            simulate(Path(folder) / f"tiny-{run_id}", one, 2)
        start = time.process_time()
        run_sweep(sweep, folder, engine="local")
        return (time.process_time() - start) / runs


HEAD = ("", "a run, ms", "besides training, ms", f"{MANY:,} runs, hours", "in the sweep's process, ms")


def table(found: dict[str, dict[str, float]]) -> Iterator[str]:
    """Yield the table of the processor time of a run, and of that besides its training."""
    yield f"| {' | '.join(HEAD)} |"
    yield "|---" * len(HEAD) + "|"
    alone = found["alone"]["processor"]
    for name, one in found.items():
        cells = [PARTS[name], f"{1e3 * one['processor']:.0f}", "", "", ""]
        if name != "alone":
            extra = one["processor"] - alone
            cells[2:] = f"{1e3 * extra:.0f}", f"{MANY * extra / 3600:.2f}", f"{1e3 * one['own']:.1f}"
        yield f"| {' | '.join(cells)} |"


def in_a_process(name: str, chosen: argparse.Namespace) -> dict[str, float]:
    """Return the result of a part, measured in a new process, by whose environment its own processes are found."""
    command = [sys.executable, "-m", "benchmarks.clusters", "--part", name, "--runs", str(chosen.runs)]
    command += ["--workers", str(chosen.workers)]
    environment = os.environ | {MARK: f"{os.getpid()}-{name}"}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every part, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clusters", description=__doc__)
    parser.add_argument("--runs", type=int, default=48, help="runs of every engine")
    parser.add_argument("--workers", type=int, default=2, help="simultaneous processes")
    parser.add_argument("--known", type=int, default=1_000, help="complete runs of the last part")
    parser.add_argument("--engines", nargs="+", choices=PARTS, default=list(PARTS), help="besides 'alone'")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "grokking cannot be detected")  # in runs of two steps
        report(chosen)


def report(chosen: argparse.Namespace) -> None:
    """Print the result of a part, or the table of all."""
    if chosen.part:
        print(json.dumps(part(chosen.part, chosen.runs, chosen.workers)))
        return
    print(f"{describe()}; load {os.getloadavg()[0]:.1f}")
    found = {name: in_a_process(name, chosen) for name in PARTS if name in ("alone", *chosen.engines)}
    for name, one in found.items():
        print(f"{name}: {', '.join(f'{key} {1e3 * seconds:.1f} ms' for key, seconds in one.items())} a run")
    print("\n".join(table(found)))
    seconds = known(chosen.known)
    print(f"a sweep of {chosen.known:,} complete runs: {1e3 * seconds:.2f} ms of processor time each")


if __name__ == "__main__":
    main()
