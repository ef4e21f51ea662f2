"""The chapter on the circuit: verdict, causal evidence, idealized network, modes, and certificates."""

import numpy as np
import xarray as xr

from grokinterp import figures
from grokinterp.numbers import number, percent
from grokinterp.report.plate import Plate, View

CLOCK, PIZZA = 0.707, 0.98
"""Gradient symmetricities up to which a circuit is a clock and from which it is a pizza, as in ``circuit_verdict``."""

MEANINGS = {
    "clock": "a clock: it maps both operands to angles and multiplies their waves, so that the "
    "logit of each answer c follows cos w(a + b − c)",
    "pizza": "a pizza, a sum-type circuit: it adds the operands, as points on circles, before any nonlinearity, "
    "so that the logits follow the sum, whose length depends on a − b",
    "mixed": "a circuit between a clock and a pizza",
    "additive": "a sum of embeddings followed by a nonlinearity: it adds the operands before any operation can "
    "multiply them, so it is not a clock, and its circles do not behave like pizzas",
    "irrep-based": "the irreducible representations of the task's group, whose characters its logits follow",
    "memorizer": "memorization: it answers the training {examples} far better than the others",
    "none": "none of the circuits that this report can identify",
}
"""The meaning of each verdict."""


def lead(view: View) -> str:
    """Return the verdict on the last checkpoint, any verdict that is close, and how much the circuit explains."""
    results = view.results
    if results.circuit is None:
        return ""
    meaning = MEANINGS.get(results.circuit, results.circuit).format(examples=view.vocabulary.examples)
    other = results.circuit_close_to
    close = f" The evidence for the verdict “{other}” is almost as strong." if other else ""
    return f"At the last checkpoint, the network relies on {meaning}.{close}{explained(view)}"


def explained(view: View) -> str:
    """Return a sentence on the share of the logits' variance that the circuit explains; "" without a circuit."""
    results = view.results
    by_group = results.circuit == "irrep-based"
    share = results.measures().get("irreps_explained" if by_group else "logit_fve")
    if share is None or results.circuit in ("memorizer", "none"):
        return ""
    by = "characters of the group" if by_group else "key frequencies"
    return f" The {by} explain {percent(share)} of the logits' variance; {percent(1 - share)} is unexplained."


def verdict_caption(data: xr.Dataset, _view: View) -> str:
    """Return the caption of the verdicts and, where measured, of the curves of the evidence."""
    text = "The circuit of each checkpoint"
    if "circularity" not in data or not np.isfinite(data["circularity"]).any():
        return f"{text}."
    return (
        f"{text}, with its evidence: a gradient symmetricity of {PIZZA:g} or more indicates a pizza, of {CLOCK:g} or "
        "less a clock. A model that adds its operands before the first nonlinearity is classified by the answers "
        "of its circles. Distance irrelevance is not part of the verdict. Several pizzas together also fit the clock "
        "template."
    )


def largest_family(data: xr.Dataset, name: str) -> str:
    """Return a sentence on the mode family with the largest final share; "" if a share is not finite."""
    last = data[name].isel(step=-1)
    if not np.isfinite(last).all():
        return ""
    best = last.isel(mode_family=int(last.values.argmax()))
    return f" The largest share at the end is {percent(float(best))} ({best['mode_family'].item()})."


def alignment_caption(data: xr.Dataset, _view: View) -> str:
    """Return the caption of the phase alignment, with the angle at the last checkpoint."""
    text = (
        "Concentration of φ_a + φ_b − φ_out around one angle over the neurons, weighted by their amplitudes: 1 if the "
        "angle is the same for all neurons. Dotted: independent phases."
    )
    angle = float(data["phase_alignment_angle"][-1])
    return f"{text} At the end, the angle is {number(angle)} rad." if np.isfinite(angle) else text


PLATES = (
    Plate(
        lambda data, view: figures.circuit_verdict(data, view.phases),
        ("circuit_verdict",),
        "Verdict on the circuit and its evidence",
        verdict_caption,
    ),
    Plate(
        lambda data, view: figures.causal_evidence(data, view.phases),
        ("causal_evidence",),
        "Causal evidence",
        "On held-out {examples}: necessity is the increase in loss without the key structure, and sufficiency is how "
        "well the key structure alone answers. Dotted: the same for an equal amount of random structure. The score is "
        "high only if both are high.",
    ),
    Plate(
        lambda data, view: figures.branch_evidence(data, view.phases),
        ("branch_evidence",),
        "Causal evidence by operation",
        "The causal score of the key representations of each operation, over its held-out examples alone: necessity or "
        "sufficiency above random parts of equal rank, whichever is smaller.",
        of_some=True,
    ),
    Plate(
        lambda data, view: figures.idealized_network(data, view.phases),
        ("idealized_network",),
        "Idealized network",
        "The idealized network with each neuron's frequency, amplitude and phases: its accuracy, how often it agrees "
        "with the real network, the share of the real logits that it explains, and the share of pairs whose margin "
        "exceeds the error of the idealization.",
    ),
    Plate(
        lambda data, _: figures.circles_alone(data),
        ("isolated_circles",),
        "Answers from single circles of the embedding",
        "Answers from one pair of the embedding's principal components alone, at step {step}.",
    ),
    Plate(
        lambda data, view: figures.neuron_modes(data, view.phases),
        ("mode_families",),
        "Modes of the neurons",
        lambda data, _: (
            "Share of the last hidden layer's variance over all pairs that is a function of a + b, of a − b, of one "
            f"operand, or of none of these.{largest_family(data, 'neuron_mode_share')}"
        ),
    ),
    Plate(
        lambda data, view: figures.logit_modes(data, view.phases),
        ("mode_families",),
        "Modes of the logits",
        lambda data, _: (
            "The same for the logits: those of a clock depend on a + b for every class, those of a pizza also on a and "
            f"on b.{largest_family(data, 'logit_mode_share')}"
        ),
    ),
    Plate(
        lambda data, view: figures.key_directions(data, view.phases),
        ("key_directions",),
        "Neurons along the key directions",
        "Along the directions from which the logits read a key frequency: share of the neurons' variance of the form "
        "α cos w(a + b) + β sin w(a + b), averaged over the directions of the cosine and the sine.",
    ),
    Plate(
        lambda data, view: figures.phase_alignment(data, view.phases),
        ("phase_alignment",),
        "Phase alignment of the neurons",
        alignment_caption,
    ),
    Plate(
        lambda data, view: figures.certified_accuracy(data, view.phases),
        ("certified_accuracy",),
        "Certified accuracy",
        "Share of the answers that a low-rank output map proves to be correct, from the waves or matrix entries of the "
        "key structure and further directions. It is never above the accuracy, and 0 where the rest of the map could "
        "overturn every answer.",
    ),
)
