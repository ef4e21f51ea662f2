"""The chapter on structure: spectra, circles, neurons, attention, and the order of learning."""

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
"""The description of each column of the spectra, by the variable that it shows."""


def spectra_caption(data: xr.Dataset, _view: View) -> str:
    """Return the caption of the spectra, which describes the columns from left to right."""
    texts = [text for name, text in COLUMNS.items() if name in data]
    sides = {1: [""], 2: ["Left: ", "Right: "], 3: ["Left: ", "Middle: ", "Right: "]}[len(texts)]
    joined = " ".join(f"{side}{text}" for side, text in zip(sides, texts, strict=True))
    return f"{joined[:1].upper()}{joined[1:]}{thinned(data, 'label', 'label and class')}"


def draw_attention(data: xr.Dataset, view: View) -> Figure | None:
    """Draw the attention to a by pairs or, for examples that are not pairs, the mean attention by position."""
    by_pairs = "attention_to_a" in data
    return (figures.attention if by_pairs else figures.attention_by_position)(data, view.steps)


def attention_caption(data: xr.Dataset, view: View) -> str:
    """Return the caption of the attention: its position, its target, and the meaning of gray cells."""
    read_at = view.vocabulary.read_at
    if "attention_to_a" not in data:
        return f"Attention from {read_at} to every position, averaged over the examples."
    best = ", with each head's best frequency and the variance that it explains" if "attention_fve" in data else ""
    holes = np.isnan(data["attention_to_a"].isel(step=-1)).any()
    gray = "; gray where a ∘ b is not defined" if holes else ""
    text = f"Attention from {read_at} to a, for every pair (a, b), in the last layer{best}{gray}."
    return f"{text}{thinned(data, 'a', 'a and b')}"


def circle_caption(_data: xr.Dataset, view: View) -> str:
    """Return the caption of the embedding circles: their planes, their colors, and their order."""
    return (
        f"Tokens in the embedding's plane of each key frequency, colored by {view.vocabulary.token} and joined in the "
        "order of their angle."
    )


def thinned(data: xr.Dataset, dim: str, names: str) -> str:
    """Return a sentence on the rows and columns that a heatmap omits; "" if it shows all."""
    every = thin(data[dim], dim)[1] if dim in data.coords else 1
    return f" Shown: one {names} in {every}." if every > 1 else ""


def by_answers(data: xr.Dataset, view: View) -> xr.Dataset:
    """Return the data, or an empty dataset if the operands form a group, whose representations say more."""
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
"""Figures of single checkpoints, shown for the start and the end of every phase."""

PLATES = (
    Plate(
        lambda data, view: figures.prediction_field(data, view.steps),
        ("pair_answers",),
        "Prediction field",
        "Pairs that the network answers correctly, trained and held out, and the share of the held-out pairs. A "
        "memorizing network answers only the trained pairs; the circuit answers all.",
    ),
    Plate(
        lambda _, view: figures.learning_order(
            view.results.learning_order, view.phases, last=int(view.results.dataset["step"].max(initial=0))
        ),
        (),  # drawn from all available spectra of the chapter
        "Order of learning",
        "First checkpoint from which each key frequency or representation of the last checkpoint keeps at least half "
        "of its final similarity with the logits, and first checkpoint from which it stays key.",
    ),
    Plate(
        lambda data, _: figures.neuron_participation(data),
        ("neuron_participation",),
        "Inverse participation ratios of the neurons",
        "Concentration of each neuron on a few frequencies of an operand: 1 for a single frequency, near 0 for noise.",
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
        lambda data, view: figures.prefix_matching(data, view.phases),
        ("head_roles",),
        "Prefix matching of the heads",
        "Attention to the tokens that follow an earlier occurrence of the same token, for the heads with the highest "
        "score at the last checkpoint. An induction head forms where the score rises from that of uniform attention.",
        of_some=True,
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
    """Return the table of when each key frequency or representation was learned; None if none is key."""
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
