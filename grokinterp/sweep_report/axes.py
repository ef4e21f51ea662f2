"""Find what a set of runs varies: the axes of a sweep, and the settings that change along with them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from grokinterp.display import setting
from grokinterp.errors import ConfigError
from grokinterp.numbers import number
from grokinterp.optim.schedules import BATCH_SCHEDULES, LR_SCHEDULES, WEIGHT_DECAY_SCHEDULES

ABSENT = "absent"
"""The value of a setting that a run does not have, because its task or model is of another kind."""

SEEDS = {"seed", "split.seed"}
"""The settings in which repetitions of a setting differ."""

LENGTH = {"steps", "patience", "evaluate_every"}
"""The settings that say how long a run is observed; censoring accounts for them, so they are no axes."""

SCHEDULES = {"lr": LR_SCHEDULES, "weight_decay": WEIGHT_DECAY_SCHEDULES, "batch_size": BATCH_SCHEDULES}
"""The kinds of schedules by the setting that they multiply."""

WIDTH, PRIME, RATIO, WEIGHT_DECAY = "model.d_model", "task.p", "ratio", "optimization.weight_decay"
FIRST = (WIDTH, PRIME, WEIGHT_DECAY, "optimization.lr")
"""The settings that name an axis if others change with them."""

NAMES = {
    WIDTH: "width", PRIME: "prime p", RATIO: "ratio d/p", WEIGHT_DECAY: "weight decay",
    "optimization.lr": "learning rate", "split.fraction": "training fraction", "optimization.batch_size": "batch size",
    "optimization.init_scale": "scale of the initial weights", "model.d_mlp": "MLP width",
    "model.n_layers": "number of layers",
    "model.n_heads": "number of heads", "steps": "number of steps", "task.kind": "task", "model.kind": "model",
}  # fmt: skip
"""Names of settings in texts; others are named by their last word."""


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


def name_of(key: str) -> str:
    """Return the name of a setting in texts.

    >>> name_of("optimization.weight_decay"), name_of("model.norm_position")
    ('weight decay', 'norm position')
    """
    return NAMES.get(key) or (key.rpartition(".")[2] or key).replace("_", " ")


def text_of(value: Any) -> str:
    """Return a value of a setting as text.

    >>> text_of(0.005), text_of(2.0869565), text_of([0.9, 0.98]), text_of(None)
    ('0.005', '2.09', '0.9,0.98', 'none')
    """
    return number(value) if type(value) in (int, float) else setting(value)


def is_length(key: str) -> bool:
    """Return whether a setting says only how long a run is observed, or which of its checkpoints are saved."""
    return key in LENGTH or key.startswith("save.") or key == "name"


def follows_length(settings: Mapping[str, Any]) -> bool:
    """Return whether a schedule depends on the planned length, so that a longer run is another trajectory.

    >>> follows_length({"optimization.schedules.lr.kind": "cosine"}), follows_length({"steps": 10})
    (True, False)
    """
    return any(schedule_follows_length(settings, name) for name in SCHEDULES)


def schedule_follows_length(settings: Mapping[str, Any], name: str) -> bool:
    """Return whether the schedule of a setting depends on the planned length; one that cannot be read may."""
    prefix = f"optimization.schedules.{name}."
    values = {key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)}
    if values.get("kind", "constant") not in SCHEDULES[name]:
        return True
    try:
        return bool(values) and SCHEDULES[name][values["kind"]](**values).follows_length
    except (ConfigError, KeyError):
        return True


def differing(configurations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys with different values, in the order of the configurations, other than seeds and lengths.

    The number of steps counts if a schedule follows it, because it changes the training then.

    >>> differing([{"task.p": 5, "seed": 0, "steps": 10}, {"task.p": 7, "seed": 1, "steps": 20}])
    ['task.p']
    """
    skipped = {key for one in configurations for key in one if key in SEEDS or is_length(key)}
    if any(follows_length(one) for one in configurations):
        skipped -= {"steps"}
    keys = dict.fromkeys(key for one in configurations for key in one if key not in skipped)
    return [key for key in keys if len({exact(one.get(key, ABSENT)) for one in configurations}) > 1]


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


def exact(value: Any) -> str:
    """Return a text that is equal for equal values only; integers equal the same decimal number.

    >>> exact(1) == exact(1.0), exact(True) == exact(1)
    (True, False)
    """
    if type(value) is int and abs(value) < 2**53:
        value = float(value)
    return json.dumps(value, sort_keys=True)
