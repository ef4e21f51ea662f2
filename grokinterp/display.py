"""Objects on one line, for ``repr``, and as a small table for notebooks; neither raises."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from html import escape
from typing import Any

from grokinterp.errors import short

Facts = Mapping[str, Callable[[], object]]
"""Functions that return the text of each label; the first names the object."""

LONGEST, LONGEST_SETTING = 200, 30
"""Largest number of characters of a fact, and of the value of a setting."""

MOST_SETTINGS = 4
"""Largest number of settings listed."""


def one_line(kind: str, facts: Facts) -> str:
    """Return an object on one line: its kind, its name, and the other facts.

    >>> one_line("Run", {"name": lambda: "demo", "steps": lambda: "2,000 steps", "status": lambda: {}["status"]})
    'Run(demo: 2,000 steps, status unknown)'
    """
    name, *rest = texts(facts).values()
    return f"{kind}({name}{': ' if rest else ''}{', '.join(rest)})"


def html_table(kind: str, facts: Facts) -> str:
    """Return an object as an HTML table with a row for each fact, every text escaped.

    >>> html_table("Run", {"name": lambda: "<b>"})
    '<table><caption>Run</caption><tr><th>name</th><td>&lt;b&gt;</td></tr></table>'
    """
    rows = (f"<tr><th>{escape(label)}</th><td>{escape(text)}</td></tr>" for label, text in texts(facts).items())
    return f"<table><caption>{escape(kind)}</caption>{''.join(rows)}</table>"


def texts(facts: Facts) -> dict[str, str]:
    """Return the facts as printable texts; empty facts are omitted, and facts that fail are unknown."""
    found = {}
    for label, fact in facts.items():
        try:
            text = short(fact(), LONGEST)
        except Exception:  # the other facts are shown, whatever is damaged
            text = f"{label} unknown"
        if text:
            found[label] = text
    return found


def specification(spec: Any, *, sized: bool = False) -> str:
    """Return the kind of a specification and its settings that are not defaults; if ``sized``, its first number too.

    >>> from grokinterp.optim import GrokfastMA
    >>> specification(GrokfastMA(lamb=2.0)), specification(GrokfastMA(), sized=True)
    ('grokfast_ma lamb=2.0', 'grokfast_ma window=100')
    """
    settings = changed(spec)
    first = next((field.name for field in fields(spec) if field.name != "kind"), None)
    if sized and first is not None and isinstance(getattr(spec, first), int | str):
        settings = {first: setting(getattr(spec, first))} | settings
    return " ".join([spec.kind, *first_settings(settings)])


def first_settings(settings: Mapping[str, str]) -> list[str]:
    """Return the first few settings as ``name=value``.

    >>> first_settings({"lr": "0.01", "eps": "1e-06", "batch_size": "64", "loss": "mse", "momentum": "0.8"})
    ['lr=0.01', 'eps=1e-06', 'batch_size=64', 'loss=mse', '…']
    """
    found = [f"{name}={value}" for name, value in settings.items()]
    return [*found[:MOST_SETTINGS], *(["…"] if len(found) > MOST_SETTINGS else [])]


def changed(spec: Any) -> dict[str, str]:
    """Return the settings of a dataclass that are not defaults, or empty without one, by their dotted names.

    >>> from grokinterp.experiment import Optimization, Schedules
    >>> from grokinterp.optim import Constant, Cosine
    >>> changed(Optimization(lr=0.01, schedules=Schedules(lr=Cosine(), weight_decay=Constant())))
    {'lr': '0.01', 'schedules.lr': 'cosine'}
    """
    found = {}
    for field in fields(spec):
        value, default = getattr(spec, field.name), default_of(field)
        if field.name == "kind" or value == default or (default is MISSING and value == ()):
            continue
        if is_dataclass(value) and type(value) is type(default):
            found |= {f"{field.name}.{name}": text for name, text in changed(value).items()}
        else:
            found[field.name] = setting(value)
    return found


def default_of(field: Field) -> Any:
    """Return the default of a field, or ``MISSING`` without one."""
    return field.default if field.default_factory is MISSING else field.default_factory()


def setting(value: Any) -> str:
    """Return a value of a configuration in a few words.

    >>> setting(0.5), setting(tuple(range(40))), setting((200, 200)), setting(None)
    ('0.5', '40 values', '200,200', 'none')
    """
    if value is None:
        return "none"
    if hasattr(value, "kind"):
        return specification(value)
    if isinstance(value, Mapping):
        return f"{len(value)} values"
    if isinstance(value, list | tuple):
        text = ",".join(map(setting, value))
        return text if len(text) <= LONGEST_SETTING else f"{len(value)} values"
    return short(value, LONGEST_SETTING)
