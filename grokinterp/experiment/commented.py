"""An experiment as a commented TOML file: every setting with its meaning, its choices and its default."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from textwrap import wrap
from typing import Any, get_args

from grokinterp.errors import require
from grokinterp.experiment.experiment import Experiment
from grokinterp.experiment.kinds import KINDS, classes_of, default_of, is_required
from grokinterp.experiment.meanings import meaning
from grokinterp.experiment.optimization import PartSettings
from grokinterp.specification import described, hints_of

WIDTH = 100
"""Largest width of a comment."""

HEADER = (
    "# A grokinterp experiment: every setting with its choices and its default.",
    "# Train it with `grokinterp train FILE.toml`. Omitted settings have their defaults.",
    "# A line that begins with '# name =' shows a setting without a value: remove the '#' to set it.",
)


def commented(experiment: Experiment) -> Iterator[str]:
    """Yield the lines of a TOML file from which ``Experiment.from_file`` reads an equal experiment.

    Args:
        experiment: the experiment; its task and its model are trained here.

    Raises:
        ConfigError: the task or the model is recorded from another training loop.
    """
    recorded = experiment.model.is_recorded
    require(not recorded, "model.kind", experiment.model.kind, "is recorded from another loop: it has no such file")
    yield from HEADER
    yield from table_lines("", experiment)


def table_lines(key: str, table: Any) -> Iterator[str]:
    """Yield the lines of a table: its settings, then the tables inside it."""
    inside = {}
    for field in sorted(fields(table), key=lambda field: field.name != "kind"):
        value = getattr(table, field.name)
        if is_dataclass(value):
            inside[field.name] = value
        else:
            yield ""
            yield from setting_lines(key, table, field, value)
    for name, value in inside.items():
        path = f"{key}.{name}".lstrip(".")
        yield ""
        yield from comment(meaning(key, name))
        yield f"[{path}]"
        yield from table_lines(path, value)


def setting_lines(key: str, table: Any, field: Any, value: Any) -> Iterator[str]:
    """Yield the comment and the line of a setting; a setting without a value is commented out."""
    path = f"{key}.{field.name}".lstrip(".")
    yield from comment(sentence(meaning(key, field.name)), choices(key, path, type(table), field))
    if path != "origin":
        yield f"# {field.name} =" if value is None else f"{field.name} = {toml(plain_of(value))}"


def choices(key: str, path: str, cls: type, field: Any) -> str:
    """Return the possible values of a setting and its default as text."""
    if field.name == "kind":
        return f"One of {', '.join(classes_of(key)) or getattr(cls, 'kind', '')}."
    default = default_of(field)
    ending = "Required." if is_required(field) else f"Default {toml(plain_of(default))}."
    if path in KINDS:
        return f"A list of tables {{kind = ...}} of the kinds {listed(KINDS[path])}. {ending}"
    hint = hints_of(cls)[field.name]
    if PartSettings in get_args(hint):
        return f"A list of tables {{{', '.join(f'{one} = ...' for one in hints_of(PartSettings))}}}. {ending}"
    if path == "origin":
        return ""
    return f"{in_words(hint)}; {ending[0].lower()}{ending[1:]}"


def listed(classes: Mapping[str, Any]) -> str:
    """Return kinds with the defaults of their settings, as in ``orthograd, grokfast_ma (window = 100)``."""
    found = []
    for kind, cls in classes.items():
        settings = [f"{one.name} = {toml(plain_of(default_of(one)))}" for one in fields(cls) if one.name != "kind"]
        found.append(f"{kind} ({', '.join(settings)})" if settings else kind)
    return ", ".join(found)


def in_words(hint: Any) -> str:
    """Return a type in words, in the notation of TOML.

    >>> in_words(int | None), in_words(bool)
    ('An integer or none', 'True or false')
    """
    text = described(hint).replace("True or False", "true or false").replace("None", "none").replace("tuple", "list")
    return text[0].upper() + text[1:]


def sentence(text: str) -> str:
    """Return a phrase with a full stop; empty for no phrase."""
    return text and f"{text}."


def comment(*texts: str) -> Iterator[str]:
    """Yield texts as lines of a comment."""
    joined = " ".join(filter(None, texts))
    yield from wrap(joined, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def plain_of(value: Any) -> Any:
    """Return a value as plain tables and lists, without the settings that are None."""
    if is_dataclass(value):
        values = {one.name: getattr(value, one.name) for one in fields(value)}
        return {name: plain_of(each) for name, each in values.items() if each is not None}
    return [plain_of(each) for each in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


def toml(value: Any) -> str:
    r"""Return a plain value in the notation of TOML.

    >>> toml({"kind": "scale", "factor": 0.5}), toml([1, True, "a\n"])
    ('{kind = "scale", factor = 0.5}', '[1, true, "a\\n"]')
    """
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key} = {toml(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
        return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in text)
    return str(value).lower() if isinstance(value, bool) else "none" if value is None else repr(value)
