"""The state of a process that a library must leave as it was, and settings of a caller that must not reach a result."""

import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import matplotlib
import numpy as np
import torch

BACKENDS = torch.backends
PRECISION = (BACKENDS, BACKENDS.cuda.matmul, BACKENDS.cudnn.conv, BACKENDS.mkldnn, BACKENDS.mkldnn.matmul)


def of_process() -> dict[str, Any]:
    """Everything but PyTorch's settings, and ``random``, which the type hook of pytest draws from."""
    return {
        "numpy": [str(part) for part in np.random.get_state()],  # noqa: NPY002
        "warnings": (list(warnings.filters), warnings.showwarning),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "directory": os.getcwd(),
        "environment": dict(os.environ),
        "logging": (logging.root.level, list(logging.root.handlers), logging.root.manager.disable),
        "threads": {thread.name for thread in threading.enumerate()},
    }


def of_torch() -> dict[str, Any]:
    """PyTorch's settings, in this thread and in a new one."""
    new: list[int] = []
    thread = threading.Thread(target=lambda: new.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return {
        "random": torch.get_rng_state().tolist(),
        "threads": (torch.get_num_threads(), *new),
        "dtype": torch.get_default_dtype(),
        "device": str(torch.get_default_device()),
        "deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.utils.deterministic.fill_uninitialized_memory,
        ),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "anomaly": (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "attention": [
            getattr(BACKENDS.cuda, f"{kind}_sdp_enabled")() for kind in ("flash", "mem_efficient", "math", "cudnn")
        ],
        "cudnn": (BACKENDS.cudnn.enabled, BACKENDS.cudnn.benchmark, BACKENDS.cudnn.deterministic),
        "mkldnn": (BACKENDS.mkldnn.enabled, BACKENDS.mkldnn.deterministic, BACKENDS.mha.get_fastpath_enabled()),
        "precision": (torch.get_float32_matmul_precision(), *(place.fp32_precision for place in PRECISION)),
        "subnormal": bool(torch.full((1,), 2e-38, dtype=torch.float32, device="cpu").mul(0.01) == 0),
        "matplotlib": dict(matplotlib.rcParams),
    }


def state() -> dict[str, Any]:
    """Everything, by its kind."""
    return of_process() | {f"torch.{name}": value for name, value in of_torch().items()}


@contextmanager
def process_settings() -> Iterator[None]:
    """Settings of all threads that would change results, or let them fail."""
    before = of_torch()
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    torch.autograd.set_detect_anomaly(True)
    torch.set_float32_matmul_precision("medium")
    BACKENDS.mkldnn.enabled = False
    BACKENDS.cuda.enable_math_sdp(False)
    try:
        yield
    finally:
        BACKENDS.cuda.enable_math_sdp(True)
        BACKENDS.mkldnn.enabled = True
        torch.set_float32_matmul_precision("highest")
        for place, value in zip(PRECISION, before["precision"][1:], strict=True):
            place.fp32_precision = value
        torch.autograd.set_detect_anomaly(False)
        torch.use_deterministic_algorithms(False)
        torch.set_default_dtype(torch.float32)


@contextmanager
def flushed() -> Iterator[None]:
    """Flush subnormal numbers to zero."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextmanager
def all_at_once(*settings: Callable[[], Any]) -> Iterator[None]:
    """Several settings together."""
    with ExitStack() as stack:
        for setting in settings:
            stack.enter_context(setting())
        yield


LOWERED: dict[str, Callable[[], Any]] = {
    "no_grad": lambda: all_at_once(torch.no_grad, process_settings, flushed),
    "inference": lambda: all_at_once(torch.inference_mode, lambda: torch.device("meta")),
}
"""Settings of a caller under which every result must be the same, bit for bit."""
