"""Fields whose class is determined by a ``kind``: tasks, models, filters, schedules, and edits."""

import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Discriminator, Tag

from grokinterp.errors import ConfigError, choice_rule, short
from grokinterp.experiment.edits import EDITS, Edit
from grokinterp.models import MODELS, ModelSpec, RecordedSpec
from grokinterp.optim import (
    BATCH_SCHEDULES,
    FILTERS,
    LR_SCHEDULES,
    WEIGHT_DECAY_SCHEDULES,
    GradientFilter,
    Schedule,
)
from grokinterp.tasks import TASKS, BinaryTask, RecordedTask, Task

RECORDED = "recorded"
"""The kind of tasks and models from another training loop, which a configuration may hold but a user cannot set."""


def by_kind(classes: Mapping[str, type], default: str) -> Any:
    """Return the union of the classes for pydantic, distinguished by ``kind``; the default applies without a kind."""

    def kind_of(value: Any) -> str:
        return str(value.get("kind", default)) if isinstance(value, Mapping) else getattr(value, "kind", default)

    members = [Annotated[member, Tag(kind)] for kind, member in classes.items()]  # ty: ignore[invalid-type-form]
    return Annotated[Union[tuple(members)], Discriminator(kind_of)]  # noqa: UP007  # ty: ignore[invalid-type-form]


if TYPE_CHECKING:
    AnyTask, AnyModel, AnyFilter, AnyEdit = Task, ModelSpec, GradientFilter, Edit
    AnyRateSchedule = AnyWeightDecaySchedule = AnyBatchSchedule = Schedule
else:
    AnyTask = by_kind(TASKS | {RECORDED: RecordedTask}, "modular_addition")
    AnyModel = by_kind(MODELS | {RECORDED: RecordedSpec}, "transformer")
    AnyFilter = by_kind(FILTERS, "grokfast_ema")
    AnyEdit = by_kind(EDITS, "graft")
    AnyRateSchedule = by_kind(LR_SCHEDULES, "constant")
    AnyWeightDecaySchedule = by_kind(WEIGHT_DECAY_SCHEDULES, "constant")
    AnyBatchSchedule = by_kind(BATCH_SCHEDULES, "constant")

KINDS: dict[str, Mapping[str, type]] = {
    "task": TASKS,
    "model": MODELS,
    "optimization.filters": FILTERS,
    "origin.edits": EDITS,
    "optimization.schedules.lr": LR_SCHEDULES,
    "optimization.schedules.weight_decay": WEIGHT_DECAY_SCHEDULES,
    "optimization.schedules.batch_size": BATCH_SCHEDULES,
}
"""The available classes at each dotted key, by kind."""

DEEPEST = 4
"""Largest depth of nested tables; a composition of a composition is rejected by its own rule."""


def require_known_kinds(values: Any, key: str = "") -> None:
    """Raise ConfigError for the first unknown kind, listing the available kinds."""
    if key.count(".") > DEEPEST:
        return
    if isinstance(values, list):
        values = dict(enumerate(values))
    if not isinstance(values, Mapping):
        return
    for name in values if key else values.keys() & {"task", "model", "optimization", "origin"}:
        path, value = f"{key}.{name}".lstrip("."), values[name]
        if name == "kind" and not (value == RECORDED and key in ("task", "model")):
            classes = classes_of(key)
            if classes and not (isinstance(value, str) and value in classes):
                raise ConfigError(path, short(value), choice_rule(value, classes))
        if isinstance(value, list | Mapping):
            require_known_kinds(value, path)


def classes_of(key: str) -> Mapping[str, type]:
    """Return the classes that the table at a dotted key may have, by kind; inside a task, only binary operations."""
    inside = key.startswith("task.")
    classes = KINDS.get(re.sub(r"\.\d+$", "", "task" if inside else key), {})
    return {kind: cls for kind, cls in classes.items() if not inside or issubclass(cls, BinaryTask)}


def defaults_of(cls: Any) -> dict[str, Any]:
    """Return the table of a kind of task or model with its default values."""
    return {field.name: _plain(default_of(field)) for field in fields(cls)}


def default_of(field: Any) -> Any:
    """Return the default value of a field of a dataclass; None if it has none."""
    if is_required(field):
        return None
    return field.default if field.default is not MISSING else field.default_factory()


def is_required(field: Any) -> bool:
    """Return whether a field of a dataclass has no default."""
    return field.default is MISSING and field.default_factory is MISSING


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
