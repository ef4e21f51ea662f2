"""What was published about a network, under our names: from the release's own files, or from the paper."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from grokinterp.interop.files import read_config, read_text
from grokinterp.interop.release import Release
from grokinterp.maths.representations import Irrep, irreps
from grokinterp.tasks import Task

Number = float | str | tuple[str, ...]


class Quantity(NamedTuple):
    """One published value.

    Args:
        published_as: its name where it was published.
        measure: ours.
        value: a number, a word, or a set of names.
        label: which entry along the measure's axis; None for a measure without one.
        is_loss: losses agree relatively, everything else absolutely.
        digits: decimal places that are given; None for all of them.
        error: standard error of the published value, where it is a mean over a sample.
        caveat: what is known to be wrong with the published value.
    """

    published_as: str
    measure: str
    value: Number
    label: str | None = None
    is_loss: bool = False
    digits: int | None = None
    error: float = 0.0
    caveat: str = ""


WHOLE = {
    "train_loss": "train_loss",
    "test_loss": "test_loss",
    "all_loss": "all_loss",
    "train_acc": "train_accuracy",
    "test_acc": "test_accuracy",
    "sum_of_squared_weights": "weight_norm",
    "percent_logits_explained": "irreps_explained",
    "percent_hidden_explained": "hidden_fve",
    "total_logit_restricted_loss": "irrep_restricted_loss",
    "total_logit_excluded_loss": "irrep_excluded_loss",
    "total_hidden_restricted_loss": "hidden_restricted_loss",
    "total_hidden_excluded_loss": "hidden_excluded_loss",
}
"""Fields of summary_metrics.json, Chughtai et al. 2023."""

BY_IRREP = {
    "logit_{}_rep_trace_similarity": "irrep_similarity",
    "percent_x_embed_{}_rep": "embedding_fve_left",
    "percent_y_embed_{}_rep": "embedding_fve_right",
    "percent_unembed_{}_rep": "unembedding_fve",
    "percent_hidden_x_{}_rep": "hidden_fve_left",
    "percent_hidden_y_{}_rep": "hidden_fve_right",
    "percent_hidden_xy_{}_rep": "hidden_fve_product",
    "hidden_restricted_loss_{}_rep": "hidden_restricted_loss_of",
    "hidden_excluded_loss_{}_rep": "hidden_excluded_loss_of",
    "logit_restricted_loss_{}_rep": "irrep_restricted_loss_of",
    "logit_excluded_loss_{}_rep": "irrep_excluded_loss_of",
}
"""The same, of one representation."""

PARTITIONS = {
    "s5_5d_a": "(2,2,1)",
    "s5_5d_b": "(3,2)",
    "s5_6d": "(3,1,1)",
    "a5_5d_a": "(3,2)",
    "a5_3d_a": "(3,1,1)_a",
    "a5_3d_b": "(3,1,1)_b",
}
"""Representations that have another name here; which of A_5's two of dimension 3 is which is a convention."""

SIGN = "sign"
"""The character of values 1 and -1 in the release."""

NO_REPRESENTATION = "its 3-dimensional matrices are no representation of A_5: their shares add up to more than 1"
ROUNDED = "its QR of four entries of rank 2 adds directions of rounding"

IN_PAPERS: dict[str, tuple[Quantity, ...]] = {
    "mod_addition_no_wd": (
        Quantity("key frequencies", "key_frequencies", ("36", "52")),
        Quantity("full-grid loss", "all_loss", 1.111e-7, is_loss=True),
        Quantity("variance of the logits explained", "logit_fve", 0.9460, digits=4),
        Quantity("restricted loss", "restricted_loss", 1.13e-8, is_loss=True),
        Quantity("excluded loss, all keys, train", "excluded_loss", 75.6, is_loss=True),
        Quantity("Gini coefficient of W_E", "gini_embedding", 0.178, digits=3),
    ),
    "low_precision_mod_addition": (
        Quantity("train loss", "train_loss", 3.045e-4, is_loss=True),
        Quantity("test loss", "test_loss", 3.995e-3, is_loss=True),
        Quantity("accuracy on all pairs", "all_accuracy", 0.99945, digits=5),
    ),
    "baseline": (
        Quantity("test loss", "test_loss", 2.00969e-4, is_loss=True),
        Quantity("norm of W_E over the residues", "embedding_norm", 16.7358, digits=4),
        Quantity("specialized neurons, FVE > .5", "specialized_neurons", 458.0, digits=0),
        Quantity("key frequencies", "key_frequencies", ("14", "35", "41", "42", "52")),
    ),
    "p99zdpze5l": (
        Quantity("distance irrelevance", "distance_irrelevance", 0.1717, digits=4),
        Quantity("gradient symmetricity", "gradient_symmetricity", 0.9937, digits=4),
        Quantity("circularity", "circularity", 0.9978, digits=4),
        Quantity("parameter norm", "parameter_norm", 22.854, digits=3),
        Quantity("algorithm", "circuit", "pizza"),
        Quantity("clock template, circle 1", "circle_clock_fve", 0.754, "1", digits=3),
        Quantity("clock template, circle 2", "circle_clock_fve", 0.756, "2", digits=3),
        Quantity("clock template, circle 3", "circle_clock_fve", 0.754, "3", digits=3),
        Quantity("pizza template, circle 1", "circle_pizza_fve", 0.983, "1", digits=3),
        Quantity("pizza template, circle 2", "circle_pizza_fve", 0.983, "2", digits=3),
        Quantity("pizza template, circle 3", "circle_pizza_fve", 0.984, "3", digits=3),
    ),
    "18c9ev5v5p": (
        Quantity("distance irrelevance", "distance_irrelevance", 0.174, digits=3),
        Quantity("gradient symmetricity", "gradient_symmetricity", 0.997, digits=3),
        Quantity("circularity", "circularity", 1.0, digits=3),
        Quantity("algorithm", "circuit", "pizza"),
    ),
    "2k4ohj6bhd": (
        Quantity("distance irrelevance", "distance_irrelevance", 0.7201, digits=4),
        Quantity("distance irrelevance, runner-up logit", "distance_irrelevance_runner_up", 0.8196, digits=4),
        Quantity("gradient symmetricity", "gradient_symmetricity", 0.7813, digits=4, error=0.015),
        Quantity("circularity", "circularity", 0.7342, digits=4),
        Quantity("algorithm", "circuit", "mixed"),
    ),
}
"""By the name of the file: Nanda et al. 2023 (recomputed), Zhong et al. 2023 (Table 1, §3; circles recomputed).

"baseline" is of the repository transformer-modular-addition: its history and its own count of neurons; its key
frequencies are recomputed.

The published symmetricity is a mean over about 100 triples; one network's scatter by 0.15 (all 205,379: 0.7731).
"""


