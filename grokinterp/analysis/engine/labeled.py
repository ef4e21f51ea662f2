"""Labels of the results of an analysis, from its return type and docstrings: dimensions, units, explanations."""

import inspect
import re
from collections.abc import Mapping, Sequence
from functools import cache
from types import FunctionType
from typing import Any, get_type_hints

from grokinterp.errors import ConfigError, require, short
from grokinterp.runs.labels import named

Analysis = FunctionType
"""``(checkpoint, *, …) -> NamedTuple`` whose fields are annotated with jaxtyping: axis names become dimensions."""

Result = Any
"""The NamedTuple that an analysis returns (the type system has no common type for NamedTuples)."""

FIELD_LINE = re.compile(r"^\s*(\w+): (.+?)(?: \[([^\]]+)\])?\s*$")
SECTION = re.compile(r"^(Args|Returns|Yields|Raises|Notes?|Examples?|Source):|(?<=\S )Source:", re.MULTILINE)
SOURCE = re.compile(r"^(?:\S[^\n]* )?Source:(.*?)(?=\n\n|\Z)", re.DOTALL | re.MULTILINE)
DOCTEST = re.compile(r"^\s*>>> .*?(?=\n\n|\Z)", re.DOTALL | re.MULTILINE)


@cache
def dimensions(kind: type) -> dict[str, tuple[str, ...]]:
    """Return the dimensions of each field of a result type. Raises TypeError if its fields are not annotated."""
    fields = getattr(kind, "_fields", None)
    if fields is None:
        raise TypeError(f"{kind.__name__} is not a NamedTuple")
    hints = get_type_hints(kind)
    for name in fields:
        if not hasattr(hints.get(name), "dim_str"):
            raise TypeError(f"{kind.__name__}.{name} has no jaxtyping annotation")
    return {name: tuple(hints[name].dim_str.split()) for name in fields}


def require_labeled(analysis: Analysis, result: Result) -> None:
    """Raise ConfigError unless a result is a NamedTuple of tensors whose fields name their axes."""
    key = analysis.__name__
    try:
        dims_of = dimensions(type(result))
    except TypeError as error:
        rule = "must return a NamedTuple whose fields are annotated with jaxtyping, as Float[Tensor, 'class']"
        raise ConfigError(key, error, rule) from None
    for name, dims in dims_of.items():
        value = getattr(result, name)
        if not hasattr(value, "detach"):  # the text of a tensor takes longer than some analyses
            raise ConfigError(f"{key}.{name}", short(value), "must be a tensor")
        require(name != "step" and "step" not in dims, f"{key}.{name}", dims, "must not use step: it is added")


def require_sizes(analysis: Analysis, result: Result, axes: Mapping[str, Sequence[Any]]) -> None:
    """Raise ConfigError unless every field of a result has the sizes of its axes."""
    sizes = {name: len(axis) for name, axis in axes.items()}
    for name, dims in dimensions(type(result)).items():
        shape = getattr(result, name).shape
        require(len(shape) == len(dims), f"{analysis.__name__}.{name}", shape, f"must have the axes {dims}")
        for dim, size in zip(dims, shape, strict=True):
            known = sizes.setdefault(dim, size)
            require(size == known, f"{analysis.__name__}.{dim}", size, f"must be {known}, the length of this axis")


def result_labels(analysis: Analysis) -> dict[str, dict[str, str]]:
    """Return the labels of the fields of the type that an analysis is annotated to return; empty without one."""
    function = inspect.unwrap(analysis)
    kind = function.__annotations__.get("return")
    return field_labels(function.__globals__.get(kind, object) if isinstance(kind, str) else kind or object)


def field_labels(kind: type) -> dict[str, dict[str, str]]:
    """Return the labels of each field: its name in words, and its description and unit from the docstring.

    Lines of the docstring are ``field: description [unit]``. Plots of xarray show ``long_name`` and ``units``.
    """
    labels = {}
    for line in (inspect.getdoc(kind) or "").splitlines():
        found = FIELD_LINE.match(line)
        if found and found[1] in getattr(kind, "_fields", ()):
            labels[found[1]] = named(found[1], found[2]) | ({"units": found[3]} if found[3] else {})
    return labels


def described(analysis: Analysis, *, title: str | None = None) -> dict[str, str]:
    """Return the attributes ``title``, ``about`` and ``source`` of a dataset from the docstring of its analysis.

    ``about`` holds the paragraphs before the first section (Args, Source, ...), separated by empty lines, without
    doctests. Empty attributes are omitted.

    >>> def embedding_norm(checkpoint):
    ...     '''Return the norm of
    ...     every token.
    ...
    ...     Source: Nanda et al. 2023, §4.1.'''
    >>> described(embedding_norm)
    {'title': 'Embedding norm', 'about': 'Return the norm of every token.', 'source': 'Nanda et al. 2023, §4.1.'}
    """
    text = DOCTEST.sub("", inspect.getdoc(analysis) or "")
    section, source = SECTION.search(text), SOURCE.search(text)
    paragraphs = text[: section.start() if section else None].split("\n\n")
    about = [" ".join(paragraph.split()) for paragraph in paragraphs if paragraph.strip()]
    texts = {
        "title": title or analysis.__name__.replace("_", " ").capitalize(),
        "about": "\n\n".join(about),
        "source": " ".join(source[1].split()) if source else "",
    }
    return {name: value for name, value in texts.items() if value}
