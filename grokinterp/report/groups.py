"""The chapter on groups: irreducible representations and cosets."""

import xarray as xr

from grokinterp import figures
from grokinterp.numbers import percent
from grokinterp.report.plate import Plate, View


def rivals_caption(data: xr.Dataset, _view: View) -> str:
    """Return the caption of the answers in two groups, with the group that the network has learned."""
    last = data.isel(step=-1)
    names = [str(name) for name in last["rival"].values]
    learned = [name for name, is_learned in zip(names, last["is_learned"].values, strict=True) if is_learned]
    shares = " and ".join(
        f"{percent(float(share))} as in {name}"
        for name, share in zip(names, last["disputed_accuracy"].values, strict=True)
    )
    verdict = f"the network has learned {learned[0]}" if learned else "neither group is learned (99 % or more)"
    return (
        "Both groups agree on every training pair. On the disputed pairs, which are never trained on, "
        f"{shares} at the last checkpoint: {verdict}."
    )


PLATES = (
    Plate(
        lambda data, view: figures.irrep_similarity(data, view.phases),
        ("irrep_spectrum",),
        "Key representations of the group",
        "Similarity over held-out {examples} of the logits with the characters of the last checkpoint's key "
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
    Plate(
        lambda data, _: figures.factor_power(data),
        ("factor_power",),
        "Embeddings of the operands",
        "Share of the variance of each operand's embedding, over the elements of the group, at every representation, "
        "at step {step}.",
        of_some=True,
    ),
    Plate(
        lambda data, view: figures.branch_accuracy(data, view.phases),
        ("branch_performance",),
        "Test accuracy by operation",
        "Accuracy on the test examples of each operation.",
        of_some=True,
    ),
    Plate(
        lambda data, view: figures.branch_similarity(data, view.phases),
        ("branch_spectrum",),
        "Key representations by operation",
        "Similarity over held-out examples of each operation's logits with the key characters of its group, or with "
        "the three most similar characters if none is key. The dashed line is the highest of their thresholds.",
        of_some=True,
    ),
    Plate(
        lambda data, view: figures.rival_groups(data, view.phases),
        ("rival_groups",),
        "Answers in each of two groups",
        rivals_caption,
        of_some=True,
    ),
)
