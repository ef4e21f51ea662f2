"""The environment of training: the device, and all conditions of a bit-identical continuation."""

import platform
import re
from collections.abc import Mapping
from typing import Any

from grokinterp._version import __version__
from grokinterp.errors import ConfigError, short, warn
from grokinterp.lazy import torch
from grokinterp.torch_settings import computing


def require_device_name(name: str) -> None:
    """Raise ConfigError unless the text names a device, whether this machine has it or not."""
    if not isinstance(name, str) or not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", name):
        raise ConfigError("device", short(name), "must be auto, cpu or cuda")


def choose_device(name: str) -> "torch.device":
    """Return the device; ``auto`` selects CUDA if available. Raises ConfigError for a missing device."""
    require_device_name(name)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError("device", name, "PyTorch finds no CUDA device on this machine")
    index = name.removeprefix("cuda").removeprefix(":")
    if index and int(index) >= torch.cuda.device_count():
        raise ConfigError("device", name, f"there are {torch.cuda.device_count()} CUDA devices, counted from 0")
    return torch.device(name)


def describe(device: "torch.device") -> dict[str, Any]:
    """Return versions, device, precision of products, threads and runs in a stack.

    A continuation is bit-identical only if they are equal.
    """
    on_gpu = device.type == "cuda"
    return {
        "grokinterp": __version__,
        "torch": torch.__version__,
        "cuda": torch.version.cuda if on_gpu else None,
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "matmul_precision": matmul_precision(device) if on_gpu else None,
        "threads": torch.get_num_threads(),
        "stack": None,
    }


def matmul_precision(device: "torch.device") -> str:
    """Return PyTorch's setting for products of float32 matrices while grokinterp computes: "highest" is float32."""
    with computing(device):
        return torch.get_float32_matmul_precision()


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the values before and now of every key of the present environment that differs.

    >>> changes({"threads": 1, "device": "cpu"}, {"threads": 2, "device": "cpu"})
    {'threads': (1, 2)}
    """
    return {key: (before.get(key), now[key]) for key in now if before.get(key) != now[key]}


def warn_of_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Warn in one line about differences that prevent a bit-identical continuation, and return them by key."""
    changed = changes(before, now)
    if changed:
        listed = ", ".join(f"{key} {old} is now {new}" for key, (old, new) in changed.items())
        warn(f"the continuation will not be bit-identical: {listed}", stacklevel=2)
    return changed
