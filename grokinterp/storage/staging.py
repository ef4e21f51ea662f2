"""Directories that are built beside their target and renamed when complete, so that no incomplete run is visible."""

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Generator
from pathlib import Path

from grokinterp.errors import RunDirectoryError
from grokinterp.storage.atomic import remove_leftovers, sync_directory, write_error
from grokinterp.storage.lock import HeldLock, lock_file

PREFIX = ".importing-"
STAGING = re.compile(r"\.importing-[a-z0-9_]{8}")


def is_staging(path: Path) -> bool:
    """Return whether a directory, or the directory that contains it, has the name of an incomplete one.

    >>> is_staging(Path("checkpoints/.importing-0a1b2c3d")), is_staging(Path("checkpoints/demo"))
    (True, False)
    """
    path = Path(os.path.abspath(path))
    return any(STAGING.fullmatch(name) for name in (path.name, path.parent.name))


@contextlib.contextmanager
def built_beside(target: Path) -> Generator[HeldLock]:
    """Yield the lock of an empty directory next to ``target``, which becomes ``target`` when the block ends.

    If the block raises, the directory is removed. If the process is killed, the directory remains: it does not open as
    a run, and the next call for the same folder removes it, since its lock is free.

    Raises:
        GrokinterpError: if the directory cannot be created or renamed.
    """
    target = target.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            lock = _locked(target.parent, stack)
            place = lock.path.parent
            stack.callback(shutil.rmtree, place, ignore_errors=True)
            yield lock
            _remove_bare(target)
            os.rename(place, target)
            sync_directory(target.parent)
    except OSError as error:
        raise write_error(target, error) from error


def _locked(folder: Path, stack: contextlib.ExitStack) -> HeldLock:
    """Create and lock a directory in a folder, after removing those whose processes were killed. Raises OSError."""
    with _alone(folder):
        for abandoned in sorted(path for path in folder.iterdir() if STAGING.fullmatch(path.name)):
            _remove_abandoned(abandoned)
        place = folder / f"{PREFIX}{os.urandom(4).hex()}"
        place.mkdir()
        return stack.enter_context(lock_file(place / "lock"))


@contextlib.contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Wait until no other process creates or removes directories in a folder, if its file system has locks."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(place: Path) -> None:
    """Remove a directory that no running process is building."""
    if place.is_symlink() or not place.is_dir():
        return
    with contextlib.suppress(RunDirectoryError), lock_file(place / "lock"):
        shutil.rmtree(place, ignore_errors=True)


def _remove_bare(directory: Path) -> None:
    """Remove a directory that holds at most the remains of an interrupted creation. Raises OSError if it holds more."""
    if directory.is_dir():
        remove_leftovers(directory)
        (directory / "lock").unlink(missing_ok=True)
        for inside in directory.iterdir():
            inside.rmdir()
        directory.rmdir()
