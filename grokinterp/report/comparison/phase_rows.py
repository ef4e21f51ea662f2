"""The phases of all runs as bars, over the steps and over the step in units of that of generalization."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from grokinterp.numbers import whole
from grokinterp.page.plot_axes import Axis, Tick, ratio_axis, step_axis
from grokinterp.page.plots import LETTER
from grokinterp.phases import Phase
from grokinterp.report.comparison.groups import Group
from grokinterp.report.comparison.overlays import RELATIVE
from grokinterp.report.comparison.run import Compared

SHORT = {"memorization": "M", "circuit formation": "F", "cleanup": "C", "generalization": "G", "decline": "D"}
"""A letter for every phase, where its name does not fit into its bar."""

BAR, ROW, STACKED = 16.0, 22.0, 36.0
"""Height of a bar, of a row, and of a row with its name above the bar, in units of the drawing."""


class Bar(NamedTuple):
    """A phase of a run: its style class, its ends, the text inside it, and its text under the pointer."""

    css: str
    x: float
    width: float
    text: str
    label: str


class Row(NamedTuple):
    """A run: its name, the heights of its name and of its bars, its phases, and a text if it has none."""

    name: str
    text_y: float
    bar_y: float
    bars: list[Bar]
    missing: str


class Rows(NamedTuple):
    """The bars of all runs as plain values for the template."""

    title: str
    width: float
    height: float
    left: float
    right: float
    bottom: float
    is_stacked: bool
    rows: list[Row]
    x_ticks: list[Tick]
    x_label: str
    readings: list[dict[str, Any]]
    """The phases of every run with their ends."""


Drawing = tuple[Rows, Rows]
"""The same rows for wide and for narrow windows."""


def by_step(groups: Sequence[Group]) -> Drawing:
    """Return the phases of every run over the steps."""
    named = list(named_runs(groups))
    ends = [bound for _, run in named for phase in phases_of(run) for bound in (phase.start, phase.stop)]
    axis = step_axis([np.array([0.0, *ends])])
    return rows("Phases by step", named, axis, lambda run, step: float(step))


def by_generalization(groups: Sequence[Group]) -> Drawing | None:
    """Return the phases of the runs that generalized, aligned at generalization; None for fewer than two runs."""
    named = [(name, run) for name, run in named_runs(groups) if run.generalized and run.history]
    if len(named) < 2:
        return None
    ends = [bound / (run.generalized or 1) for _, run in named for p in phases_of(run) for bound in (p.start, p.stop)]
    axis = ratio_axis([np.array(ends)], RELATIVE)
    return rows("Phases aligned at generalization", named, axis, lambda run, step: step / (run.generalized or 1))


def phases_of(run: Compared) -> tuple[Phase, ...]:
    """Return the phases of a run; none without a history."""
    return run.history.phases if run.history else ()


def named_runs(groups: Sequence[Group]) -> list[tuple[str, Compared]]:
    """Return every run with its name, which begins with the letter of its group if there are several."""
    alone = len(groups) == 1
    return [(run.name if alone else f"{group.letter}  {run.name}", run) for group in groups for run in group.runs]


def rows(
    title: str, named: Sequence[tuple[str, Compared]], axis: Axis, at: Callable[[Compared, int], float]
) -> Drawing:
    """Return the bars of named runs over an axis, for wide windows with names on the left, and for narrow ones."""
    return _rows(title, named, axis, at, 980.0, is_stacked=False), _rows(title, named, axis, at, 340.0, is_stacked=True)


def _rows(
    title: str,
    named: Sequence[tuple[str, Compared]],
    axis: Axis,
    at: Callable[[Compared, int], float],
    width: float,
    *,
    is_stacked: bool,
) -> Rows:
    longest = max(len(name) for name, _ in named)
    left, right = (8.0 if is_stacked else min(16 + LETTER * 1.08 * longest, 330.0)), width - 16
    across, every = axis.over(left, right), STACKED if is_stacked else ROW
    shown = []
    for place, (name, run) in enumerate(named):
        top = 4 + place * every
        bar_y = top + (every - BAR - 2)
        text_y = top + 12 if is_stacked else bar_y + BAR - 4
        bars = [bar(phase, *(float(across(at(run, step))) for step in (phase.start, phase.stop)))
                for phase in phases_of(run)]  # fmt: skip
        missing = "" if bars else f"no phases: {run.no_history or run.verdict}"
        shown.append(Row(shortened(name, 46), text_y, bar_y, bars, missing))
    bottom = 6 + len(named) * every
    ticks = [Tick(round(float(across(tick.at)), 1), tick.text) for tick in axis.ticks]
    values = [
        {
            "title": name,
            "x": axis.label,
            "y": "end of the phase",
            "spans": [[phase.name, at(run, phase.start), at(run, phase.stop)] for phase in phases_of(run)],
        }
        for name, run in named
    ]
    return Rows(title, width, bottom + 36, left, right, bottom, is_stacked, shown, ticks, axis.label, values)


def bar(phase: Phase, start: float, stop: float) -> Bar:
    """Return the bar of a phase between two places."""
    label = f"{phase.name}: steps {whole(phase.start)} to {whole(phase.stop - 1)}"
    width = max(stop - start, 0.8)
    text = phase.name if width > LETTER * len(phase.name) + 6 else SHORT[phase.name] if width > 2 * LETTER else ""
    return Bar(f"p-{phase.name.replace(' ', '-')}", round(start, 1), round(width, 1), text, label)


def shortened(name: str, most: int) -> str:
    """Return a name without its middle, if it is long.

    >>> shortened("sweeps/boundaries/boundaries-0123456789", 20)
    'sweeps/bou…123456789'
    """
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most - most // 2 - 1) :]}"
