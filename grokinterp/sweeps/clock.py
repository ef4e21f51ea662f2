"""The times of a run, as the processes that trained it recorded them in ``clock.json``."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from grokinterp.storage import RunDirectory
from grokinterp.storage.run_directory import CLOCK

LARGEST = 2.0**53
"""Upper bound on the times and sizes in clock.json."""


class Clock:
    """The wall time of a run over its steps, combined from the processes that trained it.

    The time between two evaluations of one process is measured. Elsewhere, such as around an interruption, it is
    estimated at the mean rate of the measured parts.
    """

    def __init__(self, sessions: Sequence[Mapping[str, Any]], steps: np.ndarray) -> None:
        known = {}
        for session in sessions:
            timed = zip(session["steps"], session["seconds"], strict=True)
            known |= {(a, b): after - before for (a, before), (b, after) in pairwise(timed)}
        covered = sum(b - a for a, b in known)
        self.rate = sum(known.values()) / covered if covered else math.nan
        cpu = sum(float(session.get("cpu_seconds", math.nan)) for session in sessions)
        self.cpu_rate = cpu / covered if covered else math.nan
        spans = [known.get((int(a), int(b)), self.rate * (b - a)) for a, b in pairwise(steps)]
        self.steps, self.seconds = steps, np.cumsum([0.0, *spans])
        self.sessions = sessions

    @classmethod
    def read(cls, path: Path, steps: np.ndarray) -> "Clock":
        """Read the clock of a run directory; every time is NaN where none was recorded."""
        return cls(sessions(path), steps)

    def at(self, step: int) -> float:
        """Return the seconds from the first evaluation to a step; NaN where no time was recorded."""
        if not len(self.steps):
            return math.nan
        last = int(self.steps[-1])
        beyond = self.rate * (step - last) if step > last else 0.0
        return float(np.interp(step, self.steps, self.seconds)) + beyond

    @property
    def memory(self) -> dict[str, int | None]:
        """The largest resident memory of the processes, and the largest before training began."""
        names = ("peak_bytes", "program_bytes")
        return {name: max((int(session[name]) for session in self.sessions), default=None) for name in names}


def sessions(path: Path) -> list[dict[str, Any]]:
    """Return the records of the processes that trained a run, in order; empty if the file cannot be read."""
    found = RunDirectory(path).document(CLOCK).get("sessions")
    return [one for one in found if _is_session(one)] if isinstance(found, list) else []


def _is_session(one: Any) -> bool:
    """Return whether a value is the record of a process: steps, the seconds at each, and its use of the machine."""
    if not isinstance(one, dict) or not isinstance(one.get("steps"), list) or not isinstance(one.get("seconds"), list):
        return False
    single = [one.get("peak_bytes"), one.get("program_bytes"), one.get("cpu_seconds", 0.0)]
    numbers = [*one["steps"], *one["seconds"], *single]
    plain = all(isinstance(number, int | float) and abs(number) < LARGEST for number in numbers)
    return plain and len(one["steps"]) == len(one["seconds"]) and list(one["steps"]) == sorted({*one["steps"]})
