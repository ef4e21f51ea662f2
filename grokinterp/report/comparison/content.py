"""Collect the content of a comparison as plain values for its template."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grokinterp.numbers import settings
from grokinterp.page.links import report_link
from grokinterp.page.plots import css_of
from grokinterp.report.comparison.files import outcomes_link
from grokinterp.report.comparison.findings import doubts, findings, heading, lead
from grokinterp.report.comparison.groups import Grouping, grouping_of
from grokinterp.report.comparison.overlays import ALIGNED, aligned, drawn, overlays
from grokinterp.report.comparison.phase_rows import SHORT, by_generalization, by_step
from grokinterp.report.comparison.run import Compared
from grokinterp.report.comparison.tables import (
    RunRow,
    dates,
    differences,
    final_values,
    of_one_group,
    run_cells,
    run_columns,
)

MOST_OTHERS = 150
"""Largest number of plots of measures that reports do not follow through the phases."""


def content(runs: Sequence[Compared], out: Path, failed: Mapping[str, str]) -> dict[str, Any]:
    """Return all values that the template shows."""
    grouping = grouping_of(runs)
    groups = grouping.groups
    found = overlays(groups)
    chosen = [one for one in found if one.is_chosen]
    others = [one for one in found if not one.is_chosen]
    relative = [(one, again) for one in chosen if one.key in ALIGNED and (again := aligned(one, groups))]
    return {
        "verdict": heading(runs),
        "lead": lead(grouping),
        "findings": list(findings(groups)),
        "doubts": list(doubts(grouping)),
        "groups": [(css_of(i), group.letter, group.about, len(group.runs)) for i, group in enumerate(groups)],
        "differences": differences(grouping),
        "of_one_group": of_one_group(grouping),
        "shared": settings(grouping.shared),
        "dates": dates(groups),
        "phase_letters": SHORT,
        "phases": by_step(groups),
        "aligned_phases": by_generalization(groups),
        "aligned": [drawn(again, groups, is_relative=True) for _, again in relative],
        "overlays": [drawn(one, groups) for one in chosen],
        "others": [drawn(one, groups) for one in others[:MOST_OTHERS]],
        "not_drawn": [one.label for one in others[MOST_OTHERS:]],
        "final": final_values(chosen, groups),
        "run_columns": run_columns(grouping),
        "runs": run_rows(grouping, out),
        "outcomes": outcomes_link(grouping),
        "failed": failed,
    }


def run_rows(grouping: Grouping, out: Path) -> list[RunRow]:
    """Return the rows of the table of runs, with links to their reports."""
    return [
        RunRow(run.name, report_link(run.path.name, run.path.parent, out), run_cells(run, group, grouping))
        for group in grouping.groups
        for run in group.runs
    ]
