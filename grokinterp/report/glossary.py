"""The glossary: descriptions of all analyses of a run, general terms, and the cited papers."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import xarray as xr

from grokinterp.page import asset
from grokinterp.phases import SUSTAINED
from grokinterp.report import explorer, timeline
from grokinterp.report.chapters import Chapter
from grokinterp.report.plate import View
from grokinterp.runs.labels import description

REFERENCES = Path(__file__).parent / "references.md"
"""The full references, one per line."""

NAME = r"[A-Z][\w-]+"
CITATION = re.compile(rf"({NAME})(?:,? (?:and|&) {NAME}| et al\.|, {NAME})*,? ((?:19|20)\d\d)\b")
"""Matches the first author and the year of a citation."""


class Entry(NamedTuple):
    """A term with its explanation and its source, if any.

    Attributes:
        measures: long name and unit of each variable of an analysis.
    """

    title: str
    about: Sequence[str]
    source: str = ""
    measures: Sequence[tuple[str, str]] = ()


class Group(NamedTuple):
    """Entries under one heading."""

    title: str
    entries: list[Entry]


TERMS = (
    Entry(
        "Loss, accuracy",
        [
            "The loss is the mean over the examples of the training loss, in float64: the cross-entropy, -log "
            "StableMax, or the squared error averaged over the outputs; under deep supervision it is also averaged "
            "over the steps of the model. The accuracy is the share of the examples answered as they are labeled "
            "or, in a regression, with a root mean squared error within the tolerance. Test examples are held out from "
            "both training and validation."
        ],
        "Power et al. 2022; Levi et al. 2023",
    ),
    Entry("Weight norm", ["The sum of the squares of all parameters."], "Nanda et al. 2023, §5"),
    Entry(
        "Leaked share",
        [
            "The share of the test examples whose mirror image, such as (b, a) for (a, b) under a commutative "
            "operation, is in the training set, so that symmetry alone gives the answer."
        ],
    ),
    Entry(
        "Phases",
        [
            f"Memorization lasts until the train accuracy is at least {SUSTAINED.memorized:g}. Circuit formation lasts "
            "until the plateau of the test loss ends and, where it is defined, the excluded loss has doubled. Cleanup "
            f"lasts until the test accuracy is at least {SUSTAINED.threshold:g} at {SUSTAINED.window} consecutive "
            "evaluations. Generalization follows. A run that generalizes without delay has only memorization, which "
            "then lasts until the network generalizes, and generalization. Without accuracies, the phases are dated by "
            "the losses."
        ],
        "Nanda et al. 2023, §5.2; rules: docs/formulas.md",
    ),
    Entry(
        "Events",
        [
            "Loss spikes, slingshots (a spike with a growing weight norm) and relapses of the test accuracy are marked "
            "inside a phase and do not end it."
        ],
        "Thilak et al. 2022; rules: docs/formulas.md",
    ),
)
"""Terms that do not belong to an analysis."""

LEARNED = Entry(
    "Order of learning",
    [
        "For each key frequency or representation of the last checkpoint: the first checkpoint from which its "
        "similarity with the logits stays at least half of its final value, and the first from which it stays key."
    ],
    "Chughtai et al. 2023; dates: docs/formulas.md",
)
MISLABELED = Entry(
    "Mislabeled examples",
    [
        "Training examples with an incorrect label, due to label noise. The report shows the share answered as labeled "
        "and the share answered correctly in spite of the label."
    ],
    "Doshi et al. 2023",
)
EXPONENTS = Entry(
    "Exponents, frequencies",
    [
        "If the answers are the products of a cyclic group of order n with generator g, operands and classes are "
        "numbered by their exponents, g^i ∘ g^j = g^(i + j): the residues themselves under addition, discrete "
        "logarithms under multiplication and division, and the negatives of these for subtrahends and divisors. "
        "a, b, and c denote exponents. Elements outside the group, such as 0 under multiplication, are "
        "excluded. Frequencies k = 1 … ⌊n/2⌋ are those of the functions cos w_k t and sin w_k t of an exponent t, "
        "with w_k = 2πk/n. Without such a group, no frequency measure is defined."
    ],
    "Nanda et al. 2023, §4.1",
)


def glossary(view: View, chapters: Iterable[Chapter]) -> list[Group]:
    """Return the general terms, and the analyses with results under their own chapter or the first that draws them."""
    metrics, analyses = view.results.metrics, view.results.analyses
    conditional = (
        (MISLABELED, "noisy_accuracy" in metrics),
        (EXPONENTS, "logit_spectrum" in analyses),
        (LEARNED, view.results.learning_order.sizes["learned"] > 0),
    )
    groups = [Group("Training and phases", [*TERMS, *(term for term, is_used in conditional if is_used)])]
    left = dict(analyses)
    own = [(chapter.title, members(chapter, analyses)) for chapter in chapters]
    for title, names in (*own, *REST, ("Others", list(analyses))):
        entries = [entry(name, left.pop(name)) for name in dict.fromkeys(names) if name in left]
        groups += [Group(title, entries)] if entries else []
    return groups


def members(chapter: Chapter, analyses: Mapping[str, xr.Dataset]) -> list[str]:
    """Return a chapter's analyses: those that name it, and those that it draws if they name no chapter."""
    own = [name for name, dataset in analyses.items() if dataset.attrs.get("chapter") == chapter.name]
    unnamed = [name for name in drawn(chapter) if name in analyses and "chapter" not in analyses[name].attrs]
    order = [*drawn(chapter), *own]
    return sorted({*own, *unnamed}, key=order.index)


def drawn(chapter: Chapter) -> list[str]:
    """Return the names of the analyses that a chapter draws."""
    return [name for plate in (*chapter.checkpoint_plates, *chapter.plates) for name in plate.analyses]


REST = (
    ("Timeline", timeline.ANALYSES),
    ("Checkpoints", [name for panel in explorer.PANELS for name in panel.analyses]),
)
"""Analyses that may not belong to a chapter, by the part of the page that draws them."""


def entry(name: str, dataset: xr.Dataset) -> Entry:
    """Return the entry of an analysis from the attributes of its results; older results provide only its name."""
    title = str(dataset.attrs.get("title", name.replace("_", " ").capitalize()))
    about = str(dataset.attrs.get("about", "")).replace("``", "")
    measures = [
        (description(variable.rename(key)), str(variable.attrs.get("units", "")))
        for key, variable in dataset.data_vars.items()
        if key != "checkpoint_digest"
    ]
    first, *others = about.split("\n\n")
    paragraphs = [part for part in (as_definition(first), *others) if part]
    return Entry(title, paragraphs, str(dataset.attrs.get("source", "")).removesuffix("."), measures)


def as_definition(text: str) -> str:
    """Return the first paragraph of a docstring as a definition.

    >>> as_definition("Return the loss of each part.")
    'The loss of each part.'
    """
    rest = text.removeprefix("Return ")
    return f"{rest[:1].upper()}{rest[1:]}"


def references(groups: Iterable[Group]) -> list[str]:
    """Return the full references of the papers that the entries cite."""
    sources = " ".join(entry.source for group in groups for entry in group.entries)
    cited = {match.groups() for match in CITATION.finditer(sources)}
    lines = [line.removeprefix("* ") for line in asset(REFERENCES).splitlines()]
    return [line for line in lines if (match := CITATION.match(line)) and match.groups() in cited]
