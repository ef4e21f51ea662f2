"""Comparisons whose sides take turns in separate processes.

The settings of each process (the allocator, flushed denormals, the thread count) thus apply to a single side, and the
load of other programs affects all sides alike.
"""

import multiprocessing
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from statistics import median
from typing import Any, Literal

import torch

from benchmarks.machine import milliseconds

Make = Callable[[], Mapping[str, Callable[[], object]]]
"""Builds a side in its process: the work at each point, by the point's name."""


def serve(make: Make, threads: int, connection: Connection) -> None:
    """Time a call for each point's name received, until None ends it."""
    torch.set_num_threads(threads)
    work = make()
    connection.send(list(work))
    for point in iter(connection.recv, None):
        work[point]()
        connection.send(milliseconds(work[point]))


def answer(name: str, pipe: Connection) -> Any:
    """Return a side's answer. Raises RuntimeError naming the side if its process has died."""
    try:
        return pipe.recv()
    except EOFError:
        raise RuntimeError(f"the process that measures {name!r} died; its error is printed above") from None


def take_turns(
    sides: Mapping[str, Make], *, rounds: int, threads: int = 1, start: Literal["spawn", "fork"] = "spawn"
) -> dict[str, dict[str, float]]:
    """Return median milliseconds by point and side; each timed call follows an untimed call.

    A forked side saves the imports, but shares the settings of this process, so its numbers are meaningless.
    """
    context = multiprocessing.get_context(start)
    pipes: dict[str, Connection] = {}
    for name, make in sides.items():
        pipes[name], theirs = context.Pipe()
        context.Process(target=serve, args=(make, threads, theirs), daemon=True).start()
        theirs.close()  # if only the process holds the other end, its death ends the wait
    points, *_ = [answer(name, pipe) for name, pipe in pipes.items()]
    times: dict[str, dict[str, list[float]]] = {point: {name: [] for name in sides} for point in points}
    for _ in range(rounds):
        for point in points:
            for name, pipe in pipes.items():
                pipe.send(point)
                times[point][name].append(answer(name, pipe))
    for pipe in pipes.values():
        pipe.send(None)
    return {point: {name: median(values) for name, values in of.items()} for point, of in times.items()}
