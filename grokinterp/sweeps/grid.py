"""Products of experiments: one experiment for every combination of the values of some settings."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from itertools import combinations as pairs
from itertools import product as combinations
from typing import Any, NamedTuple

import numpy as np

from grokinterp.errors import ConfigError, require, short
from grokinterp.experiment import Experiment
from grokinterp.numbers import flat

RATIO = "ratio"
"""The axis of the ratio of width to prime: it sets d_model, and d_mlp in the same proportion."""


class Point(NamedTuple):
    """A combination of values: the experiment, or the reason why it is impossible."""

    settings: dict[str, Any]
    experiment: Experiment | None
    why: str = ""

    def __str__(self) -> str:
        return ", ".join(f"{key}={short(value, 40)}" for key, value in self.settings.items())

    @property
    def refusal(self) -> str:
        """The combination and the reason why it is impossible, which may begin with the combination itself."""
        return self.why if self.why.startswith(f"{self}: ") else f"{self}: {self.why}"


class Grid(NamedTuple):
    """A product of experiments: the base, in which settings are replaced, the values of its axes, and a description."""

    base: Experiment
    axes: Mapping[str, Any]
    about: str = ""

    def changed(self, settings: Mapping[str, Any], axes: Mapping[str, Any]) -> "Grid":
        """Return a grid with other settings and other values of its axes, or further axes.

        Raises:
            ConfigError: a setting is set by an axis with another key, or two axes set the same setting.
        """
        others = {**self.axes, **axes}
        require_apart(others)
        require_free(settings, [axis for axis in others if axis not in settings or axis in axes])
        kept = reset_by(settings, others)
        single = {key: [value] for key, value in settings.items() if key in self.axes or key in kept}
        base = self.base.changed({key: value for key, value in settings.items() if key not in single})
        return self._replace(base=base, axes={**self.axes, **single, **axes})


def reset_by(settings: Iterable[str], axes: Iterable[str]) -> set[str]:
    """Return the settings that an axis of kinds would reset to defaults, so that every point has to set them again.

    >>> sorted(reset_by(["task.p", "seed"], ["task.kind"]))
    ['task.p']
    """
    tables = [f"{one.removesuffix('kind')}" for axis in axes for one in set_by(axis) if one.endswith(".kind")]
    return {key for key in settings for table in tables if key.startswith(table) and not key.endswith(".kind")}


def set_by(axis: str) -> set[str]:
    """Return the settings that an axis sets.

    >>> sorted(set_by("ratio")), set_by("task.p")
    (['model.d_mlp', 'model.d_model', 'ratio'], {'task.p'})
    """
    sized = {RATIO, "model.d_model", "model.d_mlp"}
    return sized if axis == RATIO else {one.strip() for one in axis.split(",")}


def shared(first: set[str], second: set[str]) -> str | None:
    """Return a setting that is in both sets; a table of settings contains its members.

    >>> shared({"seed", "task.p"}, {"task"}), shared({"task.p"}, {"model.d_model"})
    ('task.p', None)
    """
    within = (max(a, b, key=len) for a in first for b in second if f"{a}.".startswith(f"{b}.") or b.startswith(f"{a}."))
    return min(within, default=None)


def require_apart(axes: Iterable[str]) -> None:
    """Raise ConfigError if two axes set the same setting, or one sets it twice."""
    listed = list(axes)
    for axis in listed:
        names = [one.strip() for one in axis.split(",")]
        require(len(set(names)) == len(names), "axis", short(axis), "sets a setting twice")
    for first, second in pairs(listed, 2):
        both = shared(set_by(first), set_by(second))
        require(both is None, "axis", short(second), f"sets {both}, which the axis {short(first)} sets as well")


def require_free(settings: Mapping[str, Any], axes: Iterable[str]) -> None:
    """Raise ConfigError if an axis sets one of the settings, which would have no effect."""
    for axis in axes:
        for key, value in settings.items():
            rule = f"is set by the axis {short(axis)}: change that axis, or leave out the setting"
            require(shared({key}, set_by(axis)) is None, short(key), short(value), rule)


def product(base: Experiment, /, **axes: Any) -> tuple[Experiment, ...]:
    """Return an experiment for every combination of values, the last axis varying fastest; equal ones appear once.

    Args:
        base: the experiment in which the settings are replaced.
        axes: the values of each setting, or a single value, by its dotted key. A key of several settings with commas
            between them has values for all of them at a time. A value that is a list must itself be in a list of
            values. The axis ``ratio`` sets ``model.d_model`` to ratio · p, rounded down to a multiple of the heads, and
            ``model.d_mlp`` in the same proportion. Every setting is set by one axis only.

    Raises:
        ConfigError: a combination is impossible, an axis is empty, or two axes set the same setting.

    >>> found = product(Experiment(), **{"task.p": [23, 47], "seed": range(2)})
    >>> [(one.task.p, one.seed) for one in found]
    [(23, 0), (23, 1), (47, 0), (47, 1)]
    >>> [one.model.d_model for one in product(Experiment(), **{"task.p": [97], "ratio": [0.5, 2]})]
    [48, 192]
    """
    require(isinstance(base, Experiment), "base", short(base), "must be an Experiment")
    found: dict[str, Experiment] = {}
    for point in points(base, axes):
        if point.experiment is None:
            raise ConfigError("sweep", point, f"is impossible: {point.why}")
        found.setdefault(repr(point.experiment.to_dict()), point.experiment)
    return tuple(found.values())


def points(base: Experiment, axes: Mapping[str, Any]) -> Iterator[Point]:
    """Yield every combination of values, the last axis varying fastest. Raises ConfigError if an axis is unusable."""
    require_apart(axes)
    listed = {key: values_of(key, values) for key, values in axes.items()}
    for chosen in combinations(*listed.values()):
        settings: dict[str, Any] = {}
        for key, value in zip(listed, chosen, strict=True):
            settings |= joint(key, value)
        try:
            yield Point(settings, at(base, settings))
        except ConfigError as error:
            yield Point(settings, None, str(error))


def values_of(key: str, values: Any) -> list[Any]:
    """Return the values of an axis; a text, a number, or a table is one value."""
    several = isinstance(values, Iterable) and not isinstance(values, str | Mapping)
    listed = [plain(value) for value in (values if several else [values])]
    require(bool(listed), short(key), "[]", "an axis needs at least one value")
    repeated = first_repeated(listed)
    require(repeated is None, short(key), short(repeated), "is given twice: every value of an axis is one run")
    return listed


def first_repeated(values: Iterable[Any]) -> Any:
    """Return the first value that equals an earlier one, if any; true is not 1.

    >>> first_repeated([1, 2, 1.0]), first_repeated([1, True, "1"])
    (1.0, None)
    """
    seen = set()
    for value in values:
        key = (type(value) is bool, value if isinstance(value, int | float | str) else repr(value))
        if key in seen:
            return value
        seen.add(key)
    return None


def plain(value: Any) -> Any:
    """Return a value of a configuration as plain values: a specification becomes a table."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, np.generic):
        return value.item()
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def joint(key: str, value: Any) -> dict[str, Any]:
    """Return the settings of a value of an axis: one, or as many as the key lists.

    >>> joint("task.p,model.d_model", [23, 20])
    {'task.p': 23, 'model.d_model': 20}
    """
    keys = [one.strip() for one in key.split(",")]
    if len(keys) == 1:
        return {key: value}
    fits = isinstance(value, list) and len(value) == len(keys)
    require(fits, short(key), short(value), f"must be a list of {len(keys)} values, one for each setting")
    return dict(zip(keys, value, strict=True))


