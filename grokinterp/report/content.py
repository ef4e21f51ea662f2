"""What a report says, section by section, as plain values for the template."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from grokinterp.errors import GrokinterpError
from grokinterp.phases import Event, History, Phase
from grokinterp.report import pictures
from grokinterp.report.frames import frames
from grokinterp.report.measures import Row, checkpoints_of, rows
from grokinterp.report.methods import METHODS, PAPERS
from grokinterp.report.numbers import flat, number, percent, whole
from grokinterp.report.pictures import Picture
from grokinterp.results import Results

LARGEST = 4_600_000
"""Characters of figures and frames, so that a page stays under 5 MB; what the figures leave, the frames may take."""

LEAST = 600_000
"""Characters that the frames get in any case."""

MEANING = {
    "memorization": "The network learns the training pairs by heart; the test pairs stay wrong.",
    "circuit formation": "Behind a flat test loss the circuit that generalizes is built: the key frequencies gain "
    "weight while the memorized solution still gives the answers.",
    "cleanup": "Weight decay removes the memorized solution; the test loss leaves its plateau and falls.",
    "generalization": "The circuit gives the answers on pairs that were never trained on.",
}


class Tile(NamedTuple):
    """A key number."""

    label: str
    value: str
    note: str


class PhaseSection(NamedTuple):
    """One phase: when, what it is, what changed in it."""

    name: str
    start: str
    last: str
    meaning: str
    steps: list[int]
    rows: list[Row]
    events: list[Event]
    pictures: list[Picture]
    note: str


def content(results: Results) -> dict[str, Any]:
    """Everything the template shows."""
    history, why = history_of(results)
    phases, events = (history.phases, history.events) if history else ((), ())
    sections = [phase_section(results, phase, events) for phase in phases]
    shown = sorted({step for section in sections for step in section.steps})
    steps = results.dataset["step"].values
    curves = pictures.timeline(results, history)
    health = pictures.health(results, phases, shown or [int(step) for step in steps[-1:]])
    drawn = [curves, *health, *(picture for section in sections for picture in section.pictures)]
    left = LARGEST - sum(len(picture.source) for picture in drawn)
    return {
        "name": str(results.directory.experiment.get("name", "run")),
        "run_id": results.directory.run_id,
        "verdict": history.verdict if history else "no verdict",
        "sentence": sentence_of(history) if history else f"Nothing can be said about this run yet: {why}.",
        "warnings": warnings(results),
        "tiles": tiles(results, history),
        "events": events,
        "timeline": curves,
        "frames": frames(results.dataset, phases, budget=max(left, LEAST)),
        "phases": sections,
        "health": health,
        "provenance": provenance(results),
        "skipped": results.skipped,
        "n_checkpoints": len(steps),
        "methods": METHODS,
        "papers": PAPERS,
    }


def history_of(results: Results) -> tuple[History | None, str]:
    """The history, or why there is none."""
    try:
        return results.history, ""
    except GrokinterpError as error:
        return None, getattr(error, "why", str(error))


def sentence_of(history: History) -> str:
    """The sentence without the verdict that the heading above it already says."""
    said = history.describe().removeprefix(f"{history.verdict[:1].upper()}{history.verdict[1:]}: ")
    return f"{said[:1].upper()}{said[1:]}"


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


def tiles(results: Results, history: History | None) -> list[Tile]:
    """The numbers that a reader looks for first."""
    measured = results.measures()
    keys = results.key_frequencies
    return [
        Tile("memorized at", _step(history.memorized_step if history else None), "train accuracy ≥ 0.99"),
        Tile("generalized at", _step(history.generalized_step if history else None), "test accuracy ≥ 0.95, sustained"),
        Tile("test accuracy", percent(measured.get("test_accuracy")), "last checkpoint"),
        Tile(
            "key frequencies",
            "not measured" if keys is None else ", ".join(map(str, keys)) or "none",
            "last checkpoint",
        ),
        Tile("logits explained", percent(measured.get("logit_fve")), "by the key frequencies"),
        Tile("restricted loss", number(measured.get("restricted_loss")), "nats, all pairs"),
        Tile("excluded loss", number(measured.get("excluded_loss")), "nats, train pairs"),
        Tile("test loss", number(measured.get("test_loss")), "nats, last checkpoint"),
    ]


def phase_section(results: Results, phase: Phase, events: Sequence[Event]) -> PhaseSection:
    """The table, figures and events of one phase."""
    steps = checkpoints_of(phase, results.dataset["step"].values)
    note = "" if steps else "No checkpoint has been analyzed."
    if len(steps) == 1:
        note = f"One checkpoint, step {steps[0]}, is nearest to both ends of this phase: no change can be shown."
    return PhaseSection(
        name=phase.name,
        start=whole(phase.start),
        last=whole(phase.stop - 1),
        meaning=MEANING[phase.name],
        steps=steps,
        rows=rows(results.dataset, steps[0], steps[-1]) if steps else [],
        events=[event for event in events if event.step in phase],
        pictures=pictures.of_steps(results, steps, phase.name) if steps else [],
        note=note,
    )


def provenance(results: Results) -> dict[str, list[tuple[str, str]]]:
    """Tables of what the run is and where it was made."""
    directory, leaked = results.directory, results.leaked_share
    steps = results.dataset["step"].values
    data = [
        ("run id", directory.run_id),
        *(("status" if key == "status" else f"status: {key}", str(value)) for key, value in directory.status.items()),
        ("evaluations", whole(results.metrics.sizes["step"])),
        ("analyzed checkpoints", f"{whole(len(steps))}{f', steps {steps[0]} to {steps[-1]}' if len(steps) else ''}"),
        ("skipped checkpoints", whole(len(results.skipped))),
        ("leaked share of the test pairs", percent(leaked)),
        ("analyses", ", ".join(results.analyses) or "none"),
    ]
    return {
        "Run": data,
        "Configuration": list(flat(directory.experiment)),
        "Environment": list(flat(directory.environment)) or [("environment", "not recorded")],
    }


def _step(step: int | None) -> str:
    return "never" if step is None else f"step {whole(step)}"
