"""Format the rows of a league as text, one per method, for the terminal and the page."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from grokinterp.errors import printable
from grokinterp.league.by_method import by_method, times_of
from grokinterp.league.methods import BASELINE
from grokinterp.numbers import number, percent, whole
from grokinterp.statistics.survival import Median, exact_log_rank, log_rank, median

UNKNOWN = "—"
"""The text of an empty cell."""


class Row(NamedTuple):
    """The row of a method, with every cell as text."""

    method: str
    solved: str
    steps: str
    seconds: str
    ratio: str
    p: str
    memorized: str
    rate: str
    cpu: str
    memory: str
    norm: str
    collapsed: str
    cosine: str
    accuracy: str


def rows(found: Mapping[str, Any]) -> list[Row]:
    """Return a row for each method with at least one run, in the order of the league."""
    groups = by_method(found)
    return [row(name, runs, groups.get(BASELINE, [])) for name, runs in groups.items()]


def row(name: str, runs: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]]) -> Row:
    """Return the row of a method, with medians over its seeds."""
    return Row(
        method=name,
        solved=solved(runs),
        steps=interval(median(times_of(runs)), whole_number),
        seconds=interval(median(times_of(runs, "seconds")), seconds),
        ratio=UNKNOWN if name == BASELINE else ratio(runs, base),
        p=UNKNOWN if name == BASELINE else p_value(runs, base),
        memorized=middle(runs, "memorized_step", whole_number),
        rate=middle(runs, "seconds_per_1000", seconds),
        cpu=middle(runs, "cpu_seconds_per_1000", seconds),
        memory=memory(runs),
        norm=middle(runs, "final_weight_norm", number),
        collapsed=middle(runs, "collapsed_share", percent),
        cosine=middle(runs, "gradient_weight_cosine", number),
        accuracy=middle(runs, "final_test_accuracy", percent),
    )


def solved(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the number of runs that generalized, and the statuses of runs that did not finish.

    >>> solved([{"event_step": 5, "status": "finished"}, {"event_step": None, "status": "diverged"}])
    '1 of 2 (1 diverged)'
    """
    count = sum(run["event_step"] is not None for run in runs)
    statuses = [run["status"] for run in runs if run["status"] != "finished"]
    others = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    return f"{count} of {len(runs)}" + (f" ({others})" if others else "")


def interval(found: Median, written: Any) -> str:
    """Return a median with its interval; ∞ marks an unbounded end.

    A single run, or runs with the same time, have no interval.

    >>> interval(Median(600.0, 520.0, math.inf), whole_number), interval(Median(math.inf, math.inf, math.inf), number)
    ('600 (520 to ∞)', 'not reached')
    """
    if not math.isfinite(found.value):
        return "not reached" if not math.isfinite(found.low) else f"not reached ({written(found.low)} to ∞)"
    if math.isnan(found.low):
        return f"{written(found.value)} (no interval)"
    low, high = (written(edge) if math.isfinite(edge) else "∞" for edge in (found.low, found.high))
    return f"{written(found.value)} ({low} to {high})"


def ratio(runs: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]]) -> str:
    """Return the ratio of steps to the baseline's steps with the same seed: median, range, and number of pairs.

    A pair counts if both of its runs generalized.

    >>> ratio([{"seed": 0, "event_step": 50}], [{"seed": 0, "event_step": 100}, {"seed": 1, "event_step": 9}])
    '× 0.5 (1 pair)'
    """
    before = {run["seed"]: run["event_step"] for run in base if run["event_step"]}
    found = [run["event_step"] / before[run["seed"]] for run in runs if run["event_step"] and run["seed"] in before]
    if not found:
        return UNKNOWN
    extremes = f"{number(min(found))} to {number(max(found))}, {len(found)} pairs" if len(found) > 1 else "1 pair"
    return f"× {number(statistics.median(found))} ({extremes})"


def p_value(runs: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]]) -> str:
    """Return the p-value of the log-rank test against the baseline: exact if feasible, and its normal approximation."""
    ours, theirs = times_of(runs), times_of(base)
    exact, normal = exact_log_rank(ours, theirs), log_rank(ours, theirs)
    if math.isnan(exact):
        return UNKNOWN if math.isnan(normal) else f"— ({probability(normal)})"
    return f"{probability(exact)} ({probability(normal)})" if not math.isnan(normal) else probability(exact)


def probability(value: float) -> str:
    """Return a p-value as text.

    >>> probability(0.1), probability(0.02461), probability(4.1e-5)
    ('0.10', '0.025', '<0.001')
    """
    return "<0.001" if value < 0.001 else f"{value:.2f}" if value >= 0.0995 else f"{value:.3f}"


def middle(runs: Sequence[Mapping[str, Any]], key: str, written: Any) -> str:
    """Return the median over the runs with a known value.

    >>> middle([{"a": 1.0}, {"a": None}, {"a": 2.0}], "a", number)
    '1.5'
    """
    known = [float(run[key]) for run in runs if run.get(key) is not None]
    return written(statistics.median(known)) if known else UNKNOWN


def memory(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the largest peak memory of a process, and the largest increase of it during training."""
    known = [run for run in runs if run.get("peak_bytes")]
    if not known:
        return UNKNOWN
    peak = max(run["peak_bytes"] for run in known) / 2**20
    grown = max(run["peak_bytes"] - run["program_bytes"] for run in known) / 2**20
    return f"{peak:.0f} MiB (+{grown:.0f})"


def whole_number(value: float) -> str:
    """Return a number of steps as text."""
    return whole(round(value))


def seconds(value: float) -> str:
    """Return a time as text.

    >>> seconds(2.3456), seconds(184.2)
    ('2.35 s', '184 s')
    """
    return f"{number(value)} s"


COLUMNS = {
    "method": "method", "solved": "generalized", "steps": "median steps", "ratio": "steps vs. adamw",
    "p": "p", "seconds": "median time", "cpu": "CPU per 1,000 steps", "accuracy": "final test accuracy",
}  # fmt: skip
"""The column headings of the table in a terminal."""


def as_text(found: Mapping[str, Any]) -> str:
    """Return the league as text for a terminal: its rows, the methods that do not apply, and the failed runs."""
    lines = [COLUMNS, *({key: getattr(one, key) for key in COLUMNS} for one in rows(found))]
    widths = {key: max(len(line[key]) for line in lines) for key in COLUMNS}
    text = ["  ".join(line[key].ljust(widths[key]) for key in COLUMNS).rstrip() for line in lines]
    text += [f"refused  {name}: {why}" for name, why in found["refused"].items()]
    text += [f"failed   {one['method']} seed {one['seed']}: {one['why']}" for one in found["failed"]]
    return "\n".join(map(printable, text))
