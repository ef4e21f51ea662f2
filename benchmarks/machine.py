"""The machine, and its rate of matrix multiplication, which bounds the speed of every step."""

import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from grokinterp.models import Transformer


def describe() -> str:
    """Describe the machine in one line: processor, cores, vector unit, versions."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = f"{names[0]}, {len(names)} cores" if names else processor
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{processor}, {capability}; PyTorch {torch.__version__}, Python {platform.python_version()}"


def milliseconds(work: Callable[[], object]) -> float:
    """Return the wall time of a call."""
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start)


def multiplication_rate(repeats: int = 25) -> float:
    """Return multiply-adds per millisecond in the largest product of the step, [3830, 128] by [128, 512] in float32."""
    a, b, out = torch.randn(3830, 128), torch.randn(128, 512), torch.empty(3830, 512)
    return 3830 * 128 * 512 / median(milliseconds(lambda: torch.mm(a, b, out=out)) for _ in range(repeats))


def naive_products(model: Transformer) -> int:
    """Return multiply-adds per example of a forward pass at every position of every layer, last position unembedded."""
    spec, positions = model.spec, model.cfg.n_ctx
    width = spec.n_heads * spec.head_size
    return positions * spec.d_model * (4 * width + 2 * spec.d_mlp) + model.W_U.numel()


def table_products(model: Transformer) -> int:
    """Return the same from tables, which leave the product with W_L; computing and adding up tables is not counted."""
    return model.W_L.numel()


def step_limit(products: int, n_train: int, n_test: int, rate: float) -> float:
    """Return milliseconds of the products alone: forward and twice as much backward on train, forward on test."""
    return products * (3 * n_train + n_test) / rate