def published(kind: str, release: Release) -> list[Quantity]:
    """Everything that is known of a network from its release or paper; nothing for one that nobody wrote about.

    Args:
        kind: the release, a key of ``RELEASES``.
        release: as its reader gave it.

    Raises:
        ForeignFileError: a file of published numbers that is not what it says.
    """
    if kind == "chughtai":
        return list(_of_chughtai(release))
    known = IN_PAPERS.get(release.source.stem.removeprefix("model_"), ())
    return [*known, *_last_stored(release)]


def _last_stored(release: Release) -> Iterator[Quantity]:
    """The last stored test loss, where it is that of the last checkpoint or of the step before."""
    curves = release.curves
    rows = zip(curves.get("step", []), curves.get("test_loss", []), strict=False)
    near = [value for step, value in rows if value == value and max(release.states) - step <= 1]
    if near:
        yield Quantity("last stored test loss", "test_loss", near[-1], is_loss=True)


def _of_chughtai(release: Release) -> Iterator[Quantity]:
    """summary_metrics.json, of every key representation and as a whole, and key_reps.txt, each with its caveat."""
    for quantity in _as_published(release):
        yield quantity._replace(caveat=_caveat(quantity, release.task))


def _caveat(quantity: Quantity, task: Task) -> str:
    """What is known to be wrong with a value of the release: all that rests on A_5's matrices, or on C_n's QR."""
    name = task.algebra.group.name if task.algebra else ""
    of_one = quantity.label is not None
    if name == "A5" and (quantity.label or "").startswith("(3,1,1)"):
        return NO_REPRESENTATION
    if name == "A5" and not of_one and quantity.measure.startswith(("key_irreps", "irrep", "hidden")):
        return NO_REPRESENTATION
    return ROUNDED if name.startswith("C") and quantity.measure.startswith("hidden") else ""


def _as_published(release: Release) -> Iterator[Quantity]:
    """The numbers of the release."""
    folder = release.source.parent
    numbers, keys = folder / "summary_metrics.json", folder / "key_reps.txt"
    names = read_text(keys).split() if keys.exists() else []
    ours = {name: ours_of(name, release) for name in names}
    if names:
        yield Quantity(
            "key representations", "key_irreps", tuple(sorted(irrep or name for name, irrep in ours.items()))
        )
    if not numbers.exists():
        return
    values = read_config(numbers)
    for field, measure in WHOLE.items():
        yield from _number(values, field, measure, None)
    for name in dict.fromkeys([*ours, SIGN]):  # of the sign there are numbers, a key or not, in each group that has one
        irrep = ours_of(name, release)
        for pattern, measure in BY_IRREP.items():
            yield from _number(values, pattern.format(name), measure, irrep or name)


def _number(values: dict[str, Any], field: str, measure: str, label: str | None) -> Iterator[Quantity]:
    """One field, if it is a number that was measured: some releases have 0 for a norm that nobody took."""
    value = values.get(field)
    measured = isinstance(value, int | float) and not isinstance(value, bool)
    if measured and not (measure == "weight_norm" and value == 0):
        is_loss = measure.endswith(("_loss", "_loss_of")) or measure == "weight_norm"
        yield Quantity(field, measure, float(value), label, is_loss=is_loss)


def ours_of(name: str, release: Release) -> str | None:
    """Our name of a representation: the same, one of ``PARTITIONS``, or the only one that it can be.

    "sign" is the character of values 1 and -1; of the groups that have one alone under another name, C_n of even n,
    it is that one. "standard_sign" of S_3 is its standard representation.
    """
    algebra = release.task.algebra
    known = irreps(algebra.group) if algebra else ()
    names = [rho.name for rho in known]
    if PARTITIONS.get(name, name) in names:
        return PARTITIONS.get(name, name)
    if name == SIGN:
        signs = [rho.name for rho in known if rho.name != "trivial" and _is_sign(rho)]
        return signs[0] if len(signs) == 1 else None
    if name == "standard_sign" and "standard" in names and len(names) == 3:
        return "standard"
    dimension = re.search(r"(\d+)d", name)
    alike = [rho.name for rho in known if dimension and rho.dimension == int(dimension[1])]
    return alike[0] if len(alike) == 1 else None


def _is_sign(rho: Irrep) -> bool:
    """Whether a representation has the values 1 and -1 alone."""
    return rho.dimension == 1 and bool((rho.character.abs() - 1).abs().max() < 1e-9)
