"""Files that Python files import, directly or indirectly, found in their source without running it."""

import ast
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from grokinterp.storage.files import MAX_DOCUMENT_BYTES, read_regular

PACKAGE = Path(str(files("grokinterp")))
CONFIGURED = ("tasks", "models")
"""Subpackages whose modules are selected by the configuration of a run, with or without an import statement."""
PARSING = Lock()

State = tuple[Path, int, int]
"""A file with its modification time and size."""


class Name(NamedTuple):
    """A name and the module that it is imported from; an empty name stands for the whole module."""

    module: str
    name: str = ""


def configured() -> list[Path]:
    """Return the files of all tasks and models."""
    return [path for room in CONFIGURED for path in (PACKAGE / room).rglob("*.py")]


def state(path: Path) -> State:
    """Return a file with its modification time and size, which serve as a cache key for its content."""
    stat = path.stat()
    return path, stat.st_mtime_ns, stat.st_size


def closure(paths: Iterable[Path], look: Callable[[Path], State] = state) -> set[Path]:
    """Return the given files and all files that they import, directly or indirectly; ``look`` returns their states."""
    found, waiting = set(paths), list(paths)
    while waiting:
        new = set(imports_of(*look(waiting.pop()))) - found
        found |= new
        waiting += new
    return found


@cache
def code_digest_of(path: Path, modified: int, size: int) -> str:
    """Return the digest of the code of a file, without its comments and docstrings."""
    return hashlib.sha256(without_wording(read_regular(path, limit=MAX_DOCUMENT_BYTES)).encode()).hexdigest()


class WithoutWording(ast.NodeTransformer):
    """Remove docstrings, including those that follow an assignment, from a syntax tree."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """Remove a statement that is only a text."""
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node


def without_wording(source: str | bytes) -> str:
    """Return Python code without comments and docstrings, in a standard layout.

    >>> without_wording('x = 1  # a comment')
    'x = 1'
    """
    return ast.unparse(WithoutWording().visit(parsed(source)))


def parsed(source: str | bytes) -> ast.Module:
    """Return the syntax tree of Python code. Threads take turns: Python 3.11 fails if two of them parse at once."""
    with PARSING:
        return ast.parse(source)


@cache
def imports_of(path: Path, modified: int, size: int) -> tuple[Path, ...]:
    """Return the files that a file imports from its own package and from grokinterp."""
    root = root_of(path)
    always, _ = names_of(path, modified, size)
    return tuple(dict.fromkeys(found for name in always for found in resolved(name, root)))


def resolved(imported: Name, root: Path) -> Iterator[Path]:
    """Yield the files that define an imported name: its module, and the submodule or lazy import of this name.

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
    for node, checking in statements(parsed(read_regular(path, limit=MAX_DOCUMENT_BYTES))):
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
