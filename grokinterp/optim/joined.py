"""One filter for several runs, whose settings may differ between the runs."""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import fields

from grokinterp.lazy import Tensor
from grokinterp.optim.filter import GradientFilter


def joined(filters: Sequence[GradientFilter], column: Callable[[list[float]], Tensor]) -> GradientFilter:
    """Return an elementwise filter of gradients [run, weight] that treats every row as the filter of its run does.

    Args:
        filters: a filter of the same kind for every run, which may differ in its floating-point settings.
        column: makes a column [run, 1] of a setting that differs.
    """
    first = copy(filters[0])
    for field in fields(first):  # ty: ignore[invalid-argument-type]
        values = [getattr(one, field.name) for one in filters]
        if isinstance(values[0], GradientFilter):
            object.__setattr__(first, field.name, joined(values, column))
        elif any(value != values[0] for value in values):
            object.__setattr__(first, field.name, column(values))
    return first
