"""The lock of a directory for a single writer: flocks that the kernel releases when their holder dies.

Both the lock file of a run, which names its holder, and the run directory itself are locked. A second writer is thus
refused even if the lock file was removed, and the holder notices the removal at its next write.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Generator
from pathlib import Path
from typing import final

from grokinterp.errors import RunDirectoryError, RunInUse, warn
from grokinterp.storage.files import open_regular, parse_json

NO_LOCKS = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}
"""Errors of file systems that cannot lock a directory, such as NFS."""

TRIES, PAUSE = 20, 0.005
"""Attempts to take a lock, and seconds between them: checking whether a lock is held shares it for an instant."""


@contextlib.contextmanager
def lock_file(path: Path, *, directory: bool = False) -> Generator["HeldLock"]:
    """Hold the lock at ``path``, with pid and host written in it, while the block runs.

    Args:
        path: the lock file.
        directory: lock the directory of the file as well, if its file system can.

    Raises:
        RunInUse: at once if another process or thread holds it, naming its pid and host.
        RunDirectoryError: if it cannot be locked.
    """
    held = HeldLock(path)
    try:
        held.take(directory=directory)
        yield held
    finally:
        held.release()


@final
class HeldLock:
    """A lock that this process holds; ``require_held`` verifies this before a write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._directory, self._file = -1, -1
        self._locks_directory = False

    def take(self, *, directory: bool) -> None:
        """Take the lock; see ``lock_file``. Raises RunDirectoryError."""
        place = self.path.parent
        try:
            self._directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
            self._locks_directory = directory and _locks(self._directory)
        except BlockingIOError:
            raise RunInUse(place, f"in use by {_holder(self.path)}") from None
        except OSError as error:
            raise RunDirectoryError(place, f"cannot be locked: {error.strerror}") from error
        self._file = _locked(self.path)

    def release(self) -> None:
        """Release the lock; the lock file stays."""
        for descriptor in (self._file, self._directory):
            if descriptor >= 0:
                os.close(descriptor)

    def require_held(self) -> None:
        """Make sure that this process is still the single writer; a removed lock file is created again, with a warning.

        Raises:
            RunDirectoryError: if the directory was removed or replaced, or if another process may write to it.
        """
        directory = self.path.parent
        if not _is_at(self._directory, directory):
            raise RunDirectoryError(directory, "was removed or replaced while this process wrote to it")
        if _is_at(self._file, self.path):
            return
        if not self._locks_directory:
            raise RunDirectoryError(directory, "its lock was removed, so another process may write to it")
        again = _locked(self.path)
        os.close(self._file)
        self._file = again
        warn(f"{self.path} was removed during the run and was created again", stacklevel=3)


def _locks(directory: int) -> bool:
    """Lock an open directory, and return whether its file system can. Raises OSError."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True


def _locked(path: Path) -> int:
    """Open and lock a lock file, and write its holder. Raises RunDirectoryError."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise RunDirectoryError(path.parent, f"cannot be locked: {error.strerror}") from error
    try:
        _flock(descriptor)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise RunInUse(path.parent, f"in use by {_holder(path)}") from None
        raise RunDirectoryError(path.parent, f"cannot be locked: {error.strerror} (errno {error.errno})") from error
    return descriptor


def is_held(path: Path) -> bool | None:
    """Return whether a living process holds the lock at ``path``, or None if this cannot be known.

    It cannot be known without a lock file, on a file system that is read-only or cannot lock, and from a host other
    than that of the last holder, because not every file system shares its locks between hosts. The check shares the
    lock for an instant, and a process that takes the lock meanwhile waits.
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
    """Lock an open file; wait for processes that check it. Raises BlockingIOError if it stays locked."""
    for _ in range(TRIES):
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(PAUSE)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether the open file or directory is the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _holder(path: Path) -> str:
    """Describe the process that wrote the lock file."""
    try:
        with open_regular(path, limit=4096) as file:
            holder = parse_json(file.read())
        return f"process {int(holder['pid'])} on host {str(holder['host'])[:255]!r}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
