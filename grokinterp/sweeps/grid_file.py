"""A sweep in a TOML or JSON file: a base, and the values of its axes.

The keys of the file are ``name`` (default: the name of the file), ``about``, ``preset``, and the tables ``base`` and
``axes``::

    about = "weight decay at two primes"
    preset = "demo"

    [base]
    steps = 3000

    [axes]
    task.p = [31, 53]
    optimization.weight_decay = [1, 2, 4]
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from grokinterp.errors import require, short, suggestion
from grokinterp.experiment import Experiment
from grokinterp.experiment.configuration import read_config
from grokinterp.presets import preset
from grokinterp.sweeps.grid import Grid, require_apart, require_free

KEYS = ("name", "about", "preset", "base", "axes")


def read_grid(path: str | Path) -> tuple[str, Grid]:
    """Return the name and the grid of a file.

    Raises:
        ConfigError: it cannot be read, a key is unknown, or a setting is set by two axes, or by ``base`` and an axis.
    """
    values = read_config(path)
    for key, value in values.items():
        rule = f"unknown key; a sweep has {', '.join(KEYS)}{suggestion(key, KEYS)}"
        require(key in KEYS, short(key), short(value), rule)
        kind, word = (dict, "a table") if key in ("base", "axes") else (str, "text")
        require(isinstance(value, kind), key, short(value), f"must be {word}")
    start = preset(values["preset"]) if "preset" in values else Experiment()
    settings, axes = (dict(dotted(values.get(table, {}))) for table in ("base", "axes"))
    require_apart(axes)
    require_free(settings, axes)
    grid = Grid(start.changed(settings), axes, values.get("about", ""))
    return values.get("name", Path(path).stem), grid


def dotted(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested tables by their dotted keys.

    >>> dict(dotted({"task": {"p": [5, 7]}, "task.p,seed": [[5, 0]]}))
    {'task.p': [5, 7], 'task.p,seed': [[5, 0]]}
    """
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
