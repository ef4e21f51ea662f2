"""Phase, Event and History of a run, and the phase as a coordinate of a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from grokinterp.errors import ConfigError

if TYPE_CHECKING:
    import xarray

Name = Literal["memorization", "circuit formation", "cleanup", "generalization", "decline"]
EventKind = Literal["loss spike", "slingshot", "dip", "relapse", "double descent"]
Verdict = Literal[
    "grokked",
    "grokked, not yet sustained",
    "partly generalized from the start, fully later",
    "generalized without delay",
    "unstable",
    "generalized and lost it again",
    "collapsed",
    "partly generalized",
    "memorized, did not generalize within the run",
    "never memorized",
    "no history",
]
NAMES: tuple[Name, ...] = get_args(Name)
EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
GENERALIZED: tuple[Verdict, ...] = VERDICTS[:4]
"""Verdicts on networks that generalize at the end of their run."""


@dataclass(frozen=True)
class Phase:
    """A named half-open interval of optimizer steps, start <= step < stop.

    >>> 125 in Phase("memorization", 0, 125)
    False

    Raises:
        ConfigError: if the name is unknown or the interval is empty.
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
    """An instability, dated by its first evaluation; ``detail`` describes its extent in words."""

    kind: EventKind
    step: int
    detail: str


@dataclass(frozen=True)
class Transition:
    """A rise of the test accuracy between two plateaus, ``low`` and ``high``, from step ``start`` to ``stop``."""

    start: int
    stop: int
    low: float
    high: float


@dataclass(frozen=True)
class History:
    """The phases, events and verdict of a run.

    Each verdict is a statement about the whole course of the run (docs/formulas.md, "Verdicts on curves"):

    * grokked: memorized while failing on the test set, took at least twice as long to generalize, and kept it;
    * grokked, not yet sustained: the same, but the log ends too soon afterwards to show whether it lasts;
    * partly generalized from the start, fully later: never failed on the test set after memorization, and took at
      least twice as long as memorization to generalize fully;
    * generalized without delay: generalized before, with or soon after memorization, and kept it;
    * unstable: generalizes repeatedly, for less than three quarters of the time;
    * generalized and lost it again: does not generalize at the end, but still fits the training set;
    * collapsed: memorized, and at the end no longer fits the training set either;
    * partly generalized: memorized, and at the end between failing and generalizing on the test set;
    * memorized, did not generalize within the run: memorized, and at the end failing on the test set;
    * never memorized: neither memorized nor generalized;
    * no history: fewer than three evaluations, too few for a verdict.

    Attributes:
        phases: contiguous phases in order, from the step of the first evaluation to the step of the last plus one;
            empty without a history.
        events: the events in order of their steps.
        verdict: a member of ``VERDICTS``.
        memorized_step: first evaluation of memorization, or None.
        generalized_step: first evaluation from which the network generalizes for a while, or None; does not require
            memorization.
        grok_step: the step found by the sustained rule, as by an online detector: the first of 10 consecutive
            evaluations that generalize, after an evaluation that memorized and failed. None if a dip or the end of
            the log comes first.
        sentence: the verdict in one sentence with its numbers.
        transitions: rises of the test accuracy from plateau to plateau.
    """

    phases: tuple[Phase, ...]
    events: tuple[Event, ...]
    verdict: Verdict
    memorized_step: int | None
    generalized_step: int | None
    grok_step: int | None
    sentence: str
    transitions: tuple[Transition, ...] = ()

    def describe(self) -> str:
        """Return the verdict in one sentence with its numbers."""
        return self.sentence


def label(dataset: "xarray.Dataset", phases: History | Sequence[Phase]) -> "xarray.Dataset":
    """Return the dataset with a ``phase`` coordinate along ``step``.

    Steps before the first or after the last evaluation belong to the nearest phase.

    >>> import xarray as xr
    >>> steps = xr.Dataset(coords={"step": [0, 100, 200]})
    >>> label(steps, [Phase("memorization", 0, 120), Phase("circuit formation", 120, 201)]).phase.values.tolist()
    ['memorization', 'memorization', 'circuit formation']

    Raises:
        ConfigError: if the dataset has no ``step`` coordinate or there are no phases.
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
