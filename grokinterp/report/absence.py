"""What a report cannot show, and why: no meaning for the run, not analyzed, or not a number."""

from collections.abc import Iterable
from typing import NamedTuple

from grokinterp.runs.results import Results


class Part(NamedTuple):
    """Something to show: its name, the variable that it is drawn from, the analysis that computes it."""

    name: str
    variable: str
    analysis: str


def not_shown(parts: Iterable[Part], results: Results) -> str:
    """One sentence on the parts that have no variable, each reason once; '' when all are there."""
    reasons: dict[str, list[str]] = {}
    unknown: list[Part] = []
    for part in parts:
        if any(part.variable in found for found in results.analyses.values()):
            continue
        if part.analysis in results.not_defined:
            reasons.setdefault(results.not_defined[part.analysis], []).append(part.name)
        else:
            unknown.append(part)
    if unknown:
        needed = dict.fromkeys(part.analysis for part in unknown)
        reasons[f"there are no results of {listed(needed)}"] = [part.name for part in unknown]
    said = [f"{listed(dict.fromkeys(names))} ({why})" for why, names in reasons.items()]
    return f"Not shown: {'; '.join(said)}." if said else ""


def listed(names: Iterable[str]) -> str:
    """Names joined by commas and an "and".

    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
