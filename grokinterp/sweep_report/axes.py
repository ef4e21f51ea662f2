"""Find what a set of runs varies: the axes of a sweep, and the settings that change along with them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from grokinterp.experiment.varied import ABSENT, FIRST, PRIME, RATIO, WIDTH, differing, exact, name_of, text_of


class Axis(NamedTuple):
    """A setting that the runs vary, with the settings that change together with it.

    Attributes:
        keys: the dotted keys; the first names the axis.
        key: the dotted key, or "ratio", whose values are those of the axis.
        values: its values in order.
        codes: for every run, the place of its value.
    """

    keys: tuple[str, ...]
    key: str
    values: tuple[Any, ...]
    codes: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of the axis in texts."""
        if self.key != RATIO and {WIDTH, PRIME} <= {*self.keys}:
            return f"{name_of(PRIME)} and {name_of(WIDTH)}"
        return name_of(self.key)

    @property
    def companions(self) -> tuple[str, ...]:
        """The settings that always change together with the axis, except the MLP width, which follows the width."""
        followed = {WIDTH, "model.d_mlp"} if WIDTH in self.keys else set()
        return tuple(key for key in self.keys[1:] if key not in followed or self.keys[0] not in (*followed, PRIME))

    @property
    def is_numeric(self) -> bool:
        """Whether all values are numbers."""
        return all(type(value) in (int, float) for value in self.values)

    @property
    def is_logarithmic(self) -> bool:
        """Whether the values are positive and cover more than a factor of three, as the values of most sweeps do."""
        return self.is_numeric and self.values[0] > 0 and self.values[-1] > 3 * self.values[0]

    @property
    def numbers(self) -> np.ndarray:
        """The values as numbers; their places if they are not numbers."""
        return np.array(self.values if self.is_numeric else range(len(self.values)), dtype=float)

    @property
    def texts(self) -> list[str]:
        """The values as texts."""
        return [text_of(value) for value in self.values]


class Tied(NamedTuple):
    """A setting that is determined by the value of an axis, so that their effects cannot be separated."""

    key: str
    axis: str


def axes_of(
    configurations: Sequence[Mapping[str, Any]], ratios: Sequence[float | None]
) -> tuple[list[Axis], list[Tied]]:
    """Return the axes of some runs, the one with a natural order first, and the settings that change along with them.

    Settings with the same partition of the runs are one axis. A setting that is constant wherever an axis is constant
    is tied to that axis. The width is measured as its ratio to the prime, where the ratio is defined.

    Args:
        configurations: the settings of every run by dotted key.
        ratios: the ratio of width to prime of every run; None where it is not defined.
    """
    keys = differing(configurations)
    if not keys and len({one.get("steps") for one in configurations}) > 1:
        keys = ["steps"]
    columns = {key: [one.get(key, ABSENT) for one in configurations] for key in keys}
    axes: list[Axis] = []
    tied: list[Tied] = []
    for key in sorted(keys, key=lambda key: (-distinct(columns[key]), rank(key))):
        codes = coded(columns[key])
        place = next((i for i, axis in enumerate(axes) if determines(axis.codes, codes)), None)
        if place is None:
            axes.append(Axis((key,), key, ordered(columns[key]), codes))
        elif determines(codes, axes[place].codes):
            axes[place] = axes[place]._replace(keys=(*axes[place].keys, key))
        else:
            tied.append(Tied(key, axes[place].key))
    axes = [with_ratio(axis, ratios) for axis in axes]
    names = {key: axis.key for axis in axes for key in axis.keys}
    tied = [one._replace(axis=names[one.axis]) for one in tied]
    return sorted(axes, key=lambda axis: (not axis.is_numeric, axis.key != RATIO, rank(axis.key))), tied


def with_ratio(axis: Axis, ratios: Sequence[float | None]) -> Axis:
    """Return the axis of the width as that of its ratio to the prime, if the two order the runs alike."""
    known = [ratio for ratio in ratios if ratio is not None]
    if axis.keys[0] != WIDTH or PRIME in axis.keys or len(known) < len(axis.codes):
        return axis
    codes = coded(known)
    return Axis(axis.keys, RATIO, ordered(known), codes) if distinct(known) >= len(axis.values) else axis


def rank(key: str) -> int:
    """Return the place of a setting among those that name an axis."""
    return FIRST.index(key) if key in FIRST else len(FIRST)


def determines(codes: Sequence[int], others: Sequence[int]) -> bool:
    """Return whether runs with the same code have the same other code.

    >>> determines([0, 0, 1, 2], [5, 5, 6, 6]), determines([0, 0], [1, 2])
    (True, False)
    """
    return len({*zip(codes, others, strict=True)}) == len({*codes})


def distinct(values: Iterable[Any]) -> int:
    """Return the number of different values."""
    return len({exact(value) for value in values})


def ordered(values: Iterable[Any]) -> tuple[Any, ...]:
    """Return the different values, numbers in their order and others in the order of their texts.

    >>> ordered([3, 1, 3, 2.5]), ordered(["b", None, "a"])
    ((1, 2.5, 3), ('a', 'b', None))
    """
    found = {exact(value): value for value in values}.values()
    if all(type(value) in (int, float) for value in found):
        return tuple(sorted(found))
    return tuple(sorted(found, key=exact))


def coded(values: Sequence[Any]) -> tuple[int, ...]:
    """Return the place of every value among the different values in order."""
    place = {exact(value): i for i, value in enumerate(ordered(values))}
    return tuple(place[exact(value)] for value in values)
