"""Statements of the sources of presets about their networks, beside what came out here."""

from collections.abc import Iterator
from typing import Any, NamedTuple


class Claim(NamedTuple):
    """A quantity of a preset as its source states it, and its name among the numbers measured here."""

    preset: str
    quantity: str
    stated: str
    source: str
    measured: str


NANDA = "Nanda et al. 2023, section 5"
REPLICATION = "a replication with seed 0: transformer-modular-addition, baseline"
POWER = "Power et al. 2022, Figure 1"
CHUGHTAI = "Chughtai et al. 2023, S5_MLP_seed1"
ZHONG = "Zhong et al. 2023, Model A"

CLAIMS = (
    Claim("nanda2023", "memorization ends at (here: train accuracy ≥ 99 %)", "1,400", NANDA, "memorized"),
    Claim("nanda2023", "test accuracy ≥ 95 % at", "9,600", REPLICATION, "generalized"),
    Claim("nanda2023", "key frequencies", "14, 35, 41, 42, 52", f"{NANDA}, and {REPLICATION}", "key_frequencies"),
    Claim("nanda2023", "test accuracy at the end", "1", NANDA, "test_accuracy"),
    Claim("power2022", "train accuracy ≥ 99 % at", "< 1,000", POWER, "memorized"),
    Claim("power2022", "test accuracy near 1 at", "about 1,000,000", POWER, "generalized"),
    Claim("chughtai_s5", "key representations", "4", CHUGHTAI, "key_irreps"),
    Claim("chughtai_s5", "share of the logits that they explain", "0.391", CHUGHTAI, "irreps_explained"),
    Claim("chughtai_s5", "test accuracy at the end", "1", CHUGHTAI, "test_accuracy"),
    Claim("gromov2023", "test accuracy at the end", "1", "Gromov 2023", "test_accuracy"),
    Claim("prieto2025", "test accuracy ≥ 95 % at", "never", "Prieto et al. 2025", "generalized"),
    Claim("lee2024", "test accuracy ≥ 95 % at", "910", "Lee et al. 2024", "generalized"),
    Claim("pizza", "test accuracy at the end", "1", ZHONG, "test_accuracy"),
    Claim("pizza", "gradient symmetricity", "0.994", ZHONG, "gradient_symmetricity"),
    Claim("pizza", "distance irrelevance", "0.172", ZHONG, "distance_irrelevance"),
    Claim("pizza", "circularity of the embedding", "0.998", ZHONG, "circularity"),
    Claim("pizza", "norm of all parameters", "22.9", ZHONG, "parameter_norm"),
)
"""Claims of papers, of the networks that they released, and of one replication."""

DATES = ("memorized", "generalized")
MEASURES = sorted({claim.measured for claim in CLAIMS} - {*DATES, "test_accuracy"})
"""The measures that are stored for the claims, besides those of the table of presets."""

HEAD = ("preset", "quantity", "in the source", "here", "source")


def rows(measured: dict[str, dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Yield a row for every claim about a preset that was trained."""
    for claim in CLAIMS:
        if claim.preset in measured:
            found = measured[claim.preset]
            is_date = claim.measured in DATES
            value, without = (found, "never") if is_date else (found["measures"], "not defined")
            here = value.get(claim.measured)
            yield claim.preset, claim.quantity, claim.stated, without if here is None else text(here), claim.source


def text(value: Any) -> str:
    """Format a measured value: a step, a number, or a list.

    >>> text(1400), text(0.39054), text([14, 35])
    ('1,400', '0.391', '14, 35')
    """
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
