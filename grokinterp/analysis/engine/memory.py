"""Check that the logits of all examples, and the arrays that analyses compute from them, fit into memory."""

import os
from pathlib import Path

import torch

from grokinterp.errors import ConfigError
from grokinterp.models import Model
from grokinterp.storage.files import read_regular
from grokinterp.tasks import Task

COPIES = 4
"""Number of float64 arrays as large as all logits: the logits and the arrays that an analysis computes from them."""

MEMINFO, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def require_memory(task: Task, model: Model, device: torch.device) -> None:
    """Raise ConfigError if the analysis of a single checkpoint needs more memory than is available."""
    needed, free = bytes_needed(task, model), bytes_available(device)
    if needed > free:
        sizes = f"{task.n_examples:,} examples × {task.n_classes:,} classes"
        raise ConfigError(
            "task",
            f"{task.kind}, {sizes}",
            f"needs about {gib(needed)} of memory to analyze, but only {gib(free)} are available",
        )


def bytes_needed(task: Task, model: Model) -> int:
    """Estimate the memory for one checkpoint: ``COPIES`` times all logits plus twice the neurons of all examples."""
    return 8 * task.n_examples * (COPIES * task.n_classes + 2 * model.n_neurons)


def workers_that_fit(task: Task, model: Model, device: torch.device, wanted: int) -> int:
    """Return the number of checkpoints that can be analyzed at a time, at least 1."""
    return max(1, min(wanted, bytes_available(device) // bytes_needed(task, model)))


def bytes_available(device: torch.device) -> int:
    """Return the free memory of a GPU, or of this machine within the limit of its container."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    lines = dict(line.split(":", 1) for line in _text(MEMINFO).splitlines())
    free = 1024 * int(lines["MemAvailable"].split()[0]) if "MemAvailable" in lines else free
    limit, used = (_number(CGROUP / name) for name in ("memory.max", "memory.current"))
    return free if limit is None or used is None else min(free, max(0, limit - used))


def gib(size: int) -> str:
    """Return a size in GiB as text."""
    return f"{size / 2**30:,.1f} GiB"


def _number(path: Path) -> int | None:
    """Return the number in a file; None if the file does not exist or does not hold a number."""
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    """Return the text of a file of the kernel; empty if it does not exist."""
    return read_regular(path, limit=2**16).decode() if path.exists() else ""
