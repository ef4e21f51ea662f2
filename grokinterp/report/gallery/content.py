"""Collect the content of a gallery as plain values for its template."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from grokinterp.experiment.settings import settings_of
from grokinterp.experiment.varied import ABSENT, KINDS, LISTS, SEEDS, by_importance, differing, exact
from grokinterp.numbers import listed, whole
from grokinterp.report.gallery.card import Card, card, verdict_rank
from grokinterp.sweeps.record import Record

MOST_CARDS = 1000
"""Largest number of cards; a page with more would open slowly."""

MOST_SETTINGS = 6
"""Largest number of settings that a card names; the search finds the others, too."""

MOST_CIRCLES = 300
"""Largest number of cards with an embedding, each of which takes some kilobytes."""


class Choice(NamedTuple):
    """A value by which the cards can be filtered, and how many have it."""

    value: str
    count: int


def content(records: Sequence[Record], root: Path, out: Path, left_out: Mapping[str, str]) -> dict[str, Any]:
    """Return all values that the template shows."""
    settings = settings_of([record.configuration for record in records])
    keys = distinguishing(settings)
    shown = [card(record, one, keys, root, out) for record, one in zip(records[:MOST_CARDS], settings, strict=False)]
    shown.sort(key=lambda one: one.name)
    pictured = sum(one.circle is not None for one in shown)
    if pictured > MOST_CIRCLES:
        shown = [one._replace(circle=None) for one in shown]
    return {
        "name": root.resolve().name or "runs",
        "title": f"{whole(len(records))} run{'' if len(records) == 1 else 's'} in {root.resolve().name or 'runs'}",
        "lead": lead(shown),
        "cards": shown,
        "most_settings": MOST_SETTINGS,
        "verdicts": sorted(choices(one.verdict for one in shown), key=lambda choice: verdict_rank(choice.value)),
        "tasks": choices(one.task_kind for one in shown),
        "statuses": choices(one.status for one in shown),
        "not_shown": [record.directory for record in records[MOST_CARDS:]],
        "pictured": pictured,
        "left_out": left_out,
    }


def distinguishing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the settings in which runs differ, by importance; kinds have lines of their own.

    >>> distinguishing([{"task.p": 5, "seed": 0}, {"task.p": 7, "seed": 1}, {"task.p": 7, "seed": 2}])
    ['seed', 'task.p']
    """
    counts = {key: len({exact(one.get(key, ABSENT)) for one in settings}) for key in [*differing(settings), *SEEDS]}
    kept = [key for key, count in counts.items() if count > 1 and key not in (*KINDS, *LISTS)]
    return by_importance(kept, settings)


def choices(values: Iterable[str]) -> list[Choice]:
    """Return the different values with their counts, in alphabetical order."""
    return [Choice(value, count) for value, count in sorted(Counter(values).items())]


def lead(cards: Sequence[Card]) -> str:
    """Return how many runs generalized, and how many are unfinished."""
    kinds = Counter(one.kind for one in cards)
    names = {
        "good": "generalized", "part": "generalized partly or temporarily", "not": "did not generalize",
        "open": "still training",
    }  # fmt: skip
    parts = [f"{kinds[kind]} {text}" for kind, text in names.items() if kinds[kind]]
    unfinished = Counter(one.status for one in cards if one.status in ("interrupted", "failed", "diverged", "stopped"))
    ended = [f"{count} {status}" for status, count in sorted(unfinished.items())]
    return f"{listed(parts)}.{f' Of all runs, {listed(ended)}.' if ended else ''}"
