"""Reference pages that are written from the code: commands and settings."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import typer.main

from grokinterp.cli.entry import app
from grokinterp.experiment.commented import choices
from grokinterp.experiment.experiment import Experiment
from grokinterp.experiment.kinds import KINDS, default_of
from grokinterp.experiment.meanings import meaning
from grokinterp.experiment.optimization import Optimization
from grokinterp.experiment.saving import SaveAt
from grokinterp.experiment.split import Split
from grokinterp.optim import Curriculum

TABLES: dict[str, Any] = {
    "": Experiment,
    "split": Split,
    "optimization": Optimization,
    "optimization.curriculum": Curriculum,
    "save": SaveAt,
}
"""The classes of the tables that have a single kind, by their dotted keys."""


def commands() -> Iterator[str]:
    """Yield the lines of the reference of the command line: the help of every command."""
    root: Any = typer.main.get_command(app)
    context = root.context_class(root, info_name="grokinterp", **root.context_settings)
    for name, command in root.commands.items():
        yield from command_lines(f"grokinterp {name}", command, context)


def command_lines(path: str, command: Any, parent: Any) -> Iterator[str]:
    """Yield the help of a command, and of the commands of a group."""
    context = command.context_class(command, info_name=path.split()[-1], parent=parent)
    yield from ("", f"### {path}", "", "```text", command.get_help(context).rstrip(), "```")
    for name, inner in getattr(command, "commands", {}).items():
        yield from command_lines(f"{path} {name}", inner, context)


def settings() -> Iterator[str]:
    """Yield the lines of the reference of the settings of an experiment."""
    for key, cls in TABLES.items():
        yield from ("", f"### {key or 'The experiment'}", "")
        yield from setting_lines(key, cls)
    for key, classes in KINDS.items():
        yield from ("", f"### Kinds of {key}", "")
        yield from kind_lines(key, classes)


def kind_lines(key: str, classes: Mapping[str, Any]) -> Iterator[str]:
    """Yield the kinds of a table with their settings."""
    for kind, cls in classes.items():
        yield from ("", f"**`{key}.kind={kind}`**: {cls.about}", "")
        yield from setting_lines(key, cls)


def setting_lines(key: str, cls: Any) -> Iterator[str]:
    """Yield a list item for every setting of a class: its name, meaning, choices and default."""
    for field in fields(cls):
        path = f"{key}.{field.name}".lstrip(".")
        is_table = is_dataclass(default_of(field)) and not isinstance(default_of(field), type)
        if field.name != "kind" and not is_table:
            text = f"{meaning(key, field.name)}. {choices(key, path, cls, field)}"
            yield f"* `{path}`: {text.replace('<', '&lt;')}"
