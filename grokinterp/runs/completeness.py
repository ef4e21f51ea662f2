"""Recognize complete results: a record of the files and the code of the last finished ``analyze``."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from grokinterp.runs.imports import PACKAGE, closure, configured
from grokinterp.storage import write_atomic
from grokinterp.storage.atomic import is_writable
from grokinterp.storage.files import MAX_DOCUMENT_BYTES, read_json_object, read_regular

RECORD = "complete.json"


def mark_complete(run: Path) -> None:
    """Record that a run's results are complete for its files and the code, if the run can be written."""
    if is_writable(run / "analysis"):
        write_atomic(run / "analysis" / RECORD, json.dumps(fingerprint(run)).encode("ascii"), replace=True)


def is_complete(run: Path) -> bool:
    """Return whether the results are complete and neither the run nor the analysis code has changed since then."""
    try:
        return read_json_object(run / "analysis" / RECORD) == fingerprint(run)
    except (OSError, ValueError):
        return False


def fingerprint(run: Path) -> dict[str, str]:
    """Return a digest of the analyses' files, and a digest of the names, sizes, and times of the run's files."""
    code = hashlib.sha256()
    for path in sorted(analysis_files()):
        code.update(read_regular(path, limit=MAX_DOCUMENT_BYTES))
    return {"code": code.hexdigest(), "files": hashlib.sha256(json.dumps(list(states(run))).encode()).hexdigest()}


def analysis_files() -> set[Path]:
    """Return the files of grokinterp that determine the results of ``analyze``, including their descriptions."""
    return closure([*(PACKAGE / "analysis").rglob("*.py"), *configured()])


def states(run: Path) -> Iterator[tuple[str, int, int]]:
    """Yield the name, size, and modification time of every file that contains results or their inputs."""
    for pattern in ("experiment.json", "metrics.jsonl", "checkpoints/*.safetensors", "analysis/*.nc"):
        for path in sorted(run.glob(pattern)):
            stat = path.stat()
            yield path.name, stat.st_size, stat.st_mtime_ns
