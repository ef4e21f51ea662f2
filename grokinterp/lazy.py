"""Imports on first use: torch in modules that are mostly data, and the public names of a package.

A module that imports ``Tensor, torch`` from ``grokinterp.lazy`` loads without torch; its functions load torch when they
first use ``torch``. ``Tensor`` is only for annotations: torch's for type checkers, and any object with a shape and a
dtype for jaxtyping. For ``isinstance`` use ``torch.Tensor``.
"""

import random
from collections.abc import Callable, Generator, Mapping, Sequence
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


def front_door(
    package: str, homes: Mapping[str, tuple[str, ...]], public: Sequence[str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package that imports its public names on first use.

    Args:
        package: its ``__name__``.
        homes: the names that each module of the package defines.
        public: the ``__all__`` of the package; names without a home are submodules.

    Source: PEP 562.
    """
    home = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in public:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = (
            getattr(import_module(home[name], package), name) if name in home else import_module(f".{name}", package)
        )
        setattr(import_module(package), name, value)
        return value

    def names() -> list[str]:
        special = (name for name in vars(import_module(package)) if name.startswith("__"))
        return sorted({*public, *special})

    return get, names
