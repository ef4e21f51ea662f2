"""Commands that list methods, presets, tasks, models, edits and analyses."""

import ast
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from grokinterp.cli.printing import say
from grokinterp.storage.files import MAX_DOCUMENT_BYTES, read_regular


def methods() -> None:
    """List what `league` can compare."""
    from grokinterp.league.methods import listing

    say(listing())


def presets() -> None:
    """List the named experiments."""
    from grokinterp.presets import PRESETS

    width = max(map(len, PRESETS))
    say(f"{name:{width}}  {preset.about}" for name, preset in PRESETS.items())


def tasks() -> None:
    """List the tasks with their parameters: task.kind=KIND task.PARAMETER=VALUE."""
    from grokinterp.experiment.configuration import listing
    from grokinterp.tasks import TASKS

    say(listing(TASKS))


def models() -> None:
    """List the models with their parameters: model.kind=KIND model.PARAMETER=VALUE."""
    from grokinterp.experiment.configuration import listing
    from grokinterp.models import MODELS

    say(listing(MODELS))


def edits() -> None:
    """List the changes of weights that a branch can start with (origin.edits)."""
    from grokinterp.experiment.configuration import listing
    from grokinterp.experiment.edits import EDITS

    say(listing(EDITS))


def analyses() -> None:
    """List what `analyze` measures, and on how many checkpoints."""
    entries = list(analysis_entries())
    width = max(len(entry.name) for entry in entries)
    for most in (None, *sorted({entry.most for entry in entries if entry.most is not None}, reverse=True)):
        say(["every checkpoint" if most is None else f"at most {most} checkpoints, unless --every asks for more"])
        say(f"  {entry.name:{width}}  {entry.about}" for entry in entries if entry.most == most)


class AnalysisEntry(NamedTuple):
    """An analysis in the table of its chapter: its name, how many checkpoints it runs on, and what it measures."""

    name: str
    most: int | None
    about: str


def analysis_entries() -> Iterable[AnalysisEntry]:
    """Return the entries of all chapters' tables, from their source: importing them loads torch, and is slow.

    The tables are imported where their source is not a plain list of calls ``Entry(analysis, most=9)``.
    """
    try:
        return list(written_entries())
    except NotPlain:
        return imported_entries()


def imported_entries() -> Iterator[AnalysisEntry]:
    """Yield the entries of all chapters' tables, which are imported."""
    from grokinterp.analysis import ENTRIES

    for entry in ENTRIES:
        yield AnalysisEntry(entry.name, entry.most, summary(inspect.getdoc(entry.analysis)))


class NotPlain(Exception):
    """A table cannot be read from its source."""


def written_entries() -> Iterator[AnalysisEntry]:
    """Yield the entries of all chapters' tables from their source.

    Raises:
        NotPlain: a table must be imported.
    """
    catalogue = syntax_tree("grokinterp.analysis.catalogue")
    for element in table(catalogue, "ENTRIES"):
        match element:
            case ast.Starred(value=ast.Name(id=name)):
                module, chapter = origin(catalogue, name)
                tree = syntax_tree(module)
                yield from (written_entry(tree, element) for element in table(tree, chapter))
            case _:
                raise NotPlain


def written_entry(chapter: ast.Module, element: ast.expr) -> AnalysisEntry:
    """Return an entry from its source, ``Entry(analysis, most=9)``, in the module of its chapter."""
    match element:
        case ast.Call(func=ast.Name(id="Entry"), args=[ast.Name(id=name)], keywords=keywords):
            pass
        case _:
            raise NotPlain
    module, function = origin(chapter, name)
    for part in syntax_tree(module).body:
        if isinstance(part, ast.FunctionDef) and part.name == function:
            return AnalysisEntry(function, most_of(keywords), summary(ast.get_docstring(part)))
    raise NotPlain


def most_of(keywords: Iterable[ast.keyword]) -> int | None:
    """Return the value of the argument ``most`` of an entry."""
    for keyword in keywords:
        match keyword:
            case ast.keyword(arg="most", value=ast.Constant(value=int() | None as most)):
                return most
            case ast.keyword(arg="most" | None):
                raise NotPlain
    return None


def table(tree: ast.Module, name: str) -> list[ast.expr]:
    """Return the elements of the tuple that a module assigns to a name."""
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name]
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name() as target], value=ast.Tuple(elts=elements)) if target in uses:
                if not any(isinstance(use.ctx, ast.Store) for use in uses if use is not target):
                    return elements
    raise NotPlain


def origin(tree: ast.Module, name: str) -> tuple[str, str]:
    """Return the module that a name is imported from, and its name there."""
    for node in tree.body:
        match node:
            case ast.ImportFrom(module=str(module), names=aliases, level=0):
                for alias in aliases:
                    if name == (alias.asname or alias.name):
                        return module, alias.name
    raise NotPlain


def syntax_tree(module: str) -> ast.Module:
    """Return the syntax tree of a module of this package."""
    package, *parts = module.split(".")
    place = Path(__file__).parents[1].joinpath(*parts)
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    if package != "grokinterp" or not file.is_file():
        raise NotPlain
    return ast.parse(read_regular(file, limit=MAX_DOCUMENT_BYTES))


def summary(docstring: str | None) -> str:
    """Return the first line of a docstring."""
    return (docstring or "").split("\n")[0]
