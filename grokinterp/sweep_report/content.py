"""Collect the content of a sweep's page as plain values for its template."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from grokinterp.experiment.varied import ABSENT
from grokinterp.numbers import settings, whole
from grokinterp.sweep_report.chapters import Chapter, Section, sections
from grokinterp.sweep_report.listing import experiments, impossible, missing_runs, run_table
from grokinterp.sweep_report.study import Study, studies
from grokinterp.sweep_report.summary import about, capitalized, doubts, grokked_in, lead, study_doubts, tiles
from grokinterp.sweeps.database import Database
from grokinterp.sweeps.ingest import Changes

MOST_STUDIES = 8
"""Largest number of studies with figures, so that a page of many sweeps opens quickly."""

MOST_SENTENCES = 3
"""Number of findings of a study on the first screen, if there are several studies."""


class Part(NamedTuple):
    """A study as plain values for the template; ``more`` is the number of findings that the first screen omits."""

    id: str
    title: str
    about: str
    findings: list[str]
    doubts: list[str]
    more: int
    fixed: list[tuple[str, str]]
    sections: list[Section]


def content(database: Database, root: Path, out: Path, changes: Changes, chapters: Sequence[Chapter]) -> dict[str, Any]:
    """Return all values that the template shows."""
    runs, found, missing = database.runs, studies(database, root), missing_runs(database)
    parts = [part(study, i, chapters, alone=len(found) == 1) for i, study in enumerate(found[:MOST_STUDIES], 1)]
    return {
        "name": root.resolve().name or "runs",
        "verdict": f"{whole(grokked_in(runs))} of {whole(len(runs))} runs grokked",
        "lead": lead(found[:MOST_STUDIES], runs, missing),
        "tiles": tiles(runs),
        "doubts": [*doubts(runs, changes, missing), *joined_doubts(parts)],
        "studies": parts,
        "not_drawn": [f"{study.title} ({whole(len(study.runs))} runs)" for study in found[MOST_STUDIES:]],
        "experiments": experiments(database),
        "impossible": impossible(database),
        "runs": run_table(runs, root, out),
        "left_out": changes.left_out,
        "damaged": changes.damaged,
    }


def joined_doubts(parts: Sequence[Part]) -> list[str]:
    """Return the doubts of all studies, each once, after the studies that it concerns if there are several."""
    found: dict[str, list[str]] = {}
    for one in parts:
        for text in one.doubts:
            found.setdefault(text, []).append(one.title)
    if len(parts) == 1:
        return [capitalized(text) for text in found]
    return [f"{capitalized('; '.join(dict.fromkeys(titles)))}: {text}" for text, titles in found.items()]


def part(study: Study, number_of_study: int, chapters: Sequence[Chapter], *, alone: bool) -> Part:
    """Return a study as plain values; the first screen shows all its findings if it is the only one."""
    found = [capitalized(sentence) for chapter in chapters for sentence in chapter.findings(study)]
    doubtful = [*study_doubts(study), *(text for chapter in chapters for text in chapter.doubts(study))]
    shown = len(found) if alone else min(len(found), MOST_SENTENCES)
    fixed = settings({key: value for key, value in fixed_settings(study).items() if key != "name"})
    return Part(
        f"study-{number_of_study}", study.title, about(study), found, doubtful, len(found) - shown, fixed,
        sections(chapters, study),
    )  # fmt: skip


def fixed_settings(study: Study) -> dict[str, Any]:
    """Return the settings with the same value in all runs of a study."""
    first, *others = study.runs["settings"]
    return {key: value for key, value in first.items() if all(one.get(key, ABSENT) == value for one in others)}
