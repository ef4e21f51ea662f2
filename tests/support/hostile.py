"""Hostile values, and their places in the files that commands read."""

import json
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

DIGITS = "1" + "0" * 400

WRITTEN = {
    "null": "null",
    "true": "true",
    "negative": "-1",
    "zero": "0",
    "fraction": "0.5",
    "400 digits": DIGITS,
    "minus 400 digits": f"-{DIGITS}",
    "5,000 digits": "9" * 5000,
    "1e400": "1e400",
    "NaN": "NaN",
    "text": '"text"',
    "empty text": '""',
    "control characters": r'"\u001b[31m\n\u0007"',
    "path": '"../../../etc/passwd"',
    "long text": '"' + "a" * 10_000 + '"',
    "list": '["a", 1]',
    "empty list": "[]",
    "object": '{"a": {"b": [1]}}',
    "empty object": "{}",
    "nested": "[" * 100_000 + "]" * 100_000,
    "nested a little": "[" * 500 + "]" * 500,
}
"""Values as they are written in JSON; in TOML null, NaN and objects are no values either."""

MARK = "@hostile@"


def inside_itself() -> list[Any]:
    """A list that contains itself."""
    found: list[Any] = []
    found.append(found)
    return found


def doubled(times: int, kind: type = list) -> Any:
    """A container that holds two copies of a container that holds two copies ..., each stored once."""
    found = kind([1.0])
    for _ in range(times):
        found = kind([found, found])
    return found


def quantized() -> torch.Tensor:
    """A quantized tensor, which PyTorch creates with a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8)


def pickled() -> dict[str, Any]:
    """Values of a file that ``torch.save`` wrote."""
    return {
        "None": None,
        "negative": -1,
        "400 digits": 10**400,
        "5,000 digits": 10**5000,
        "infinite": float("inf"),
        "NaN": float("nan"),
        "text": "text",
        "bytes": b"text",
        "list": ["a", 1],
        "empty list": [],
        "object": {"a": 1},
        "object of numbers": {1: {2: 3}},
        "inside itself": inside_itself(),
        "doubled lists": doubled(40),
        "doubled tuples": doubled(40, tuple),
        "doubled keys": {doubled(16, tuple): 1},
        "complex": 1j,
        "scalar": torch.tensor(0.5),
        "empty tensor": torch.zeros(0),
        "huge view": torch.ones(1).expand(2**20, 2**20),
        "meta tensor": torch.empty(3, device="meta"),
        "sparse tensor": torch.eye(3).to_sparse(),
        "quantized tensor": quantized(),
        "complex tensor": torch.ones(3, dtype=torch.complex64),
        "integers": torch.arange(3),
        "NaN tensor": torch.full((3,), float("nan")),
    }


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places in a value: the whole, and every entry of its objects and lists; only the ends of long lists."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    if isinstance(value, list):
        for index in {0, len(value) - 1} if value else ():
            yield from places(value[index], (*path, index))


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of a value with another value at a place."""
    if not path:
        return new
    first, *rest = path
    if isinstance(value, dict):
        return {key: put(inner, tuple(rest), new) if key == first else inner for key, inner in value.items()}
    return [put(inner, tuple(rest), new) if index == first else inner for index, inner in enumerate(value)]


def as_json(value: Any) -> str:
    """JSON with a mark where the hostile value goes."""
    return json.dumps(value)


def as_lines(rows: list[Any]) -> str:
    """One JSON object per line."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_toml(table: dict[str, Any]) -> str:
    """TOML, with inline tables."""
    return (
        "".join(f"{key} = {_toml(value)}\n" for key, value in table.items()) if isinstance(table, dict) else str(table)
    )


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def drawn(cases: list[Any], most: int, seed: int = 0) -> list[Any]:
    """At most this many of the cases."""
    return cases if len(cases) <= most else random.Random(seed).sample(cases, most)


def listing(folder: Path) -> dict[str, int]:
    """All paths below a folder, with the sizes of the files."""
    return {str(path.relative_to(folder)): path.lstat().st_size for path in sorted(folder.rglob("*"))}
