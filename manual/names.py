"""The reference of the public names: signatures and docstrings as Markdown."""

import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any

import grokinterp

SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Source|Notes?|Examples?):[ \n]*", re.MULTILINE)
ENTRY = re.compile(r"^(\S[^:\n]{0,80}): ", re.MULTILINE)
CODE = re.compile(r"(``[^`]+``|`[^`]+`)")
ADDRESS = re.compile(r" at 0x[0-9a-f]+")
MODULES = re.compile(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z])")
"""The modules before the name of a type."""

WIDTH = 100
"""Largest width of a signature on one line."""


def public_names() -> Iterator[str]:
    """Yield the lines of the reference of the public names, by room; each name is described once."""
    rooms = [value for name in sorted(grokinterp.__all__) if inspect.ismodule(value := getattr(grokinterp, name))]
    shown: set[str] = set()
    for module in (grokinterp, *(room for room in rooms if hasattr(room, "__all__"))):
        yield from ("", f"## {module.__name__}", "", *docstring_lines(first_paragraph(module)))
        for name in sorted(module.__all__, key=str.lower):
            value = getattr(module, name)
            place = place_of(value)
            if place and place not in shown:
                shown.add(place)
                yield from name_lines(name, value)


def name_lines(name: str, value: Any) -> Iterator[str]:
    """Yield the heading, the signature and the docstring of a function or class, and the members of a class."""
    yield from ("", f"### {name}", "", "```python", *signature_lines(name, value), "```", "")
    yield from docstring_lines(inspect.getdoc(value) or "")
    if inspect.isclass(value):
        members = {one: vars(value)[one] for one in vars(value) if not one.startswith("_")}
        for one, member in members.items():
            summary = (inspect.getdoc(getattr(member, "__func__", member)) or "").split("\n")[0]
            if summary and (callable(getattr(value, one)) or isinstance(member, property)):
                yield f"* `{one}{'' if isinstance(member, property) else '()'}`: {escaped(summary)}"


def place_of(value: Any) -> str:
    """Return the dotted name under which a function or class of this package is defined; empty for other values."""
    defined = inspect.isclass(value) or inspect.isroutine(value)
    module = getattr(value, "__module__", "") or ""
    return f"{module}.{value.__qualname__}" if defined and module.startswith("grokinterp.") else ""


def first_paragraph(value: Any) -> str:
    """Return the first paragraph of a docstring."""
    return (inspect.getdoc(value) or "").split("\n\n")[0]


def signature_lines(name: str, value: Any) -> list[str]:
    """Return a signature, with one parameter on each line if it is long."""
    try:
        signature = inspect.signature(value.__init__ if is_dataclass(value) else value)
    except (TypeError, ValueError):
        return [name]
    parameters = [parameter_text(one) for one in signature.parameters.values() if one.name != "self"]
    marked = [*star(signature), *parameters] if len(parameters) else []
    line = f"{name}({', '.join(marked)})"
    return [line] if len(line) <= WIDTH else [f"{name}(", *(f"    {one}," for one in marked), ")"]


def parameter_text(parameter: inspect.Parameter) -> str:
    """Return a parameter with its type and default; types without their modules, and a long default as "..."."""
    text = MODULES.sub("", ADDRESS.sub("", str(parameter)))
    return text if len(text) <= WIDTH else f"{text.partition(' = ')[0][:WIDTH]} = ..."


def star(signature: inspect.Signature) -> list[str]:
    """Return the mark of parameters that are all given by keyword; empty if some are not."""
    kinds = {one.kind for one in signature.parameters.values() if one.name != "self"}
    return ["*"] if kinds == {inspect.Parameter.KEYWORD_ONLY} else []


def docstring_lines(text: str) -> Iterator[str]:
    r"""Yield a docstring of Google's style as Markdown.

    >>> list(docstring_lines("Return it.\n\nArgs:\n    a: the first.\n\n>>> 1 + 1\n2"))
    ['Return it.', '', '**Args**', '', '* `a`: the first.', '', '```python', '>>> 1 + 1', '2', '```', '']
    """
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        section = SECTION.match(paragraph)
        if paragraph.lstrip().startswith(">>>"):
            yield from ("```python", *textwrap.dedent(paragraph).split("\n"), "```", "")
        elif section:
            yield from (f"**{section[1]}**", "", *entry_lines(paragraph[section.end() :]), "")
        else:
            yield from (*escaped(paragraph).split("\n"), "")


def entry_lines(text: str) -> Iterator[str]:
    """Yield the entries of a section as a list, or its text if it has none."""
    body = textwrap.dedent(text if text.startswith(" ") else f"    {text}")
    joined = re.sub(r"\n\s+", " ", body)
    for line in joined.split("\n"):
        entry = ENTRY.match(line)
        yield f"* `{entry[1].strip('`')}`: {escaped(line[entry.end() :])}" if entry else escaped(line)


def escaped(text: str) -> str:
    r"""Return text whose signs are no Markdown outside code.

    >>> escaped("``a*`` <b> and [c] or θ*")
    '``a*`` &lt;b> and \\[c] or θ\\*'
    """
    parts = CODE.split(text)
    return "".join(
        part if part.startswith("`") else re.sub(r"(?<!^)([*\[])", r"\\\1", part.replace("<", "&lt;")) for part in parts
    )
