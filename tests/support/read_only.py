"""A folder in which nothing can be written, also when root runs the tests."""

import contextlib
import ctypes
import os
import stat
from collections.abc import Iterator
from pathlib import Path

CAP_DAC_OVERRIDE = 1
VERSION = 0x20080522


class Header(ctypes.Structure):
    """``struct __user_cap_header_struct`` of capset(2); process 0 is the calling thread."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class Sets(ctypes.Structure):
    """``struct __user_cap_data_struct``: 32 capabilities."""

    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextlib.contextmanager
def as_anyone() -> Iterator[None]:
    """Enforce file permissions in this thread, even for root, whose right to override them is dropped in the block."""
    libc, header, sets = ctypes.CDLL(None, use_errno=True), Header(VERSION, 0), (Sets * 2)()
    assert libc.capget(ctypes.byref(header), sets) == 0
    before = sets[0].effective
    sets[0].effective = before & ~(1 << CAP_DAC_OVERRIDE)
    assert libc.capset(ctypes.byref(header), sets) == 0
    try:
        yield
    finally:
        sets[0].effective = before
        assert libc.capset(ctypes.byref(header), sets) == 0


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing below ``folder`` can be created, changed, renamed or removed while the block runs."""
    paths = [folder, *folder.rglob("*")]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in paths}
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        with as_anyone():
            assert not os.access(folder, os.W_OK, effective_ids=True)
            yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def states(folder: Path) -> dict[Path, tuple[int, int]]:
    """The size and the time of the last change of every file."""
    found = ((path, path.stat()) for path in folder.rglob("*"))
    return {path: (status.st_size, status.st_mtime_ns) for path, status in found}
