"""The formation of induction heads, from the scores of all heads over the checkpoints."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from grokinterp.phases.learned import NEVER, stays_from

if TYPE_CHECKING:
    import xarray

PRESENT = 0.5  # an induction head has at least this share of the way from uniform attention to a score of 1
ABSENT = 0.25  # no head is forming below this share


class Induction(NamedTuple):
    """The strongest induction head of the last checkpoint, and when induction heads formed.

    Attributes:
        layer: its layer.
        head: its index in the layer.
        prefix_matching: its attention to the tokens after earlier occurrences of the same token.
        chance: the same for uniform attention.
        copying: the share of positive eigenvalues of its map from tokens to logits, -1 to 1; NaN if unknown.
        start: the last step before which no head had begun to match prefixes; None if one had at the first checkpoint.
        formed: the first step from which there was always a head that matches prefixes; None if there is none.
    """

    layer: int
    head: int
    prefix_matching: float
    chance: float
    copying: float
    start: int | None
    formed: int | None


def induction(dataset: "xarray.Dataset") -> Induction | None:
    """Return the strongest induction head and when induction heads formed; None if the heads were not measured.

    Let m be the largest prefix-matching score of all heads, and c that of uniform attention. There is an induction head
    if (m - c) / (1 - c) is at least 1/2, and none is forming below 1/4. Steps are accurate to the distance between two
    checkpoints.

    >>> import xarray as xr
    >>> score = ("step", "layer", "head"), [[[0.1, 0.1]], [[0.1, 0.3]], [[0.1, 0.9]]]
    >>> at = {"step": [0, 10, 20], "layer": [0], "head": [0, 1]}
    >>> found = {"prefix_matching": score, "prefix_matching_chance": ("step", [0.1] * 3), "copying": score}
    >>> induction(xr.Dataset(found, at))[:4], induction(xr.Dataset(found, at))[5:]
    ((0, 1, 0.9, 0.1), (10, 20))

    Source: Olsson et al. 2022 (prefix matching, and the phase change in which it appears).
    """
    if "prefix_matching" not in dataset or not dataset.sizes["step"]:
        return None
    scores, steps = dataset["prefix_matching"].transpose("step", "layer", "head"), dataset["step"].values
    chance = dataset["prefix_matching_chance"].values
    best = (scores.max(("layer", "head")).values - chance) / (1 - chance)
    layer, head = np.unravel_index(int(scores.values[-1].argmax()), scores.shape[1:])
    of = {"layer": int(layer), "head": int(head), "step": -1}
    formed = int(stays_from(steps, (best >= PRESENT)[:, None])[0])
    before = np.flatnonzero((best < ABSENT) & ((steps < formed) | (formed == NEVER)))
    return Induction(
        int(layer),
        int(head),
        float(scores.isel(of)),
        float(chance[-1]),
        float(dataset["copying"].isel(of)),
        int(steps[before[-1]]) if len(before) else None,
        None if formed == NEVER else formed,
    )
