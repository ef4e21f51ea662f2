"""The words for what happened in a run: Phase, Event, History; and the phase as a coordinate of a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import xarray as xr

from grokinterp.errors import ConfigError

Name = Literal["memorization", "circuit formation", "cleanup", "generalization"]
EventKind = Literal["loss spike", "slingshot", "relapse"]
Verdict = Literal[
    "grokked",
    "never memorized",
    "memorized, did not generalize within the run",
    "generalized without delay",
    "generalized and lost it again",
]
NAMES: tuple[Name, ...] = get_args(Name)
EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True)
class Phase:
    """A named half-open interval of optimizer steps, start <= step < stop.

    >>> 125 in Phase("memorization", 0, 125)
    False

    Raises:
        ConfigError: an unknown name, or an empty interval.
    """

    name: Name
    start: int
    stop: int

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ConfigError("phase.name", self.name, f"must be one of {', '.join(NAMES)}")
        if not self.start < self.stop:
            raise ConfigError("phase.stop", self.stop, f"must be after the start, {self.start}")

    def __contains__(self, step: int) -> bool:
        return self.start <= step < self.stop


@dataclass(frozen=True)
class Event:
    """An instability inside a phase, dated by its first evaluation; `detail` says in words how far it went."""

    kind: EventKind
    step: int
    detail: str


@dataclass(frozen=True)
class History:
    """What happened in a run.

    Attributes:
        phases: contiguous, in order, from the first evaluation's step to the last one's plus one.
        events: in the order of their steps.
        verdict: one of VERDICTS.
        memorized_step: first evaluation of memorization, None without one.
        generalized_step: first evaluation of the first sustained generalization, whatever preceded it.
        grok_step: `generalized_step`, if memorization without generalization was seen before it: the sustained rule.
        sentence: the verdict with its numbers.
    """

    phases: tuple[Phase, ...]
    events: tuple[Event, ...]
    verdict: Verdict
    memorized_step: int | None
    generalized_step: int | None
    grok_step: int | None
    sentence: str

    def describe(self) -> str:
        """The verdict in one sentence with its numbers."""
        return self.sentence


def label(dataset: xr.Dataset, phases: History | Sequence[Phase]) -> xr.Dataset:
    """The dataset with a `phase` coordinate along `step`.

    A step before the first or after the last evaluation takes the nearest phase's name.

    >>> steps = xr.Dataset(coords={"step": [0, 100, 200]})
    >>> label(steps, [Phase("memorization", 0, 120), Phase("circuit formation", 120, 201)]).phase.values.tolist()
    ['memorization', 'memorization', 'circuit formation']

    Raises:
        ConfigError: a dataset without `step`, or no phases.
    """
    phases = phases.phases if isinstance(phases, History) else tuple(phases)
    if "step" not in dataset.coords:
        raise ConfigError("dataset", f"dims {tuple(map(str, dataset.dims))}", "must have a step coordinate")
    if not phases:
        raise ConfigError("phases", "()", "must have at least one phase")
    starts = np.array([phase.start for phase in phases[1:]], dtype=np.int64)
    names = np.array([phase.name for phase in phases])[np.searchsorted(starts, dataset.step.values, side="right")]
    attrs = {"long_name": "phase of the run"}
    return dataset.assign_coords(phase=(dataset.step.dims, names, attrs))
