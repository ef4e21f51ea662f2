"""An atomic, durable writer: after a crash at any moment a file is either complete or absent."""

import contextlib
import errno
import os
import re
import stat
from pathlib import Path

from grokinterp.errors import ConfigError, WriteError, require
from grokinterp.storage.files import path_of, read_regular

LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
"""Names of the writer's temporary files: ``.NAME.XXXXXXXX.tmp`` next to ``NAME``."""

KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}
"""Kinds of paths other than regular files."""

_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


def write_atomic(path: str | os.PathLike[str], data: bytes, *, replace: bool) -> None:
    """Write ``data`` to ``path`` so that readers, even after a crash, see either the old content or the new.

    A temporary file in the same directory is written and fsynced, then renamed to ``path`` (``replace=True``) or
    hard-linked to it (``replace=False``, which never overwrites); then the directory is fsynced. A file that already
    has this content is left unchanged, which needs no write permission.

    Raises:
        FileExistsError: if ``path`` exists and ``replace`` is false.
        WriteError: on any other failure of the operating system, naming the path and the errno; the temporary file
            is removed.
    """
    target = Path(path)
    if replace and _holds(target, data):
        return
    temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
    try:
        try:
            _write_durably(temporary, data)
            _publish(temporary, target, replace=replace)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        sync_directory(target.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise write_error(target, error) from error


def output_file(key: str, value: object) -> Path:
    """Return the path of a file that may be written: new, or a regular file that is replaced.

    Raises:
        ConfigError: if it is a directory, a device, a pipe or a symbolic link, or cannot be created.
    """
    path = path_of(key, value)
    try:
        there = os.path.lexists(path)
        kind = stat.S_IFMT(path.lstat().st_mode) if there else stat.S_IFREG
        folder = next((parent for parent in path.absolute().parents if os.path.lexists(parent)), path)
    except OSError as error:
        raise ConfigError(key, path, (error.strerror or "cannot be written").lower()) from None
    if kind != stat.S_IFREG:
        raise ConfigError(
            key, path, f"is {KINDS.get(kind, 'a device')}, which is not replaced: give the name of a file"
        )
    if not folder.is_dir() or not is_writable(folder):
        why = "no file can be created in it" if folder.is_dir() else "is not a directory"
        raise ConfigError(key, path, f"{folder}: {why}")
    return path


def html_file(key: str, value: object) -> Path:
    """Return the path of a page that may be written: its name ends in .html, so that it replaces no file of a run.

    Raises:
        ConfigError: if the name ends otherwise, or as ``output_file`` does.
    """
    path = output_file(key, value)
    require(path.suffix.lower() == ".html", key, path, "must end in .html")
    return path


def make_directory(path: Path) -> None:
    """Create a directory and its parents where they are missing. Raises WriteError naming path and errno."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error) from error


def remove(path: Path) -> bool:
    """Remove a file and return whether it was there. Raises WriteError naming path and errno."""
    if not os.path.lexists(path):
        return False  # removing it would fail on read-only storage
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(path, error) from error
    return True


def is_writable(directory: Path) -> bool:
    """Return whether this process may create files in a directory, which storage or permissions can forbid."""
    return os.access(directory, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def require_writable(directory: Path) -> None:
    """Raise WriteError, naming path and errno, unless this process may create files in a directory."""
    if not is_writable(directory):
        number = errno.EROFS if os.statvfs(directory).f_flag & os.ST_RDONLY else errno.EACCES
        raise write_error(directory, OSError(number, os.strerror(number)))


def write_error(path: str | os.PathLike[str], error: OSError) -> WriteError:
    """Return the one-line error for a failed write: path, reason, errno.

    >>> str(write_error("run/a", OSError(28, "No space left on device")))
    'cannot write run/a: No space left on device (ENOSPC, errno 28)'
    """
    name = errno.errorcode.get(error.errno or 0, "unknown error")
    return WriteError(f"cannot write {os.fspath(path)}: {error.strerror or error} ({name}, errno {error.errno})")


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, continuing after short writes. Raises OSError."""
    rest = memoryview(data)
    while rest:
        written = os.write(descriptor, rest)
        if written <= 0:
            raise OSError(errno.EIO, "write made no progress")
        rest = rest[written:]


def sync_directory(directory: Path) -> None:
    """Make the names in ``directory`` durable, on file systems that can fsync a directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def is_leftover(name: str) -> bool:
    """Return whether ``name`` is a temporary file of this writer.

    >>> is_leftover(".status.json.0a1b2c3d.tmp"), is_leftover("status.json"), is_leftover(".cache.tmp")
    (True, False, False)
    """
    return LEFTOVER.fullmatch(name) is not None


def remove_leftovers(directory: Path) -> tuple[str, ...]:
    """Remove temporary files that killed writers left in ``directory``, and return their names.

    Only the holder of the run lock calls this, since no other process may write to the directory.
    """
    if not directory.is_dir():
        return ()
    names = tuple(sorted(name for name in os.listdir(directory) if is_leftover(name)))
    for name in names:
        with contextlib.suppress(OSError):
            (directory / name).unlink()
    return names


def _holds(path: Path, data: bytes) -> bool:
    """Return whether a regular file, not a link to it, has this content."""
    try:
        is_same_size = not path.is_symlink() and path.stat().st_size == len(data)
        return is_same_size and read_regular(path, limit=len(data)) == data
    except (OSError, ValueError):
        return False


def _write_durably(temporary: Path, data: bytes) -> None:
    """Create ``temporary`` (mode 0666 minus the umask) with the content ``data``, durable on return."""
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _publish(temporary: Path, target: Path, *, replace: bool) -> None:
    """Move the finished temporary file to its name."""
    if not replace:
        try:
            os.link(temporary, target)
            return
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target))
    os.replace(temporary, target)
