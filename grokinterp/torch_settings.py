"""PyTorch's settings while grokinterp computes: those of a new process, whatever the caller has set.

Results then depend neither on the caller's settings nor on what other threads do, and the caller finds its settings as
they were. Settings of a thread are set and restored by that thread; settings of the process are ``Shared``.
"""

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from grokinterp.errors import ConfigError, short
from grokinterp.lazy import torch
from grokinterp.shared import LOCK, Shared

Value = TypeVar("Value")


def device_of(device: "torch.device | str") -> "torch.device":
    """Return a device. Raises ConfigError if there is no such device on this machine."""
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise ConfigError("device", short(device), "must be cpu or cuda") from None
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device", short(device), "PyTorch finds no CUDA device on this machine")
    return found


@contextmanager
def computing(device: "torch.device | str" = "cpu", *, flush: bool = False) -> Generator[None]:
    """Compute in the block with the settings of a new process, and restore the caller's settings afterwards.

    Gradients are enabled, and inference mode, autocast, and the default device of the caller are off. On the CPU,
    algorithms are deterministic, so that results are bit-identical at any thread count: gradients of indexing are
    not, by default.

    Args:
        device: the device to compute on.
        flush: flush subnormal numbers to zero. After memorization, float32 gradients become subnormal, and arithmetic
            on them takes up to six times as long.
    """
    on_cpu = device_of(device).type == "cpu"
    with ExitStack() as stack:
        stack.enter_context(_DEFAULTS.held())
        if on_cpu:
            stack.enter_context(_DETERMINISTIC.held())
        else:
            stack.enter_context(torch.cuda.device(device))  # on which streams and graphs are created
        stack.enter_context(torch.inference_mode(False))  # this also enables gradients
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_flushed_denormals(flush))
        yield


@contextmanager
def exact_attention() -> Generator[None]:
    """Compute attention in the block by its formula, which can be differentiated any number of times."""
    with _EXACT_ATTENTION.held():
        yield


@contextmanager
def kept_random_numbers(device: "torch.device | str" = "cpu") -> Generator[None]:
    """Restore the state of PyTorch's global random numbers after the block."""
    with ExitStack() as stack:
        stack.enter_context(_RANDOM_NUMBERS.held())
        if torch.device(device).type == "cuda":
            stack.enter_context(torch.random.fork_rng(devices=[device]))
        yield


@contextmanager
def threads(count: int) -> Generator[None]:
    """Compute on ``count`` cores in this thread, and in no other, while the block runs."""
    before = torch.get_num_threads()
    set_threads(count)
    try:
        yield
    finally:
        set_threads(before)


def set_threads(count: int) -> None:
    """Set the number of cores on which this thread computes, and leave the number for other threads unchanged."""
    with LOCK:
        others = _in_new_thread(torch.get_num_threads)
        torch.set_num_threads(count)
        _in_new_thread(partial(torch.set_num_threads, others))


def load_linear_algebra(device: "torch.device | str") -> None:
    """Load the libraries of ``torch.linalg``, which on CUDA fails if several threads do it at the same time."""
    with LOCK:
        torch.linalg.inv(torch.ones(1, 1, device=device))


def release_workers() -> None:
    """Stop the idle threads in which PyTorch computes for this thread; the next computation starts new ones.

    New threads inherit how this thread treats subnormal numbers, and a forked process, in which they do not exist, does
    not wait for them. Without GNU OpenMP this has no effect.
    """
    if "torch" in sys.modules:
        _pause_openmp()(1)


os.register_at_fork(before=release_workers)


# --- settings ---------------------------------------------------------------------------------------------------------

PRECISIONS = ("", "cuda.matmul.", "mkldnn.", "mkldnn.matmul.")
"""Where in ``torch.backends`` a lower precision of float32 products can be allowed, the most general place first."""


@contextmanager
def _defaults() -> Generator[None]:
    """Use the defaults of a new process for the settings that PyTorch keeps for all threads."""
    dtype, anomaly = torch.get_default_dtype(), (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled())
    with _algorithms(deterministic=False), _full_precision(), _backends():
        torch.set_default_dtype(torch.float32)
        torch.autograd.set_detect_anomaly(False)
        try:
            yield
        finally:
            torch.autograd.set_detect_anomaly(*anomaly)
            torch.set_default_dtype(dtype)


