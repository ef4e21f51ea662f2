"""Reading of untrusted files, with a one-line error for content that is not as expected."""

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
"""Largest size in bytes of a file of weights; the largest release has a few hundred million."""

MOST_NUMBERS = 2**29
"""Most entries of all tensors of a file together; views that share storage count in full."""

MOST_ENTRIES = 2**26
"""Most entries of all containers of a file together; repeated containers count each time."""

DEEPEST = 64
"""Deepest nesting of containers."""

Number = TypeVar("Number", int, float)


class Extent(NamedTuple):
    """Number of container entries, and of numbers in tensors."""

    entries: int
    numbers: int


def read_config(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file. Raises ForeignFileError."""
    try:
        values = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ForeignFileError(path, f"is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ForeignFileError(path, "must hold a JSON object")
    return values


def read_torch(path: Path) -> Any:
    """Load a file written by ``torch.save``: tensors and plain containers only, so that no code can run.

    Raises:
        ForeignFileError: if the file is missing, too large, not a PyTorch file, or refers to any other Python object.
    """
    require_regular(path, LARGEST_FILE)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever a damaged file leads it to
        named = re.search(r"(?:GLOBAL|global|type) `?([A-Za-z_][\w.]*\.[\w.]+)", str(error))
        why = f"a pickle that requires {named[1]}" if named else "not a file that PyTorch loads with weights_only=True"
        raise ForeignFileError(path, f"refused: it is {why}") from None
    numbers = _extent(content, path).numbers
    if numbers > MOST_NUMBERS:
        raise ForeignFileError(path, f"holds tensors of {numbers} numbers; at most {MOST_NUMBERS} are read")
    return content


def state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """Return the content as a dict of real tensors by name. Raises ForeignFileError."""
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
    """Return a number from a configuration, converted to the type of the default. Raises ForeignFileError."""
    value = config.get(key, default)
    whole = isinstance(default, int)
    right = isinstance(value, int | float) and math.isfinite(value) and value >= least
    if not right or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        raise ForeignFileError(path, f"{key}={str(value)[:40]}: must be {kind} from {least}")
    return type(default)(value)


def required(config: Mapping[str, Any], key: str, path: Path) -> Any:
    """Return a value from a configuration. Raises ForeignFileError naming the existing keys."""
    if key not in config:
        raise ForeignFileError(path, f"has no {key!r}; it has {listed(config)}")
    return config[key]


def _extent(content: Any, path: Path) -> Extent:
    """Return the extent of a file's content; repeated containers count each time. Raises ForeignFileError."""
    known: dict[int, Extent | None] = {}

    def of(item: Any, depth: int) -> Extent:
        if isinstance(item, Tensor):
            return Extent(1, item.numel())
        if not isinstance(item, Mapping | list | tuple | set | frozenset):
            return Extent(1, 0)
        if depth > DEEPEST or (id(item) in known and known[id(item)] is None):
            raise ForeignFileError(path, f"refused: it nests containers inside each other more than {DEEPEST} times")
        if (found := known.get(id(item))) is None:
            known[id(item)] = None  # until its extent is known, a container found again is inside itself
            inside = [of(part, depth + 1) for part in (item.values() if isinstance(item, Mapping) else item)]
            found = Extent(1 + sum(part.entries for part in inside), sum(part.numbers for part in inside))
            known[id(item)] = found
        if found.entries > MOST_ENTRIES:
            raise ForeignFileError(path, f"refused: it holds {found.entries} entries; at most {MOST_ENTRIES} are read")
        return found

    return of(content, 0)
