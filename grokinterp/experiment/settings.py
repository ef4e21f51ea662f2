"""The settings of several experiments, as they are compared with each other."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

from grokinterp.errors import ConfigError
from grokinterp.experiment.experiment import Experiment
from grokinterp.numbers import flat


def settings_of(configurations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the settings of each configuration by dotted key.

    A setting that is left out of a configuration, since an earlier version did not have it, has its default if another
    of the configurations gives it.

    >>> given = [Experiment().changed({"model.dropout": rate}).to_dict() for rate in (0.0, 0.1)]
    >>> [one["model.dropout"] for one in settings_of(given)], "model.output_scale" in settings_of(given)[0]
    ([0.0, 0.1], False)
    """
    found = [flat(one) for one in configurations]
    given = set[str]().union(*found)
    return [defaults(one, given - known.keys()) | known for one, known in zip(configurations, found, strict=True)]


def defaults(configuration: Mapping[str, Any], keys: Set[str]) -> dict[str, Any]:
    """Return the values of settings that a configuration leaves out; none if this version cannot read it."""
    if not keys:
        return {}
    try:
        every = Experiment.from_dict(configuration).every_setting
    except ConfigError:
        return {}
    return {key: every[key] for key in keys & every.keys()}
