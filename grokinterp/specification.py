"""The common base of all parts of a configuration: their values are checked against the types of their fields."""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from numbers import Integral
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from grokinterp.errors import MOST_BITS, ConfigError, short, suggestion

WORDS = {bool: "True or False", int: "an integer", float: "a number", str: "text", NoneType: "None"}
"""Types of values in words."""


ADDED = {"added": True}
"""The metadata of the field of a setting that earlier versions did not have.

``plain`` leaves it out at its default, so that the run ids of earlier configurations stay the same.
"""


class Specification:
    """A frozen dataclass with keyword arguments, whose values have the types of its fields.

    Raises:
        ConfigError: an argument has another type or is not a field.

    >>> from grokinterp.experiment import SaveAt
    >>> SaveAt(every="a")
    Traceback (most recent call last):
    ...
    grokinterp.errors.ConfigError: every=a: must be an integer
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}

    def __new__(cls, *unnamed: Any, **values: Any) -> Any:
        """Create an instance after checking its arguments; copies are created without arguments."""
        hints = hints_of(cls)
        if unnamed and hints:
            rule = f"must be given by name, as in {cls.__name__}({next(iter(hints))}=...)"
            raise ConfigError(cls.__name__, short(unnamed[0]), rule)
        for name, value in values.items() if hints else ():
            if name not in hints:
                rule = f"unknown key; {cls.__name__} has {', '.join(hints)}{suggestion(name, hints)}"
                raise ConfigError(name, short(value), rule)
            require_type(name, value, hints[name])
        return super().__new__(cls)


def plain(value: Any) -> Any:
    """Return a specification as tables and lists, without the added settings that have their defaults.

    >>> from grokinterp.experiment import SaveAt
    >>> plain((SaveAt(every=5), 1))[0]["every"]
    5
    """
    if is_dataclass(value) and not isinstance(value, type):
        given = {one.name: getattr(value, one.name) for one in fields(value) if not is_left_out(value, one)}
        return {name: plain(each) for name, each in given.items()}
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def is_left_out(spec: Any, of: Any) -> bool:
    """Return whether a field of a specification is an added setting with its default."""
    return "added" in of.metadata and of.default is not MISSING and getattr(spec, of.name) == of.default


def require_type(key: str, value: object, hint: Any) -> None:
    """Raise ConfigError unless an argument has a type, such as ``int | None``.

    >>> require_type("every", "a", int | None)
    Traceback (most recent call last):
    ...
    grokinterp.errors.ConfigError: every=a: must be an integer or None
    """
    if not fits(value, hint):
        too_long = isinstance(value, int) and value.bit_length() > MOST_BITS
        size = f", with at most {MOST_BITS} bits" if too_long else ""
        raise ConfigError(key, short(value), f"must be {described(hint)}{size}{meant(value, hint)}")


def meant(value: object, hint: Any) -> str:
    """Return a question that names what was probably meant: the nearest choice, or a specification.

    A specification is recognized by its class, its kind or its settings.

    >>> from grokinterp.experiment import SaveAt
    >>> meant(SaveAt, SaveAt), meant({"every": 5}, SaveAt | None), meant(5, int)
    ('; did you mean SaveAt()?', '; did you mean SaveAt(every=...)?', '')
    """
    for cls in classes_in(hint):
        if value is cls or (isinstance(value, str) and value == getattr(cls, "kind", None)):
            return f"; did you mean {cls.__name__}()?"
        if isinstance(value, Mapping) and value and value.keys() <= hints_of(cls).keys():
            return f"; did you mean {cls.__name__}({', '.join(f'{name}=...' for name in value)})?"
    return suggestion(value, choices_in(hint)) if isinstance(value, str) else ""


def choices_in(hint: Any) -> list[str]:
    """Return the names among which a type chooses, with "none" for None; empty for types that are not a choice.

    >>> choices_in(Literal["LN", "BN"] | None), choices_in(tuple[Literal["a"], ...]), choices_in(int | None)
    (['LN', 'BN', 'none'], ['a'], [])
    """
    if get_origin(hint) is Literal:
        return [name for name in get_args(hint) if isinstance(name, str)]
    inner = get_args(hint)
    listed = [choices_in(one) for one in inner if one not in (NoneType, ...)]
    names = [name for each in listed for name in each]
    return [*names, *["none"] * (NoneType in inner)] if listed and all(listed) else []


def classes_in(hint: Any) -> list[type]:
    """Return the specifications among the members of a type."""
    if isinstance(hint, type):
        return [hint] if issubclass(hint, Specification) else []
    return [cls for one in get_args(hint) for cls in classes_in(one)]


def require_integer(name: str, value: object, least: int) -> None:
    """Raise ConfigError unless the value is an integer of at least ``least``; booleans are refused."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise ConfigError(name, short(value), f"must be an integer from {least}")


@cache
def hints_of(cls: type) -> Mapping[str, Any]:
    """Return the types of the fields of a dataclass by name."""
    if not is_dataclass(cls):
        return {}
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in fields(cls)}


def fits(value: Any, hint: Any) -> bool:
    """Return whether a value has a type; integers are numbers, but True and False are neither.

    >>> fits(1, float), fits(True, int), fits((0.5, 1), tuple[float, float]), fits(None, int | None)
    (True, False, True, True)
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(value, one) for one in inner)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in inner)
    if origin is tuple:
        types = inner[:1] * len(value) if inner[1:] == (...,) and isinstance(value, tuple) else inner
        return isinstance(value, tuple) and len(value) == len(types) and all(map(fits, value, types))
    if hint in (int, float):
        is_number = isinstance(value, int | hint) and not isinstance(value, bool)
        return is_number and not (isinstance(value, int) and value.bit_length() > MOST_BITS)
    return isinstance(value, family(hint)) if isinstance(hint, type) else True


def family(cls: type) -> type:
    """Return the most general specification from which a class derives, such as ``Task``, which users can extend."""
    bases = [one for one in cls.__mro__ if issubclass(one, Specification) and one is not Specification]
    return bases[-1] if bases else cls


def described(hint: Any) -> str:
    """Return a type in words.

    >>> described(int | None), described(Literal["adamw", "sgd"]), described(tuple[float, float])
    ('an integer or None', 'one of adamw, sgd', 'a tuple of a number, a number')
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(described, inner)))
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin is tuple:
        return f"a tuple of {', '.join(described(one) for one in inner if one is not ...)}"
    name = family(hint).__name__ if isinstance(hint, type) else str(hint)
    return WORDS.get(hint, f"{'an' if name[0] in 'AEIOU' else 'a'} {name}")
