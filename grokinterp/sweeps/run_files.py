"""The files of a run in memory, by name: how a run travels between machines without shared storage."""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from grokinterp.errors import RunDirectoryError, RunInUse, WriteError, short
from grokinterp.storage import RunDirectory, configuration_hash, write_atomic
from grokinterp.storage.atomic import is_leftover, make_directory
from grokinterp.storage.files import parse_json, read_regular
from grokinterp.storage.run_directory import CLOCK, CONFIGURATION, ENVIRONMENT, EXAMPLES, METRICS, START, STATUS
from grokinterp.storage.staging import built_beside
from grokinterp.sweeps.entry import has_ended

LARGEST = 2**36
"""Largest file of a run that is read, in bytes."""

DOCUMENTS = {CONFIGURATION, ENVIRONMENT, STATUS, CLOCK, METRICS, "continuations.jsonl", START, EXAMPLES}
FOLDERS = ("checkpoints", "resume", "analysis")
"""The files and the folders of a run that travel; its lock and temporary files do not."""

INSIDE = re.compile(rf"(?:{'|'.join(FOLDERS)})/[A-Za-z0-9_][A-Za-z0-9._-]{{0,254}}")
"""Names of files in the folders of a run."""


def files_of(directory: Path) -> dict[str, bytes]:
    """Return the files of a run by name, in the order in which they can be written into an older state of the run.

    Raises:
        RunDirectoryError: a file cannot be read.
    """
    try:
        return {name: read_regular(directory / name, limit=LARGEST) for name in sorted(names_in(directory), key=rank)}
    except (OSError, ValueError) as error:
        raise RunDirectoryError(directory, f"cannot be read: {error}") from error


def names_in(directory: Path) -> Iterator[str]:
    """Yield the names of the files of a run that travel, relative to its directory. Raises OSError."""
    for folder in (directory, *(directory / name for name in FOLDERS)):
        for one in os.scandir(folder) if folder.is_dir() else ():
            name = Path(one.path).relative_to(directory).as_posix()
            if is_allowed(name) and stat.S_ISREG(one.stat(follow_symlinks=False).st_mode):
                yield name


def is_allowed(name: object) -> bool:
    """Return whether a file may have a name within a run.

    >>> [is_allowed(name) for name in ("status.json", "resume/000100.safetensors", "../a", "/a", "lock", "resume/lock")]
    [True, True, False, False, False, False]
    """
    if not isinstance(name, str) or name.endswith("/lock") or is_leftover(name.rpartition("/")[2]):
        return False
    return name in DOCUMENTS or INSIDE.fullmatch(name) is not None


def rank(name: str) -> tuple[bool, bool, str]:
    """Return the place of a file: the status last, after the states from which training resumes."""
    return name == STATUS, name.startswith("resume/"), name


def put_files(files: Mapping[str, bytes], directory: Path, run_id: str) -> None:
    """Write the files of a run into a directory, which appears as a whole, or continues the run that it contains.

    A new run is built beside the directory and renamed. In a directory with an earlier state of the run, every file is
    replaced atomically, in an order in which the run can be resumed after a crash at any moment. A run that has ended
    is left as it is.

    Args:
        files: the files by name.
        directory: the run directory.
        run_id: the hash of its configuration.

    Raises:
        RunDirectoryError: before anything is written, if a name is not that of a file of a run, or the configuration
            is that of another run.
        RunInUse: another process is writing to the run, or has just created it.
        WriteError: a file cannot be written.
    """
    require_own(files, directory, run_id)
    if (directory / CONFIGURATION).exists():
        if not has_ended(directory):
            with RunDirectory(directory).lock():
                write_files(files, directory)
        return
    RunDirectory(directory).require_empty()
    try:
        with built_beside(directory) as lock:
            write_files(files, lock.path.parent)
    except WriteError as error:
        if (directory / CONFIGURATION).exists():
            raise RunInUse(directory, "another process has just created it") from error
        raise


def require_own(files: Mapping[str, bytes], directory: Path, run_id: str) -> None:
    """Raise RunDirectoryError unless all files may be written, and their configuration is that of the run."""
    for name, content in files.items():
        if not is_allowed(name) or not isinstance(content, bytes):
            raise RunDirectoryError(directory, f"was sent with the file {short(repr(name))}, which is not one of a run")
    try:
        found = configuration_hash(parse_json(files[CONFIGURATION]))
    except (KeyError, ValueError, TypeError) as error:
        raise RunDirectoryError(directory, f"was sent without a readable {CONFIGURATION}") from error
    if found != run_id:
        raise RunDirectoryError(directory, f"was sent the run {found}")


def write_files(files: Mapping[str, bytes], directory: Path) -> None:
    """Write files, each atomically, in their safe order. Raises WriteError."""
    for name in ("checkpoints", "resume"):
        make_directory(directory / name)
    for name in sorted(files, key=rank):
        make_directory((directory / name).parent)
        write_atomic(directory / name, files[name], replace=True)
