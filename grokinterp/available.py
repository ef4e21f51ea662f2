"""Memory and disk space available to this process, and the memory that it uses."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from grokinterp.lazy import torch
from grokinterp.storage.files import read_regular

if TYPE_CHECKING:
    from torch import device as Device

ROOT = Path("/")
"""The root of the file system whose /proc and /sys describe this machine."""


def bytes_available(device: "Device") -> int:
    """Return the free memory of a GPU, or of this machine within the limits of its containers."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = _kibibytes("proc/meminfo", "MemAvailable") or free
    return max(0, min([free, *containers()]))


def containers() -> Iterator[int]:
    """Yield the free memory of every control group of this process: limit minus use, without droppable file caches."""
    for folder in control_groups():
        limit, used = _number(folder / "memory.max"), _number(folder / "memory.current")
        if limit is not None and used is not None:
            fields = dict(line.split(" ", 1) for line in _text(folder / "memory.stat").splitlines() if " " in line)
            yield limit - used + int(fields.get("inactive_file", 0))


def control_groups() -> Iterator[Path]:
    """Yield the folder of this process's control group (version 2), and those of the groups around it."""
    top = ROOT / "sys/fs/cgroup"
    for line in _text(ROOT / "proc/self/cgroup").splitlines():
        if line.startswith("0::/"):
            own = top / line.removeprefix("0::/")
            yield from (folder for folder in (own, *own.parents) if folder != top and top in folder.parents)
    yield top


def resident() -> int:
    """Return the memory of this process in bytes; 0 on systems that do not report it."""
    return _kibibytes("proc/self/status", "VmRSS")


def peak_resident() -> int:
    """Return the peak memory of this process so far in bytes; 0 on systems that do not report it."""
    return _kibibytes("proc/self/status", "VmHWM")


def disk_available(path: Path) -> int:
    """Return the free bytes of the file system on which a path is, or will be created; 2^63 if it has no size."""
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    usage = shutil.disk_usage(there)
    return usage.free if usage.total else 2**63


def programs_running() -> int:
    """Return the number of threads of other programs that compute at this moment; 0 if it is unknown."""
    fields = _text(ROOT / "proc/loadavg").split()
    return int(fields[3].partition("/")[0]) - 1 if len(fields) > 3 else 0


def size_text(size: int) -> str:
    """Return a number of bytes as text.

    >>> size_text(3 * 2**29), size_text(3 * 2**19), size_text(100)
    ('1.5 GiB', '1.5 MiB', '0.1 KiB')
    """
    power, unit = next(((power, unit) for power, unit in ((30, "GiB"), (20, "MiB")) if size >= 2**power), (10, "KiB"))
    return f"{size / 2**power:,.1f} {unit}"


def _kibibytes(file: str, key: str) -> int:
    """Return, in bytes, a size that a file of /proc states in kB; 0 if it is not there."""
    for line in _text(ROOT / file).splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return 1024 * int(value.split()[0])
    return 0


def _number(path: Path) -> int | None:
    """Return the number in a file; None if the file does not exist or does not hold a number."""
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    """Return the text of a file; empty if it cannot be read."""
    try:
        return read_regular(path, limit=2**20).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
