"""Reading of untrusted files, with a one-line error for content that is not as expected."""

import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from grokinterp.errors import short
from grokinterp.interop.archives import require_bounded_pickles, require_bounded_zip
from grokinterp.interop.text_files import ForeignFileError, listed, open_binary, read_json

LARGEST_FILE = 2**31
"""Largest size in bytes of a file of weights; the largest release has a few hundred million."""

MOST_NUMBERS = 2**29
"""Largest number of entries of all tensors of a file together; views that share storage count in full."""

MOST_REPEATED, REPEATED = 2**20, 4
"""Bounds on the entries of all containers, with repetitions: a number, and a multiple of the distinct entries."""

MOST_BITS = 1000
"""Largest number of bits of an integer, so that it can be converted to a float."""

DEEPEST = 64
"""Deepest nesting of containers."""

Number = TypeVar("Number", int, float)


class Extent(NamedTuple):
    """Number of container entries, and of numbers in tensors."""

    entries: int
    numbers: int


def read_config(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file. Raises ForeignFileError."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise ForeignFileError(path, "must hold a JSON object")
    return values


def read_torch(path: Path) -> Any:
    """Load a file written by ``torch.save``: tensors and plain containers only, so that no code can run.

    Raises:
        ForeignFileError: if the file is missing, too large, or not a PyTorch file, would expand far beyond its size, or
            holds any other Python object or a tensor without plain values.
    """
    with open_binary(path, limit=LARGEST_FILE) as file:
        zipped = file.read(2) == b"PK"
        file.seek(0)
        try:
            if zipped:
                require_bounded_zip(file, compressed=False)
            require_bounded_pickles(file, zipped=zipped)
            content = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # the unpickler raises whatever a damaged file leads it to
            raise ForeignFileError(path, f"refused: it {_why(error)}") from None
    numbers = _extent(content, path).numbers
    if numbers > MOST_NUMBERS:
        raise ForeignFileError(path, f"holds tensors of {numbers} numbers; at most {MOST_NUMBERS} are read")
    return content


def _why(error: Exception) -> str:
    """Return the reason why a file was not loaded."""
    named = re.search(r"(?:GLOBAL|global|type) `?([A-Za-z_][\w.]*\.[\w.]+)", str(error))
    if named:
        return f"is a pickle that requires {named[1]}"
    if type(error) is ValueError and str(error).startswith(("holds", "expands")):
        return str(error)
    return "is not a file that PyTorch loads with weights_only=True"


def state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """Return the content as a dict of real tensors by name. Raises ForeignFileError."""
    if not isinstance(content, Mapping) or not content:
        raise ForeignFileError(path, "holds no state dict")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or not is_plain(value) or value.is_complex():
            raise ForeignFileError(path, f"holds no state dict: {short(name, 40)!r} is not a plain tensor")
    return {name: value.detach() for name, value in content.items()}


def given(config: Mapping[str, Any], key: str, default: Number, path: Path, *, least: int = 0) -> Number:
    """Return a number from a configuration, converted to the type of the default. Raises ForeignFileError."""
    value = config.get(key, default)
    whole = isinstance(default, int)
    right = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= least
    if not right or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        raise ForeignFileError(path, f"{key}={short(value, 40)}: must be {kind} from {least}")
    return type(default)(value)


def required(config: Mapping[str, Any], key: str, path: Path) -> Any:
    """Return a value from a configuration. Raises ForeignFileError naming the existing keys."""
    if key not in config:
        raise ForeignFileError(path, f"has no {key!r}; it has {listed(config)}")
    return config[key]


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file. Raises ForeignFileError."""
    with open_binary(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor has its own values in memory, neither sparse nor quantized."""
    return not (tensor.is_nested or tensor.is_meta or tensor.is_quantized) and tensor.layout is torch.strided


def _extent(content: Any, path: Path) -> Extent:
    """Return the extent of a file's content; repeated containers count each time. Raises ForeignFileError."""
    known: dict[int, Extent | None] = {}
    distinct = 0

    def of(item: Any, depth: int) -> Extent:
        nonlocal distinct
        if not isinstance(item, Mapping | list | tuple | set | frozenset):
            return _extent_of_one(item, path)
        if depth > DEEPEST or (id(item) in known and known[id(item)] is None):
            raise ForeignFileError(path, f"refused: it nests containers inside each other more than {DEEPEST} times")
        if (found := known.get(id(item))) is None:
            known[id(item)] = None  # until its extent is known, a container found again is inside itself
            names = list(item) if isinstance(item, Mapping) else []
            inside = [of(part, depth + 1) for part in (*names, *(item.values() if isinstance(item, Mapping) else item))]
            distinct += 1 + len(inside)
            found = Extent(1 + sum(part.entries for part in inside), sum(part.numbers for part in inside))
            known[id(item)] = found
        if found.entries > MOST_REPEATED + REPEATED * distinct:
            raise ForeignFileError(path, f"refused: it holds {found.entries} entries by repeating {distinct}")
        return found

    return of(content, 0)


def _extent_of_one(item: Any, path: Path) -> Extent:
    """Return the extent of a value that is not a container. Raises ForeignFileError."""
    if isinstance(item, Tensor):
        if not is_plain(item):
            raise ForeignFileError(path, "holds a meta, sparse, nested or quantized tensor")
        return Extent(1, item.numel())
    if isinstance(item, int) and item.bit_length() > MOST_BITS:
        raise ForeignFileError(path, f"holds an integer of {item.bit_length()} bits; at most {MOST_BITS} are read")
    return Extent(1, 0)
