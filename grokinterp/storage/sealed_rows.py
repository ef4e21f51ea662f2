"""Rows of a log that are protected: lines of JSON that end with a check of their content and of the run id."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

MARK = b', "check": "'
END = b'"}'


def sealed(row: Mapping[str, Any], run_id: str) -> bytes:
    """Return a row as one line of JSON with its check as the last key; non-finite numbers become null.

    >>> sealed({"step": 0, "train_loss": float("inf")}, "0123456789").split(b'"check": ')[0]
    b'{"step": 0, "train_loss": null, '
    """
    content = json.dumps(_finite(row), allow_nan=False).encode("ascii")
    return content[:-1] + MARK + check_of(content, run_id) + END + b"\n"


def check_of(content: bytes, run_id: str) -> bytes:
    """Return the first 16 hexadecimal digits of the SHA-256 over the run id, a line feed, and the row's own bytes."""
    return hashlib.sha256(b"%s\n%s" % (run_id.encode("utf-8"), content)).hexdigest()[:16].encode("ascii")


def is_intact(line: bytes, run_id: str) -> bool:
    """Return whether a line, without its line feed, ends with the check of its content and of this run.

    >>> line = sealed({"step": 0}, "0123456789")[:-1]
    >>> is_intact(line, "0123456789"), is_intact(line, "another"), is_intact(line.replace(b"0", b"1", 1), "0123456789")
    (True, False, False)
    """
    content, mark, check = line.rpartition(MARK)
    return bool(mark) and check == check_of(content + b"}", run_id) + END


def _finite(value: Any) -> Any:
    """Return ``value`` with every non-finite number replaced by None.

    >>> _finite({"loss": float("nan"), "norms": {"W_E": 1.0, "W_U": float("inf")}})
    {'loss': None, 'norms': {'W_E': 1.0, 'W_U': None}}
    """
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
