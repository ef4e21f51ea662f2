"""Results of one analysis as a labeled dataset with dimensions, coordinates, long names, units, and explanations."""

import inspect
import re
from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import Any, get_type_hints

import numpy as np
import xarray as xr

Analysis = FunctionType
"""``(checkpoint, *, …) -> NamedTuple`` whose fields are annotated with jaxtyping: axis names become dimensions."""

Result = Any
"""The NamedTuple that an analysis returns (the type system has no common type for NamedTuples)."""

FIELD_LINE = re.compile(r"^\s*(\w+): (.+?)(?: \[([^\]]+)\])?\s*$")
SECTION = re.compile(r"^(Args|Returns|Yields|Raises|Notes?|Examples?|Source):|(?<=\S )Source:", re.MULTILINE)
SOURCE = re.compile(r"^(?:\S[^\n]* )?Source:(.*?)(?=\n\n|\Z)", re.DOTALL | re.MULTILINE)
DOCTEST = re.compile(r"^\s*>>> .*?(?=\n\n|\Z)", re.DOTALL | re.MULTILINE)


class Collector:
    """Collect the results of an analysis, step by step, in arrays that are allocated once.

    Many small arrays that outlive the large arrays allocated between them would fragment the memory.

    Args:
        size: the largest number of steps.
        single: store float64 in single precision.
    """

    def __init__(self, size: int, *, single: bool = False) -> None:
        self.size, self.single, self.kind = size, single, tuple
        self.steps: list[int] = []
        self.columns: dict[str, np.ndarray] = {}

    def add(self, step: int, result: Result) -> None:
        """Copy the fields of the result of another step."""
        if not self.steps:
            self.kind = type(result)
            for name, value in result._asdict().items():
                dtype = np.float32 if self.single and value.dtype == np.float64 else value.dtype
                self.columns[name] = np.empty((self.size, *value.shape), dtype)
        for name, column in self.columns.items():
            column[len(self.steps)] = getattr(result, name)
        self.steps.append(step)

    def dataset(self, axes: Mapping[str, Sequence[Any]]) -> xr.Dataset:
        """Return the steps so far (at least one), with dimensions from the annotations of the fields."""
        labels, hints = field_labels(self.kind), get_type_hints(self.kind)
        variables = {
            name: xr.DataArray(
                column[: len(self.steps)], dims=("step", *hints[name].dim_str.split()), attrs=labels.get(name, {})
            )
            for name, column in self.columns.items()
        }
        dims = {str(dim) for variable in variables.values() for dim in variable.dims}
        coords = {"step": self.steps} | {dim: list(axes[dim]) for dim in dims & set(axes)}
        return xr.Dataset(variables, coords=coords)


def field_labels(kind: type) -> dict[str, dict[str, str]]:
    """Return ``long_name`` and ``units`` of each field from the docstring lines ``field: long name [unit]``."""
    labels = {}
    for line in (inspect.getdoc(kind) or "").splitlines():
        found = FIELD_LINE.match(line)
        if found and found[1] in getattr(kind, "_fields", ()):
            labels[found[1]] = {"long_name": found[2]} | ({"units": found[3]} if found[3] else {})
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