@contextmanager
def _algorithms(*, deterministic: bool) -> Generator[None]:
    # use_deterministic_algorithms would do the same, but imports the compiler, which takes longer than PyTorch itself
    before = torch.get_deterministic_debug_mode()
    place, name = _attribute(torch.utils, "deterministic.fill_uninitialized_memory")
    fills = getattr(place, name)
    torch.set_deterministic_debug_mode("warn" if deterministic else "default")
    setattr(place, name, not deterministic)  # filling new tensors would only take time
    try:
        yield
    finally:
        setattr(place, name, fills)
        torch.set_deterministic_debug_mode(before)


@contextmanager
def _full_precision() -> Generator[None]:
    """Compute products of float32 numbers in float32.

    A place inherits the precision of a more general place, and PyTorch refuses to read its older setting while the two
    disagree: each place is therefore reset once it is read.
    """
    places = [_attribute(torch.backends, name + "fp32_precision") for name in PRECISIONS]
    before = []
    for place, name in places:
        before.append(getattr(place, name))
        setattr(place, name, "none")
    older = torch.get_float32_matmul_precision()
    if older != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        if older != "highest":
            torch.set_float32_matmul_precision(older)
        for (place, name), value in zip(places, before, strict=True):
            setattr(place, name, value)


BACKENDS = {
    "cudnn.enabled": True,
    "cudnn.benchmark": False,
    "cudnn.deterministic": False,
    "mkldnn.enabled": True,
    "mkldnn.deterministic": False,
}
"""The defaults of other settings in ``torch.backends`` that select an algorithm."""


@contextmanager
def _backends() -> Generator[None]:
    places = {_attribute(torch.backends, path): value for path, value in BACKENDS.items()}
    before = {(place, name): getattr(place, name) for place, name in places}
    fast = torch.backends.mha.get_fastpath_enabled()
    _set_all({there: value for there, value in places.items() if before[there] != value})
    torch.backends.mha.set_fastpath_enabled(True)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        _set_all({there: value for there, value in before.items() if value != places[there]})


def _set_all(values: dict[tuple[Any, str], Any]) -> None:
    for (place, name), value in values.items():
        setattr(place, name, value)


def _attribute(root: Any, path: str) -> tuple[Any, str]:
    """Return the object that has the last attribute of a dotted path, and the name of that attribute."""
    *parts, name = path.split(".")
    for part in parts:
        root = getattr(root, part)
    return root, name


@contextmanager
def _math_attention() -> Generator[None]:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH):
        yield


_DEFAULTS = Shared(_defaults)
_DETERMINISTIC = Shared(lambda: _algorithms(deterministic=True))
_EXACT_ATTENTION = Shared(_math_attention)
_RANDOM_NUMBERS = Shared(lambda: torch.random.fork_rng(devices=[]))


# --- threads ----------------------------------------------------------------------------------------------------------


@contextmanager
def _flushed_denormals(flush: bool) -> Generator[None]:
    """Flush subnormal numbers to zero, or keep them, in this thread and in those in which PyTorch computes for it."""
    smallest = torch.full((1,), 2e-38, dtype=torch.float32, device="cpu")
    before = bool(smallest.mul(0.01) == 0)
    if before == flush:
        yield
        return
    torch.set_flush_denormal(flush)
    release_workers()
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
        release_workers()


@cache
def _pause_openmp() -> Callable[[int], int]:
    """Return the function of PyTorch's GNU OpenMP that ends its idle threads."""
    package = Path(torch.__file__).parent
    for folder in (package / "lib", package.parent / "torch.libs"):
        for file in folder.glob("libgomp*"):
            pause = getattr(ctypes.CDLL(str(file)), "omp_pause_resource_all", None)
            if pause is not None:
                return pause
    return lambda kind: -1


def _in_new_thread(function: Callable[[], Value]) -> Value:
    """Return the result of a function in a new thread, which has the settings that PyTorch gives to new threads."""
    found: list[Value] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]
