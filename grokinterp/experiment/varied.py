"""The settings in which runs differ: which of them count, and how they are named in texts."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from grokinterp.display import setting
from grokinterp.errors import ConfigError
from grokinterp.numbers import number
from grokinterp.optim.schedules import BATCH_SCHEDULES, LR_SCHEDULES, WEIGHT_DECAY_SCHEDULES

ABSENT = "absent"
"""The value of a setting that a run does not have, because its task or model is of another kind."""

SEEDS = {"seed", "split.seed"}
"""The settings in which repetitions of a setting differ."""

LISTS = ("split.trained_on", "task.digest", "task.answers", "task.targets")
"""The settings that list or fingerprint examples, which say nothing to a reader."""

KINDS = ("task.kind", "model.kind")
"""The settings that decide which other settings there are."""

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
    "split.seed": "seed of the split",
}  # fmt: skip
"""Names of settings in texts; others are named by their last word."""


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


def by_importance(keys: Sequence[str], settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return settings with kinds first, then those that most runs have, with most values, then named ones, first.

    >>> runs = [{"task.kind": "a", "task.p": 5}, {"task.kind": "b", "seed": 0}, {"task.kind": "b", "seed": 1}]
    >>> by_importance(["task.p", "seed", "task.kind"], runs)
    ['task.kind', 'seed', 'task.p']
    """

    def rank(key: str) -> tuple[Any, ...]:
        having = [exact(one[key]) for one in settings if key in one]
        return key not in KINDS, key in LISTS, -len(having), -len({*having}), key not in NAMES

    return sorted(keys, key=rank)


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


def exact(value: Any) -> str:
    """Return a text that is equal for equal values only; integers equal the same decimal number.

    >>> exact(1) == exact(1.0), exact(True) == exact(1)
    (True, False)
    """
    if type(value) is int and abs(value) < 2**53:
        value = float(value)
    return json.dumps(value, sort_keys=True)
