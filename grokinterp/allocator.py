"""Reuse of freed memory: mapping fresh pages costs more than the arithmetic on them."""

import ctypes
import sys
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # malloc.h
LARGEST = 2**31 - 1

REUSED = 2**27
"""Size of the largest blocks that are reused, in bytes: among larger ones, of varying sizes, most of the memory is lost
to gaps (training on S_6: 2.6 GB instead of 1.1)."""


@cache
def keep_freed_memory() -> bool:
    """Tell glibc's malloc to reuse large freed blocks instead of returning them to the system.

    The activations of a full grid take tens of megabytes, which malloc maps and unmaps at every use; clearing those
    pages takes as long as the matrix products (benchmarks/RESULTS.md). Blocks of more than ``REUSED`` bytes are still
    returned. Without glibc this has no effect.

    Returns:
        Whether it took effect.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    options = ((M_MMAP_THRESHOLD, REUSED), (M_TRIM_THRESHOLD, LARGEST), (M_ARENA_MAX, 1))
    return all(mallopt(option, value) for option, value in options)
