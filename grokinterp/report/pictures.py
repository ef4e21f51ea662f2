"""The figures of a report as images that travel inside the page."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from grokinterp import figures
from grokinterp.figures.settings import unchanged
from grokinterp.figures.structure import thin
from grokinterp.numbers import number
from grokinterp.page.pictures import Gallery, gallery
from grokinterp.phases import History, Phase
from grokinterp.report.absence import Part, listed, not_shown
from grokinterp.report.vocabulary import Words
from grokinterp.runs.results import Results


def timeline(results: Results, history: History | None, words: Words) -> Gallery:
    """The whole run in one figure."""
    drawn = figures.timeline(results.metrics, results.dataset, history, loss=f"{words.loss} [{words.unit}]")
    caption = "Losses and accuracies over training. Bands are the phases; dotted lines mark events."
    if "restricted_loss" in results.dataset:
        caption = (
            "Losses, accuracies and progress measures over training. Bands are the phases; dotted lines mark events. "
            "Dotted curves are controls: as many random frequencies in place of the key frequencies."
        )
        if words.loss.startswith("StableMax"):
            caption += " Progress measures are cross-entropies of the softmax, which training did not minimize."
    if "noisy_accuracy" in results.metrics:
        caption += (
            " Mislabeled are the training examples with a wrong label: the share of them that is answered as labeled, "
            "and the share that is given the true answer all the same."
        )
    if any(str(name).startswith("average_") for name in results.metrics):
        caption += " Dashed curves of the same color are those of the averaged weights."
    alt = f"Curves over the optimizer steps. {history.describe() if history else ''}".strip()
    missing = "" if drawn else "Not shown: there are no results of performance and no training metrics."
    changed = figures.training_settings(results.metrics, history)
    said = settings_caption(results.metrics)
    return gallery([(drawn, caption, alt), (changed, said, said)], missing)


def settings_caption(metrics: xr.Dataset) -> str:
    """What was changed in training, and what was not."""
    text = "What training changed as it went on."
    still = [f"{name.replace('_', ' ')} {number(float(metrics[name][-1]))}" for name in unchanged(metrics)]
    return f"{text} Unchanged: {listed(still)}." if still else text


STRUCTURE = (
    Part("embedding spectrum", "embedding_power", "embedding_spectrum"),
    Part("neuron frequencies", "neuron_frequency", "neuron_frequencies"),
    Part("embedding circles", "embedding_circle", "embedding_circles"),
    Part("logits by label", "logit_by_label", "logit_map"),
    Part("attention to a", "attention_to_a", "attention_map"),
)


def of_steps(results: Results, steps: Sequence[int], name: str, words: Words) -> Gallery:
    """What the network looks like at the start and end of a phase."""
    data = results.with_maps
    at = " and ".join(f"step {step}" for step in steps)
    spectra = figures.spectra(data, steps, label=words.label, unit=words.logit_unit)
    caption = attention_caption(data, words, best="attention_frequency" in data) + at_few(results, "attention_map")
    attention = (figures.attention(data, steps), caption, f"{name}: attention patterns at {at}")
    if "attention_to_a" not in data:
        drawn = figures.attention_by_position(data, steps)
        attention = (drawn, position_caption(words), f"{name}: mean attention to every position at {at}")
    circles = (figures.circles(data, steps), circle_caption(words), f"{name}: embedding circles at {at}")
    columns = spectra_caption(data) + at_few(results, *["logit_map"] * ("logit_by_label" in data))
    return gallery([(spectra, columns, f"{name}: {_columns(data)} at {at}"), attention, circles],
                   "" if words.is_recorded else not_shown(STRUCTURE, results))  # fmt: skip


HEALTH = (
    Part("softmax collapse", "collapsed_share", "softmax_collapse"),
    Part("logit magnitude and margin", "logit_margin", "logit_statistics"),
    Part("alignment", "gradient_weight_cosine", "gradient_weight_alignment"),
    Part("class cosine", "class_cosine_between", "class_cosine"),
    Part("singular values", "singular_value", "singular_values"),
)


def health(results: Results, phases: Sequence[Phase], steps: Sequence[int], words: Words) -> Gallery:
    """Precision, logits, gradients, representations and ranks over the whole run."""
    data, unit = results.dataset, words.logit_unit
    small = [
        (figures.softmax_collapse(data, phases), "Where a plain softmax loss stops learning, by precision."),
        (figures.logit_magnitude(data, phases, unit=unit), "How large the logits are."),
        (figures.logit_margin(data, phases, unit=unit), "By how much the right answer wins."),
        (figures.alignment(data, phases), "Gradient −1: descent does nothing but scale the weights up."),
        (figures.class_cosine(data, phases), "Whether examples of one class look alike."),
        (figures.effective_rank(data, phases), "How many directions the weights use."),
    ]
    large = [
        (
            figures.alignment_by_parameter(data),
            "Cosine of gradient and applied update with each parameter; gray where it is not defined.",
            "Heatmap of the cosine with the weights, by parameter and optimizer step",
        ),
        (
            figures.singular_values(data, steps),
            "The largest singular values of the weight matrices at the start of each phase and at the end.",
            "Singular values by index for each weight matrix",
        ),
    ]
    narrow = [(figure, caption, f"{caption} Curves over the optimizer steps.") for figure, caption in small]
    drawn = gallery(narrow, wide=False).pictures + gallery(large).pictures
    return Gallery(drawn, not_shown(HEALTH, results))


COLUMNS = {
    "embedding_power": ("embedding spectrum", "the embedding's Fourier spectrum, key frequencies in orange."),
    "neuron_frequency": (
        "neuron frequencies",
        "each neuron's frequency and the variance it explains; above the dashed line it is specialized.",
    ),
    "logit_by_label": ("logits by label", "mean logits; the right answers are on the diagonal."),
}
"""What the columns of the spectra are, in a few words and in a sentence."""


def spectra_caption(data: xr.Dataset) -> str:
    """What the columns that are there show, from left to right."""
    texts = [text for name, (_, text) in COLUMNS.items() if name in data]
    sides = {1: [""], 2: ["Left: ", "Right: "]}.get(len(texts), ["Left: ", "Middle: ", "Right: "])
    said = " ".join(f"{side}{text}" for side, text in zip(sides, texts, strict=False))
    return f"{said[:1].upper()}{said[1:]}{thinned(data, 'label', 'label and class')}"


def _columns(data: xr.Dataset) -> str:
    return " and ".join(", ".join(name for key, (name, _) in COLUMNS.items() if key in data).rsplit(", ", 1))


def attention_caption(data: xr.Dataset, words: Words, *, best: bool) -> str:
    """From where the attention is, whether each head's ``best`` frequency is named, and what is gray."""
    holes = "attention_to_a" in data and np.isnan(data["attention_to_a"].isel(step=-1)).any()
    named = ", with each head's best frequency and the variance it explains" if best else ""
    gray = "; gray where a ∘ b is not defined" if holes else ""
    text = f"Attention from {words.read_at} to a, for every pair (a, b), in the last layer{named}{gray}."
    return f"{text}{thinned(data, 'a', 'a and b')}"


def position_caption(words: Words) -> str:
    """From where to where the mean attention is."""
    return f"Attention from {words.read_at} to every position, on average over the examples."


def circle_caption(words: Words) -> str:
    """What is drawn, and in which order."""
    return (
        f"Tokens in the embedding's plane of each key frequency, colored by {words.token}, "
        "joined in the order of their angle."
    )


def thinned(data: xr.Dataset, dim: str, names: str) -> str:
    """Whether a heatmap leaves rows and columns out."""
    every = thin(data[dim], dim)[1] if dim in data.coords else 1
    return f" Shown: one {names} in {every}." if every > 1 else ""


def at_few(results: Results, *names: str) -> str:
    """At how many checkpoints some analyses were run, '' where at all of them."""
    parts = [part for name in names if (part := results.analyses.get(name)) is not None]
    marks = dict.fromkeys(str(part.attrs["thinned"]) for part in parts if "thinned" in part.attrs)
    return f" Measured at {listed(marks)}." if marks else ""
