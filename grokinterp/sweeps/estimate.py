"""Estimates before training: the operations of a run, its time, and its disk space."""

import time
from collections.abc import Generator, Hashable, Iterable
from contextlib import contextmanager
from itertools import count
from typing import NamedTuple

import torch

from grokinterp.experiment import Experiment
from grokinterp.sweeps.entry import Entry
from grokinterp.torch_settings import computing
from grokinterp.training.disk import disk_needs
from grokinterp.training.fitting import key_of
from grokinterp.training.loop import member_of
from grokinterp.training.memory import traced_for
from grokinterp.training.step import Step

RATE, OVERHEAD = 4e10, 2e-3
"""Floating-point operations per second, and seconds besides them, of a step of one thread that was not timed."""

LAUNCH = 0.086
"""Seconds of processor time in which a process starts, prepares its run, and ends (docs/clusters.md)."""

MOST_TIMING = 10.0
"""Seconds after which no further kinds of runs are timed."""

LONGEST_STEP = 2.0
"""Seconds of a step above which a kind of runs is not timed."""


class Pace(NamedTuple):
    """Seconds of a training step, and of an evaluation, by one thread."""

    step: float
    evaluation: float

    def seconds(self, experiment: Experiment) -> float:
        """Return the time of a run that takes all of its steps."""
        evaluations = experiment.budget // experiment.evaluate_every + 1
        return experiment.budget * self.step + evaluations * self.evaluation


def untimed(experiment: Experiment) -> Pace:
    """Return the pace on a typical core, from the number of weights: 6 operations per weight, token and example."""
    parts, weights = experiment.split.sizes(experiment.task), traced_for(experiment).weights
    batch = experiment.optimization.batch_size or parts.train
    evaluated = parts.validation + parts.test + (parts.train if batch < parts.train else 0)
    per_example = 2 * weights * experiment.n_ctx / RATE
    return Pace(3 * batch * per_example + OVERHEAD, evaluated * per_example + OVERHEAD)


def timed(experiment: Experiment, *, seconds: float = 0.5, most_steps: int = 50) -> Pace:
    """Train some steps, and return the mean pace in processor time, which other programs hardly change.

    Args:
        experiment: the run.
        seconds: the time after which no further step is begun.
        most_steps: the largest number of steps.
    """
    with single_thread(), computing(flush=True):
        step = Step(*member_of(experiment, None, torch.device("cpu")))
        step.prepare()
        for number in count():
            step.gradients(number)
            step.apply(number)
            if number == 0:  # the first step allocates memory
                start = time.process_time()
            elif number == most_steps or time.process_time() - start > seconds:
                break
        middle = time.process_time()
        step.measured()
    return Pace((middle - start) / number, time.process_time() - middle)


@contextmanager
def single_thread() -> Generator[None]:
    """Compute with one thread inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def kind_of(experiment: Experiment) -> Hashable:
    """Return a key that is equal for experiments whose steps take equally long."""
    return key_of(experiment) or (experiment.task, experiment.model, experiment.optimization)


def seconds_of(experiments: Iterable[Experiment]) -> list[float]:
    """Return the processor time of each run and its process in seconds, from timing some steps of each kind of runs.

    Kinds of runs with few operations are timed first. When this has taken ten seconds, the time of the others follows
    from that of the largest kind that was timed, in proportion to the operations.
    """
    listed = list(experiments)
    kinds = {kind_of(one): one for one in reversed(listed)}
    paces: dict[Hashable, Pace] = {}
    start, factor = time.perf_counter(), 1.0
    for kind, one in sorted(kinds.items(), key=lambda item: untimed(item[1]).step):
        expected = untimed(one)
        if time.perf_counter() - start < MOST_TIMING and factor * expected.step < LONGEST_STEP:
            paces[kind] = timed(one)
            factor = paces[kind].step / expected.step
        else:
            paces[kind] = Pace(factor * expected.step, factor * expected.evaluation)
    return [LAUNCH + paces[kind_of(one)].seconds(one) for one in listed]


def bytes_of(entries: Iterable[Entry]) -> int:
    """Return the disk space in bytes that runs will still take."""
    return sum(disk_needs(one.experiment, start=one.reached).total for one in entries)


def elapsed(seconds: Iterable[float], processes: int) -> float:
    """Return the time in which processes train runs of some times, the longest first.

    >>> elapsed([3.0, 1.0, 2.0], 2)
    3.0
    """
    busy = [0.0] * processes
    for one in sorted(seconds, reverse=True):
        busy[busy.index(min(busy))] += one
    return max(busy)
