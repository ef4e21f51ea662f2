"""A pause of Python's search for objects that refer to each other and are no longer used."""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def without_garbage_collection() -> Generator[None]:
    """Run the block without searches for garbage, unless they were off before.

    They take a fifth of the time of drawing a report, and would end the capture of a CUDA graph by freeing its tensors.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
