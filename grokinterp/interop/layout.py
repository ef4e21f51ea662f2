"""Layouts: tables that map the tensors of other code to the weights of this package, and their application."""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from grokinterp.errors import ConfigError, short
from grokinterp.experiment.configuration import read_config
from grokinterp.interop.files import ForeignFileError, listed
from grokinterp.interop.layout_lines import LAYER, Line, is_whole, read_line
from grokinterp.interop.patterns import Equation, Pattern, PatternError, solved

TABLES = Path(__file__).parent / "layouts"

State = dict[str, Tensor]

Shapes = Mapping[str, tuple[int, ...]]
"""The shape of each weight of a model of this package."""


class Mapped(NamedTuple):
    """Weights under this package's names, the sizes of the axes that the table names, and the number of layers."""

    state: State
    sizes: dict[str, int]
    n_layers: int


class Found(NamedTuple):
    """A line with its pattern and its tensor."""

    line: Line
    pattern: Pattern
    tensor: Tensor

    @property
    def where(self) -> str:
        return ", ".join(self.line.sources)


class Layout(NamedTuple):
    """A complete table: its lines, the names in a file that are not weights, sizes that no tensor determines."""

    lines: tuple[Line, ...]
    ignore: tuple[str, ...]
    axes: Mapping[str, int]

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> "Layout":
        """Read ``weights``, ``ignore`` and ``axes``. Raises ConfigError naming the key."""
        weights, ignore, axes = table.get("weights", {}), table.get("ignore", []), table.get("axes", {})
        if not isinstance(weights, Mapping):
            raise ConfigError("weights", short(weights), "must be a table with a line for each weight")
        if not isinstance(ignore, list) or not all(isinstance(name, str) for name in ignore):
            raise ConfigError("ignore", short(ignore), 'must be a list of names such as "*.mask"')
        if not isinstance(axes, Mapping):
            raise ConfigError("axes", short(axes), "must be a table such as { head = 4 }")
        for name, size in axes.items():
            if not is_whole(size) or size < 1:
                raise ConfigError(f"axes.{short(name)}", short(size), "must be a whole number from 1")
        return cls(tuple(read_line(name, line) for name, line in weights.items()), tuple(ignore), dict(axes))

    def changed(self, other: "Layout") -> "Layout":
        """Merge another table into this table; its lines replace the lines of the same name."""
        lines = {line.name: line for line in (*self.lines, *other.lines)}
        return Layout(tuple(lines.values()), (*self.ignore, *other.ignore), {**self.axes, **other.axes})

    def read(self, state: State, path: Path, own: Shapes | None = None) -> Mapped:
        """Map the tensors of a file to this package's names.

        Args:
            state: tensors by their names.
            path: the file, for messages.
            own: shapes of the weights of the target model, if known.

        Raises:
            ForeignFileError: if a weight is missing or no line names it, or shapes contradict each other.
        """
        kept = {name: value for name, value in state.items() if not any(fnmatchcase(name, p) for p in self.ignore)}
        n_layers = self._count_layers(kept, path)
        lines = [line for line in self._expanded(n_layers) if _is_there(line, kept, own, path)]
        used = {source for line in lines for source in line.sources}
        if kept.keys() - used:
            raise ForeignFileError(path, f"holds {listed(kept.keys() - used)}, which no line of its layout names")
        try:
            found = [_found(line, number, kept) for number, line in enumerate(lines)]
            sizes = solved(self._equations(found, own))
            return Mapped({entry.line.name: _rearranged(entry, sizes) for entry in found}, sizes, n_layers)
        except PatternError as error:
            raise ForeignFileError(path, str(error)) from None

    def _count_layers(self, state: State, path: Path) -> int:
        """Return the number of layers in the file. Raises ForeignFileError if there are none, or a gap."""
        templates = sorted({source for line in self.lines if line.per_layer for source in line.sources})
        found = set()
        for template in templates:
            before, *after = (re.escape(part) for part in template.split(LAYER))
            numbered = re.compile(before + r"(\d{1,3})" + r"\d{1,3}".join(after))
            found |= {int(match[1]) for name in state if (match := numbered.fullmatch(name))}
        if templates and (not found or found != set(range(len(found)))):
            example = templates[0].replace(LAYER, "0")
            raise ForeignFileError(path, f"has no layers 0, 1, ... such as {example}; it has {listed(state)}")
        return len(found)

    def _expanded(self, n_layers: int) -> Iterator[Line]:
        """Yield every line, with lines per layer repeated for each layer."""
        for line in self.lines:
            yield from (line.of_layer(number) for number in range(n_layers if line.per_layer else 1))

    def _equations(self, found: list[Found], own: Shapes | None) -> Iterator[Equation]:
        """Yield all equations for the sizes: from the table, the file and the model. Raises PatternError."""
        for name, size in self.axes.items():
            yield Equation((name,), size, "[axes]")
        for entry in found:
            yield from entry.pattern.equations(tuple(entry.tensor.shape), entry.where)
            if own is not None:
                yield from _wanted(entry, own[entry.line.name])


