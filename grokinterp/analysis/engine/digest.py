"""Digest of the code that an analysis depends on: its own file and all its direct and indirect imports."""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from inspect import getsource, unwrap
from pathlib import Path
from types import FunctionType
from typing import NamedTuple

from grokinterp.analysis.engine.labeled import Analysis
from grokinterp.errors import ConfigError

PACKAGE = Path(str(files("grokinterp")))
EVALUATE = PACKAGE / "analysis" / "engine" / "evaluate.py"
CONFIGURED = ("tasks", "models")
"""Subpackages whose modules are selected by the configuration of a run, with or without an import statement."""


class Name(NamedTuple):
    """A name and the module that it is imported from; an empty name stands for the whole module."""

    module: str
    name: str = ""


def code_digest(analysis: Analysis) -> str:
    """Return a digest that changes when the code that determines the results of an analysis changes.

    This code is the file of the analysis, the file of ``evaluate``, all tasks and models, and every module of
    grokinterp and of the analysis' own package that these import, directly or indirectly. For an analysis defined in a
    notebook, its source and the source of the notebook functions that it calls replace the file.

    Raises:
        ConfigError: the analysis is not defined in a file, and its source is unknown.
    """
    function = unwrap(analysis)
    path, texts = Path(function.__code__.co_filename), []
    paths = [EVALUATE, *(path for room in CONFIGURED for path in (PACKAGE / room).rglob("*.py"))]
    if path.is_file():
        paths.append(path)
    else:
        functions = called(function)
        texts = [source_text(one) for one in functions]
        modules = {home(value) for one in functions for value in named(one)}
        paths += [
            path for module in modules if is_of(module, "grokinterp") for path in files_of(module, PACKAGE.parent)
        ]
    parts = sorted({*texts, *(digest_of(*state(path)) for path in closure(paths))})
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def closure(paths: Iterable[Path]) -> set[Path]:
    """Return the given files and all files that they import, directly or indirectly."""
    found, waiting = set(paths), list(paths)
    while waiting:
        new = set(imports_of(*state(waiting.pop()))) - found
        found |= new
        waiting += new
    return found


def state(path: Path) -> tuple[Path, int, int]:
    """Return a file with its modification time and size, which serve as a cache key for its content."""
    stat = path.stat()
    return path, stat.st_mtime_ns, stat.st_size


@cache
def digest_of(path: Path, modified: int, size: int) -> str:
    """Return the digest of the content of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def imports_of(path: Path, modified: int, size: int) -> tuple[Path, ...]:
    """Return the files that a file imports from its own package and from grokinterp."""
    root = root_of(path)
    always, _ = names_of(path, modified, size)
    return tuple(dict.fromkeys(found for name in always for found in resolved(name, root)))


def resolved(imported: Name, root: Path) -> Iterator[Path]:
    """Yield the files behind an imported name: its module, and the submodule or lazy import of this name.

    A module imported as a whole includes all its lazy imports.
    """
    module, name = imported
    submodule = Name(f"{module}.{name}") if name and files_of(f"{module}.{name}", root) else None
    for path in files_of(module, root):
        yield path
        _, lazy = names_of(*state(path))
        followed = [lazy[name]] if name in lazy and not submodule else [] if name else lazy.values()
        for other in followed:
            yield from resolved(other, root)
    if submodule:
        yield from resolved(submodule, root)


@cache
def names_of(path: Path, modified: int, size: int) -> tuple[tuple[Name, ...], dict[str, Name]]:
    """Return the imports of a file, and by name the imports under ``TYPE_CHECKING``.

    A package that imports its names on first use lists them under ``TYPE_CHECKING``.
    """
    package = path.parent.relative_to(root_of(path)).parts
    always, lazy = [], {}
    for node, checking in statements(ast.parse(path.read_bytes())):
        names = [name for name in imported_by(node, package) if is_of(name.module, "grokinterp", *package[:1])]
        if checking:
            lazy |= {name.name: name for name in names}
        else:
            always += names
    return tuple(always), lazy


def statements(node: ast.AST, *, checking: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Yield all statements in a node, including function bodies, and whether each is under ``TYPE_CHECKING``."""
    for field in ("body", "orelse", "handlers", "finalbody", "cases"):
        is_check = field == "body" and isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in getattr(node, field, ()):
            yield inner, checking or is_check
            yield from statements(inner, checking=checking or is_check)


def imported_by(node: ast.AST, package: Sequence[str]) -> list[Name]:
    """Return the names that a statement in a package imports, with absolute module names."""
    if isinstance(node, ast.Import):
        return [Name(alias.name) for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = package[: len(package) - node.level + 1] if node.level else ()
    module = ".".join([*base, *([node.module] if node.module else [])])
    return [Name(module, alias.name) for alias in node.names]


def is_of(module: str, *packages: str) -> bool:
    """Return whether a module belongs to a package.

    >>> is_of("grokinterp.maths", "grokinterp"), is_of("grokinterpreter", "grokinterp")
    (True, False)
    """
    return module.split(".")[0] in packages


@cache
def files_of(module: str, root: Path) -> tuple[Path, ...]:
    """Return the file of a module of grokinterp or below the root, if it exists."""
    top, *rest = module.split(".")
    place = (PACKAGE if top == "grokinterp" else root / top).joinpath(*rest)
    return tuple(path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file())


@cache
def root_of(path: Path) -> Path:
    """Return the folder that contains the package of a file, or the folder of a file outside any package."""
    return next(folder for folder in path.parents if not (folder / "__init__.py").is_file())


def called(function: FunctionType) -> list[FunctionType]:
    """Return a function and the functions in the same namespace that it calls, directly or indirectly."""
    found = [function]
    for caller in found:  # grows while it is read
        inner = [unwrap(value) for value in named(caller) if isinstance(value, FunctionType)]
        found += [one for one in inner if one.__globals__ is function.__globals__ and one not in found]
    return found


def named(function: FunctionType) -> list[object]:
    """Return the global values that a function refers to."""
    return [function.__globals__[name] for name in function.__code__.co_names if name in function.__globals__]


def home(value: object) -> str:
    """Return the name of the module that defines a value; a module is its own."""
    return str(getattr(value, "__module__", None) or getattr(value, "__name__", ""))


def source_text(function: FunctionType) -> str:
    """Return the source of a function that is not defined in a file."""
    try:
        return getsource(function)
    except OSError:
        raise ConfigError("entries", function.__name__, "must be defined in a file or in a notebook") from None
