"""The lock of a run directory for a single writer: an flock that the kernel releases when its holder dies."""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Generator
from pathlib import Path

from grokinterp.errors import RunDirectoryError
from grokinterp.storage.files import parse_json

TRIES, PAUSE = 20, 0.005
"""How often a lock is tried, and the seconds in between: processes that ask whether it is held share it an instant."""


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
        _flock(descriptor)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
    except BlockingIOError:
        raise RunDirectoryError(path.parent, f"in use by {_holder(descriptor)}") from None
    except OSError as error:
        raise RunDirectoryError(path.parent, f"cannot be locked: {error.strerror} (errno {error.errno})") from error


def is_held(path: Path) -> bool | None:
    """Return whether a living process holds the lock at ``path``, or None if this cannot be known.

    It cannot be known without a lock file, on a file system that is read-only or cannot lock, and from another host
    than that of the last holder, because not every file system shares its locks between hosts. The lock is shared for
    an instant, which a process that takes it meanwhile waits for.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        free = False if _is_local(descriptor) else None
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return free


def _is_local(descriptor: int) -> bool:
    """Return whether an open lock file can be written, and was last held on this host. Raises OSError."""
    try:
        host = parse_json(os.pread(descriptor, 4096, 0))["host"]
    except (ValueError, KeyError, TypeError):
        return False
    return host == socket.gethostname() and not os.fstatvfs(descriptor).f_flag & os.ST_RDONLY


def _flock(descriptor: int) -> None:
    """Lock an open file; wait until nobody asks whether it is held. Raises BlockingIOError if it stays locked."""
    for _ in range(TRIES):
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(PAUSE)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(descriptor: int) -> str:
    """Describe the process that wrote the lock file."""
    try:
        holder = parse_json(os.pread(descriptor, 4096, 0))
        return f"process {int(holder['pid'])} on host {str(holder['host'])[:255]!r}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
