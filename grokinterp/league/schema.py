"""The content of ``league.json``, by which the file is checked when it is read."""

from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.league.methods import METHODS

Count = Annotated[int, Field(ge=0, lt=2**63)]
Number = Annotated[float, Field(allow_inf_nan=False)] | None


@dataclass(frozen=True, kw_only=True)
class Early:
    """The outcome of early stopping."""

    stopped: Count
    kept: Count
    test_accuracy: Number


@dataclass(frozen=True, kw_only=True)
class Run:
    """The outcome of one run, with null for unknown values."""

    method: str
    seed: Count
    directory: str
    event_step: Count | None
    time_step: Count
    time_seconds: Number
    final_test_accuracy: Number
    early: Early | None
    memorized_step: Count | None = None
    seconds_per_1000: Number = None
    cpu_seconds_per_1000: Number = None
    final_weight_norm: Number = None
    collapsed_share: Number = None
    gradient_weight_cosine: Number = None
    peak_bytes: Count | None = None
    program_bytes: Count | None = None


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A run that failed."""

    method: str
    seed: Count
    why: str


@dataclass(frozen=True, kw_only=True)
class Method:
    """The description of a method."""

    about: str
    source: str
    changes: dict[str, tuple[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The rule by which a run counts as generalized."""

    threshold: Annotated[float, Field(ge=0, le=1)]
    window: Count


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial of a method: the factors of its learning rate and weight decay, and the outcome."""

    trial: Count
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    weight_decay: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    status: str | None
    event_step: Count | None
    time_step: Count | None
    final_test_accuracy: Number
    why: str | None = None


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The trials of a method, and the number of the chosen one."""

    chosen: Count | None
    trials: list[Trial]
    possible: Count | None = None
    """Number of possible trials; all, if it was not recorded."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The trials of all methods, their largest number, and the runs with the chosen settings."""

    trials: Count
    seed: Count
    methods: dict[str, Tuned]
    runs: list[Run]


@dataclass(frozen=True, kw_only=True)
class League:
    """A league."""

    base: dict[str, Any]
    rule: Rule
    patience: Annotated[int, Field(ge=1, lt=2**63)]
    jobs: Annotated[int, Field(ge=1, lt=2**63)]
    refused: dict[str, str]
    failed: list[Failure]
    methods: dict[str, Method]
    runs: list[Run]
    notes: list[str] = field(default_factory=list)
    tuning: Tuning | None = None


def has_shape(content: dict[str, Any]) -> bool:
    """Return whether a JSON object has the shape of a league, with a valid experiment and runs below its directory."""
    try:
        _adapter().validate_python(content)
        Experiment.from_dict(content["base"])
    except (ValidationError, ConfigError):
        return False
    return all(
        run["method"] in METHODS and run["directory"] == f"{run['method']}/seed-{run['seed']}"
        for run in content["runs"]
    ) and tuning_has_shape(content.get("tuning"))


def tuning_has_shape(tuning: dict[str, Any] | None) -> bool:
    """Return whether the chosen trials exist, and the tuned runs are in their directories."""
    if tuning is None:
        return True
    chosen = {name: one["chosen"] for name, one in tuning["methods"].items()}
    if any(number is not None and number >= len(tuning["methods"][name]["trials"]) for name, number in chosen.items()):
        return False
    return all(
        run["method"] in METHODS
        and run["directory"] == f"{tuned_place(run['method'], chosen.get(run['method']))}/seed-{run['seed']}"
        for run in tuning["runs"]
    )


def tuned_place(name: str, chosen: int | None) -> str:
    """Return the folder of the runs of a method with the settings of a trial, of which the first is the method itself.

    >>> tuned_place("adamw", 0), tuned_place("adamw", 3)
    ('adamw', 'tuned/adamw/trial-3')
    """
    return f"tuned/{name}/trial-{chosen}" if chosen else name


@cache
def _adapter() -> TypeAdapter:
    return TypeAdapter(League)
