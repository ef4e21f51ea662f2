"""The tuned methods of a league beside the untuned ones, as text."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from grokinterp.errors import printable
from grokinterp.league.by_method import by_method, times_of
from grokinterp.league.methods import BASELINE
from grokinterp.league.table import UNKNOWN, interval, middle, p_value, ratio, solved, whole_number
from grokinterp.numbers import number, percent
from grokinterp.statistics.survival import median


class TunedRow(NamedTuple):
    """A method before and after tuning, with every cell as text."""

    method: str
    before: str
    steps: str
    solved: str
    ratio: str
    p: str
    accuracy: str
    trials: str
    settings: str


TUNED_COLUMNS = TunedRow(
    method="method", before="median steps, untuned", steps="median steps, tuned", solved="generalized, tuned",
    ratio="steps vs. tuned adamw", p="p", accuracy="final test accuracy", trials="trials that generalized",
    settings="chosen",
)  # fmt: skip
"""The column headings."""


def tuned_rows(found: Mapping[str, Any]) -> list[TunedRow]:
    """Return a row for every tuned method; none for a league without tuning."""
    tuning = found.get("tuning")
    if not tuning:
        return []
    untuned, tuned = by_method(found), by_method(tuning)
    base = tuned.get(BASELINE, [])
    return [
        tuned_row(name, untuned.get(name, []), tuned.get(name, []), base, method)
        for name, method in tuning["methods"].items()
    ]


def tuned_row(
    name: str,
    before: Sequence[Mapping[str, Any]],
    runs: Sequence[Mapping[str, Any]],
    base: Sequence[Mapping[str, Any]],
    method: Mapping[str, Any],
) -> TunedRow:
    """Return the row of a method; comparisons are with the tuned baseline."""
    compared = name != BASELINE and bool(runs) and bool(base)
    return TunedRow(
        method=name,
        before=interval(median(times_of(before)), whole_number) if before else UNKNOWN,
        steps=interval(median(times_of(runs)), whole_number) if runs else UNKNOWN,
        solved=solved(runs),
        ratio=ratio(runs, base) if compared else UNKNOWN,
        p=p_value(runs, base) if compared else UNKNOWN,
        accuracy=middle(runs, "final_test_accuracy", percent),
        trials=f"{sum(one['event_step'] is not None for one in method['trials'])} of {possible(method)}",
        settings=chosen_settings(method),
    )


def possible(method: Mapping[str, Any]) -> int:
    """Return the number of possible trials of a method.

    >>> possible({"possible": 2, "trials": [{}, {}, {}]}), possible({"trials": [{}]})
    (2, 1)
    """
    counted = method.get("possible")
    return len(method["trials"]) if counted is None else counted


def chosen_settings(method: Mapping[str, Any]) -> str:
    """Return the factors of the chosen trial.

    >>> chosen_settings({"chosen": 0, "trials": [{"lr": 1.0, "weight_decay": 2.5}]})
    'lr × 1, weight decay × 2.5'
    """
    if method["chosen"] is None:
        return UNKNOWN
    trial = method["trials"][method["chosen"]]
    return f"lr × {number(float(trial['lr']))}, weight decay × {number(float(trial['weight_decay']))}"


def tuned_text(found: Mapping[str, Any]) -> str:
    """Return the tuned methods as text for a terminal: the budget, the rows, and the result; empty without tuning."""
    if not found.get("tuning"):
        return ""
    lines = [TUNED_COLUMNS, *tuned_rows(found)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    return "\n".join(map(printable, ["", f"tuned: {budget_of(found)}", *table, tuned_lead(found)]))


def budget_of(found: Mapping[str, Any]) -> str:
    """Return the budget of the tuning in a sentence."""
    tuning, steps = found["tuning"], found["base"]["steps"]
    counts = sorted({possible(method) for method in tuning["methods"].values()})
    number = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    unequal = "" if len(counts) == 1 else "; the numbers of trials differ, so that the budgets are not equal"
    return (
        f"{number} trials of {steps:,} steps per method on seed {tuning['seed']}, which is not among the reported "
        f"seeds{unequal}"
    )


def tuned_lead(found: Mapping[str, Any]) -> str:
    """Return the result of the tuned methods in a sentence."""
    groups = by_method(found["tuning"])
    medians = {name: median(times_of(runs)).value for name, runs in groups.items()}
    reached = {name: value for name, value in medians.items() if value < float("inf")}
    if not reached:
        return "No tuned method reaches a median time."
    first = min(reached, key=lambda name: reached[name])
    middle_one = statistics.median(reached.values())
    return (
        f"After tuning, {len(reached)} of {len(medians)} methods reach a median time; {first} has the smallest, "
        f"{whole_number(reached[first])} steps, and the median of the methods is {whole_number(middle_one)}."
    )
