"""Fields whose class is told by a ``kind``: any task, any model."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Discriminator, Tag

from grokinterp.errors import ConfigError, short
from grokinterp.models import MODELS, ModelSpec
from grokinterp.tasks import TASKS, BinaryTask, Task


def by_kind(classes: Mapping[str, type], default: str) -> Any:
    """The union of the classes for pydantic, told apart by ``kind``; a mapping without one has the default."""

    def kind_of(value: Any) -> str:
        return str(value.get("kind", default)) if isinstance(value, Mapping) else getattr(value, "kind", default)

    members = [Annotated[member, Tag(kind)] for kind, member in classes.items()]  # ty: ignore[invalid-type-form]
    return Annotated[Union[tuple(members)], Discriminator(kind_of)]  # noqa: UP007  # ty: ignore[invalid-type-form]


if TYPE_CHECKING:
    AnyTask, AnyModel = Task, ModelSpec
else:
    AnyTask, AnyModel = by_kind(TASKS, "modular_addition"), by_kind(MODELS, "transformer")


DEEPEST = 4
"""Tables inside each other: a composition of a composition is refused by its own rule."""


def require_known_kinds(values: Any, key: str = "") -> None:
    """Raise ConfigError naming the kinds there are, for every task or model of an unknown one."""
    if not isinstance(values, Mapping) or key.count(".") > DEEPEST:
        return
    for name in values if key else values.keys() & {"task", "model"}:
        path, value = f"{key}.{name}".lstrip("."), values[name]
        if name == "kind" and not (isinstance(value, str) and value in classes_of(key)):
            raise ConfigError(path, short(value), f"must be one of {', '.join(classes_of(key))}")
        require_known_kinds(value, path)


def classes_of(key: str) -> Mapping[str, type]:
    """What the table at a dotted key may be, by kind; inside a task only binary operations have a place."""
    if key.split(".")[0] == "model":
        return MODELS
    return {kind: task for kind, task in TASKS.items() if "." not in key or issubclass(task, BinaryTask)}


def defaults_of(cls: Any) -> dict[str, Any]:
    """The table of a kind of task or model with its default values."""
    return {field.name: _plain(field) for field in fields(cls)}


def _plain(field: Any) -> Any:
    value = field.default if field.default is not MISSING else field.default_factory()
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