@cache
def layout(name: str) -> Layout:
    """Return a table that ships with this package, by name. Raises FileNotFoundError."""
    return Layout.from_table(read_config(TABLES / f"{name}.toml"))


@cache
def layout_names() -> tuple[str, ...]:
    """Return the names of the tables that ship with this package."""
    return tuple(sorted(file.stem for file in TABLES.iterdir()))


def _is_there(line: Line, state: State, own: Shapes | None, path: Path) -> bool:
    """Return whether the file has the tensors of a line. Raises ForeignFileError if one is missing, or unused."""
    missing = [source for source in line.sources if source not in state]
    if missing and not (line.optional and len(missing) == len(line.sources)):
        raise ForeignFileError(path, f"has no {missing[0]}; it has {listed(state)}")
    if not missing and own is not None and line.name not in own:
        raise ForeignFileError(path, f"has {line.name}, but the model has only {listed(own)}")
    return not missing


def _found(line: Line, number: int, state: State) -> Found:
    """Return the tensor of a line, stacking several tensors; without a pattern its axes get unique names.

    Raises PatternError.
    """
    tensors = [state[source] for source in line.sources]
    if any(tensor.shape != tensors[0].shape for tensor in tensors):
        shapes = ", ".join(f"{name} {tuple(t.shape)}" for name, t in zip(line.sources, tensors, strict=True))
        raise PatternError(f"shapes differ: {shapes}")
    if not tensors[0].numel():
        raise PatternError(f"{line.sources[0]} has shape {tuple(tensors[0].shape)}: it is empty")
    tensor = torch.stack(tensors) if line.stacked else tensors[0]
    pattern = line.pattern or Pattern.parse(" ".join(f"_{number}_{axis}" for axis in range(tensor.ndim)))
    return Found(line, pattern, tensor)


def _wanted(entry: Found, shape: tuple[int, ...]) -> Iterator[Equation]:
    """Yield the constraints that the weight's shape places on the axes of the right side. Raises PatternError."""
    where, right = f"the model's {entry.line.name} with shape {shape}", entry.pattern.right
    if len(shape) != len(right):
        raise PatternError(f"{where} has {len(shape)} axes, but {entry.where} has {len(right)} after its pattern")
    for group, size in zip(right, shape, strict=True):
        kept = 1
        for start, stop in (entry.line.part[name] for name in group if name in entry.line.part):
            kept *= stop - start
        whole = tuple(name for name in group if name not in entry.line.part)
        if size % kept or (not whole and size != kept):
            raise PatternError(f"{where} has no axis of {kept}, the size that part keeps of {entry.where}")
        yield Equation(whole, size // kept, where)


def _rearranged(entry: Found, sizes: Mapping[str, int]) -> Tensor:
    """Return the tensor in the weight's layout. Raises PatternError for unknown axes, or a part out of range."""
    for name in entry.pattern.names:
        if name not in sizes:
            raise PatternError(f"{entry.where}: no shape determines the size of {name}; give it under [axes]")
        if entry.line.part.get(name, (0, 0))[1] > sizes[name]:
            raise PatternError(f"{entry.where} has {name}={sizes[name]}; part requires {list(entry.line.part[name])}")
    weight = entry.pattern.apply(entry.tensor, sizes, entry.line.part)
    return weight if entry.line.scale == 1 else weight * entry.line.scale
