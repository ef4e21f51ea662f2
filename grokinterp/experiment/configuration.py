"""Reading of configurations from files, command lines and mappings, and one-line validation errors."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import wrap
from typing import Any

from pydantic import ValidationError

from grokinterp.errors import ConfigError, choice_rule, require, short, suggestion
from grokinterp.experiment.kinds import RECORDED, classes_of, defaults_of
from grokinterp.numbers import flat
from grokinterp.specification import choices_in, fits, hints_of
from grokinterp.storage.configuration import planned_steps
from grokinterp.storage.files import parse_json, parse_toml, path_of, read_regular

LARGEST_FILE = 2**20
"""Largest size of a configuration file in bytes; typical files have hundreds."""

BARE_WORD = re.compile(
    r"(?<![\w.\"'])(?!(?:true|false|inf|nan)\b)[A-Za-z_]\w*\b(?![\"']|\s*[.=])|(?<=[\[,\s])[-+*/](?=[\],\s])"
)
"""A word without quotes inside a list or a table of TOML that is not a key, or an operator in a list."""


NUMBER = re.compile(r"[+-]?(?:\d+\.|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
"""A decimal number without digits on one side of the point, which TOML refuses."""


def config_error(error: ValidationError, root: type) -> ConfigError:
    """Return the first problem of a pydantic error as one line with a dotted key.

    Args:
        error: the error.
        root: the class that was validated.
    """
    problem = error.errors(include_url=False)[0]
    cause = problem.get("ctx", {}).get("error")
    path = without_kinds(problem["loc"])
    if isinstance(cause, ConfigError):
        return ConfigError(".".join([*path, cause.key]), short(cause.value), cause.rule)
    if problem["type"] == "unexpected_keyword_argument":
        siblings = hints_of(class_at(root, problem["loc"][:-1]))
        return ConfigError(".".join(path), short(problem["input"]), unknown_key(path, siblings, all_keys(root)))
    if problem["type"] == "literal_error" and (names := choices_at(root, problem["loc"])):
        return ConfigError(".".join(path), short(problem["input"]), choice_rule(problem["input"], names))
    key, value = ".".join(path) or "experiment", problem["input"]
    message = problem["msg"][0].lower() + problem["msg"][1:]
    if problem["type"] == "dataclass_type":
        meant = f"; did you mean {key}.kind={value}?" if isinstance(value, str) and value in classes_of(key) else ""
        message = f"must be a table of settings{meant}"
    return ConfigError(key, short(value), message)


def class_at(root: type, location: Iterable[str | int]) -> type:
    """Return the class of the table at a location in a configuration, in which pydantic names the kinds."""
    found, path = root, ""
    for part in location:
        classes, hint = classes_of(path), hints_of(found).get(str(part))
        if part in classes:
            found = classes[str(part)]
        else:
            path = f"{path}.{part}".lstrip(".")
            found = hint if isinstance(hint, type) else found
    return found


def choices_at(root: type, location: Sequence[str | int]) -> list[str]:
    """Return the names among which the setting at a location in a configuration chooses; empty for other settings."""
    *tables, name = [part for part in location if not isinstance(part, int)] or [""]
    return choices_in(hints_of(class_at(root, tables)).get(str(name)))


def all_keys(root: type) -> list[str]:
    """Return the dotted keys of all settings of a class, with the default kinds."""
    return list(flat(asdict(root())))


def unknown_key(path: Sequence[str], siblings: Iterable[str], known: Collection[str]) -> str:
    """Return the rule that an unknown key breaks, with the key that was probably meant.

    Args:
        path: the parts of the unknown key.
        siblings: the names in its table.
        known: the dotted keys of all settings.

    >>> unknown_key(["weight_decay"], ["seed"], ["seed", "optimization.weight_decay"])
    'unknown key; did you mean optimization.weight_decay?'
    """
    *tables, name = path
    elsewhere = [key for key in known if key.rpartition(".")[2] == name and name != "kind"]
    if len(elsewhere) == 1:
        return f"unknown key; did you mean {elsewhere[0]}?"
    return f"unknown key{suggestion(name, siblings, prefix=''.join(f'{table}.' for table in tables))}"


def without_kinds(location: Iterable[str | int]) -> list[str]:
    """Return the keys of a location in a configuration, without the kinds that pydantic adds to it."""
    path: list[str] = []
    for part in location:
        if part not in classes_of(".".join(path)) and not (part == RECORDED and path in (["task"], ["model"])):
            path.append(short(part))
    return path


def spelled_out(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with tables in place of filters that are given by their kind: ``filters = ["orthograd"]``.

    In recorded runs of unknown length, ``steps`` becomes None.
    """
    values = {**values, **({"steps": planned_steps(values)} if "steps" in values else {})}
    optimization = values.get("optimization")
    if not isinstance(optimization, Mapping) or "filters" not in optimization:
        return values
    filters = optimization["filters"]
    listed = filters if isinstance(filters, list | tuple) else [filters]
    tables = [{"kind": one} if isinstance(one, str) else one for one in listed]
    for one in tables:
        has_kind = not isinstance(one, Mapping) or "kind" in one
        require(has_kind, "optimization.filters", short(one), "must name the kind of each filter")
    return {**values, "optimization": {**optimization, "filters": tables}}


