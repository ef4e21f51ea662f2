"""The lock of a run directory for a single writer: an flock that the kernel releases when its holder dies."""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Generator
from pathlib import Path

from grokinterp.errors import RunDirectoryError
from grokinterp.storage.files import parse_json


@contextlib.contextmanager
def lock_file(path: Path) -> Generator[None, None, None]:
    """Hold the lock at ``path``, with pid and host written in it, while the block runs.

    Raises:
        RunDirectoryError: at once if another process or thread holds it, naming its pid and host.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise RunDirectoryError(path.parent, f"cannot be locked: {error.strerror}") from error
    try:
        _acquire(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path) -> None:
    """Take the lock and write its holder. Raises RunDirectoryError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
    except BlockingIOError:
        raise RunDirectoryError(path.parent, f"in use by {_holder(descriptor)}") from None
    except OSError as error:
        raise RunDirectoryError(path.parent, f"cannot be locked: {error.strerror} (errno {error.errno})") from error


def _holder(descriptor: int) -> str:
    """Describe the process that wrote the lock file."""
    try:
        holder = parse_json(os.pread(descriptor, 4096, 0))
        return f"process {int(holder['pid'])} on host {str(holder['host'])[:255]!r}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
