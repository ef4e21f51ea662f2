"""A line of a layout table: which tensors of a file form a weight."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from grokinterp.errors import ConfigError, short, suggestion
from grokinterp.interop.patterns import Pattern, PatternError

LAYER = "{layer}"
"""Placeholder for the layer number, in the weight's name and in the file's names."""

KEYS = ("from", "pattern", "part", "scale", "optional")
"""The keys of a line that is a table."""

Part = Mapping[str, tuple[int, int]]
"""Start and stop along a named axis; a single index for an axis that the pattern picks."""


class Line(NamedTuple):
    """A line of a layout: the tensors that form a weight.

    Args:
        name: this package's name of the weight.
        sources: names of the tensors in the file; several tensors are stacked along a new first axis.
        stacked: whether there is such an axis.
        pattern: the axes of the file and of this package; None keeps the tensor as it is.
        part: the range kept of an axis, if not all of it.
        scale: factor that multiplies the weight.
        optional: whether the file may lack the tensors.
    """

    name: str
    sources: tuple[str, ...]
    stacked: bool
    pattern: Pattern | None
    part: Part
    scale: float
    optional: bool

    @property
    def per_layer(self) -> bool:
        """Whether the line represents a line for each layer."""
        return LAYER in self.name

    def of_layer(self, layer: int) -> "Line":
        """Return the line for a single layer."""
        sources = tuple(source.replace(LAYER, str(layer)) for source in self.sources)
        return self._replace(name=self.name.replace(LAYER, str(layer)), sources=sources)


def read_line(name: str, values: Any) -> Line:
    """Parse a line of a table, or a bare name. Raises ConfigError naming the key."""
    key = f'weights."{short(name)}"'
    values = {"from": values} if isinstance(values, str) else values
    if not isinstance(values, Mapping):
        raise ConfigError(
            key, short(values), 'must be a name, or a table such as { from = "q", pattern = "a b -> b a" }'
        )
    for unknown in values.keys() - set(KEYS):
        rule = f"unknown key{suggestion(unknown, KEYS)}"
        raise ConfigError(f"{key}.{short(unknown)}", short(values[unknown]), rule)
    given = values.get("from", name)
    sources = tuple(given) if isinstance(given, list) else (given,)
    if not sources or not all(isinstance(source, str) and source for source in sources):
        raise ConfigError(f"{key}.from", short(given), "must be a name, or a list of names")
    if any((LAYER in name) != (LAYER in source) for source in sources):
        raise ConfigError(f"{key}.from", short(given), f"must contain {LAYER} exactly if the weight's name does")
    scale, optional = values.get("scale", 1.0), values.get("optional", False)
    number = isinstance(scale, int | float) and not isinstance(scale, bool)
    if not number or not 0 < abs(scale) < 1e9:
        raise ConfigError(f"{key}.scale", short(scale), "must be a number other than 0")
    if not isinstance(optional, bool):
        raise ConfigError(f"{key}.optional", short(optional), "must be true or false")
    pattern = _read_pattern(f"{key}.pattern", values.get("pattern"))
    part = _read_part(f"{key}.part", values.get("part", {}), pattern)
    return Line(name, sources, isinstance(given, list), pattern, part, float(scale), optional)


def is_whole(value: Any) -> bool:
    """Return whether a value is an integer and not a boolean."""
    return isinstance(value, int) and not isinstance(value, bool)


def _read_pattern(key: str, text: Any) -> Pattern | None:
    """Parse the pattern of a line, if it has one. Raises ConfigError."""
    if text is None:
        return None
    try:
        return Pattern.parse(str(text))
    except PatternError as error:
        raise ConfigError(key, short(text), str(error)) from None


def _read_part(key: str, part: Any, pattern: Pattern | None) -> Part:
    """Parse the indices that a line selects. Raises ConfigError."""
    if not isinstance(part, Mapping):
        raise ConfigError(key, short(part), "must be a table such as { class = [0, 113] }")
    names, picked = (pattern.names, pattern.picked) if pattern else ((), ())
    for name in part.keys() - set(names):
        raise ConfigError(f"{key}.{short(name)}", short(part[name]), "must be an axis that the pattern names")
    for name in set(picked) - part.keys():
        raise ConfigError(f"{key}.{name}", "none", "must be an index, since the pattern drops this axis")
    return {name: _read_range(f"{key}.{name}", wanted, picks=name in picked) for name, wanted in part.items()}


def _read_range(key: str, wanted: Any, *, picks: bool) -> tuple[int, int]:
    """Parse an index, or a start and a stop. Raises ConfigError."""
    if picks and is_whole(wanted) and wanted >= 0:
        return wanted, wanted + 1
    if not picks and isinstance(wanted, list) and len(wanted) == 2 and all(map(is_whole, wanted)):
        start, stop = wanted
        if 0 <= start < stop:
            return start, stop
    raise ConfigError(
        key, short(wanted), "must be an index from 0" if picks else "must be [start, stop], 0 <= start < stop"
    )
