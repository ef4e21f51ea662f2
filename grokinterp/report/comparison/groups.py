"""Settings of a comparison: the runs that differ only in their seeds belong together."""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any, NamedTuple

from grokinterp.experiment.settings import settings_of
from grokinterp.experiment.varied import (
    ABSENT,
    KINDS,
    LISTS,
    SEEDS,
    by_importance,
    differing,
    exact,
    name_of,
    text_of,
)
from grokinterp.report.comparison.run import Compared

LONGEST = 56
"""Largest number of characters of the description of a setting."""


class Group(NamedTuple):
    """The runs of one setting.

    Attributes:
        letter: its name in figures and tables.
        about: the values that distinguish it; "" if there is only one setting.
        values: its value of every setting that differs between the groups, as text.
        runs: its runs, which differ in their seeds or in their length.
    """

    letter: str
    about: str
    values: Mapping[str, str]
    runs: Sequence[Compared]

    @property
    def title(self) -> str:
        """The letter with the description, if any."""
        return f"{self.letter}: {self.about}" if self.about else "all runs"


class Grouping(NamedTuple):
    """The groups of a comparison.

    Attributes:
        keys: the settings that differ between groups.
        seeds: the settings that differ within groups: seeds, and lengths of the runs.
        shared: the settings with the same value in all runs.
    """

    groups: list[Group]
    keys: list[str]
    seeds: list[str]
    shared: dict[str, Any]


def grouping_of(runs: Sequence[Compared]) -> Grouping:
    """Return the runs in groups of equal settings, in the order of their first runs."""
    settings = settings_of([run.configuration for run in runs])
    keys = by_importance(differing(settings), settings)
    members: dict[tuple[str, ...], list[int]] = {}
    for place, one in enumerate(settings):
        members.setdefault(tuple(exact(one.get(key, ABSENT)) for key in keys), []).append(place)
    groups = []
    for letter, places in zip(letters(len(members)), members.values(), strict=True):
        values = {key: value_text(settings[places[0]].get(key, ABSENT)) for key in keys}
        groups.append(Group(letter, about(values), values, [runs[place] for place in places]))
    every = dict.fromkeys(key for one in settings for key in one if key != "name")
    distinct = {key: {exact(one.get(key, ABSENT)) for one in settings} for key in every}
    within = [key for key in every if len(distinct[key]) > 1 and key not in keys]
    shared = {key: settings[0].get(key) for key in every if len(distinct[key]) == 1}
    return Grouping(groups, keys, sorted(within, key=lambda key: key not in SEEDS), shared)


def letters(count: int) -> list[str]:
    """Return names for a number of groups.

    >>> letters(3), letters(28)[-1]
    (['A', 'B', 'C'], 'AB')
    """
    double = (first + second for first in ascii_uppercase for second in ascii_uppercase)
    return [*ascii_uppercase, *double][:count]


def value_text(value: Any) -> str:
    """Return the value of a setting as text; a list of kinds by their names.

    >>> value_text([{"kind": "egd"}, {"kind": "grokfast_ema", "lamb": 2.0}]), value_text([]), value_text(0.5)
    ('egd, grokfast_ema (lamb 2)', 'none', '0.5')
    """
    if isinstance(value, list) and all(isinstance(part, Mapping) and "kind" in part for part in value):
        return ", ".join(map(kind_text, value)) or "none"
    return "—" if value == ABSENT else text_of(value)


def kind_text(part: Mapping[str, Any]) -> str:
    """Return a kind with its settings."""
    inner = ", ".join(f"{key} {text_of(value)}" for key, value in part.items() if key != "kind")
    return f"{part['kind']} ({inner})" if inner else str(part["kind"])


def about(values: Mapping[str, str]) -> str:
    """Return the values that distinguish a setting, as many as fit: kinds of the task and model come first.

    >>> about({"optimization.weight_decay": "1", "task.kind": "parity"})
    'parity, weight decay 1'
    """
    shown = [key for key in values if values[key] not in ("—", "none") and key not in LISTS]
    ordered = sorted(shown, key=lambda key: key not in KINDS)
    parts = [values[key].replace("_", " ") if key in KINDS else f"{name_of(key)} {values[key]}" for key in ordered]
    text = ""
    for place, part in enumerate(parts):
        longer = f"{text}, {part}" if text else part
        if text and len(longer) > LONGEST:
            return f"{text}, and {len(parts) - place} more"
        text = longer
    return text
