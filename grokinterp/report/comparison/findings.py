"""The first screen of a comparison: what the settings have in common, how they differ, and what is doubtful."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from grokinterp.experiment.varied import name_of
from grokinterp.numbers import listed, number, whole
from grokinterp.phases import GENERALIZED
from grokinterp.report.comparison.groups import Group, Grouping
from grokinterp.report.comparison.run import Compared

MOST_NAMED = 5
"""Largest number of settings or runs that a sentence names."""


def heading(runs: Sequence[Compared]) -> str:
    """Return how many of the runs generalize at their end."""
    generalized = sum(run.verdict in GENERALIZED or run.verdict == "generalized" for run in runs)
    return f"{generalized} of {len(runs)} runs generalized"


def lead(grouping: Grouping) -> str:
    """Return how many settings there are, and what distinguishes them and their runs."""
    groups, runs = grouping.groups, sum(len(group.runs) for group in grouping.groups)
    within = f"the runs differ in {named(grouping.seeds)}" if grouping.seeds else "their settings are equal"
    if len(groups) == 1:
        return f"{runs} runs of one setting; {within}."
    repeated = bool(grouping.seeds) and runs > len(groups)
    inside = f" Runs of the same setting differ in {named(grouping.seeds)}." if repeated else ""
    return f"{runs} runs of {len(groups)} settings, which differ in {named(grouping.keys)}.{inside}"


def named(keys: Sequence[str]) -> str:
    """Return the names of settings in a sentence.

    >>> named(["optimization.weight_decay", "seed"])
    'weight decay and seed'
    """
    shown = [name_of(key) for key in keys[:MOST_NAMED]]
    return listed([*shown, f"{len(keys) - MOST_NAMED} more"] if len(keys) > MOST_NAMED else shown)


def findings(groups: Sequence[Group]) -> Iterator[str]:
    """Yield the order in which the settings generalized, whether their ranges overlap, the spread, and the circuits."""
    times = {group.letter: [run.generalized for run in group.runs] for group in groups}
    known = {letter: [step for step in steps if step is not None] for letter, steps in times.items()}
    every = [letter for letter, steps in known.items() if len(steps) == len(times[letter])]
    middle = {letter: float(np.median(known[letter])) for letter in every}
    order = sorted(every, key=lambda letter: middle[letter])
    if len(order) > 1:
        first = middle[order[0]]
        parts = [
            f"{letter} at {whole(round(middle[letter]))}{ratio(middle[letter], first)}" for letter in order[:MOST_NAMED]
        ]
        yield f"Median step of generalization: {listed(parts)}. {overlap(order[:2], known)}"
    missing = [letter for letter in times if not known[letter]]
    if missing and len(groups) > 1:
        yield f"No run of {listed(missing[:MOST_NAMED])} generalized by its last step."
    for group in groups:
        steps = known[group.letter]
        if len(steps) > 1:
            yield spread(group, steps)
    yield from circuits(groups)


def ratio(step: int | float, first: int | float) -> str:
    """Return how many times as late a step is as the first; "" for the first."""
    return "" if step == first or not first else f" (× {number(step / first)})"


def overlap(pair: Sequence[str], known: dict[str, list[int]]) -> str:
    """Return whether the ranges of the two earliest settings overlap; "" if they are single runs."""
    early, late = (known[letter] for letter in pair)
    if min(len(early), len(late)) < 2:
        return "Single runs do not show whether this exceeds the differences between seeds."
    names = listed(pair)
    if max(early) < min(late):
        return f"The ranges over the runs of {names} do not overlap."
    return f"The ranges over the runs of {names} overlap, so their order may be due to the seeds."


def spread(group: Group, steps: Sequence[int]) -> str:
    """Return how far apart the runs of a setting generalized."""
    low, high = min(steps), max(steps)
    where = f"Within {group.letter}, the" if group.about else "The"
    between = f"between steps {whole(low)} and {whole(high)}{ratio(high, low)}"
    return f"{where} {len(steps)} runs that generalized did so {between}."


def circuits(groups: Sequence[Group]) -> Iterator[str]:
    """Yield the circuits that were found, if any, by setting."""
    parts = []
    for group in groups:
        found = [str(run.measures["circuit"]) for run in group.runs if run.measures.get("circuit")]
        counts = [f"{name} ({found.count(name)} of {len(group.runs)})" for name in dict.fromkeys(found)]
        if counts:
            parts.append(f"{group.letter} {listed(counts)}" if group.about else listed(counts))
    if parts:
        yield f"Circuit at the last checkpoint: {'; '.join(parts)}."


def doubts(grouping: Grouping) -> Iterator[str]:
    """Yield what may mislead: single runs, settings that change together, unfinished runs, missing analyses."""
    groups = grouping.groups
    alone = [group.letter for group in groups if len(group.runs) == 1]
    if len(groups) > 1 and alone:
        few = listed(alone[:MOST_NAMED]) if len(alone) <= MOST_NAMED else f"{len(alone)} settings"
        have = "has a single run" if len(alone) == 1 else "have a single run each"
        yield f"{few} {have}: the spread over seeds is unknown."
    if len(groups) > 1 and not any(differences(one, other) == 1 for one, other in combinations(groups, 2)):
        yield "No two settings differ in exactly one value, so no difference can be attributed to one setting."
    runs = [run for group in groups for run in group.runs]
    lengths = [run.last for run in runs if run.last is not None]
    if lengths and min(lengths) < max(lengths):
        ends = f"between {whole(min(lengths))} and {whole(max(lengths))} steps"
        yield f"The runs have {ends}: a shorter run had less time to generalize."
    reasons: dict[str, list[str]] = {}
    for run in runs:
        for why in (*run.doubts, *([f"phases unknown: the run {run.no_history}"] if run.no_history else [])):
            reasons.setdefault(why, []).append(run.name)
    for why, names in reasons.items():
        which = listed(names) if len(names) <= MOST_NAMED else f"{len(names)} of {len(runs)} runs"
        yield f"{why[:1].upper()}{why[1:]}: {which}."
    if "evaluate_every" in grouping.seeds or "evaluate_every" in grouping.keys:
        yield "The runs were evaluated at different intervals, so their dates have different precision."


def differences(one: Group, other: Group) -> int:
    """Return the number of settings in which two groups differ."""
    return sum(one.values[key] != other.values[key] for key in one.values)
