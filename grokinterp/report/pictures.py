"""The figures of a report as images that travel inside the page, or one line on why a figure is missing."""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from matplotlib.figure import Figure

from grokinterp import figures
from grokinterp.phases import History, Phase
from grokinterp.results import Results

READABLE = " !$()*+,-./:;=?@[]^_`{|}~"
"""What stays as it is in a data URL inside a double-quoted attribute; a third smaller than base64."""


class Picture(NamedTuple):
    """An SVG image with its caption and the text that stands for it; ``source`` is a data URL, '' if it is missing.

    Attributes:
        missing: why there is no image.
        wide: takes the whole width of the page.
        width, height: in CSS pixels, so that nothing moves while the page loads.
    """

    caption: str
    alt: str
    source: str = ""
    missing: str = ""
    wide: bool = True
    width: int = 0
    height: int = 0


def picture(figure: Figure | None, caption: str, alt: str, needs: str, *, wide: bool = True) -> Picture:
    """A figure as an image; without a figure, the name of the analyses that it needs."""
    if figure is None:
        return Picture(caption, alt, missing=f"Not shown: there are no results of {needs}.")
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    svg = " ".join(figures.to_svg(figure).decode("utf-8").split())
    source = f"data:image/svg+xml,{quote(svg, safe=READABLE)}"
    return Picture(caption, alt, source, wide=wide, width=width, height=height)


def timeline(results: Results, history: History | None) -> Picture:
    """The whole run in one figure."""
    drawn = figures.timeline(results.metrics, results.dataset, history)
    caption = (
        "Losses, accuracies and progress measures over training. Bands are the phases; dotted lines mark events. "
        "Dotted curves are controls: as many random frequencies in place of the key frequencies."
    )
    alt = f"Curves over the optimizer steps. {history.describe() if history else ''}"
    return picture(drawn, caption, alt.strip(), "performance and progress_measures, and no training metrics")


def of_steps(results: Results, steps: Sequence[int], name: str) -> list[Picture]:
    """What the network looks like at the start and end of a phase."""
    data = results.dataset
    at = " and ".join(f"step {step}" for step in steps)
    return [
        picture(
            figures.spectra(data, steps),
            "Left: the embedding's Fourier spectrum, key frequencies in orange. Middle: each neuron's frequency and "
            "the variance it explains; above the dashed line it is specialized. Right: mean logits; the right answers "
            "are on the diagonal.",
            f"{name}: embedding spectrum, neuron frequencies and logits by residue at {at}",
            "embedding_spectrum, neuron_frequencies and logit_map",
        ),
        picture(
            figures.attention(data, steps),
            "Attention from “=” to a, for every pair (a, b), with each head's best frequency and the variance it "
            "explains.",
            f"{name}: attention patterns of the last layer's heads at {at}",
            "attention_pattern",
        ),
        picture(
            figures.circles(data, steps),
            "Tokens in the embedding's plane of each key frequency, colored by token from 0 (dark) to p − 1 (bright), "
            "joined in the order of their angle.",
            f"{name}: embedding circles of the key frequencies at {at}",
            "embedding_circles, or no frequency is key at the last checkpoint",
        ),
    ]


def health(results: Results, phases: Sequence[Phase], steps: Sequence[int]) -> list[Picture]:
    """Precision, logits, gradients, representations and ranks over the whole run."""
    data = results.dataset
    small = [
        (figures.softmax_collapse, "softmax_collapse", "Where a plain softmax loss stops learning, by precision."),
        (figures.logit_magnitude, "logit_statistics", "How large the logits are."),
        (figures.logit_margin, "logit_statistics", "By how much the right answer wins."),
        (figures.alignment, "gradient_weight_alignment", "Gradient −1: descent does nothing but scale the weights up."),
        (figures.class_cosine, "class_cosine", "Whether examples of one class look alike."),
        (figures.effective_rank, "singular_values", "How many directions the weights use."),
    ]
    drawn = [
        picture(draw(data, phases), caption, f"{caption} Curves over the optimizer steps.", needs, wide=False)
        for draw, needs, caption in small
    ]
    return [
        *drawn,
        picture(
            figures.alignment_by_parameter(data),
            "Cosine of gradient and applied update with each parameter; gray where it is not defined.",
            "Heatmap of the cosine with the weights, by parameter and optimizer step",
            "gradient_weight_alignment",
        ),
        picture(
            figures.singular_values(data, steps),
            "The largest singular values of the weight matrices at the start of each phase and at the end.",
            "Singular values by index for each weight matrix",
            "singular_values",
        ),
    ]
