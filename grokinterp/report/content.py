"""What a report says, section by section, as plain values for the template."""

from typing import Any, NamedTuple

from grokinterp.diagnostics import diagnose
from grokinterp.errors import GrokinterpError
from grokinterp.numbers import flat, percent, whole
from grokinterp.page.pictures import Gallery
from grokinterp.phases import Event, History, Phase
from grokinterp.report import pictures
from grokinterp.report.absence import not_shown
from grokinterp.report.explorer import frames
from grokinterp.report.glossary import methods, papers
from grokinterp.report.headline import tiles
from grokinterp.report.meaning import meaning
from grokinterp.report.panels import panels
from grokinterp.report.phase_table import Row, checkpoints_of, rows
from grokinterp.report.sections import sections
from grokinterp.report.vocabulary import Words, configuration, words_of
from grokinterp.runs.results import Results

LARGEST = 4_600_000
"""Characters of figures and frames, so that a page stays under 5 MB; what the figures leave, the frames may take."""

LEAST = 600_000
"""Characters that the frames get in any case."""


class PhaseSection(NamedTuple):
    """One phase: when, what it is, what changed in it."""

    name: str
    start: str
    last: str
    meaning: str
    steps: list[int]
    rows: list[Row]
    events: list[Event]
    gallery: Gallery
    note: str


def content(results: Results) -> dict[str, Any]:
    """Everything the template shows."""
    words = words_of(results)
    history, why = history_of(results)
    verdict, sentence = verdict_of(results, history, why)
    phases, events = (history.phases, history.events) if history else ((), ())
    by_phase = [phase_section(results, phase, history, words) for phase in history.phases] if history else []
    shown = sorted({step for section in by_phase for step in section.steps})
    steps = results.dataset["step"].values
    curves = pictures.timeline(results, history, words)
    health = pictures.health(results, phases, shown or [int(step) for step in steps[-1:]], words)
    further = sections(results, phases, words)
    drawn = [curves, health, *(section.gallery for section in (*by_phase, *further))]
    left = LARGEST - sum(len(picture.source) for gallery in drawn for picture in gallery.pictures)
    packed = frames(results.with_maps, phases, words, budget=max(left, LEAST), total=len(steps))
    chosen = methods(results.analyses, results.metrics)
    return {
        "name": str(results.directory.experiment.get("name", "run")),
        "run_id": results.directory.run_id,
        "heading": words.heading,
        "verdict": verdict,
        "sentence": sentence,
        "warnings": warnings(results),
        "diagnoses": diagnose(results),
        "tiles": tiles(results, history, words),
        "events": events,
        "timeline": curves,
        "frames": packed,
        "n_frames": results.with_maps.sizes["step"],
        "panels": panels(results.with_maps, packed, words) if packed else [],
        "is_recorded": words.is_recorded,
        "no_panels": not_shown(pictures.STRUCTURE, results),
        "phases": by_phase,
        "no_phases": _no_phases(results, history),
        "sections": {section.name: section for section in further},
        "health": health,
        "provenance": provenance(results, words),
        "not_defined": results.not_defined,
        "skipped": results.skipped,
        "n_checkpoints": len(steps),
        "methods": chosen,
        "papers": papers(chosen),
    }


def history_of(results: Results) -> tuple[History | None, str]:
    """The history, or why there is none."""
    try:
        return results.history, ""
    except GrokinterpError as error:
        return None, getattr(error, "why", str(error))


def verdict_of(results: Results, history: History | None, why: str) -> tuple[str, str]:
    """The verdict, of the history or of the last checkpoint alone, and its sentence without the verdict again."""
    if history is not None:
        verdict, sentence = history.verdict, history.describe()
    elif results.no_history is not None:
        verdict, sentence = results.verdict or "no verdict", results.sentence
    else:
        return "no verdict", f"Nothing can be said about this run yet: {why}."
    heading = f"{verdict[:1].upper()}{verdict[1:]}"
    said = sentence.removeprefix(f"{heading}: ").removeprefix(f"{heading} ")
    return verdict, f"{said[:1].upper()}{said[1:]}"


def _no_phases(results: Results, history: History | None) -> str:
    """Why there is no phase."""
    if results.no_history is not None:
        return results.no_history
    return "has no evaluations to date them by" if history is None else "has too few evaluations to show a course"


def warnings(results: Results) -> list[str]:
    """What a reader has to know before trusting the rest, one sentence each."""
    status = str(results.directory.status.get("status", "unknown"))
    said = {
        "diverged": f"Training stopped: {results.directory.status.get('why', 'a loss or gradient was not finite')}.",
        "interrupted": "Training was interrupted before its last step.",
        "running": "Training had not finished when this report was written.",
    }
    found = [said[status]] if status in said else []
    if not results.dataset.sizes["step"]:
        found.append("No checkpoint has been analyzed: there is no figure of the network itself.")
    if results.skipped:
        found.append(f"{len(results.skipped)} damaged checkpoint(s) were left out; they are listed under Provenance.")
    return found


def phase_section(results: Results, phase: Phase, history: History, words: Words) -> PhaseSection:
    """The table, figures and events of one phase."""
    steps, with_maps = (checkpoints_of(phase, of["step"].values) for of in (results.dataset, results.with_maps))
    note = "" if steps else "No checkpoint has been analyzed."
    if len(steps) == 1:
        note = f"One checkpoint, step {steps[0]}, is nearest to both ends of this phase: no change can be shown."
    return PhaseSection(
        name=phase.name,
        start=whole(phase.start),
        last=whole(phase.stop - 1),
        meaning=meaning(phase, history, results, words),
        steps=steps,
        rows=rows(results.dataset, words, steps[0], steps[-1]) if steps else [],
        events=[event for event in history.events if event.step in phase],
        gallery=pictures.of_steps(results, with_maps, phase.name, words) if with_maps else Gallery([]),
        note=note,
    )


def provenance(results: Results, words: Words) -> dict[str, list[tuple[str, str]]]:
    """Tables of what the run is and where it was made."""
    directory, leaked = results.directory, results.leaked_share
    steps = results.dataset["step"].values
    data = [
        ("run id", directory.run_id),
        *(("status" if key == "status" else f"status: {key}", str(value)) for key, value in directory.status.items()),
        ("evaluations", whole(results.metrics.sizes["step"])),
        ("analyzed checkpoints", f"{whole(len(steps))}{f', steps {steps[0]} to {steps[-1]}' if len(steps) else ''}"),
        ("skipped checkpoints", whole(len(results.skipped))),
        (f"leaked share of the test {words.examples}", percent(leaked)),
        ("analyses", ", ".join(results.analyses) or "none"),
    ]
    return {
        "Run": data,
        "Configuration": list(flat(configuration(results))),
        "Environment": list(flat(directory.environment)) or [("environment", "not recorded")],
    }
