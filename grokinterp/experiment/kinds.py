"""Fields whose class is told by a ``kind``: any task, any model."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Discriminator, Tag

from grokinterp.errors import ConfigError
from grokinterp.models import MODELS, ModelSpec
from grokinterp.tasks import TASKS, Task


def by_kind(classes: Mapping[str, type], default: str) -> Any:
    """The union of the classes for pydantic, told apart by ``kind``; a mapping without one has the default."""

    def kind_of(value: Any) -> str:
        return str(value.get("kind", default)) if isinstance(value, Mapping) else getattr(value, "kind", default)

    tagged: Any = [Annotated.__class_getitem__((member, Tag(kind))) for kind, member in classes.items()]
    return Annotated.__class_getitem__((Union.__getitem__(tuple(tagged)), Discriminator(kind_of)))


if TYPE_CHECKING:
    AnyTask, AnyModel = Task, ModelSpec
else:
    AnyTask, AnyModel = by_kind(TASKS, "modular_addition"), by_kind(MODELS, "transformer")


def require_known_kinds(values: Any, key: str = "") -> None:
    """Raise ConfigError naming the kinds there are, for every task or model of an unknown one."""
    if not isinstance(values, Mapping):
        return
    for name, value in values.items():
        path = f"{key}.{name}" if key else str(name)
        if name == "kind" and key:
            classes = classes_of(key)
            if value not in classes:
                raise ConfigError(path, value, f"must be one of {', '.join(classes)}")
        require_known_kinds(value, path)


def classes_of(key: str) -> Mapping[str, type]:
    """What the table at a dotted key may be, by kind."""
    return MODELS if key.split(".")[0] == "model" else TASKS


def defaults_of(kind: str, key: str) -> dict[str, Any]:
    """The table of a task or model with its default values; of an unknown kind, only that."""
    cls: Any = classes_of(key).get(kind)
    if cls is None:
        return {"kind": kind}
    return {field.name: _plain(field) for field in fields(cls)}


def _plain(field: Any) -> Any:
    value = field.default if field.default is not MISSING else field.default_factory()
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
