"""Published numbers: each claim has a quantity, its value, a tolerance, and known caveats."""

from typing import NamedTuple

ABSOLUTE, RELATIVE = 1e-4, 0.01
"""Absolute tolerance for similarities, fractions, and cosines, and relative tolerance for losses."""

Number = float | str | tuple[str, ...]


class Claim(NamedTuple):
    """A published value of a trained network.

    Args:
        published_as: the published name of the quantity.
        measure: the name of the corresponding measure in grokinterp.
        value: a number, a word, or a set of names.
        label: the entry along the measure's axis; None for a measure without an axis.
        is_loss: whether the difference is relative, as for losses, instead of absolute.
        digits: the number of published decimal places; None if all digits are published.
        error: the standard error of the published value, if it is a mean over a sample.
        caveat: a known flaw of the published value.
    """

    published_as: str
    measure: str
    value: Number
    label: str | None = None
    is_loss: bool = False
    digits: int | None = None
    error: float = 0.0
    caveat: str = ""

    @property
    def tolerance(self) -> float:
        """The largest difference that counts as agreement.

        It is relative for losses. For other measures, it is at least half a unit of the last digit and two standard
        errors.

        >>> Claim("loss", "test_loss", 2e-4, is_loss=True).tolerance, Claim("Gini", "gini", 0.178, digits=3).tolerance
        (0.01, 0.0005)
        """
        rounding = 0 if self.digits is None else 0.5 * 10.0**-self.digits
        return RELATIVE if self.is_loss else max(ABSOLUTE, rounding, 2 * self.error)

    def difference(self, ours: float) -> float:
        """Return the difference between a measured number and the claim, relative for a loss."""
        theirs = float(self.value)  # ty: ignore[invalid-argument-type]
        return abs(ours - theirs) / (abs(theirs) if self.is_loss and theirs else 1)


CLAIMS: dict[str, tuple[Claim, ...]] = {
    "mod_addition_no_wd": (
        Claim("key frequencies", "key_frequencies", ("36", "52")),
        Claim("full-grid loss", "all_loss", 1.111e-7, is_loss=True),
        Claim("variance of the logits explained", "logit_fve", 0.9460, digits=4),
        Claim("restricted loss", "restricted_loss", 1.13e-8, is_loss=True),
        Claim("excluded loss, all keys, train", "excluded_loss", 75.6, is_loss=True),
        Claim("Gini coefficient of W_E", "gini_embedding", 0.178, digits=3),
    ),
    "low_precision_mod_addition": (
        Claim("train loss", "train_loss", 3.045e-4, is_loss=True),
        Claim("test loss", "test_loss", 3.995e-3, is_loss=True),
        Claim("accuracy on all pairs", "all_accuracy", 0.99945, digits=5),
    ),
    "baseline": (
        Claim("test loss", "test_loss", 2.00969e-4, is_loss=True),
        Claim("norm of W_E over the residues", "embedding_norm", 16.7358, digits=4),
        Claim("specialized neurons, FVE > .5", "specialized_neurons", 458.0, digits=0),
        Claim("key frequencies", "key_frequencies", ("14", "35", "41", "42", "52")),
    ),
    "p99zdpze5l": (
        Claim("distance irrelevance", "distance_irrelevance", 0.1717, digits=4),
        Claim("gradient symmetricity", "gradient_symmetricity", 0.9937, digits=4),
        Claim("circularity", "circularity", 0.9978, digits=4),
        Claim("parameter norm", "parameter_norm", 22.854, digits=3),
        Claim("algorithm", "circuit", "pizza"),
        Claim("clock template, circle 1", "circle_clock_fve", 0.754, "1", digits=3),
        Claim("clock template, circle 2", "circle_clock_fve", 0.756, "2", digits=3),
        Claim("clock template, circle 3", "circle_clock_fve", 0.754, "3", digits=3),
        Claim("pizza template, circle 1", "circle_pizza_fve", 0.983, "1", digits=3),
        Claim("pizza template, circle 2", "circle_pizza_fve", 0.983, "2", digits=3),
        Claim("pizza template, circle 3", "circle_pizza_fve", 0.984, "3", digits=3),
    ),
    "18c9ev5v5p": (
        Claim("distance irrelevance", "distance_irrelevance", 0.174, digits=3),
        Claim("gradient symmetricity", "gradient_symmetricity", 0.997, digits=3),
        Claim("circularity", "circularity", 1.0, digits=3),
        Claim("algorithm", "circuit", "pizza"),
    ),
    "2k4ohj6bhd": (
        Claim("distance irrelevance", "distance_irrelevance", 0.7201, digits=4),
        Claim("distance irrelevance, runner-up logit", "distance_irrelevance_runner_up", 0.8196, digits=4),
        Claim("gradient symmetricity", "gradient_symmetricity", 0.7813, digits=4, error=0.015),
        Claim("circularity", "circularity", 0.7342, digits=4),
        Claim("algorithm", "circuit", "mixed"),
    ),
}
"""The claims about each released network, by the name of its file.

Sources: Nanda et al. 2023, recomputed from the release ("mod_addition_no_wd", "low_precision_mod_addition"); the
repository transformer-modular-addition, with its training history, its own neuron count, and recomputed key frequencies
("baseline"); Zhong et al. 2023, Table 1 and §3, with recomputed circles (the others).

The published symmetricity is a mean over about 100 triples. For a single network, it varies by 0.15 between such
samples (the mean over all 205,379 triples is 0.7731).
"""
