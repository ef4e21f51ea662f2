"""The chapter on structure: spectra, circles, neurons, attention, and the order in which frequencies were learned."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from grokinterp import figures
from grokinterp.figures.heatmaps import thin
from grokinterp.numbers import number, whole
from grokinterp.report.plate import Plate, Table, View

COLUMNS = {
    "embedding_power": "the embedding's Fourier spectrum, with key frequencies in orange.",
    "neuron_frequency": "each neuron's frequency and the variance that it explains; above the dashed line a neuron "
    "counts as specialized.",
    "logit_by_label": "mean logits; the correct answers are on the diagonal.",
}
"""The columns of the spectra, by the variable that each shows."""


def spectra_caption(data: xr.Dataset, _view: View) -> str:
    """Return what the columns show, from left to right."""
    texts = [text for name, text in COLUMNS.items() if name in data]
    sides = {1: [""], 2: ["Left: ", "Right: "], 3: ["Left: ", "Middle: ", "Right: "]}[len(texts)]
    joined = " ".join(f"{side}{text}" for side, text in zip(sides, texts, strict=True))
    return f"{joined[:1].upper()}{joined[1:]}{thinned(data, 'label', 'label and class')}"


def draw_attention(data: xr.Dataset, view: View) -> Figure | None:
    """Draw the attention to a by pairs or, for examples that are not pairs, the mean attention by position."""
    by_pairs = "attention_to_a" in data
    return (figures.attention if by_pairs else figures.attention_by_position)(data, view.steps)


def attention_caption(data: xr.Dataset, view: View) -> str:
    """Return where the attention is read and what it is given to, and when a cell is gray."""
    read_at = view.vocabulary.read_at
    if "attention_to_a" not in data:
        return f"Attention from {read_at} to every position, averaged over the examples."
    best = ", with each head's best frequency and the variance that it explains" if "attention_fve" in data else ""
    holes = np.isnan(data["attention_to_a"].isel(step=-1)).any()
    gray = "; gray where a ∘ b is not defined" if holes else ""
    text = f"Attention from {read_at} to a, for every pair (a, b), in the last layer{best}{gray}."
    return f"{text}{thinned(data, 'a', 'a and b')}"


def circle_caption(_data: xr.Dataset, view: View) -> str:
    """Return which plane the tokens are shown in, and their colors and order."""
    return (
        f"Tokens in the embedding's plane of each key frequency, colored by {view.vocabulary.token} and joined in the "
        "order of their angle."
    )


def thinned(data: xr.Dataset, dim: str, names: str) -> str:
    """Return a sentence on the rows and columns that a heatmap leaves out; '' where it shows all."""
    every = thin(data[dim], dim)[1] if dim in data.coords else 1
    return f" Shown: one {names} in {every}." if every > 1 else ""


def by_answers(data: xr.Dataset, view: View) -> xr.Dataset:
    """Return the data, or nothing where the operands form a group, whose representations say more."""
    return xr.Dataset() if "irrep_spectrum" in view.results.analyses else data


CHECKPOINT_PLATES = (
    Plate(
        lambda data, view: figures.spectra(
            data, view.steps, label=view.vocabulary.label, unit=view.vocabulary.logit_unit
        ),
        ("embedding_spectrum", "neuron_frequencies", "logit_map", "embedding_circles", "logit_spectrum"),
        "Spectra and logits",
        spectra_caption,
    ),
    Plate(
        draw_attention,
        ("attention_map", "attention_pattern", "attention_periodicity"),
        "Attention patterns",
        attention_caption,
    ),
    Plate(
        lambda data, view: figures.circles(data, view.steps),
        ("embedding_circles",),
        "Embedding circles",
        circle_caption,
    ),
)
"""What single checkpoints look like: shown for the start and the end of every phase."""

PLATES = (
    Plate(
        lambda _, view: figures.learning_order(
            view.results.learning_order, view.phases, last=int(view.results.dataset["step"].max(initial=0))
        ),
        (),  # drawn from the spectra of the chapter, whichever there are
        "Order of learning",
        "When each key frequency or representation of the last checkpoint reached half of its final similarity with "
        "the logits for good, and from which checkpoint on it was key.",
    ),
    Plate(
        lambda data, _: figures.neuron_participation(data),
        ("neuron_participation",),
        "Inverse participation ratios of the neurons",
        "How few frequencies of an operand each neuron reads: 1 for a single frequency, near 0 for noise.",
    ),
    Plate(
        lambda data, _: figures.head_entropy(data),
        ("head_patterns",),
        "Entropy of the heads' attention",
        "Entropy of the attention from the read-out position: 0 for a single position, and the logarithm of the "
        "number of positions for uniform attention.",
    ),
    Plate(
        lambda data, _: figures.head_correlation(data),
        ("head_patterns",),
        "Correlation of the heads' attention",
        "Correlation over the examples between the attention patterns of the last layer's heads, at step {step}. It is "
        "−1 where one head attends exactly where the other does not.",
    ),
    Plate(
        lambda data, view: figures.answer_similarity(by_answers(data, view), view.phases),
        ("answer_spectrum",),
        "Key representations of the answers",
        "Similarity over held-out examples of the logits with the key characters of the answers' group, or with the "
        "three most similar characters if none is key. The dashed line is the highest of their thresholds.",
    ),
    Plate(
        lambda data, view: figures.answers_explained(by_answers(data, view), view.phases),
        ("answer_spectrum",),
        "Logits explained by the answers' characters",
        "Share of the logits' variance in the characters of the answers' group.",
    ),
    Plate(
        lambda data, view: figures.operand_power(by_answers(data, view)),
        ("operand_spectrum",),
        "Spectra of the operands",
        "Share of the variance of the network's representation of each operand, by additive frequency, at step {step}.",
    ),
)


def order_table(view: View) -> Table | None:
    """Return when each key frequency or representation was learned; None if none is key."""
    order = view.results.learning_order
    if not order.sizes["learned"]:
        return None
    names = ("half_from", "key_from", "final_similarity")
    rows = [
        (str(name), whole(int(half)), whole(int(key)), number(float(similarity)))
        for name, half, key, similarity in zip(order["learned"].values, *(order[n].values for n in names), strict=True)
    ]
    columns = ("learned", "half of its final similarity from step", "key from step", "final similarity")
    return Table("Order of learning, to the nearest checkpoint", columns, rows)
