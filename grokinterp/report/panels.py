"""The panels under the checkpoint slider: titles and captions."""

from typing import NamedTuple

import xarray as xr

from grokinterp.report import pictures
from grokinterp.report.explorer import Packed
from grokinterp.report.vocabulary import Words


class Panel(NamedTuple):
    """A canvas of the page; ``name`` is what the script draws on it."""

    name: str
    title: str
    caption: str
    css: str = "half"


def panels(dataset: xr.Dataset, packed: Packed, words: Words) -> list[Panel]:
    """The panels that the frames are packed for, in the order of the page."""
    losses = "Where this checkpoint is in the run"
    if any(curve["label"] == "restricted" for curve in packed["curves"]):
        losses += "; restricted on all pairs, excluded (all keys) on the training pairs"
    every = (
        Panel(
            "embedding_power", "Embedding spectrum",
            "Squared norm of the embedding's cosine and sine component at each frequency; key frequencies in orange.",
        ),
        Panel(
            "neuron_frequency", "Neuron frequencies",
            "Above: specialized neurons per frequency (variance explained over 85 %). "
            "Below: every neuron at its frequency.",
        ),
        Panel("embedding_circle", "Embedding circles", pictures.circle_caption(words), "wide"),
        Panel("attention_to_a", "Attention", pictures.attention_caption(dataset, words, best=False), "wide"),
        Panel("attention_mean", "Attention", pictures.position_caption(words), "wide"),
        Panel("losses", "Losses", f"{losses}."),
        Panel(
            "logit_by_label", "Logits by label",
            "Mean centered logit of every class for every label; the right answers are on the diagonal."
            + pictures.thinned(dataset, "label", "label and class"),
        ),
    )  # fmt: skip
    shown = {*packed["panels"], *(["losses"] if packed["curves"] else [])}
    return [panel for panel in every if panel.name in shown]
