"""Results whose values are read as attributes or by name."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from grokinterp.errors import suggestion


class NamedEntries(dict[str, Any]):
    """A dictionary whose error for an unknown name lists those that it has.

    >>> NamedEntries(loss=1, accuracy=2)["los"]
    Traceback (most recent call last):
    ...
    KeyError: "no 'los'; there are loss, accuracy; did you mean loss?"
    """

    def __missing__(self, name: str) -> Any:
        raise KeyError(f"no {name!r}; there are {', '.join(self) or 'none'}{suggestion(name, self)}")


class NamedValues(Mapping[str, Any]):
    """The common base of frozen dataclasses whose fields are also keys: ``scores.accuracy``, ``scores["accuracy"]``.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Point(NamedValues):
    ...     x: float
    ...     y: float
    >>> Point(1.0, 2.0)["y"], dict(Point(1.0, 2.0))
    (2.0, {'x': 1.0, 'y': 2.0})
    """

    def __getitem__(self, name: str) -> Any:
        names = list(self)
        if name not in names:
            raise KeyError(f"no {name!r}; {type(self).__name__} has {', '.join(names)}")
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return (field.name for field in fields(self))  # ty: ignore[invalid-argument-type] - a dataclass

    def __len__(self) -> int:
        return sum(1 for _ in self)
