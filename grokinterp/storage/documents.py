"""Small JSON documents that carry the SHA-256 of their content; those of a run also name the run."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grokinterp.errors import short
from grokinterp.storage.files import canonical_json, parse_json, read_json_object

RUN, DIGEST = "run", "digest"
"""The keys that are added to the content: ``NAME-RUN_ID`` of the run, and the digest of everything else."""


def encode_document(content: Mapping[str, Any], *, run: str) -> bytes:
    """Return the content as indented JSON, with the run and a digest. Raises ValueError on NaN or Infinity."""
    return encode_sealed({**content, RUN: run})


def encode_sealed(content: Mapping[str, Any]) -> bytes:
    """Return the content as indented JSON with a digest. Raises ValueError on NaN or Infinity."""
    marked = parse_json(pretty(content))
    return pretty({**marked, DIGEST: _digest(marked)})


def read_sealed(path: Path) -> dict[str, Any]:
    """Return the content of a document that must carry a digest.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not a JSON object or was changed, with a short reason.
    """
    found = read_json_object(path)
    if found.pop(DIGEST, None) != _digest(found):
        raise ValueError("its content does not match its digest")
    return found


def read_document(path: Path, *, run_id: str) -> tuple[dict[str, Any], str]:
    """Return the content of a document and "", or {} and the reason why it cannot be used; {} and "" without a file.

    Documents of earlier versions name no run and have no digest: they are returned as they are.
    """
    try:
        content, run = _verified(path)
        if run is not None and run_id_of(run) != run_id:
            return {}, f"belongs to run {short(run)}"
    except FileNotFoundError:
        return {}, ""
    except OSError as error:
        return {}, f"cannot be read: {error.strerror}"
    except ValueError as error:
        return {}, f"damaged: {error}"
    return content, ""


def run_named_in(path: Path) -> str | None:
    """Return the run that a document names, as ``NAME-RUN_ID``; None if it is missing or damaged, or names none."""
    try:
        return _verified(path)[1]
    except (OSError, ValueError):
        return None


def run_id_of(run: str) -> str:
    """Return the run id in ``NAME-RUN_ID``.

    >>> run_id_of("my-run-0123456789")
    '0123456789'
    """
    return run.rpartition("-")[2]


def pretty(document: Mapping[str, Any]) -> bytes:
    """Return indented JSON for people. Raises ValueError on NaN or Infinity."""
    return (json.dumps(dict(document), indent=2, allow_nan=False) + "\n").encode("utf-8")


def _verified(path: Path) -> tuple[dict[str, Any], str | None]:
    """Return the content of a document and the run that it names.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not a JSON object or was changed, with a short reason.
    """
    found = read_json_object(path)
    if not {RUN, DIGEST} & found.keys():  # a changed bit cannot hide both
        return found, None
    digest = found.pop(DIGEST, None)
    if digest != _digest(found) or not isinstance(found.get(RUN), str):
        raise ValueError("its content does not match its digest")
    run = found.pop(RUN)
    return found, run


def _digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the canonical JSON of the content. Raises ValueError if it has none."""
    return hashlib.sha256(canonical_json(dict(content)).encode("ascii")).hexdigest()
