"""Commands that list methods, presets, tasks, models and analyses."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


def methods() -> None:
    """List what `league` can compare."""
    from grokinterp.league.methods import listing

    print("\n".join(listing()))


def presets() -> None:
    """List the named experiments."""
    from grokinterp.presets import PRESETS

    width = max(map(len, PRESETS))
    for name, preset in PRESETS.items():
        print(f"{name:{width}}  {preset.about}")


def tasks() -> None:
    """List the tasks with their parameters: task.kind=KIND task.PARAMETER=VALUE."""
    from grokinterp.experiment.configuration import listing
    from grokinterp.tasks import TASKS

    print("\n".join(listing(TASKS)))


def models() -> None:
    """List the models with their parameters: model.kind=KIND model.PARAMETER=VALUE."""
    from grokinterp.experiment.configuration import listing
    from grokinterp.models import MODELS

    print("\n".join(listing(MODELS)))


def analyses() -> None:
    """List what `analyze` measures, and on how many checkpoints."""
    entries = list(analysis_entries())
    width = max(len(entry.name) for entry in entries)
    for most in (None, *sorted({entry.most for entry in entries if entry.most is not None}, reverse=True)):
        print("every checkpoint" if most is None else f"at most {most} checkpoints, unless --every asks for more")
        for entry in entries:
            if entry.most == most:
                print(f"  {entry.name:{width}}  {entry.about}")


class AnalysisEntry(NamedTuple):
    """An analysis in the table of its chapter: its name, how many checkpoints it runs on, and what it measures."""

    name: str
    most: int | None
    about: str


def analysis_entries() -> Iterator[AnalysisEntry]:
    """Yield the entries of all chapters' tables. Their source is parsed, because importing them would load torch."""
    catalogue = syntax_tree("grokinterp.analysis.catalogue")
    homes = imported_names(catalogue)
    for node in ast.walk(catalogue):
        match node:
            case ast.Starred(value=ast.Name(id=chapter)) if chapter in homes:
                yield from chapter_entries(syntax_tree(homes[chapter]))


def chapter_entries(chapter: ast.Module) -> Iterator[AnalysisEntry]:
    """Yield the entries of one chapter: every call ``Entry(analysis, most=…)`` in its table."""
    homes = imported_names(chapter)
    for node in ast.walk(chapter):
        match node:
            case ast.Call(func=ast.Name(id="Entry"), args=[ast.Name(id=name)], keywords=keywords):
                most = next((ast.literal_eval(keyword.value) for keyword in keywords if keyword.arg == "most"), None)
                functions = (part for part in syntax_tree(homes[name]).body if isinstance(part, ast.FunctionDef))
                about = next(ast.get_docstring(function) or "" for function in functions if function.name == name)
                yield AnalysisEntry(name, most, about.split("\n")[0])


def syntax_tree(module: str) -> ast.Module:
    """Return the syntax tree of a module of this package."""
    place = Path(__file__).parents[1].joinpath(*module.split(".")[1:])
    return ast.parse((place / "__init__.py" if place.is_dir() else place.with_suffix(".py")).read_bytes())


def imported_names(tree: ast.Module) -> dict[str, str]:
    """Return the module that each name in a module is imported from."""
    statements = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: node.module or "" for node in statements for alias in node.names}
