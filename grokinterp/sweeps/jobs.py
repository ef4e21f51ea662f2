"""The runs of a sweep as tasks of a cluster, and the number of tasks in flight."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from grokinterp.sweeps.cluster import Share
from grokinterp.sweeps.entry import Entry
from grokinterp.training.fitting import key_of

MOST_STACKED = 64
"""Largest number of runs that a task trains as one program, all of which are repeated if its worker dies."""

QUEUED = 2
"""Tasks in flight for every task that the cluster runs at a time, so that no worker waits for the next one."""


@dataclass
class Job:
    """The runs of a task, how often their workers died, and their files by run id, if workers need them."""

    entries: list[Entry]
    deaths: int = 0
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def __str__(self) -> str:
        others = len(self.entries) - 1
        return f"{self.entries[0]}{f' and {others} more' if others else ''}"


def jobs_of(waiting: Sequence[Entry], share: Share, *, slots: int) -> list[Job]:
    """Return the tasks for runs: one for each run, or on whole GPUs for runs that fit into one program.

    Runs that fit together are divided evenly among the GPUs. Runs that exist are in other tasks than new ones, because
    a stack is continued from a step that all have reached.
    """
    if not share.is_whole:
        return [Job([entry]) for entry in waiting]
    fitting: dict[object, list[Entry]] = {}
    for entry in waiting:
        key = key_of(entry.experiment)
        fitting.setdefault(entry.directory if key is None else (key, entry.exists), []).append(entry)
    return [Job(part) for together in fitting.values() for part in parts(together, slots)]


def parts(together: list[Entry], slots: int) -> Iterator[list[Entry]]:
    """Yield runs that fit together in parts of equal size, up to one, that are not too large."""
    size = min(MOST_STACKED, math.ceil(len(together) / max(slots, 1)))
    yield from (together[start : start + size] for start in range(0, len(together), size))


def most_in_flight(slots: int, workers: int | None) -> int:
    """Return how many tasks may be in flight: a few that wait for a slot, or as many as the user allows.

    >>> most_in_flight(16, None), most_in_flight(0, None), most_in_flight(16, 4)
    (32, 1, 4)
    """
    return max(QUEUED * slots, 1) if workers is None else workers
