"""Find the settings in which a run is unlike all runs from which it is predicted."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from grokinterp.numbers import flat

Setting = float | str

NUMBERS = {
    "learning rate": "optimization.lr",
    "weight decay": "optimization.weight_decay",
    "prime": "task.p",
    "width": "model.d_model",
    "depth": "model.n_layers",
    "training fraction": "split.fraction",
    "batch size": "optimization.batch_size",
    "budget": "steps",
}
"""The settings with a range, with their dotted keys."""

KINDS = {
    "task": "task.kind",
    "model": "model.kind",
    "optimizer": "optimization.optimizer",
    "loss": "optimization.loss",
}
"""The settings without an order, with their dotted keys; the filters are a further one."""

ABSENT = {"batch size": "the whole training set"}
"""The meaning of a setting that is not given, where it has one."""

TOLERANCE = 1e-9
"""Relative difference below which two numbers are equal."""


def range_settings(configuration: Mapping[str, Any]) -> dict[str, Setting]:
    """Return the settings of a configuration in which a run must lie among the others: numbers, and kinds as text.

    >>> range_settings({"steps": 9, "task": {"kind": "modular_addition", "p": 7}})["prime"]
    7.0
    """
    values = flat(configuration)
    found: dict[str, Setting] = {}
    for name, key in NUMBERS.items():
        value = values.get(key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        found[name] = float(value) if is_number else ABSENT.get(name, "none")
    filters = configuration.get("optimization", {}).get("filters") or ()
    kinds = {name: str(values.get(key)) for name, key in KINDS.items()}
    return found | kinds | {"filters": ", ".join(str(one["kind"]) for one in filters) or "none"}


def extrapolations(settings: Mapping[str, Setting], others: Sequence[Mapping[str, Setting]]) -> tuple[str, ...]:
    """Return, for every setting that lies outside those of the other runs, a phrase with its value and theirs.

    A number must lie between the smallest and the largest of the others; any other value must occur among them. Each
    setting is considered alone: a new combination of values that occur is not found.

    >>> extrapolations({"prime": 7.0}, [{"prime": 23.0}, {"prime": 29.0}]), extrapolations({"prime": 7.0}, [])
    (('prime 7 is outside 23 to 29',), ())
    >>> extrapolations({"filters": "egd"}, [{"filters": "none"}])
    ('filters egd is not among none',)
    """
    return tuple(_phrases(settings, others)) if others else ()


def _phrases(settings: Mapping[str, Setting], others: Sequence[Mapping[str, Setting]]) -> Iterator[str]:
    for name, value in settings.items():
        seen = {other[name] for other in others if name in other}
        numbers = sorted(one for one in seen if not isinstance(one, str))
        if isinstance(value, str) or not numbers:
            if seen and value not in seen:
                yield f"{name} {_text(value)} is not among {', '.join(sorted(map(_text, seen)))}"
        elif not numbers[0] * (1 - TOLERANCE) <= value <= numbers[-1] * (1 + TOLERANCE):
            yield f"{name} {_text(value)} is outside {_text(numbers[0])} to {_text(numbers[-1])}"


def _text(value: Setting) -> str:
    return value if isinstance(value, str) else f"{value:g}"
