"""Diagnoses: rules on the measured numbers of a run that find a problem and the setting to change. Needs no PyTorch."""

from pathlib import Path

from grokinterp.diagnostics import design, generalizing, learning, stability
from grokinterp.diagnostics.facts import Diagnosis, Facts
from grokinterp.runs.results import Results
from grokinterp.runs.summary import line

RULES = (
    learning.diverged,
    learning.unlearned,
    stability.unstable,
    generalizing.collapsed,
    generalizing.scaling,
    generalizing.undecayed,
    generalizing.on_its_way,
    generalizing.partly,
    generalizing.unseen,
    generalizing.few_examples,
    generalizing.resting,
    stability.not_kept,
    stability.radial_update,
    stability.noise_stays,
    design.leaking,
    design.no_plateau,
    design.too_rarely,
    design.few_checkpoints,
    design.damaged_log,
    design.continued_elsewhere,
)
"""Each rule maps the facts to a diagnosis, or None; the most serious problems come first."""

OF_THE_RECORD = (
    design.leaking,
    design.too_rarely,
    design.few_checkpoints,
    design.damaged_log,
    design.continued_elsewhere,
)
"""Rules on how a run was split, recorded and stored, which apply even if the network answers everything correctly."""

__all__ = ["RULES", "Diagnosis", "diagnose", "diagnosis_lines"]


def diagnose(results: Results | str | Path) -> list[Diagnosis]:
    """Return the problems that the numbers of a run show, the most serious first.

    Training metrics are sufficient; analyses, if any, contribute the diagnoses that only they support. Unknown values,
    for instance of an imported or recorded network, are not judged. A network that answers every example correctly
    needs no remedy: only its split and its records are judged.

    Args:
        results: the results of a run, or its run directory.

    Raises:
        RunDirectoryError: the path is not a run directory.
    """
    facts = Facts.of(results if isinstance(results, Results) else Results.open(results))
    rules = OF_THE_RECORD if facts.is_right else RULES
    return [found for rule in rules if (found := rule(facts)) is not None]


def diagnosis_lines(diagnoses: list[Diagnosis]) -> list[str]:
    """Return the diagnoses as lines of text for the terminal."""
    lines = []
    for found in diagnoses:
        setting = f" Try {found.setting}" if found.setting else ""
        texts = (found.symptom, found.evidence, f"{found.remedy}{setting}")
        labels = ("diagnosis", "", "remedy")
        lines += [line(label, text) for label, text in zip(labels, texts, strict=True)]
    return lines
