"""One line of a layout table: from which tensors of somebody else's file one of our weights is made."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from grokinterp.errors import ConfigError, short
from grokinterp.interop.patterns import Pattern, PatternError

LAYER = "{layer}"
"""Stands for the number of a layer, in our name of a weight and in theirs."""

Part = Mapping[str, tuple[int, int]]
"""From where to where along a named axis; one index of an axis that the pattern picks."""


class Line(NamedTuple):
    """Which tensors make one of our weights.

    Args:
        name: our name of the weight.
        sources: their names; several tensors are stacked along a new first axis.
        stacked: whether there is such an axis.
        pattern: their axes and ours; None leaves the tensor as it is.
        part: what is kept of an axis, where it is not all.
        scale: what the weight is multiplied by.
        optional: the file may lack it.
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
        """Whether the line stands for one in each layer."""
        return LAYER in self.name

    def of_layer(self, layer: int) -> "Line":
        """The same line, for one layer."""
        sources = tuple(source.replace(LAYER, str(layer)) for source in self.sources)
        return self._replace(name=self.name.replace(LAYER, str(layer)), sources=sources)


def read_line(name: str, values: Any) -> Line:
    """One line of a table, or a name alone. Raises ConfigError naming the key."""
    key = f'weights."{short(name)}"'
    values = {"from": values} if isinstance(values, str) else values
    if not isinstance(values, Mapping):
        raise ConfigError(
            key, short(values), 'must be a name, or a table such as { from = "q", pattern = "a b -> b a" }'
        )
    for unknown in values.keys() - {"from", "pattern", "part", "scale", "optional"}:
        raise ConfigError(f"{key}.{short(unknown)}", short(values[unknown]), "unknown key")
    given = values.get("from", name)
    sources = tuple(given) if isinstance(given, list) else (given,)
    if not sources or not all(isinstance(source, str) and source for source in sources):
        raise ConfigError(f"{key}.from", short(given), "must be a name, or a list of names")
    if any((LAYER in name) != (LAYER in source) for source in sources):
        raise ConfigError(f"{key}.from", short(given), f"must have {LAYER} where our name has it, and only there")
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
    """Whether that is an integer and no boolean."""
    return isinstance(value, int) and not isinstance(value, bool)


def _read_pattern(key: str, text: Any) -> Pattern | None:
    """The pattern of a line, if it has one. Raises ConfigError."""
    if text is None:
        return None
    try:
        return Pattern.parse(str(text))
    except PatternError as error:
        raise ConfigError(key, short(text), str(error)) from None


def _read_part(key: str, part: Any, pattern: Pattern | None) -> Part:
    """The indices that a line wants. Raises ConfigError."""
    if not isinstance(part, Mapping):
        raise ConfigError(key, short(part), "must be a table such as { class = [0, 113] }")
    names, picked = (pattern.names, pattern.picked) if pattern else ((), ())
    for name in part.keys() - set(names):
        raise ConfigError(f"{key}.{short(name)}", short(part[name]), "must be an axis that the pattern names")
    for name in set(picked) - part.keys():
        raise ConfigError(f"{key}.{name}", "none", "must be an index, since the pattern drops this axis")
    return {name: _read_range(f"{key}.{name}", wanted, picks=name in picked) for name, wanted in part.items()}


def _read_range(key: str, wanted: Any, *, picks: bool) -> tuple[int, int]:
    """An index, or from where to where. Raises ConfigError."""
    if picks and is_whole(wanted) and wanted >= 0:
        return wanted, wanted + 1
    if not picks and isinstance(wanted, list) and len(wanted) == 2 and all(map(is_whole, wanted)):
        start, stop = wanted
        if 0 <= start < stop:
            return start, stop
    raise ConfigError(
        key, short(wanted), "must be an index from 0" if picks else "must be [start, stop], 0 <= start < stop"
    )
