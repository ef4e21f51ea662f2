"""Evaluation of analyses one checkpoint at a time, in this process and, for long work, in others as well."""

import copy
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice

from grokinterp.analysis.engine.evaluator import Bound, Chunk, Evaluator, Task
from grokinterp.analysis.engine.labeled import Result
from grokinterp.analysis.engine.team import Team
from grokinterp.torch_settings import exact_attention, load_linear_algebra, set_threads, threads

WORTH = 5.0
"""Seconds of remaining work above which other processes take part; starting one takes about three."""


def one_by_one(
    bound: Bound, chunks: Iterable[Chunk], total: int, here: Evaluator, team: Team, *, workers: int, apart: bool
) -> Iterator[tuple[Chunk, list[list[Result]]]]:
    """Yield every chunk with the results of its checkpoints, evaluated one after another or by several workers.

    The first checkpoint is evaluated alone, unless the other processes of the team are already there: its time shows
    whether they are worth starting. Each worker computes on a single thread, so that no time is lost when another
    program keeps a core busy.

    Args:
        bound: the analyses with their arguments.
        chunks: the checkpoints, each in a chunk of its own.
        total: how many chunks there are at most.
        here: the evaluator of this process.
        team: the other processes.
        workers: the number of tasks at a time; a single worker computes on all threads.
        apart: let workers share the analyses of a checkpoint instead of the checkpoints. Costly analyses share little,
            and a few checkpoints would leave workers without work at the end.
    """
    groups = [[one] for one in bound] if apart else [bound]
    tasks = ((chunk, some) for chunk in chunks for some in groups)
    if workers == 1:
        yield from joined(map(here, tasks), len(groups))
        return
    load_linear_algebra(here.problem.tokens.device)
    with threads(1), exact_attention():
        if not team:
            begun = time.perf_counter()
            first = [here(task) for task in islice(tasks, len(groups))]
            left = (time.perf_counter() - begun) * (total - 1)
            yield from joined(iter(first), len(groups))
            workers = workers if left > WORTH else 1
        done = map(here, tasks) if workers == 1 else shared(tasks, here, team, workers, ahead=workers * len(groups))
        yield from joined(done, len(groups))


def joined(done: Iterator[tuple[Chunk, list[list[Result]]]], parts: int) -> Iterator[tuple[Chunk, list[list[Result]]]]:
    """Yield every chunk once, with the results of its parts, which follow each other, one after another."""
    for chunk, first in done:
        others = [results for _, results in islice(done, parts - 1)]
        yield chunk, [list(chain(*of_step)) for of_step in zip(first, *others, strict=True)]


def shared(
    tasks: Iterable[Task], here: Evaluator, team: Team, workers: int, *, ahead: int
) -> Iterator[tuple[Chunk, list[list[Result]]]]:
    """Yield the results of tasks in order; each worker is a thread that computes, or that waits for a process.

    A worker whose task cannot be sent to another process computes with a copy of the model.
    """
    own, places = threading.local(), iter(range(workers))

    def begin() -> None:
        set_threads(1)
        own.place = next(places)
        own.here = here if own.place == 0 else None

    def run(task: Task) -> tuple[Chunk, list[list[Result]]]:
        if own.place and (found := team.results(own.place, task)):
            return task[0], found
        own.here = own.here or Evaluator(copy.deepcopy(here.model), here.problem)
        return own.here(task)

    with ThreadPoolExecutor(workers, initializer=begin) as pool:
        under_way: deque[Future] = deque()
        for task in tasks:
            under_way.append(pool.submit(run, task))
            if len(under_way) > ahead:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