def at(base: Experiment, settings: Mapping[str, Any]) -> Experiment:
    """Return the experiment at a combination of values. Raises ConfigError if it is impossible."""
    ratio = settings.get(RATIO)
    experiment = base.changed({key: value for key, value in settings.items() if key != RATIO})
    return experiment if ratio is None else experiment.changed(widths(experiment, ratio))


def widths(experiment: Experiment, ratio: Any) -> dict[str, int]:
    """Return the sizes at which the width is ratio · p, rounded down to a multiple of the heads."""
    is_number = isinstance(ratio, int | float) and not isinstance(ratio, bool) and 0 < ratio <= 10**4
    require(is_number, RATIO, short(ratio), "must be a number above 0, at most 10^4")
    found = flat(experiment.to_dict())
    sizes = [found.get(key) for key in ("task.p", "model.d_model", "model.n_heads", "model.d_mlp")]
    require(all(isinstance(size, int) for size in sizes), RATIO, ratio, "needs a task with task.p and a transformer")
    p, d_model, heads, d_mlp = sizes
    width = math.floor(ratio * p + 1e-9) // heads * heads
    require(width > 0, RATIO, ratio, f"gives a width below {heads}, the number of heads")
    return {"model.d_model": width, "model.d_mlp": max(round(width * d_mlp / d_model), 1)}
