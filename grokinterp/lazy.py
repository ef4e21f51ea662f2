"""Torch on first use, in modules that are mostly data.

A module that imports ``Tensor, torch`` from ``grokinterp.lazy`` loads without torch; its functions load torch when they
first use ``torch``. ``Tensor`` is only for annotations: torch's for type checkers, and any object with a shape and a
dtype for jaxtyping. For ``isinstance`` use ``torch.Tensor``.
"""

import random
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    import torch as torch
    from torch import Tensor as Tensor
else:

    @final
    class _Torch:
        """The module torch, imported on first attribute access."""

        def __getattr__(self, name: str) -> Any:
            return getattr(import_module("torch"), name)

    torch, Tensor = _Torch(), Any


@contextmanager
def kept_random_state() -> Generator[None]:
    """Restore the state of Python's ``random`` after the block."""
    before = random.getstate()
    try:
        yield
    finally:
        random.setstate(before)