def read_config(path: str | Path) -> dict[str, Any]:
    """Parse a TOML (or, by suffix, JSON) file. Raises ConfigError if it cannot be read."""
    path = path_of("config", path)
    kind, parse = ("JSON", parse_json) if path.suffix == ".json" else ("TOML", parse_toml)
    try:
        content = read_regular(path, limit=LARGEST_FILE)
    except OSError as error:
        raise ConfigError("config", path, (error.strerror or "cannot be read").lower()) from None
    except ValueError as error:
        raise ConfigError("config", path, str(error)) from None
    try:
        values = parse(content.decode("utf-8"))
    except ValueError as error:
        raise ConfigError("config", path, f"not valid {kind}: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError("config", path, "must hold a table of keys")
    return values


def assignment_of(text: str) -> tuple[str, Any]:
    """Return the key and the value of ``key=value``, with the value in TOML notation.

    >>> assignment_of("optimization.betas=[0.9, 0.98]")
    ('optimization.betas', [0.9, 0.98])
    """
    key, sign, value = text.partition("=")
    require(bool(sign and key), "override", short(text), "must be written key=value")
    return key, parse_value(value)


def assign(values: dict[str, Any], key: str, value: Any) -> None:
    """Set the value at a dotted key in place; another kind resets its table to the defaults of that kind."""
    *tables, last = key.split(".")
    table = values
    for name in tables:
        rule = "" if isinstance(table.get(name), dict) else unknown_key(key.split("."), (), flat(values))
        require(not rule, short(key), short(value), rule)
        table = table[name]
    if last not in table:
        raise ConfigError(short(key), short(value), unknown_key(key.split("."), table, flat(values)))
    if last == "kind" and tables and value != table["kind"]:
        require(value != RECORDED, key, value, "cannot be trained here: a recorder writes such runs from another loop")
        classes = classes_of(".".join(tables))
        require(str(value) in classes, short(key), short(value), choice_rule(value, classes))
        table.clear()
        table.update(defaults_of(classes[str(value)]))
    elif value is None and offers_none(table, ".".join(tables), last):
        value = "none"
    table[last] = value


def offers_none(table: Mapping[str, Any], key: str, name: str) -> bool:
    """Return whether "none" is one of the names of a setting that cannot be null, as ``model.positions``."""
    cls = classes_of(key).get(str(table.get("kind")))
    hint = None if cls is None else hints_of(cls).get(name)
    return "none" in choices_in(hint) and not fits(None, hint)


def there_and_here(differences: Mapping[str, tuple[Any, Any]]) -> str:
    """Return the differences between a stored configuration and the present one as text.

    >>> there_and_here({"steps": (30, 7), "seed": (0, 5)})
    'seed=0 there, 5 here, steps=30 there, 7 here'
    """
    return ", ".join(
        f"{key}={short(there)} there, {short(here)} here" for key, (there, here) in sorted(differences.items())
    )


def not_a_kind(key: str) -> tuple[bool, int]:
    """Return the sort key of a dotted key: kinds first, outer before inner kinds, and all others in given order."""
    is_kind = key.endswith(".kind")
    return not is_kind, key.count(".") if is_kind else 0


def parse_value(text: str) -> Any:
    """Parse a TOML or JSON value, ``none`` as null, a number such as ``-.1`` or ``2.``, or plain text.

    Quotes around words and operators in a list or a table may be missing, since shells remove them: ``[orthograd]``.

    >>> parse_value("1e-3"), parse_value("-.1"), parse_value("none"), parse_value("S4"), parse_value("[orthograd]")
    (0.001, -0.1, None, 'S4', ['orthograd'])
    """
    if text.lower() in ("none", "null"):
        return None
    if NUMBER.fullmatch(text):
        return float(text)
    is_nested = text.startswith(("[", "{"))
    for written in (text, BARE_WORD.sub(r'"\g<0>"', text)) if is_nested else (text,):
        try:
            parsed = parse_toml(f"value = {written}")
        except ValueError:  # not TOML, a number with thousands of digits, or deeply nested brackets
            continue
        return parsed["value"] if len(parsed) == 1 else text
    try:
        return parse_json(text) if is_nested else text
    except ValueError:
        return text


def listing(classes: Mapping[str, Any]) -> Iterator[str]:
    """Yield a description of every kind, and its parameters with defaults in the notation of overrides."""
    for kind, cls in classes.items():
        yield f"{kind}: {cls.about}"
        parameters = " ".join(_assignments({key: value for key, value in defaults_of(cls).items() if key != "kind"}))
        yield from wrap(parameters, 110, initial_indent="    ", subsequent_indent="    ", break_long_words=False)


def _assignments(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield ``key=value`` for every parameter, with dotted keys for nested tables."""
    for key, value in sorted(parameters.items(), key=lambda item: item[0] != "kind"):
        if isinstance(value, dict):
            yield from _assignments(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else "none" if value is None else json.dumps(value)
            yield f"{prefix}{key}={text.replace(' ', '')}"
