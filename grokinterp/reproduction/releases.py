"""Read the claims about a released network from its files or its paper, and translate them to our measures."""

import re
from collections.abc import Iterator
from typing import Any

from grokinterp.interop.files import read_config
from grokinterp.interop.release import Release
from grokinterp.interop.text_files import read_text
from grokinterp.maths.representations import Irrep, irreps
from grokinterp.reproduction.claims import CLAIMS, Claim
from grokinterp.tasks import Task

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
"""Our measures for the fields of summary_metrics.json, Chughtai et al. 2023."""

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
"""Our measures for the fields of a single representation."""

PARTITIONS = {
    "s5_5d_a": "(2,2,1)",
    "s5_5d_b": "(3,2)",
    "s5_6d": "(3,1,1)",
    "a5_5d_a": "(3,2)",
    "a5_3d_a": "(3,1,1)_a",
    "a5_3d_b": "(3,1,1)_b",
}
"""Our names for representations with another name in the release; for the two of A_5 of dimension 3, a convention."""

SIGN = "sign"
"""The name in the release for the character with values 1 and -1."""

NO_REPRESENTATION = "the release's 3-dimensional matrices do not represent A_5: their shares sum to more than 1"
ROUNDED = "the release's QR decomposition of four entries of rank 2 adds directions of rounding error"


def claims_of(kind: str, release: Release) -> list[Claim]:
    """Return the claims about a network from its release and its paper; empty if nothing was published.

    Args:
        kind: the format of the release, a key of ``RELEASES``.
        release: the release as read from its files.

    Raises:
        ForeignFileError: a file of published numbers is damaged.
    """
    if kind == "chughtai":
        return list(_of_chughtai(release))
    known = CLAIMS.get(release.source.stem.removeprefix("model_"), ())
    return [*known, *_last_stored(release)]


def _last_stored(release: Release) -> Iterator[Claim]:
    """Yield the last stored test loss if it belongs to the last checkpoint or the step before it."""
    curves = release.curves
    rows = zip(curves.get("step", []), curves.get("test_loss", []), strict=False)
    near = [value for step, value in rows if value == value and max(release.states) - step <= 1]
    if near:
        yield Claim("last stored test loss", "test_loss", near[-1], is_loss=True)


def _of_chughtai(release: Release) -> Iterator[Claim]:
    """Yield the numbers of summary_metrics.json and key_reps.txt, each with its caveat."""
    for claim in _as_published(release):
        yield claim._replace(caveat=_caveat(claim, release.task))


def _caveat(claim: Claim, task: Task) -> str:
    """Return the known flaw of values that depend on the release's matrices of A_5 or its QR for C_n, else ""."""
    name = task.algebra.group.name if task.algebra else ""
    of_one = claim.label is not None
    if name == "A5" and (claim.label or "").startswith("(3,1,1)"):
        return NO_REPRESENTATION
    if name == "A5" and not of_one and claim.measure.startswith(("key_irreps", "irrep", "hidden")):
        return NO_REPRESENTATION
    return ROUNDED if name.startswith("C") and claim.measure.startswith("hidden") else ""


def _as_published(release: Release) -> Iterator[Claim]:
    """Yield the numbers of the release as published."""
    folder = release.source.parent
    numbers, keys = folder / "summary_metrics.json", folder / "key_reps.txt"
    names = read_text(keys).split() if keys.exists() else []
    ours = {name: our_irrep(name, release) for name in names}
    if names:
        yield Claim("key representations", "key_irreps", tuple(sorted(irrep or name for name, irrep in ours.items())))
    if not numbers.exists():
        return
    values = read_config(numbers)
    for field, measure in WHOLE.items():
        yield from _number(values, field, measure, None)
    for name in dict.fromkeys([*ours, SIGN]):  # the release reports the sign even if it is not key
        irrep = our_irrep(name, release)
        for pattern, measure in BY_IRREP.items():
            yield from _number(values, pattern.format(name), measure, irrep or name)


def _number(values: dict[str, Any], field: str, measure: str, label: str | None) -> Iterator[Claim]:
    """Yield a claim if a field is a measured number; some releases store 0 for a norm that was not measured."""
    value = values.get(field)
    measured = isinstance(value, int | float) and not isinstance(value, bool)
    if measured and not (measure == "weight_norm" and value == 0):
        is_loss = measure.endswith(("_loss", "_loss_of")) or measure == "weight_norm"
        yield Claim(field, measure, float(value), label, is_loss=is_loss)


def our_irrep(name: str, release: Release) -> str | None:
    """Return our name for a representation of the release; None if it has none or is ambiguous.

    It is the same name, a name in ``PARTITIONS``, or the name of the only representation of the same dimension. "sign"
    is the character with values 1 and -1; for C_n of even n, it is the only such character other than the trivial one,
    whatever its name. "standard_sign" of S_3 is its standard representation.
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
    """Return whether a representation has only the values 1 and -1."""
    return rho.dimension == 1 and bool((rho.character.abs() - 1).abs().max() < 1e-9)
