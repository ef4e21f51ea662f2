"""The public names of a package, imported on first use.

This module imports almost nothing, because the command line cannot handle a signal before it is imported.
"""

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any


def front_door(
    package: str, homes: "Mapping[str, tuple[str, ...]]", public: "Sequence[str]"
) -> "tuple[Callable[[str], Any], Callable[[], list[str]]]":
    """Return the ``__getattr__`` and ``__dir__`` of a package that imports its public names on first use.

    Args:
        package: its ``__name__``.
        homes: the names that each module of the package defines.
        public: the ``__all__`` of the package; names without a home are submodules.

    Source: PEP 562.
    """
    home = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> "Any":
        if name not in public:
            module = import_module(package)
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=module)
        value = (
            getattr(import_module(home[name], package), name) if name in home else import_module(f".{name}", package)
        )
        setattr(import_module(package), name, value)
        return value

    def names() -> list[str]:
        special = (name for name in vars(import_module(package)) if name.startswith("__"))
        return sorted({*public, *special})

    return get, names
