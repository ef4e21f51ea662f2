"""Where a run was trained: the device to use, and what a bit-identical continuation depends on."""

import platform
import warnings

from typing import Any

import torch

from grokinterp import __version__
from grokinterp.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """``auto`` takes CUDA where there is one. Raises ConfigError for a device that is not there."""
    if name not in ("auto", "cpu", "cuda") and not name.startswith("cuda:"):
        raise ConfigError("device", name, "must be auto, cpu or cuda")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError("device", name, "this machine has no CUDA device that PyTorch can use")
    if name.startswith("cuda:") and not (name[5:].isdigit() and int(name[5:]) < torch.cuda.device_count()):
        raise ConfigError("device", name, f"there are {torch.cuda.device_count()} CUDA devices")
    return torch.device(name)


def describe(device: torch.device) -> dict[str, Any]:
    """Versions, device and thread count; a continuation is bit-identical only where they are equal."""
    on_gpu = device.type == "cuda"
    return {
        "grokinterp": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
    }


def warn_if_different(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Say in one line what keeps a continuation from being bit-identical."""
    changes = [f"{key} {before.get(key)} is now {now[key]}" for key in now if before.get(key) != now[key]]
    if changes:
        warnings.warn(f"the continuation will not be bit-identical: {', '.join(changes)}", stacklevel=3)
