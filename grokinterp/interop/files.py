"""Files that other people wrote: what is read of them, and one line for what is not what it says."""

import csv
import io
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from grokinterp.interop.text_files import ForeignFileError, listed, read_text, require_regular

LARGEST_FILE = 2**31
"""Bytes of a file of weights; the largest release has a few hundred million."""

MOST_NUMBERS = 2**29
"""Entries of all tensors of a file together, views that repeat a storage counted in full."""

MOST_ENTRIES = 2**26
"""Entries of all containers of a file together, containers that are there several times counted each time."""

DEEPEST = 64
"""Containers inside each other."""

Number = TypeVar("Number", int, float)


class Extent(NamedTuple):
    """Entries of containers, and numbers in tensors."""

    entries: int
    numbers: int


def read_config(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises ForeignFileError."""
    try:
        values = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ForeignFileError(path, f"is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ForeignFileError(path, "must hold a JSON object")
    return values


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by the names in its first line. Raises ForeignFileError."""
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path)), restval=""))
    except csv.Error as error:
        raise ForeignFileError(path, f"is not CSV: {error}") from None
    if not rows:
        raise ForeignFileError(path, "has no rows")
    return rows


def read_torch(path: Path) -> Any:
    """What ``torch.save`` wrote: tensors and plain containers; nothing that is read can run code.

    Raises:
        ForeignFileError: no such file, a huge one, none of PyTorch's, or one that names any other Python object.
    """
    require_regular(path, LARGEST_FILE)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever a damaged file leads it to
        named = re.search(r"(?:GLOBAL|global|type) `?([A-Za-z_][\w.]*\.[\w.]+)", str(error))
        why = f"a pickle that asks for {named[1]}" if named else "no file that PyTorch loads as weights only"
        raise ForeignFileError(path, f"refused: it is {why}") from None
    numbers = _extent(content, path).numbers
    if numbers > MOST_NUMBERS:
        raise ForeignFileError(path, f"holds tensors of {numbers} numbers; at most {MOST_NUMBERS} are read")
    return content


def state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """The content as tensors of real numbers by name. Raises ForeignFileError."""
    if not isinstance(content, Mapping) or not content:
        raise ForeignFileError(path, "holds no state dict")
    for name, value in content.items():
        if (
            not isinstance(name, str)
            or not isinstance(value, Tensor)
            or value.is_complex()
            or value.layout is not torch.strided
            or value.is_nested
            or value.is_meta
        ):
            raise ForeignFileError(path, f"holds no state dict: {str(name)[:40]!r} is not a plain tensor")
    return {name: value.detach() for name, value in content.items()}


def given(config: Mapping[str, Any], key: str, default: Number, path: Path, *, least: int = 0) -> Number:
    """A number of a configuration, of the default's type. Raises ForeignFileError."""
    value = config.get(key, default)
    whole = isinstance(default, int)
    right = isinstance(value, int | float) and math.isfinite(value) and value >= least
    if not right or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        raise ForeignFileError(path, f"{key}={str(value)[:40]}: must be {kind} from {least}")
    return type(default)(value)


def required(config: Mapping[str, Any], key: str, path: Path) -> Any:
    """A value of a configuration. Raises ForeignFileError naming the keys there are."""
    if key not in config:
        raise ForeignFileError(path, f"has no {key!r}; it has {listed(config)}")
    return config[key]


def _extent(content: Any, path: Path) -> Extent:
    """How much a file holds, containers that are there several times counted each time. Raises ForeignFileError."""
    known: dict[int, Extent | None] = {}

    def of(item: Any, depth: int) -> Extent:
        if isinstance(item, Tensor):
            return Extent(1, item.numel())
        if not isinstance(item, Mapping | list | tuple | set | frozenset):
            return Extent(1, 0)
        if depth > DEEPEST or (id(item) in known and known[id(item)] is None):
            raise ForeignFileError(path, f"refused: it nests containers inside each other more than {DEEPEST} times")
        if (found := known.get(id(item))) is None:
            known[id(item)] = None  # until it is known: who comes back here is inside it
            inside = [of(one, depth + 1) for one in (item.values() if isinstance(item, Mapping) else item)]
            found = Extent(1 + sum(one.entries for one in inside), sum(one.numbers for one in inside))
            known[id(item)] = found
        if found.entries > MOST_ENTRIES:
            raise ForeignFileError(path, f"refused: it holds {found.entries} entries; at most {MOST_ENTRIES} are read")
        return found

    return of(content, 0)
