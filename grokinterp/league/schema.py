"""The content of ``league.json``, by which the file is checked when it is read."""

from functools import cache
from typing import Annotated, Any, NotRequired, TypedDict

from pydantic import Field, TypeAdapter, ValidationError

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.league.methods import METHODS

Count = Annotated[int, Field(ge=0, lt=2**63)]
Number = Annotated[float, Field(allow_inf_nan=False)] | None


class Early(TypedDict):
    """The outcome of early stopping."""

    stopped: Count
    kept: Count
    test_accuracy: Number


class Run(TypedDict):
    """The outcome of one run, with null for unknown values."""

    method: str
    seed: Count
    directory: str
    event_step: Count | None
    time_step: Count
    time_seconds: Number
    final_test_accuracy: Number
    early: Early | None
    memorized_step: NotRequired[Count | None]
    seconds_per_1000: NotRequired[Number]
    cpu_seconds_per_1000: NotRequired[Number]
    final_weight_norm: NotRequired[Number]
    collapsed_share: NotRequired[Number]
    gradient_weight_cosine: NotRequired[Number]
    peak_bytes: NotRequired[Count | None]
    program_bytes: NotRequired[Count | None]


class Failure(TypedDict):
    """A run that failed."""

    method: str
    seed: Count
    why: str


class Method(TypedDict):
    """The description of a method."""

    about: str
    source: str
    changes: dict[str, tuple[Any, Any]]


class Rule(TypedDict):
    """The rule by which a run counts as generalized."""

    threshold: Annotated[float, Field(ge=0, le=1)]
    window: Count


class League(TypedDict):
    """A league."""

    base: dict[str, Any]
    rule: Rule
    patience: Annotated[int, Field(ge=1, lt=2**63)]
    jobs: Annotated[int, Field(ge=1, lt=2**63)]
    refused: dict[str, str]
    failed: list[Failure]
    methods: dict[str, Method]
    runs: list[Run]


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
    )


@cache
def _adapter() -> TypeAdapter:
    return TypeAdapter(League)
