"""Collect the content of a report as plain values for its template."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from grokinterp.diagnostics import diagnose
from grokinterp.errors import GrokinterpError
from grokinterp.numbers import listed, percent, settings, whole
from grokinterp.page.pictures import Gallery, Picture
from grokinterp.phases import Event, History, Phase
from grokinterp.report import timeline
from grokinterp.report.chapters import CHAPTERS, Chapter, sections
from grokinterp.report.glossary import glossary, references
from grokinterp.report.lead import lead
from grokinterp.report.meaning import meaning
from grokinterp.report.phase_table import Row, checkpoints_of, rows
from grokinterp.report.plate import Plate, View, pictures
from grokinterp.report.summary import answers
from grokinterp.report.task_words import task_words
from grokinterp.report.vocabulary import Vocabulary, configuration, vocabulary_of
from grokinterp.runs.continuations import DAMAGED_RECORD, Continuation
from grokinterp.runs.results import Results


class PhaseSection(NamedTuple):
    """One phase: its steps, its course, and its events."""

    name: str
    start: str
    last: str
    meaning: str
    events: list[Event]
    note: str


class Borders(NamedTuple):
    """The checkpoints nearest to the borders of the phases: their measures in one table, and their figures."""

    steps: list[str]
    rows: list[Row]
    gallery: Gallery


def view_of(results: Results) -> View:
    """Return the view of a run: its history, its vocabulary, and the checkpoints at the borders of its phases."""
    history, _ = history_of(results)
    steps = results.dataset["step"].values
    borders = {step for phase in (history.phases if history else ()) for step in checkpoints_of(phase, steps)}
    return View(results, history, vocabulary_of(results), sorted(borders) or [int(step) for step in steps[-1:]])


def content(view: View, chapters: Iterable[Chapter] = CHAPTERS) -> dict[str, Any]:
    """Return all values that the template shows, except the slider."""
    results, history, chapters = view.results, view.history, tuple(chapters)
    verdict, sentence = verdict_of(view)
    by_phase = [phase_section(phase, history, view) for phase in history.phases] if history else []
    entries = glossary(view, chapters)
    return {
        "name": str(results.directory.experiment.get("name", "run")),
        "run_id": results.directory.run_id,
        "heading": view.vocabulary.heading,
        "verdict": verdict,
        "sentence": sentence,
        "warnings": warnings(results),
        "diagnoses": diagnose(results),
        "task": task_words(results, view.vocabulary),
        "answers": answers(view),
        "events": history.events if history else None,
        "lead": lead(view),
        "timeline": curves(view),
        "phases": by_phase,
        "borders": borders(view, chapters),
        "dates": dates(view),
        "no_phases": _no_phases(results, history),
        "sections": sections(chapters, view),
        "provenance": provenance(results, view.vocabulary),
        "not_defined": results.not_defined,
        "skipped": results.skipped,
        "left_out": results.left_out,
        "log": results.log_check,
        "n_checkpoints": results.dataset.sizes["step"],
        "glossary": entries,
        "references": references(entries),
    }


def curves(view: View) -> Gallery:
    """Return the curves over the whole run, or a note if there are none."""
    shown = pictures(timeline.PLATES, view)
    return Gallery(shown, "" if shown else "Not shown: there are no training metrics and no analyzed checkpoints.")


def history_of(results: Results) -> tuple[History | None, str]:
    """Return the history and "", or None and the reason why there is no history."""
    try:
        return results.history, ""
    except GrokinterpError as error:
        return None, getattr(error, "why", str(error))


def verdict_of(view: View) -> tuple[str, str]:
    """Return the verdict on the history or the last checkpoint, and its sentence without the verdict."""
    results, history = view.results, view.history
    if history is not None:
        verdict, sentence = history.verdict, history.describe()
    elif results.no_history is not None:
        verdict, sentence = results.verdict or "no verdict", results.sentence
    else:
        return "no verdict", f"Nothing is known about this run yet: {history_of(results)[1]}."
    heading = re.escape(f"{verdict[:1].upper()}{verdict[1:]}")
    text = re.sub(rf"^{heading}( \([^)]*\))?:? ", "", sentence)
    return verdict, f"{text[:1].upper()}{text[1:]}"


def dates(view: View) -> str:
    """Return a sentence on the tolerance of the date of generalization; "" if it has none."""
    history, n = view.history, view.results.n_test
    if history is None or history.generalized_step is None or n is None or "test_accuracy" not in view.results.metrics:
        return ""
    return f"Generalization is dated to within one standard error of the test accuracy, for {whole(n)} examples."


def _no_phases(results: Results, history: History | None) -> str:
    """Return the reason why there are no phases."""
    if results.no_history is not None:
        return results.no_history
    return "has no evaluations" if history is None else "has too few evaluations"


def warnings(results: Results) -> list[str]:
    """Return warnings that precede the results, one sentence each."""
    known = results.directory.status
    status, why = str(known.get("status", "unknown")), known.get("why")
    running = f": it was running, {why}" if why else ""
    messages = {
        "diverged": f"Training stopped: {why or 'a loss or gradient was not finite'}.",
        "interrupted": f"Training was interrupted {why or 'before its last step'}.",
        "stopped": f"Training was stopped before its last step: {why or 'by a prediction'}.",
        "running": f"Training had not finished when this report was written{running}.",
    }
    found = [messages[status]] if status in messages else []
    if not results.dataset.sizes["step"]:
        found.append(
            "No checkpoint has been analyzed, so no figure shows the network itself; run grokinterp analyze to add "
            "such figures."
        )
    if results.skipped:
        found.append(f"{len(results.skipped)} damaged checkpoint(s) skipped; see Provenance.")
    if results.left_out:
        count = len(results.left_out)
        found.append(f"{count} file{' was' if count == 1 else 's were'} left out; see Provenance.")
    if results.log_check.faults:
        found.append(f"The log of the metrics is damaged: {results.log_check.faults}.")
    if any(one is not None and one.exact is False for one in results.continuations):
        found.append("The run was continued in another environment, so it is not bit-identical; see Provenance.")
    return found


def phase_section(phase: Phase, history: History, view: View) -> PhaseSection:
    """Return the course and the events of one phase."""
    results = view.results
    steps = checkpoints_of(phase, results.dataset["step"].values)
    note = "" if steps else "No checkpoint has been analyzed."
    if len(steps) == 1:
        note = f"Step {steps[0]} is the nearest checkpoint to both ends of this phase, so no change can be shown."
    return PhaseSection(
        name=phase.name,
        start=whole(phase.start),
        last=whole(phase.stop - 1),
        meaning=meaning(phase, history, results, view.vocabulary),
        events=[event for event in history.events if event.step in phase],
        note=note,
    )


def borders(view: View, chapters: Iterable[Chapter]) -> Borders:
    """Return the measures and the figures at the borders of the phases or, without phases, at the last checkpoint."""
    known = set(view.results.dataset["step"].values.tolist())
    steps = [step for step in view.steps if step in known]
    plates = [plate for chapter in chapters for plate in chapter.checkpoint_plates] if view.phases else []
    shown = [found for plate in plates if (found := at_borders(plate, view)) is not None]
    return Borders([whole(step) for step in steps], rows(view.results.dataset, view.vocabulary, steps), Gallery(shown))


def at_borders(plate: Plate, view: View) -> Picture | None:
    """Return the figure of a plate at its checkpoints nearest to the borders of the phases."""
    steps = plate.data(view)["step"].values
    near = sorted({step for phase in view.phases for step in checkpoints_of(phase, steps)})
    found = plate.picture(view._replace(steps=near)) if near else None
    return found and found._replace(alt=f"{found.alt} at the steps {listed([whole(step) for step in near])}")


def provenance(results: Results, vocabulary: Vocabulary) -> dict[str, list[tuple[str, str]]]:
    """Return tables on the run, its configuration, and its environment."""
    directory, leaked = results.directory, results.leaked_share
    steps = results.dataset["step"].values
    data = [
        ("run id", directory.run_id),
        *(("status" if key == "status" else f"status: {key}", text) for key, text in settings(directory.status)),
        ("evaluations", whole(results.metrics.sizes["step"])),
        ("analyzed checkpoints", f"{whole(len(steps))}{f', steps {steps[0]} to {steps[-1]}' if len(steps) else ''}"),
        ("skipped checkpoints", whole(len(results.skipped))),
        ("skipped rows of metrics", whole(results.log_check.n_skipped)),
        ("checks of metrics", results.log_check.unprotected_rows or "every row has a check"),
        (f"leaked share of the test {vocabulary.examples}", percent(leaked)),
        ("analyses", ", ".join(results.analyses) or "none"),
    ]
    return {
        "Run": data,
        "Configuration": settings(configuration(results)),
        "Environment": settings(directory.environment) or [("environment", "not recorded")],
        **continued(results.continuations),
    }


def continued(continuations: Sequence[Continuation | None]) -> dict[str, list[tuple[str, str]]]:
    """Return the table of the continuations of a run; empty if there were none."""
    lines = [(whole(i), found.text if found else DAMAGED_RECORD) for i, found in enumerate(continuations, 1)]
    return {"Continuations": lines} if lines else {}
