"""Reading of possibly damaged or hostile files: regular files of bounded size, strict JSON, no code execution.

All reading of the package goes through ``open_regular`` and ``read_regular`` (tests/repository/test_reading.py).
"""

import json
import math
import os
import stat
import tomllib
from collections import Counter
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn

from grokinterp.errors import ConfigError, short

MAX_DOCUMENT_BYTES = 16 * 2**20
"""Largest JSON document that is read, in bytes; a configuration takes a few kilobytes."""

MAX_DIGITS = 300
"""Largest number of digits of an integer in a file, so that every integer that is read can be converted to a float."""

MAX_DEPTH = 64
"""Deepest nesting of lists and objects in a file, so that the functions that walk through them cannot overflow."""

MAX_NUMBER = 1e300
"""Largest number in a document of this package."""

MAX_DOTS = 1000
"""Largest number of dots between two equals signs in a line of TOML."""

CHUNK = 2**24


def path_of(key: str, value: object) -> Path:
    """Return an argument as a path. Raises ConfigError unless it is a file name.

    >>> path_of("out", 5)
    Traceback (most recent call last):
    ...
    grokinterp.errors.ConfigError: out=5: must be a path
    """
    if not isinstance(value, str | os.PathLike):
        raise ConfigError(key, short(value), f"must be a path{', as its .path' if hasattr(value, 'path') else ''}")
    path = Path(value)
    if "\0" in str(path):
        raise ConfigError(key, short(path), "is not a file name")
    return path


def open_regular(path: str | os.PathLike[str], *, limit: int) -> BufferedReader:
    """Open a regular file of at most ``limit`` bytes for reading, without blocking.

    Pipes, sockets, devices and directories are refused before they are opened, even if a symbolic link points to them.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: if it is not a regular file or too large, with a short reason.
    """
    _require_regular(os.stat(path), limit=limit)
    file = open(path, "rb", opener=_without_blocking)  # noqa: SIM115 - the caller closes it
    try:
        _require_regular(os.fstat(file.fileno()), limit=limit)
    except BaseException:
        file.close()
        raise
    return file


def _without_blocking(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def read_regular(path: str | os.PathLike[str], *, limit: int) -> bytes:
    """Return the bytes of a regular file of at most ``limit`` bytes, without blocking or memory mapping.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not a regular file or too large, with a short reason.
    """
    chunks, size = [], 0
    with open_regular(path, limit=limit) as file:
        while chunk := file.read(CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                raise ValueError(f"has more than the {limit} bytes that are read")
    return b"".join(chunks)


def _require_regular(status: os.stat_result, *, limit: int) -> None:
    """Raise ValueError, with a short reason, unless the status is that of a regular file within the limit."""
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("is not a regular file")
    if status.st_size > limit:
        raise ValueError(f"has {status.st_size} bytes; at most {limit} are read")


def parse_json(text: str | bytes, *, non_finite: bool = False) -> Any:
    """Parse strict JSON: no repeated keys, no excessive nesting, no integer too large for a float.

    Args:
        text: the document; bytes are UTF-8.
        non_finite: accept NaN and Infinity, which other programs write.

    Raises:
        ValueError: if the text is not strict JSON, with a short reason.

    >>> parse_json('{"p": 113}')
    {'p': 113}
    >>> parse_json('{"p": NaN}')
    Traceback (most recent call last):
    ...
    ValueError: NaN is not JSON
    >>> parse_json('{"p": 1, "p": 2}')
    Traceback (most recent call last):
    ...
    ValueError: repeats the key 'p'
    """
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    constant = None if non_finite else _refuse_constant
    try:
        value = json.loads(text, object_pairs_hook=_distinct, parse_constant=constant, parse_int=_whole)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _require_bounded(value)
    return value


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML: no excessive nesting, no integer too large for a float.

    Raises:
        ValueError: if the text is not such TOML, with a short reason.

    >>> parse_toml("task.p = 113")
    {'task': {'p': 113}}
    """
    for line in text.splitlines():
        if max(part.count(".") for part in line.split("=")) > MAX_DOTS:  # tomllib needs quadratic time
            raise ValueError("holds a key with too many parts")
    try:
        value = tomllib.loads(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    _require_bounded(value)
    return value


def _require_bounded(value: Any, *, largest: float = math.inf) -> None:
    """Raise ValueError if lists and tables are nested too deeply, or a number is too large."""
    level = [value]
    for _ in range(MAX_DEPTH + 2):
        if any(isinstance(item, int) and abs(item) >= 10**MAX_DIGITS for item in level):
            raise ValueError(f"holds an integer of more than {MAX_DIGITS} digits")
        if any(isinstance(item, float) and abs(item) > largest for item in level):
            raise ValueError("holds a number that is too large")
        inside = [item for item in level if isinstance(item, dict | list)]
        level = [part for item in inside for part in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return
    raise ValueError("is nested too deeply")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return the content of a small JSON file of finite numbers. Raises OSError, or ValueError with a short reason."""
    value = parse_json(read_regular(path, limit=MAX_DOCUMENT_BYTES))
    _require_bounded(value, largest=MAX_NUMBER)
    return value


def read_json_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the JSON object in a small file. Raises OSError, or ValueError with a short reason."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    return value


def canonical_json(value: Any) -> str:
    """Return the unique spelling of a value: sorted keys, no spaces, ASCII.

    Raises:
        ValueError: on NaN, Infinity or excessive nesting.

    >>> canonical_json({"p": 5, "fraction": 0.3})
    '{"fraction":0.3,"p":5}'
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a dict. Raises ValueError naming a repeated key."""
    result = dict(pairs)
    if len(result) != len(pairs):
        [(repeated, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"repeats the key {short(repeated)!r}")
    return result


def _whole(digits: str) -> int:
    """Return an integer. Raises ValueError if it is too large for a float."""
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"holds an integer of {len(digits)} digits")
    return int(digits)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
