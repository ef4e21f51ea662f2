"""The families of faults, several of which are measured simultaneously."""

import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from benchmarks.reliability import (
    callers,
    hostile,
    kills,
    leagues,
    pages,
    read_only,
    records,
    resumption,
    sharing,
    stops,
    stored_results,
    streams,
    system_calls,
    tensor_files,
    terminal,
)
from benchmarks.reliability.specimen import Lab, shared_memory
from benchmarks.reliability.trial import Row

FAMILIES: dict[str, Callable[[Lab], Iterator[Row]]] = {
    "Checkpoints and resume states": tensor_files.faults,
    "Metrics and other records": records.faults,
    "Results of analyses": stored_results.faults,
    "System calls of a save": system_calls.faults,
    "Kills and full disks": kills.faults,
    "Components of the resume state": resumption.faults,
    "Signals": stops.faults,
    "Outputs": streams.faults,
    "Hostile inputs": hostile.faults,
    "Several processes on one run": sharing.faults,
    "Use as a library": callers.faults,
    "Leagues": leagues.faults,
    "Read-only storage": read_only.faults,
    "Control characters": terminal.faults,
    "Pages": pages.faults,
}


def measure(name: str, lab: Lab) -> list[Row]:
    """Inject the faults of one family, and return its rows."""
    started = time.monotonic()
    found = [relative(row, lab.folder) for row in FAMILIES[name](lab)]
    failures = sum(len(row.failures) for row in found)
    print(f"{name}: {failures} not survived, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return found


def relative(row: Row, folder: Path) -> Row:
    """Return a row whose lines do not contain the path of the laboratory."""
    plain = (trial._replace(said=trial.said.replace(f"{folder}/", "")) for trial in row.trials)
    return row._replace(trials=tuple(plain))


def measured(names: Sequence[str], *, small: bool, jobs: int) -> dict[str, list[Row]]:
    """Inject the faults of several families, ``jobs`` at a time, and return the rows of each.

    Every process uses one thread, so that runs can be compared byte by byte.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    top = Path(tempfile.mkdtemp(prefix="reliability-", dir=shared_memory()))
    try:
        lab = Lab(top, small).prepare()
        rooms = [lab.room(name) for name in names]
        if jobs == 1:
            return {name: measure(name, room) for name, room in zip(names, rooms, strict=True)}
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return dict(zip(names, pool.map(measure, names, rooms), strict=True))
    finally:
        torch.set_num_threads(threads)
        shutil.rmtree(top, ignore_errors=True)
