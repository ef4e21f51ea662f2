"""What is wrong with a run and which setting to change: plain rules on its measured numbers. Needs no PyTorch."""

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
)
"""Each sees the facts and says what is wrong, or None; the gravest first."""

OF_THE_RECORD = (design.leaking, design.too_rarely, design.few_checkpoints)
"""Those on how a run was split and recorded, which a network that is right on everything may need as well."""

__all__ = ["RULES", "Diagnosis", "diagnose", "told"]


def diagnose(results: Results) -> list[Diagnosis]:
    """What the numbers of a run show to be wrong, the gravest first; nothing where nothing is.

    Training metrics alone do; analyses, where there are some, add what only they show. What is not
    known, of an imported or recorded network for instance, is not judged. A network that is right on every
    example needs no remedy: only how it was split and recorded is judged.
    """
    facts = Facts.of(results)
    rules = OF_THE_RECORD if facts.is_right else RULES
    return [found for rule in rules if (found := rule(facts)) is not None]


def told(diagnoses: list[Diagnosis]) -> list[str]:
    """Lines for a person; none without a diagnosis."""
    lines = []
    for found in diagnoses:
        setting = f" Try {found.setting}" if found.setting else ""
        texts = (found.symptom, found.evidence, f"{found.remedy}{setting}")
        labels = ("diagnosis", "", "remedy")
        lines += [line(label, text) for label, text in zip(labels, texts, strict=True)]
    return lines
