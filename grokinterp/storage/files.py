"""Reading of possibly damaged or hostile files: regular files of bounded size, strict JSON, no code execution."""

import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

MAX_DOCUMENT_BYTES = 16 * 2**20
"""Largest JSON document that is read, in bytes; a configuration takes a few kilobytes."""


def read_regular(path: Path, *, limit: int) -> bytes:
    """Return the bytes of a regular file of at most ``limit`` bytes, without blocking or memory mapping.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not a regular file or too large, with a short reason.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb", buffering=0) as file:
        require_regular(descriptor, limit=limit)
        chunks = []
        while chunk := file.read(2**24):
            chunks.append(chunk)
    return b"".join(chunks)


def require_regular(descriptor: int, *, limit: int) -> int:
    """Return the size of an open regular file of at most ``limit`` bytes. Raises ValueError with a short reason."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("is not a regular file")
    if status.st_size > limit:
        raise ValueError(f"has {status.st_size} bytes, more than the {limit} allowed")
    return status.st_size


def parse_json(text: str | bytes) -> Any:
    """Parse strict JSON: no NaN or Infinity, no repeated keys, no excessive nesting.

    Raises:
        ValueError: if the text is not strict JSON, with a short reason.

    >>> parse_json('{"p": 113}')
    {'p': 113}
    >>> parse_json('{"p": NaN}')
    Traceback (most recent call last):
    ...
    ValueError: NaN is not JSON
    """
    try:
        return json.loads(text, object_pairs_hook=_distinct, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a small file. Raises OSError, or ValueError with a short reason."""
    value = parse_json(read_regular(path, limit=MAX_DOCUMENT_BYTES))
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    return value


def canonical_json(value: Any) -> str:
    """Return the unique spelling of a value: sorted keys, no spaces, ASCII. Raises ValueError on NaN or Infinity.

    >>> canonical_json({"p": 5, "fraction": 0.3})
    '{"fraction":0.3,"p":5}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a dict. Raises ValueError on a repeated key."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("JSON object with a repeated key")
    return result


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
