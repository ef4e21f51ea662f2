"""The order in which a network learns its final structure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import xarray

NEVER = -1
"""Placeholder for a step that does not exist."""


class Similarity(NamedTuple):
    """Names of the variables with the similarities and keys, of their axis, and the format of a key's name."""

    similarity: str
    is_key: str
    axis: str
    name: str


SIMILARITIES = (
    Similarity("logit_similarity", "is_key", "frequency", "k = {}"),
    Similarity("irrep_similarity", "is_key_irrep", "irrep", "{}"),
    Similarity("answer_similarity", "is_key_answer", "answer_irrep", "{}"),
)
"""The first entry present in a dataset is used, since the frequencies of a cyclic group are also its irreps."""


def learning_order(dataset: "xarray.Dataset") -> "xarray.Dataset":
    """Date when each key frequency, or key irreducible representation, of the last checkpoint was learned.

    For each key: ``key_from``, the first checkpoint from which it is always a key; ``half_from``, the first checkpoint
    from which its similarity is always at least half of its final value; and ``final_similarity``. Rows are sorted by
    ``half_from``, then ``key_from``. Steps are accurate to the distance between two checkpoints. ``half_from`` does not
    depend on the threshold that defines a key. The table is empty without keys or with fewer than two checkpoints.

    >>> import xarray as xr
    >>> at = {"step": [0, 10, 20, 30], "frequency": [3, 5]}
    >>> similarity = ("step", "frequency"), [[0.0, 0.1], [0.1, 0.5], [0.4, 0.6], [0.6, 0.7]]
    >>> is_key = ("step", "frequency"), [[False, True], [False, False], [True, True], [True, True]]
    >>> found = learning_order(xr.Dataset({"logit_similarity": similarity, "is_key": is_key}, at))
    >>> found["learned"].values.tolist(), found["half_from"].values.tolist(), found["key_from"].values.tolist()
    (['k = 5', 'k = 3'], [10, 20], [20, 20])

    Source: Chughtai et al. 2023 (order in which representations are learned); the two dates: docs/formulas.md, "Sparse
    structure and bounds".
    """
    for found in SIMILARITIES:
        if found.similarity in dataset and found.is_key in dataset and dataset.sizes["step"] > 1:
            return _ordered(dataset, found)
    nothing = np.empty(0, dtype=np.int64)
    return _table([], nothing, nothing, nothing.astype(float))


def _ordered(dataset: "xarray.Dataset", found: Similarity) -> "xarray.Dataset":
    similarity = dataset[found.similarity].transpose("step", found.axis).values
    is_key = dataset[found.is_key].transpose("step", found.axis).values.astype(bool)
    steps, keys = dataset["step"].values, np.flatnonzero(is_key[-1])
    key_from = stays_from(steps, is_key[:, keys])
    half_from = stays_from(steps, similarity[:, keys] >= similarity[-1, keys] / 2)
    order = np.lexsort((key_from, half_from))
    names = [found.name.format(dataset[found.axis].values[key]) for key in keys[order]]
    return _table(names, key_from[order], half_from[order], similarity[-1, keys][order])


def stays_from(steps: np.ndarray, holds: np.ndarray) -> np.ndarray:
    """Return, for each column, the first step from which it always holds; ``NEVER`` if it fails at the last step.

    >>> stays_from(np.array([0, 5, 9]), np.array([[True, True, True], [False, True, True], [True, True, False]]))
    array([ 9,  0, -1])
    """
    run = np.logical_and.accumulate(holds[::-1], axis=0)[::-1]
    return np.where(run.any(0), steps[run.argmax(0)], NEVER)


def _table(
    names: Sequence[str], key_from: np.ndarray, half_from: np.ndarray, similarity: np.ndarray
) -> "xarray.Dataset":
    found = {
        "key_from": (key_from, "key at every checkpoint from", "step"),
        "half_from": (half_from, "half of the last similarity from", "step"),
        "final_similarity": (similarity, "similarity at the last checkpoint", "1"),
    }
    variables = {
        name: ("learned", values, {"long_name": text, "units": unit}) for name, (values, text, unit) in found.items()
    }
    import xarray  # which takes half a second; dates alone need none

    return xarray.Dataset(variables, {"learned": list(names)})
