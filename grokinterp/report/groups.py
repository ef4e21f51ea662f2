"""The chapter on groups: irreducible representations and cosets."""

from grokinterp import figures
from grokinterp.report.plate import Plate

PLATES = (
    Plate(
        lambda data, view: figures.irrep_similarity(data, view.phases),
        ("irrep_spectrum",),
        "Key representations of the group",
        "Similarity over held-out pairs of the logits with the characters of the last checkpoint's key "
        "representations, or of the three most similar representations if none is key. The dashed line is the highest "
        "of their thresholds.",
    ),
    Plate(
        lambda data, view: figures.explained(data, view.phases),
        ("irrep_spectrum", "irrep_fve"),
        "Logits and hidden layer explained by representations",
        "Share of the logits' variance in the characters of the group, and of the last hidden layer's in the key "
        "representations of either operand and of their product.",
    ),
    Plate(
        lambda data, _: figures.cosets(data),
        ("coset_scores",),
        "Neurons that are constant on cosets",
        "Number of neurons that depend on an operand only through its coset of a subgroup, by the order of the "
        "subgroup, at step {step}.",
    ),
)
