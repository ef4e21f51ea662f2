"""Files that other people wrote: what is read of them, and one line for what is not what it says."""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from grokinterp.interop.text_files import ForeignFileError, listed, read_text, require_regular

LARGEST_FILE = 2**31
"""Bytes of a file of weights; the largest release has a few hundred million."""

MOST_NUMBERS = 2**29
"""Entries of all tensors of a file together, views that repeat a storage counted in full."""

Number = TypeVar("Number", int, float)


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
    numbers = sum(tensor.numel() for tensor in _tensors(content))
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
        ):
            raise ForeignFileError(path, f"holds no state dict: {str(name)[:40]!r} is no plain tensor")
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


def _tensors(content: Any) -> Iterable[Tensor]:
    """All tensors inside dicts, lists and tuples."""
    todo = [content]
    while todo:
        item = todo.pop()
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, Mapping):
            todo.extend(item.values())
        elif isinstance(item, list | tuple):
            todo.extend(item)
